"""Periods: half-open spans counted from an anchor, never from the date before.

Period n runs from anchor + n intervals to anchor + (n+1) intervals in the subscription's own zone, the day clamped
to the month (31 Jan → 28 Feb → 31 Mar). The wall time that a daylight-saving switch skips moves forward by the gap;
of a wall time that comes twice the first is meant, except for the anchor, which is an instant and stays one.
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


def boundary(anchor: datetime, interval: Interval, count: int, zone: ZoneInfo, n: int) -> datetime:
    """The instant `n` intervals (of `count` units each) after `anchor`, in UTC. A naive anchor raises ValueError."""
    if anchor.tzinfo is None:
        raise ValueError(f"an anchor needs a time zone: {anchor.isoformat()}")
    if n == 0:
        return anchor.astimezone(UTC)
    local = anchor.astimezone(zone).replace(tzinfo=None, fold=0)
    if interval in _MONTHS:
        months = local.year * 12 + local.month - 1 + n * count * _MONTHS[interval]
        year, month = divmod(months, 12)
        day = min(local.day, monthrange(year, month + 1)[1])
        moved = local.replace(year=year, month=month + 1, day=day)
    else:
        moved = local + timedelta(days=n * count * _DAYS[interval])
    return moved.replace(tzinfo=zone).astimezone(UTC)


def period(anchor: datetime, interval: Interval, count: int, zone: ZoneInfo, n: int) -> Period:
    """Period number `n`, counted from 0 at the anchor."""
    return Period(start=boundary(anchor, interval, count, zone, n), end=boundary(anchor, interval, count, zone, n + 1))
