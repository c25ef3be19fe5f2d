"""Pauses: time stands still, so that what was paid for is there when it goes on, to the microsecond.

The period's end moves by the pause, and with it what is tied to that end: a trial's end, a change planned for it. Dates
that somebody chose stay: the day on which it shall end, a change on a day of its own. Of a change on a day of the pause
there is no time to reckon: it is made when it goes on.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Course:
    """The dates of a subscription that a pause may move. `anchor` is what its periods are counted from.

    `trial_end` is that of a trial under way, None when there is none.
    """

    anchor: datetime
    period_end: datetime
    trial_end: datetime | None = None
    change_at: datetime | None = None


def resumed(course: Course, paused_at: datetime, at: datetime, *, keeps_anchor: bool) -> Course:
    """The course once it goes on `at`. The moved end is the new anchor.

    `keeps_anchor`: there is a billing day; the anchor stays and the period after this one is the stub up to it. A pause
    of no length changes nothing, neither does one that ends before it began: the clock was set back meanwhile.
    """
    length = at - paused_at
    if length <= timedelta(0):
        return course
    moved = course.period_end + length
    return replace(
        course,
        anchor=course.anchor if keeps_anchor else moved,
        period_end=moved,
        trial_end=course.trial_end + length if course.trial_end is not None else None,
        change_at=_changed_at(course, moved, at),
    )


def _changed_at(course: Course, moved: datetime, at: datetime) -> datetime | None:
    if course.change_at is None or course.change_at == course.period_end:
        return course.change_at and moved
    return max(course.change_at, at)


def is_put_off(trial_end: datetime | None, moved: datetime | None, at: datetime) -> bool:
    """Whether a pause that is over `at` has moved the trial's end to an instant still to come, to be told of anew."""
    return trial_end is not None and moved is not None and max(trial_end, at) < moved


def with_its_end(
    pause_at: datetime | None, resume_at: datetime | None, end: datetime
) -> tuple[datetime | None, datetime | None]:
    """When a pause that is planned for the period's end begins and is over, that end being another one now.

    It is given up if it would be over by then.
    """
    if pause_at is None:
        return pause_at, resume_at
    return (None, None) if resume_at is not None and resume_at <= end else (end, resume_at)
