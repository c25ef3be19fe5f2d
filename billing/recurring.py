"""What is billed in advance: each licensed item of a subscription, for a full period or the stub of one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

from billing.calendar import Interval, Period, Span
from billing.explaining import Explanation, ExplanationInput
from billing.instants import written
from billing.lines import Line, LineKind, sold_line
from billing.money import Money, exponent, round_to_step
from billing.pricing import PriceTerms, Rated, rate

_MICROSECOND = timedelta(microseconds=1)
_BILLED, _WHOLE = "billedMicroseconds", "periodMicroseconds"


@dataclass(frozen=True, slots=True)
class RecurringItem:
    """One thing subscribed to: a plan at a price, some number of times. `tax_percent` is exclusive."""

    plan_id: str
    plan_name: str
    price: PriceTerms
    quantity: int
    interval: Interval
    interval_count: int
    item_id: str | None = None
    product_id: str | None = None
    tax_percent: Decimal | None = None


def recurring_lines(items: Sequence[RecurringItem], span: Span, zone: ZoneInfo) -> Sequence[Line]:
    """A line for each item. Texts name the days as they are in `zone`."""
    return [_line(item, span, zone) for item in items]


def _line(item: RecurringItem, span: Span, zone: ZoneInfo) -> Line:
    rated = rate(item.price, Decimal(item.quantity))
    amount, explanation = charged_for(rated, item, span, zone)
    return sold_line(
        LineKind.RECURRING,
        f"{item.plan_name} ({days(span.period, zone)})",
        amount,
        span.period,
        explanation,
        quantity=Decimal(item.quantity),
        unit_amount=item.price.unit_money,
        plan_id=item.plan_id,
        product_id=item.product_id,
        item_id=item.item_id,
        tax_percent=item.tax_percent,
        is_proration=span.is_stub,
    )


def charged_for(rated: Rated, item: RecurringItem, span: Span, zone: ZoneInfo) -> tuple[Money, Explanation]:
    """The rated amount for the span, rounded once, and why: of a stub the part that it is of its full period."""
    one = f"{item.quantity} × {item.plan_name}"
    price = rated.text.removeprefix(f"{item.quantity} × ")
    text = f"{one} at {price} for {named(item.interval, item.interval_count)}, {days(span.period, zone)}."
    if not span.is_stub:
        amount = rounded(rated.major, rated.currency)
        formula = rated.formula if amount.major == rated.major else f"round({rated.formula})"
        return amount, Explanation(text, formula, (*rated.inputs, *bounds(span.period)))
    part, whole = microseconds(span.period.length), microseconds(span.full.length)
    return rounded(rated.major * Fraction(part, whole), rated.currency), Explanation(
        f"{text[:-1]}: {share(part, whole)} of a full period.",
        f"round(({rated.formula}) × billedMicroseconds ÷ periodMicroseconds)",
        (
            *rated.inputs,
            ExplanationInput(_BILLED, str(part)),
            ExplanationInput(_WHOLE, str(whole)),
            *bounds(span.period),
        ),
    )


def full_length(line: Line) -> timedelta | None:
    """How long the full period is that a line of these was billed for, or for a part of; None for one cut since."""
    inputs = {each.name: each.value for each in line.explanation.inputs}
    if _BILLED in inputs:
        return int(inputs[_WHOLE]) * _MICROSECOND
    return None if line.is_proration else line.period.length


def rounded(major: Fraction, currency: str) -> Money:
    """An exact amount in major units, rounded to the currency's step."""
    return Money(round_to_step(major * 10 ** exponent(currency), currency), currency)


def microseconds(length: timedelta) -> int:
    return length // _MICROSECOND


def share(part: int, whole: int) -> str:
    """For reading: `23.4 %`."""
    return f"{round(Decimal(100 * part) / Decimal(whole), 1)} %"


def named(interval: Interval, count: int) -> str:
    return f"1 {interval}" if count == 1 else f"{count} {interval}s"


def days(period: Period, zone: ZoneInfo) -> str:
    """The period's days as they are in `zone`: `2026-01-31 to 2026-02-28`."""
    return f"{period.start.astimezone(zone):%Y-%m-%d} to {period.end.astimezone(zone):%Y-%m-%d}"


def bounds(period: Period) -> Sequence[ExplanationInput]:
    return (
        ExplanationInput("periodStart", written(period.start)),
        ExplanationInput("periodEnd", written(period.end)),
    )
