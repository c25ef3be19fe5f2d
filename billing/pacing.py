"""How many gateway calls a second: places in a row, one after another, and standing still after a 429.

A limit is what a gateway allows, of one of its endpoints or of the account as a whole. Workers take a share of it and
leave the rest to people who are waiting for an answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

WORKERS_SHARE = 0.8
HORIZON = timedelta(seconds=0.25)
"""How far ahead places are given. A call may be that much later than its place in the account's row, so within a second
the account sees up to 1.25 times the workers' share: no more than its limit."""
_FIRST_REST = timedelta(seconds=1)
_LONGEST_REST = timedelta(seconds=30)
_FORGIVEN_AFTER = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Limits:
    """Calls a second that the gateway takes in all, and at each endpoint."""

    account: int
    endpoint: int


@dataclass(frozen=True, slots=True)
class Row:
    """The state of one limit: from when on a place is free, and how long nothing is sent after `refusals` in a row."""

    free_at: datetime
    rests_until: datetime
    refusals: int = 0

    def next_place(self, now: datetime) -> datetime:
        """Places that nobody has taken are not saved up."""
        return max(self.free_at, self.rests_until, now)


def spacing(per_second: int) -> timedelta:
    """Between two places of the workers."""
    return timedelta(seconds=1 / (per_second * WORKERS_SHARE))


def places(
    endpoint: Row, account: Row, wanted: int, limits: Limits, now: datetime
) -> tuple[Sequence[datetime], Row, Row]:
    """Up to `wanted` places at one endpoint that begin within the horizon, and both rows afterwards."""
    step, first = spacing(limits.endpoint), max(endpoint.next_place(now), account.next_place(now))
    free = max(0, (now + HORIZON - first) // step + 1)
    given = [first + step * n for n in range(min(wanted, free))]
    if not given:
        return [], endpoint, account
    return (
        given,
        replace(endpoint, free_at=given[-1] + step),
        replace(account, free_at=account.next_place(now) + spacing(limits.account) * len(given)),
    )


def rested(row: Row, now: datetime, at_least: timedelta | None = None) -> Row:
    """The row after a 429: it rests, twice as long as the last time, and starts anew when that is a while ago.

    Calls that were under way together are refused together; that is one refusal.
    """
    if now < row.rests_until:
        return row
    refusals = row.refusals + 1 if now < row.rests_until + _FORGIVEN_AFTER else 1
    rest = min(_FIRST_REST * 2 ** min(refusals - 1, 5), _LONGEST_REST)
    return replace(row, rests_until=now + min(max(rest, at_least or rest), _LONGEST_REST), refusals=refusals)
