"""Figures about the business, for administrators."""

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated

import strawberry

from billing.errors import UserProblem
from billing.metrics import MOST_DAYS
from schema.arguments import refuse_arguments
from schema.fields import Info, argument, described
from schema.money import Money
from schema.periods import DateTimeRange, Period
from schema.scalars import CurrencyCode
from services.metrics import Metrics, Point, metrics_of

CalendarDay = date
"""The field of that name hides the type."""


@strawberry.type(description="One day of the figures, in the organization's zone.")
class MetricPoint:
    date: CalendarDay = described("The day; the first and the last one are cut to the range.")
    mrr: Money = described("What recurs in a month, at the day's end.")
    revenue: Money = described("What came in less what went back on that day.")
    new_subscriptions: int = described("How many subscriptions were active for the first time.")
    churned: int = described("How many subscriptions that had been active were canceled.")

    @classmethod
    def of(cls, point: Point) -> "MetricPoint":
        return cls(
            date=point.date,
            mrr=Money.of(point.mrr),
            revenue=Money.of(point.revenue),
            new_subscriptions=point.begun,
            churned=point.lost,
        )


@strawberry.type(
    description="Figures about the business over a range, in one currency, customers on test clocks left out. Active "
    "is what is ACTIVE or PAST_DUE. `docs/metrics.md` defines each figure."
)
class BillingMetrics:
    period: Period = described("What the figures cover: the range, up to the present.")
    mrr: Money = described(
        "What active subscriptions come to in a month at the range's end, after discounts, without tax and usage."
    )
    arr: Money = described("The same in a year: 12 × `mrr`.")
    active_subscriptions: int = described("How many are active at the range's end.")
    trialing: int = described("How many are on trial at the range's end.")
    churn_rate: Decimal = described(
        "Of those that were active at the range's start, the part that was canceled until its end: `0.0500` is 5 %."
    )
    revenue: Money = described("What was paid in the range less what was refunded and disputed in it.")
    recovered_by_dunning: Money = described("What was paid in the range for renewals that had failed at first.")
    arpu: Money = described("What each active subscription comes to in a month: `mrr` ÷ `activeSubscriptions`.")
    other_currency_codes: list[CurrencyCode] = described(
        "Currencies of subscriptions that are in no figure here: ask for each of them. Nothing is converted."
    )
    series: list[MetricPoint] = described("Day by day.")

    @classmethod
    def of(cls, found: Metrics) -> "BillingMetrics":
        return cls(
            period=Period(start=found.start, end=found.end),
            mrr=Money.of(found.mrr),
            arr=Money.of(found.arr),
            active_subscriptions=found.active,
            trialing=found.trialing,
            churn_rate=found.churn_rate,
            revenue=Money.of(found.revenue),
            recovered_by_dunning=Money.of(found.recovered),
            arpu=Money.of(found.arpu),
            other_currency_codes=[CurrencyCode(code) for code in found.left_out],
            series=[MetricPoint.of(point) for point in found.series],
        )


@strawberry.type(description="Figures about the business.")
class MetricQueries:
    @strawberry.field(description="What recurs, who came and left, what was earned, day by day.")
    async def metrics(
        self,
        info: Info,
        range: Annotated[
            DateTimeRange,
            argument(f"From `gte`, which must be given, to `lt`, else the present: {MOST_DAYS} days at most."),
        ],
        currency_code: Annotated[
            CurrencyCode | None, argument("In this currency; `organization.defaultCurrencyCode` unless given.")
        ] = None,
    ) -> BillingMetrics:
        if range.gte is None:
            raise refuse_arguments(info, "range: say from when on, with gte.", "range")
        end: datetime = range.lt or datetime.max.replace(tzinfo=range.gte.tzinfo)
        try:
            return BillingMetrics.of(await metrics_of(info.context.app, range.gte, end, currency_code))
        except UserProblem as problem:
            raise refuse_arguments(info, str(problem), "range") from None
