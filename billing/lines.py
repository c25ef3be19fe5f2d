"""Lines of invoices: what each is about, and what of discount and tax falls to it."""

from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

from billing.calendar import Period
from billing.explaining import Explanation
from billing.money import Money


class LineKind(StrEnum):
    """What a line is.

    RECURRING: an item for a period, in advance. USAGE: what a meter counted, in arrears. CREDIT: what unused time gives
    back, tax included. CHARGE: anything else asked for. DISCOUNT and TAX follow from the lines before them.
    """

    RECURRING = "recurring"
    USAGE = "usage"
    CREDIT = "credit"
    CHARGE = "charge"
    DISCOUNT = "discount"
    TAX = "tax"


SOLD = frozenset((LineKind.RECURRING, LineKind.USAGE, LineKind.CHARGE))
"""The kinds that discounts and tax apply to; a credit already gives both back."""


@dataclass(frozen=True, slots=True)
class Line:
    """One amount of an invoice.

    `amount` is before discount and tax; `discount` (never negative) and `tax` are what of the invoice's fall to this
    line. `tax_percent` is exclusive, such as Decimal("8.25"). `item_id` is the subscription item that is billed.
    """

    kind: LineKind
    description: str
    quantity: Decimal
    amount: Money
    discount: Money
    tax: Money
    period: Period
    explanation: Explanation
    unit_amount: Money | None = None
    plan_id: str | None = None
    product_id: str | None = None
    item_id: str | None = None
    tax_percent: Decimal | None = None
    is_proration: bool = False

    @property
    def is_sold(self) -> bool:
        return self.kind in SOLD

    @property
    def discounted(self) -> Money:
        return self.amount - self.discount

    @property
    def cost(self) -> Money:
        """What the line costs in the end: after discount, with its tax."""
        return self.amount - self.discount + self.tax

    def with_discount(self, discount: Money) -> "Line":
        return replace(self, discount=discount)

    def with_tax(self, tax: Money) -> "Line":
        return replace(self, tax=tax)


def sold_line(
    kind: LineKind,
    description: str,
    amount: Money,
    period: Period,
    explanation: Explanation,
    *,
    quantity: Decimal = Decimal(1),
    unit_amount: Money | None = None,
    plan_id: str | None = None,
    product_id: str | None = None,
    item_id: str | None = None,
    tax_percent: Decimal | None = None,
    is_proration: bool = False,
) -> Line:
    """A line as it is before discounts and tax are worked out."""
    nothing = Money.zero(amount.currency)
    return Line(
        kind,
        description,
        quantity,
        amount,
        nothing,
        nothing,
        period,
        explanation,
        unit_amount,
        plan_id,
        product_id,
        item_id,
        tax_percent,
        is_proration,
    )
