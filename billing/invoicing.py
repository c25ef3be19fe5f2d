"""Invoices as decisions: which lines, what total, and why, in words and in numbers.

Order of computing: each line is rounded; then coupons, then tax on each discounted line; total = subtotal − discount +
tax; then the customer's balance; what remains is due.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from uuid import NAMESPACE_URL, UUID, uuid5

from billing.calendar import Period
from billing.discounting import Discount, apply_discounts
from billing.lines import Line
from billing.money import LARGEST_TOLD, AmountTooLarge, Money, minimum_charge, total
from billing.taxing import apply_tax

_INVOICES = uuid5(NAMESPACE_URL, "perennial:invoice")


class InvoiceReason(StrEnum):
    """Why an invoice exists."""

    SUBSCRIPTION_CREATE = "subscription_create"
    SUBSCRIPTION_CYCLE = "subscription_cycle"
    SUBSCRIPTION_UPDATE = "subscription_update"
    SUBSCRIPTION_CANCEL = "subscription_cancel"
    MANUAL = "manual"


BEGINS_PERIOD = frozenset((InvoiceReason.SUBSCRIPTION_CREATE, InvoiceReason.SUBSCRIPTION_CYCLE))
"""What is billed for these reasons begins a period."""


def invoice_uuid(subscription_id: str, reason: InvoiceReason, occasion: str) -> UUID:
    """An invoice's identity: whoever bills the same occasion again meets the same invoice."""
    return uuid5(_INVOICES, f"{subscription_id}/{reason}/{occasion}")


@dataclass(frozen=True, slots=True)
class InvoiceDraft:
    """What to bill; all amounts share one currency.

    `subtotal` sums the lines before discount and tax, credits included. `credit_applied` is what the customer's balance
    takes over: it may be negative, when an old debt is asked for with this invoice or a credit goes to the balance.
    `used_discounts` are the ids of the discounts of which this invoice uses up a period.
    """

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
    used_discounts: Sequence[str] = ()


def compose(
    lines: Sequence[Line],
    *,
    reason: InvoiceReason,
    occasion: str,
    period: Period,
    discounts: Sequence[Discount] = (),
    balance: Money | None = None,
    currency: str | None = None,
    carries_small: bool = True,
    begins_period: bool | None = None,
) -> InvoiceDraft:
    """An invoice of these lines.

    `balance` is what the customer has left (negative: owes). Without lines `currency` must be given.
    `carries_small`: a due below what the gateway charges goes to the balance instead. `begins_period`: as the reason
    says unless given; it decides which discounts count, and whether they use up a period.
    """
    money = currency or lines[0].amount.currency
    begins = reason in BEGINS_PERIOD if begins_period is None else begins_period
    result = apply_discounts(lines, [each for each in discounts if each.counts(begins_period=begins)], period)
    coupons = result.told
    taxed, taxes = apply_tax(result.lines, period)
    subtotal = total([line.amount for line in taxed], money)
    discount = -total([line.amount for line in coupons], money)
    tax = total([line.amount for line in taxes], money)
    whole = subtotal - discount + tax
    if max(subtotal.minor, whole.minor) > LARGEST_TOLD:
        raise AmountTooLarge
    applied = credit_applied(whole, balance or Money.zero(money), carries_small=carries_small)
    return InvoiceDraft(
        reason=reason,
        occasion=occasion,
        period=period,
        lines=(*taxed, *coupons, *taxes),
        subtotal=subtotal,
        discount_total=discount,
        tax_total=tax,
        total=whole,
        credit_applied=applied,
        amount_due=whole - applied,
        used_discounts=tuple(discount.id for discount in result.used) if begins else (),
    )


def credit_applied(whole: Money, balance: Money, *, carries_small: bool) -> Money:
    """What of an invoice over `whole` the balance takes over; the balance afterwards is `balance` less this.

    A credit note's whole is negative and raises the balance. What is due but below the gateway's minimum is carried.
    """
    applied = min(whole, balance)
    due = whole - applied
    is_too_small = carries_small and 0 < due.minor < minimum_charge(due.currency)
    return whole if is_too_small else applied
