"""Periods: half-open spans counted from an anchor, never from the date before.

Boundary n is the anchor + n intervals in the subscription's own zone, the day clamped to the month (31 Jan → 28 Feb →
31 Mar); a period runs from one boundary to the next, or as a stub from any instant to the next boundary. The wall time
that a daylight-saving switch skips moves forward by the gap; of a wall time that comes twice the first is meant, except
for the anchor, which is an instant and stays one.
"""

from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo


class Interval(StrEnum):
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"


_DAYS = {Interval.DAY: 1, Interval.WEEK: 7}
_MONTHS = {Interval.MONTH: 1, Interval.YEAR: 12}


@dataclass(frozen=True, slots=True)
class Period:
    """`[start, end)` in aware UTC."""

    start: datetime
    end: datetime

    @property
    def length(self) -> timedelta:
        return self.end - self.start


def boundary(
    anchor: datetime, interval: Interval, count: int, zone: ZoneInfo, n: int, day: int | None = None
) -> datetime:
    """The instant `n` intervals (of `count` units each) after `anchor`, in UTC. A naive anchor raises ValueError.

    `day`: the day of the month that is meant where the anchor's own month is too short to have it.
    """
    if anchor.tzinfo is None:
        raise ValueError(f"an anchor needs a time zone: {anchor.isoformat()}")
    if n == 0 and (day is None or anchor.astimezone(zone).day == day):
        return anchor.astimezone(UTC)
    local = anchor.astimezone(zone).replace(tzinfo=None, fold=0)
    if interval in _MONTHS:
        months = local.year * 12 + local.month - 1 + n * count * _MONTHS[interval]
        year, month = divmod(months, 12)
        last = monthrange(year, month + 1)[1]
        moved = local.replace(year=year, month=month + 1, day=min(day or local.day, last))
    else:
        moved = local + timedelta(days=n * count * _DAYS[interval])
    return moved.replace(tzinfo=zone).astimezone(UTC)


@dataclass(frozen=True, slots=True)
class Span:
    """A period to bill and the full one that it is a part of; they are equal unless it is a stub."""

    period: Period
    full: Period

    @property
    def is_stub(self) -> bool:
        return self.period != self.full

    def until(self, end: datetime | None) -> "Span":
        """The same, but over at `end` if that comes sooner."""
        if end is None or end >= self.period.end:
            return self
        return Span(Period(self.period.start, end), self.full)


@dataclass(frozen=True, slots=True)
class Grid:
    """All boundaries that an anchor makes: anchor + n intervals of `count` units, n also negative, in one zone.

    `day` is the day of the month that is meant, None: the anchor's own.
    """

    anchor: datetime
    interval: Interval
    count: int
    zone: ZoneInfo
    day: int | None = None

    def boundary(self, n: int) -> datetime:
        return boundary(self.anchor, self.interval, self.count, self.zone, n, self.day)

    def span_from(self, start: datetime) -> Span:
        """From `start` to the next boundary after it: a full period when it starts on one, else a stub."""
        n = self._last_boundary_until(start)
        full = Period(self.boundary(n), self.boundary(n + 1))
        return Span(Period(start, full.end), full)

    def end_after(self, start: datetime, periods: int) -> datetime:
        """The end of so many full periods from `start`; a stub up to the first boundary comes on top."""
        n = self._last_boundary_until(start)
        first = n if self.boundary(n) == start else n + 1
        return self.boundary(first + periods)

    def _last_boundary_until(self, instant: datetime) -> int:
        """The greatest n whose boundary is not after `instant`."""
        n = (instant - self.anchor) // (_LONGEST_DAYS[self.interval] * self.count)
        # The guess is by the longest such interval, so it is too near to the anchor, by a few per cent at most.
        while self.boundary(n) > instant:
            n -= 1
        while self.boundary(n + 1) <= instant:
            n += 1
        return n


_LONGEST_DAYS = {
    Interval.DAY: timedelta(days=1),
    Interval.WEEK: timedelta(days=7),
    Interval.MONTH: timedelta(days=31),
    Interval.YEAR: timedelta(days=366),
}


def grid_on_day(start: datetime, interval: Interval, count: int, zone: ZoneInfo, day: int) -> Grid:
    """The grid whose boundaries fall on `day` (1 to 31, clamped to short months), at `start`'s own time of day.

    Its anchor is the first such instant that is not before `start`, at most a month away. Raises ValueError for days
    and weeks, which have no day of the month.
    """
    if interval not in _MONTHS:
        raise ValueError(f"a billing day needs months or years, not {interval}s")
    this_month = boundary(_first_of_month(start, zone), Interval.MONTH, 1, zone, 0, day)
    later = boundary(_first_of_month(start, zone), Interval.MONTH, 1, zone, 1, day)
    return Grid(
        start if this_month == start else this_month if this_month > start else later, interval, count, zone, day
    )


def _first_of_month(instant: datetime, zone: ZoneInfo) -> datetime:
    return instant.astimezone(zone).replace(day=1, fold=0)
