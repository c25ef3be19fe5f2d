"""Figures about the business: what recurs in a month, who left, which days a span of time touches.

A subscription counts as active while it is ACTIVE or PAST_DUE. docs/metrics.md says what each figure means.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

from billing.calendar import Interval
from billing.lifecycle import SubscriptionStatus
from billing.money import Money
from billing.pricing import PriceTerms, rate
from billing.recurring import rounded

ACTIVE = (SubscriptionStatus.ACTIVE, SubscriptionStatus.PAST_DUE)
"""It goes on and is billed. A trial is not paid for, a pause bills nothing, UNPAID has been given up."""
LEFT = (*ACTIVE, SubscriptionStatus.PAUSED, SubscriptionStatus.UNPAID)
"""From where being canceled is a customer lost; a trial or a first payment that failed never was one."""
MOST_DAYS = 400

_MONTHS = {
    Interval.DAY: Fraction(12, 365),
    Interval.WEEK: Fraction(12, 52),
    Interval.MONTH: Fraction(1),
    Interval.YEAR: Fraction(12),
}


@dataclass(frozen=True, slots=True)
class Day:
    """A day of the calendar, or the part of one that a span of time covers: `[start, end)`."""

    date: date
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Alike:
    """`count` items of one price and quantity, `off` of whose price is taken off (0 to 1)."""

    price: PriceTerms
    quantity: int
    interval: Interval
    interval_count: int
    count: int
    off: Fraction = Fraction(0)


def months_in(interval: Interval, count: int) -> Fraction:
    """How many months a period is: a year 12, a week 12/52, a day 12/365."""
    return _MONTHS[interval] * count


def monthly(full: Iterable[Alike], taken_off: Iterable[Alike], currency: str) -> Money:
    """What all of these come to in a month, without what is taken off; exact until it is rounded once."""
    whole = sum((_in_a_month(each) for each in full), Fraction(0))
    less = sum((_in_a_month(each) * each.off for each in taken_off), Fraction(0))
    return rounded(whole - less, currency)


def per_head(amount: Money, heads: int) -> Money:
    """The amount for each, rounded; nothing where there is nobody."""
    return rounded(Fraction(amount.major) / heads, amount.currency) if heads else Money.zero(amount.currency)


def share_lost(lost: int, before: int) -> Decimal:
    """Which part of those who were there before has left, to four places; 0 where nobody was there."""
    part = Decimal(lost) / Decimal(before) if before else Decimal(0)
    return part.quantize(Decimal("0.0001"), ROUND_HALF_UP)


def days_of(start: datetime, end: datetime, zone: ZoneInfo) -> Sequence[Day]:
    """The days of `zone` that `[start, end)` touches, the first and the last one cut to it. Raises ValueError.

    Beyond MOST_DAYS, and for an end that is not after the start.
    """
    if end <= start:
        raise ValueError("the end is after the start")
    if end - start > timedelta(days=MOST_DAYS):
        raise ValueError(f"at most {MOST_DAYS} days at once")
    days: list[Day] = []
    here, at = start.astimezone(zone).date(), start
    while at < end:
        midnight = datetime.combine(here + timedelta(days=1), time(), zone).astimezone(start.tzinfo)
        until = min(midnight, end)
        days.append(Day(here, at, until))
        here, at = here + timedelta(days=1), until
    return days


def _in_a_month(each: Alike) -> Fraction:
    major = rate(each.price, Decimal(each.quantity)).major
    return major * each.count / months_in(each.interval, each.interval_count)
