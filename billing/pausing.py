"""Pauses: time stands still, so that what was paid for is there when it goes on, to the microsecond.

The period's end moves by the pause, and with it what is tied to that end: a trial's end, a change planned for it. Dates
that somebody chose stay: the day on which it shall end, a change on a day of its own.
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
        change_at=moved if course.change_at == course.period_end else course.change_at,
    )
