"""What was agreed on and paid without a gateway: days become instants, and money falls to what it pays."""

from datetime import date, datetime, time
from zoneinfo import ZoneInfo

from billing.calendar import Period
from billing.explaining import Explanation, ExplanationInput
from billing.lines import Line, LineKind, sold_line
from billing.money import Money
from billing.recurring import days


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """The day's first instant in the zone."""
    return datetime.combine(day, time(), zone).astimezone(ZoneInfo("UTC"))


def allot(paid: Money, due: Money) -> tuple[Money, Money]:
    """What of a payment falls to the invoice, and what is left over for the customer's balance."""
    to_invoice = min(paid, due)
    return to_invoice, paid - to_invoice


def agreed_line(
    name: str,
    amount: Money,
    period: Period,
    zone: ZoneInfo,
    *,
    plan_id: str,
    product_id: str,
    item_id: str,
) -> Line:
    """An amount that the merchant named for a period; discounts and tax are in it already."""
    explanation = Explanation(
        f"{name}, {days(period, zone)}: {amount}, as the merchant recorded it.",
        "amountDue",
        (ExplanationInput("amountDue", str(amount)),),
    )
    return sold_line(
        LineKind.CHARGE,
        f"{name} ({days(period, zone)})",
        amount,
        period,
        explanation,
        unit_amount=amount,
        plan_id=plan_id,
        product_id=product_id,
        item_id=item_id,
    )
