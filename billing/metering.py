"""Usage: what a meter counted in a period, how many units of it are billed, and the lines that ask for them.

A span of usage is billed once, when it is over. What is told of it later is billed with the next invoice: the span is
rated again with all that belongs to it, and what it has cost already is taken off. So lateness changes nothing of the
sum, with any tiers and any way of counting; only downwards nothing is corrected.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from zoneinfo import ZoneInfo

from billing.calendar import Period
from billing.explaining import Explanation, ExplanationInput
from billing.instants import written
from billing.lines import Line, LineKind, sold_line
from billing.money import Money
from billing.pricing import billed_quantity, number, rate
from billing.recurring import RecurringItem, bounds, days, rounded


class UsageType(StrEnum):
    """Whether a plan bills a chosen quantity in advance, or what was used in arrears."""

    LICENSED = "licensed"
    METERED = "metered"


class Aggregation(StrEnum):
    """How the usage of a period becomes one number."""

    SUM = "sum"
    MAX = "max"
    LAST_DURING_PERIOD = "last_during_period"
    COUNT = "count"
    UNIQUE_COUNT = "unique_count"


OLDEST_USAGE = timedelta(days=35)
"""How long after it occurred usage may be told."""
AHEAD = timedelta(minutes=1)
"""How far the teller's clock may run ahead of ours."""


@dataclass(frozen=True, slots=True)
class UsageEvent:
    """One thing that was used. `value` is what unique counts tell apart; `id` orders what occurred at one instant."""

    id: str
    occurred_at: datetime
    quantity: Decimal
    value: str | None = None


@dataclass(frozen=True, slots=True)
class Meter:
    """An item that is billed by what it measures."""

    item: RecurringItem
    feature: str
    aggregation: Aggregation


@dataclass(frozen=True, slots=True)
class BilledSpan:
    """A span of a meter that has been on an invoice, and what was asked for it in all, withdrawn invoices aside."""

    period: Period
    amount: Money
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class Measured:
    """What a meter shows for a span. `billed` counts packages where the price has them. `amount` is before tax."""

    quantity: Decimal
    billed: Decimal
    amount: Money


def instant_problem(at: datetime, *, start: datetime, end: datetime | None, now: datetime) -> str | None:
    """Why usage at that instant is not taken, in a sentence; None when it is. `end` is no longer part of the life."""
    if at > now + AHEAD:
        return "This has not occurred yet."
    if at < now - OLDEST_USAGE:
        return f"This is more than {OLDEST_USAGE.days} days ago."
    if at < start:
        return f"The subscription began only at {written(start)}."
    if end is not None and at >= end:
        return f"The subscription was over at {written(end)}."
    return None


def aggregate(aggregation: Aggregation, events: Sequence[UsageEvent]) -> Decimal:
    """The events as one number, never negative; of none, zero. Their order plays no part."""
    return _AGGREGATES[aggregation](events) if events else Decimal(0)


def _sum(events: Sequence[UsageEvent]) -> Decimal:
    return sum((event.quantity for event in events), start=Decimal(0))


def _last(events: Sequence[UsageEvent]) -> Decimal:
    return max(events, key=lambda event: (event.occurred_at, event.id)).quantity


_AGGREGATES: Mapping[Aggregation, Callable[[Sequence[UsageEvent]], Decimal]] = {
    Aggregation.SUM: _sum,
    Aggregation.MAX: lambda events: max(event.quantity for event in events),
    Aggregation.LAST_DURING_PERIOD: _last,
    Aggregation.COUNT: lambda events: Decimal(len(events)),
    Aggregation.UNIQUE_COUNT: lambda events: Decimal(len({event.value for event in events})),
}
_COUNTED_AS: Mapping[Aggregation, str] = {
    Aggregation.SUM: "the sum of",
    Aggregation.MAX: "the largest of",
    Aggregation.LAST_DURING_PERIOD: "the last of",
    Aggregation.COUNT: "the number of",
    Aggregation.UNIQUE_COUNT: "the different ones of",
}


def measure(meter: Meter, events: Sequence[UsageEvent]) -> Measured:
    """What these events of one span come to."""
    quantity = aggregate(meter.aggregation, events)
    price = meter.item.price
    rated = rate(price, quantity)
    return Measured(quantity, billed_quantity(price, quantity), rounded(rated.major, rated.currency))


def usage_line(meter: Meter, period: Period, events: Sequence[UsageEvent], zone: ZoneInfo) -> Line:
    """What was used in a span that is over; also of nothing, so that it says that the span has been billed."""
    measured = measure(meter, events)
    rated = rate(meter.item.price, measured.quantity)
    exact = measured.amount.major == rated.major
    return _line(
        meter,
        period,
        measured.quantity,
        measured.amount,
        Explanation(
            f"{_counted(meter, measured.quantity, events)}: {rated.text}, {days(period, zone)}.",
            rated.formula if exact else f"round({rated.formula})",
            (*rated.inputs, *_counts(events), *bounds(period)),
        ),
        zone,
    )


def late_line(meter: Meter, span: BilledSpan, events: Sequence[UsageEvent], zone: ZoneInfo) -> Line:
    """What a billed span costs more with all of its events, the late ones too; never less than nothing."""
    measured = measure(meter, events)
    rated = rate(meter.item.price, measured.quantity)
    more = max(measured.amount - span.amount, Money.zero(span.amount.currency))
    return _line(
        meter,
        span.period,
        measured.quantity - span.quantity,
        more,
        Explanation(
            f"Told late. {_counted(meter, measured.quantity, events)}: {rated.text}, {days(span.period, zone)}; "
            f"{span.amount} was billed before.",
            f"max(round({rated.formula}) − billedBefore, 0)",
            (
                *rated.inputs,
                *_counts(events),
                ExplanationInput("billedBefore", str(span.amount)),
                *bounds(span.period),
            ),
        ),
        zone,
    )


def _line(
    meter: Meter, period: Period, quantity: Decimal, amount: Money, explanation: Explanation, zone: ZoneInfo
) -> Line:
    item = meter.item
    return sold_line(
        LineKind.USAGE,
        f"{item.plan_name}: {meter.feature} ({days(period, zone)})",
        amount,
        period,
        explanation,
        quantity=quantity,
        unit_amount=item.price.unit_money,
        plan_id=item.plan_id,
        product_id=item.product_id,
        item_id=item.item_id,
        tax_percent=item.tax_percent,
    )


def _counted(meter: Meter, quantity: Decimal, events: Sequence[UsageEvent]) -> str:
    return f"{number(quantity)} {meter.feature}, {_COUNTED_AS[meter.aggregation]} {len(events)} events"


def _counts(events: Sequence[UsageEvent]) -> Sequence[ExplanationInput]:
    return (ExplanationInput("events", str(len(events))),)
