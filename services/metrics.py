"""Figures about the business over a span of time, in one currency."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.calendar import Interval
from billing.errors import ErrorCode, UserProblem
from billing.lifecycle import SubscriptionStatus
from billing.metrics import ACTIVE, Alike, Day, days_of, monthly, per_head, share_lost
from billing.money import Money
from billing.pricing import PriceTerms
from models import metrics as figures
from models.catalog import Plan, Price
from models.organization import new_organization, organization
from services.app import App
from services.policies import zone_in_force


@dataclass(frozen=True, slots=True)
class Point:
    """One day: what recurs in a month at its end, and what happened in it."""

    date: date
    mrr: Money
    revenue: Money
    begun: int
    lost: int


@dataclass(frozen=True, slots=True)
class Metrics:
    """Figures of `[start, end)`; counts and what recurs are as of its end."""

    start: datetime
    end: datetime
    mrr: Money
    arr: Money
    active: int
    trialing: int
    churn_rate: Decimal
    revenue: Money
    recovered: Money
    arpu: Money
    series: Sequence[Point]
    left_out: Sequence[str]


async def metrics_of(app: App, start: datetime, end: datetime, currency: str | None) -> Metrics:
    """As far as the present; in the organization's currency unless another is named.

    Raises UserProblem INVALID for a span that ends before it starts, has not begun, or is too long.
    """
    now = app.now() + timedelta(microseconds=1)  # what happens at this instant has happened
    async with app.database.read() as session:
        row = await organization(session) or new_organization(now)
        zone = ZoneInfo(await zone_in_force(session, app))
        try:
            days = days_of(start, min(end, now), zone)
        except ValueError as wrong:
            raise UserProblem(ErrorCode.INVALID, f"range: {wrong}, and the start has passed.", ["range"]) from None
        return await _metrics(session, days, currency or row.default_currency)


async def _metrics(session: AsyncSession, days: Sequence[Day], currency: str) -> Metrics:
    start, end = days[0].start, days[-1].end
    series = await _series(session, days, currency)
    counts = await figures.statuses_at(session, currency, (start, end))
    before, active = (sum(counts.get((n, status), 0) for status in ACTIVE) for n in (0, 1))
    mrr = series[-1].mrr
    return Metrics(
        start=start,
        end=end,
        mrr=mrr,
        arr=Money(mrr.minor * 12, currency),
        active=active,
        trialing=counts.get((1, SubscriptionStatus.TRIALING), 0),
        churn_rate=share_lost(await figures.lost_of_those_active(session, currency, start, end), before),
        revenue=Money(sum(point.revenue.minor for point in series), currency),
        recovered=Money(await figures.recovered(session, currency, start, end), currency),
        arpu=per_head(mrr, active),
        series=series,
        left_out=await figures.other_currencies(session, currency),
    )


async def _series(session: AsyncSession, days: Sequence[Day], currency: str) -> Sequence[Point]:
    full = await figures.items_by_day(session, currency, days)
    less = await figures.discounted_by_day(session, currency, days)
    prices = await figures.prices_with_plans(session, sorted({row.price_id for row in full}))
    wholes, parts = _by_day(full, prices, currency), _by_day(less, prices, currency)
    kept = await figures.kept_by_day(session, currency, days)
    begun = await figures.begun_by_day(session, currency, days)
    lost = await figures.lost_by_day(session, currency, days)
    return [
        Point(
            date=day.date,
            mrr=monthly(wholes.get(n, ()), parts.get(n, ()), currency),
            revenue=Money(kept.get(n, 0), currency),
            begun=begun.get(n, 0),
            lost=lost.get(n, 0),
        )
        for n, day in enumerate(days)
    ]


def _by_day(
    rows: Sequence[figures.ItemsAlike], prices: Mapping[str, tuple[Price, Plan]], currency: str
) -> Mapping[int, Sequence[Alike]]:
    found: dict[int, list[Alike]] = {}
    for row in rows:
        price, plan = prices[row.price_id]
        terms = price.terms(plan)
        if row.unit_amount_minor is not None:
            terms = PriceTerms(price.id, currency, Money(row.unit_amount_minor, currency).major)
        off = Fraction(row.discount, row.amount) if row.amount else Fraction(0)
        alike = Alike(terms, row.quantity, Interval(row.interval), row.interval_count, row.count, off)
        found.setdefault(row.day, []).append(alike)
    return found
