"""A simulated year of many subscriptions, as the engine bills it and as an oracle written by hand does.

The oracle knows nothing of the engine: days are counted on a wall calendar, amounts in whole numbers.
"""

import random
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from zoneinfo import ZoneInfo

from billing.agreement import Agreement
from billing.calendar import Grid, Interval, grid_on_day
from billing.discounting import Discount
from billing.forecasting import Outlook, forecast
from billing.invoicing import InvoiceReason
from billing.lifecycle import SubscriptionStatus
from billing.money import Money
from billing.pricing import PriceTerms
from billing.recurring import RecurringItem
from billing.schedule import Schedule

YEAR = timedelta(days=365)
# Zones that never switch in these years, so that the oracle can add an offset instead of knowing the rules.
ZONES = {"UTC": timedelta(0), "Asia/Kathmandu": timedelta(hours=5, minutes=45), "America/Phoenix": timedelta(hours=-7)}
# currency → decimals, step and smallest charge in minor units
CURRENCIES = {"USD": (2, 1, 50), "JPY": (0, 1, 50), "KWD": (3, 10, 10)}
CADENCES = [(Interval.MONTH, 1), (Interval.MONTH, 3), (Interval.YEAR, 1), (Interval.WEEK, 1), (Interval.WEEK, 2)]


Billed = tuple[datetime, datetime, int, int]
"""An invoice: its period's start and end, its total and what is due, in minor units."""


@dataclass(frozen=True)
class Sold:
    """One subscription as it was sold. Prices and what a coupon takes off are in minor units."""

    start: datetime
    zone: str
    interval: Interval
    count: int
    currency: str
    unit: int
    quantity: int
    tax: Decimal | None
    percent_off: int | None
    amount_off: int | None
    billing_day: int | None
    runs_for: timedelta | None


def sold(rng: random.Random) -> Sold:
    interval, count = rng.choice(CADENCES)
    currency = rng.choice(list(CURRENCIES))
    step = CURRENCIES[currency][1]
    return Sold(
        start=datetime(2027, 3, 1, tzinfo=UTC) + timedelta(microseconds=rng.randrange(365 * 86_400_000_000)),
        zone=rng.choice(list(ZONES)),
        interval=interval,
        count=count,
        currency=currency,
        unit=rng.choice([60, 500, 999, 2990, 4900, 12345]) // step * step or step,
        quantity=rng.choice([1, 1, 1, 2, 7]),
        tax=rng.choice([None, None, Decimal("8.25"), Decimal(19)]),
        percent_off=rng.choice([None, None, 15, 33]),
        amount_off=rng.choice([None, None, None, 55 // step * step, 400]),
        billing_day=rng.choice([None, None, 5, 31]) if interval in (Interval.MONTH, Interval.YEAR) else None,
        runs_for=rng.choice([None, None, None, timedelta(days=100, hours=7)]),
    )


# ---- the oracle ---------------------------------------------------------------------------------------------


def rounded(numerator: int, denominator: int, step: int) -> int:
    """Half up to a multiple of `step`; nothing here is negative."""
    whole = denominator * step
    return (2 * numerator + whole) // (2 * whole) * step


def month_later(first: datetime, months: int, day: int) -> datetime:
    index = first.year * 12 + first.month - 1 + months
    year, month = divmod(index, 12)
    return first.replace(year=year, month=month + 1, day=min(day, monthrange(year, month + 1)[1]))


def boundaries(each: Sold) -> list[datetime]:
    """On the wall: the first boundary not after the start, and all that follow for more than a year."""
    wall = (each.start + ZONES[each.zone]).replace(tzinfo=None)
    if each.interval is Interval.WEEK:
        return [wall + timedelta(weeks=each.count * n) for n in range(60)]
    months = each.count * (12 if each.interval is Interval.YEAR else 1)
    day = each.billing_day or wall.day
    first = month_later(wall, 0, day)
    if first < wall:
        first = month_later(wall, 1, day)
    behind = [] if first == wall else [month_later(first, -months, day)]
    return [*behind, *(month_later(first, n * months, day) for n in range(20))]


def total_of(each: Sold, part: int, whole: int, balance: int) -> tuple[int, int, int]:
    """(total, due, balance afterwards) of an invoice over a part of a period."""
    _, step, smallest = CURRENCIES[each.currency]
    amount = rounded(each.unit * each.quantity * part, whole, step)
    if each.percent_off is not None:
        amount -= min(rounded(amount * each.percent_off, 100, step), amount)
    if each.amount_off is not None:
        amount -= min(each.amount_off, amount)
    if each.tax is not None:
        amount += rounded(amount * int(each.tax * 100), 10_000, step)
    applied = min(amount, balance)
    due = amount - applied
    if 0 < due < smallest:
        applied, due = amount, 0
    return amount, due, balance - applied


def expected(each: Sold) -> list[Billed]:
    """Every invoice issued within a year of the start, by the oracle."""
    wall = (each.start + ZONES[each.zone]).replace(tzinfo=None)
    ends = wall + each.runs_for if each.runs_for is not None else None
    lines = boundaries(each)
    invoices: list[Billed] = []
    balance = 0
    for full_start, full_end in pairwise(lines):
        start, end = max(full_start, wall), full_end if ends is None else min(full_end, ends)
        if start >= wall + YEAR or (ends is not None and start >= ends):
            break
        microsecond = timedelta(microseconds=1)
        part, whole = (end - start) // microsecond, (full_end - full_start) // microsecond
        total, due, balance = total_of(each, part, whole, balance)
        at = [(instant - ZONES[each.zone]).replace(tzinfo=UTC) for instant in (start, end)]
        invoices.append((at[0], at[1], total, due))
    return invoices


# ---- the engine ---------------------------------------------------------------------------------------------


def outlook_of(each: Sold) -> Outlook:
    """As it stands when its first period is about to be billed."""
    zone = ZoneInfo(each.zone)
    grid = Grid(each.start, each.interval, each.count, zone)
    if each.billing_day is not None:
        grid = grid_on_day(each.start, each.interval, each.count, zone, each.billing_day)
    ends_at = each.start + each.runs_for if each.runs_for is not None else None
    span = grid.span_from(each.start).until(ends_at)
    item = RecurringItem(
        plan_id="plan",
        plan_name="Plan",
        price=PriceTerms("price", each.currency, Money(each.unit, each.currency).major),
        quantity=each.quantity,
        interval=each.interval,
        interval_count=each.count,
        tax_percent=each.tax,
    )
    # The amount was applied first, and yet a percentage goes first.
    amount_off = Money(each.amount_off, each.currency) if each.amount_off is not None else None
    offers = [
        Discount("b", "OFF", amount_off=amount_off) if amount_off is not None else None,
        Discount("a", "PART", percent_off=Decimal(each.percent_off)) if each.percent_off is not None else None,
    ]
    agreement = Agreement(
        zone=zone,
        items=[item],
        balance=Money.zero(each.currency),
        discounts=[offer for offer in offers if offer is not None],
    )
    schedule = Schedule(
        status=SubscriptionStatus.ACTIVE,
        since=each.start,
        period_start=span.period.start,
        period_end=span.period.end,
        ends_at=ends_at,
    )
    return Outlook(schedule=schedule, grid=grid, period_number=0, agreement=agreement)


def billed(each: Sold) -> list[Billed]:
    """The same by the engine."""
    outlook = outlook_of(each)
    first_span = outlook.grid.span_from(each.start).until(outlook.schedule.ends_at)
    after, first = outlook.bill(first_span, reason=InvoiceReason.SUBSCRIPTION_CREATE)
    drafts = [first]
    for foreseen in forecast(after, 60):
        if foreseen.at >= each.start + YEAR:
            break
        drafts.append(foreseen.draft)
    return [(draft.period.start, draft.period.end, draft.total.minor, draft.amount_due.minor) for draft in drafts]
