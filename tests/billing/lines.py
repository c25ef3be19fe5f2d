"""Lines to reckon with, of one period."""

from datetime import UTC, datetime
from decimal import Decimal

from billing.calendar import Period
from billing.explaining import Explanation, ExplanationInput
from billing.lines import Line, LineKind, sold_line
from billing.money import Money

PERIOD = Period(datetime(2026, 1, 31, tzinfo=UTC), datetime(2026, 2, 28, tzinfo=UTC))


def line(
    minor: int,
    currency: str = "USD",
    *,
    kind: LineKind = LineKind.RECURRING,
    product: str | None = "coffee",
    tax: str | None = None,
) -> Line:
    """An amount that is what it is."""
    amount = Money(minor, currency)
    return sold_line(
        kind,
        "Something",
        amount,
        PERIOD,
        Explanation("It is so.", "amount", (ExplanationInput("amount", str(amount)),)),
        product_id=product,
        tax_percent=Decimal(tax) if tax is not None else None,
    )
