"""What happens next to a subscription, and when: the one place that orders what is due.

The row is the schedule: its due time is the next happening's. What is late is worked off one happening at a time, the
oldest first; of several at one instant the first in the order of `Happening` goes first, and the rest is decided anew.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from billing.lifecycle import SubscriptionStatus
from billing.subscribing import INCOMPLETE_LIFETIME

TRIAL_NOTICE = timedelta(days=3)
"""How long before its end a trial's customer is told."""


class Happening(StrEnum):
    """In the order in which they go first at one instant."""

    EXPIRE = "expire"
    END = "end"
    START = "start"
    RESUME = "resume"
    ANNOUNCE_TRIAL_END = "announce_trial_end"
    CHANGE = "change"
    PAUSE = "pause"
    OVERDUE = "overdue"
    RENEW = "renew"


@dataclass(frozen=True, slots=True)
class Schedule:
    """The dates that a subscription carries. `since`: when it came to its status.

    `cancel_at` is when somebody wants it to end, `ends_at` its fixed term. `change_at`, `pause_at` and `resume_at` are
    None when nothing of the kind is planned. `invoice_due_at` is when the oldest unpaid invoice that was sent must be
    paid. `is_given_up`: its dunning is over, nothing more is billed.
    """

    status: SubscriptionStatus
    since: datetime
    period_start: datetime
    period_end: datetime
    trial_end: datetime | None = None
    is_trial_end_announced: bool = False
    cancel_at_period_end: bool = False
    cancel_at: datetime | None = None
    ends_at: datetime | None = None
    change_at: datetime | None = None
    pause_at: datetime | None = None
    resume_at: datetime | None = None
    invoice_due_at: datetime | None = None
    is_given_up: bool = False

    @property
    def end(self) -> datetime | None:
        """When it ends for good, as far as is known. A paused period has no end before it goes on."""
        runs_out = self.cancel_at_period_end and self.status is not SubscriptionStatus.PAUSED
        known = (self.period_end if runs_out else None, self.cancel_at, self.ends_at)
        return min((at for at in known if at is not None), default=None)


_S, _H = SubscriptionStatus, Happening
RUNNING = frozenset((_S.TRIALING, _S.ACTIVE, _S.PAST_DUE))
"""The statuses in which one period follows another."""

_ENDS = RUNNING | {_S.PAUSED, _S.UNPAID, _S.SCHEDULED}


def next_happening(schedule: Schedule) -> tuple[datetime, Happening] | None:
    """The next thing that time does to the subscription; None when only somebody's doing can move it."""
    order = list(Happening)
    happenings = [(at, what) for what, at in _possible(schedule) if at is not None]
    return min(happenings, key=lambda each: (each[0], order.index(each[1])), default=None)


def what_is_due(schedule: Schedule, now: datetime) -> Happening | None:
    """What is to be done by `now`, one thing at a time."""
    upcoming = next_happening(schedule)
    return upcoming[1] if upcoming is not None and upcoming[0] <= now else None


def _possible(s: Schedule) -> list[tuple[Happening, datetime | None]]:
    runs, bills = s.status in RUNNING, s.status in RUNNING and not s.is_given_up
    announces = s.status is _S.TRIALING and not s.is_trial_end_announced and s.trial_end is not None
    return [
        (_H.EXPIRE, s.since + INCOMPLETE_LIFETIME if s.status is _S.INCOMPLETE else None),
        (_H.START, s.period_start if s.status is _S.SCHEDULED else None),
        (_H.END, s.end if s.status in _ENDS else None),
        (_H.RESUME, s.resume_at if s.status is _S.PAUSED else None),
        (_H.ANNOUNCE_TRIAL_END, s.trial_end - TRIAL_NOTICE if announces and s.trial_end is not None else None),
        (_H.CHANGE, s.change_at if runs else None),
        (_H.PAUSE, s.pause_at if runs else None),
        (_H.OVERDUE, s.invoice_due_at if s.status is _S.ACTIVE else None),
        (_H.RENEW, s.period_end if bills else None),
    ]
