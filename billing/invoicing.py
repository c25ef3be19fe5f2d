"""Invoices as decisions: which lines, what total, and why, in words and in numbers.

Order of computing: each line is rounded; discount and tax follow per line (none yet); total = subtotal − discount +
tax; then the customer's balance; what remains is due.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from uuid import NAMESPACE_URL, UUID, uuid5
from zoneinfo import ZoneInfo

from billing.calendar import Interval, Period
from billing.money import Money, total

_UTC = ZoneInfo("UTC")
_INVOICES = uuid5(NAMESPACE_URL, "perennial:invoice")


class InvoiceReason(StrEnum):
    """Why an invoice exists."""

    SUBSCRIPTION_CREATE = "subscription_create"
    SUBSCRIPTION_CYCLE = "subscription_cycle"


def invoice_uuid(subscription_id: str, reason: InvoiceReason, occasion: str) -> UUID:
    """An invoice's identity: whoever bills the same occasion again meets the same invoice."""
    return uuid5(_INVOICES, f"{subscription_id}/{reason}/{occasion}")


@dataclass(frozen=True, slots=True)
class ExplanationInput:
    """A number that an amount was made of; `source` is the id of the row that it came from."""

    name: str
    value: str
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a line has its amount: a sentence, the formula, and the formula's named inputs."""

    text: str
    formula: str
    inputs: Sequence[ExplanationInput]


@dataclass(frozen=True, slots=True)
class Line:
    description: str
    plan_id: str
    quantity: int
    unit_amount: Money
    amount: Money
    period: Period
    is_proration: bool
    explanation: Explanation


@dataclass(frozen=True, slots=True)
class InvoiceDraft:
    """What to bill. `lines` is never empty; all amounts share one currency."""

    reason: InvoiceReason
    occasion: str
    period: Period
    lines: Sequence[Line]
    subtotal: Money
    discount_total: Money
    tax_total: Money
    total: Money
    credit_applied: Money
    amount_due: Money


@dataclass(frozen=True, slots=True)
class RecurringItem:
    """One thing subscribed to: a plan at a price, some number of times."""

    plan_id: str
    plan_name: str
    price_id: str
    unit_amount: Money
    quantity: int
    interval: Interval
    interval_count: int


def bill_period(
    items: Sequence[RecurringItem], period: Period, *, reason: InvoiceReason, occasion: str, zone: ZoneInfo = _UTC
) -> InvoiceDraft:
    """A full period of every item, in advance. Texts name the days as they are in `zone`."""
    currency = items[0].unit_amount.currency
    lines = [_period_line(item, period, zone) for item in items]
    subtotal = total([line.amount for line in lines], currency)
    nothing = Money.zero(currency)
    return InvoiceDraft(
        reason=reason,
        occasion=occasion,
        period=period,
        lines=lines,
        subtotal=subtotal,
        discount_total=nothing,
        tax_total=nothing,
        total=subtotal,
        credit_applied=nothing,
        amount_due=subtotal,
    )


def _period_line(item: RecurringItem, period: Period, zone: ZoneInfo) -> Line:
    days = _days(period, zone)
    amount = item.unit_amount.times(item.quantity)
    span = _span(item.interval, item.interval_count)
    return Line(
        description=f"{item.plan_name} ({days})",
        plan_id=item.plan_id,
        quantity=item.quantity,
        unit_amount=item.unit_amount,
        amount=amount,
        period=period,
        is_proration=False,
        explanation=Explanation(
            text=f"{item.quantity} × {item.plan_name} at {item.unit_amount} for {span}, {days}.",
            formula="quantity × unitAmount",
            inputs=(
                ExplanationInput("quantity", str(item.quantity)),
                ExplanationInput("unitAmount", str(item.unit_amount), item.price_id),
                ExplanationInput("periodStart", period.start.isoformat()),
                ExplanationInput("periodEnd", period.end.isoformat()),
            ),
        ),
    )


def _span(interval: Interval, count: int) -> str:
    return f"1 {interval}" if count == 1 else f"{count} {interval}s"


def _days(period: Period, zone: ZoneInfo) -> str:
    return f"{period.start.astimezone(zone):%Y-%m-%d} to {period.end.astimezone(zone):%Y-%m-%d}"
