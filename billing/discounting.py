"""Coupons applied: percent coupons first, then amounts, each in the order of its application, on what remains.

A discount never takes a line below zero. It is split over the lines that it applies to by largest remainder, so that
tax and later refunds know what each line really cost.

Discounts last for periods. The invoice that begins a period uses up one period of each discount that takes something
off it. Whatever else the same period is billed for gets the percentages that its first invoice got, and uses nothing
up; an amount comes off a period once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

from billing.calendar import Period
from billing.explaining import Explanation, ExplanationInput
from billing.lines import Line, LineKind
from billing.money import Money, total


@dataclass(frozen=True, slots=True)
class Discount:
    """A coupon as it was applied; exactly one of `percent_off` and `amount_off` is given.

    `product_ids`: what it applies to, None: everything. `code` is what the customer knows it by. `periods_left`: how
    many more periods it lasts for, None: for ever. `is_on_period`: the period under way was billed with it.
    """

    id: str
    code: str
    percent_off: Decimal | None = None
    amount_off: Money | None = None
    product_ids: frozenset[str] | None = None
    periods_left: int | None = None
    is_on_period: bool = False

    def counts(self, *, begins_period: bool) -> bool:
        """Whether it takes something off an invoice: one that begins a period, or another one of the same period."""
        if begins_period:
            return self.periods_left is None or self.periods_left > 0
        return self.is_on_period and self.percent_off is not None

    def applies_to(self, line: Line) -> bool:
        is_meant = self.product_ids is None or line.product_id in self.product_ids
        return line.is_sold and is_meant and line.amount.minor > 0


@dataclass(frozen=True, slots=True)
class Discounted:
    """The lines with their shares, one (negative) line per discount that took something off, and those discounts."""

    lines: Sequence[Line]
    told: Sequence[Line]
    used: Sequence[Discount]


def apply_discounts(lines: Sequence[Line], discounts: Sequence[Discount], period: Period) -> Discounted:
    """What each takes off. They come in the order of their application; an amount in another currency takes nothing."""
    discounted, told, used = list(lines), list[Line](), list[Discount]()
    for discount in [*_percents(discounts), *_amounts(discounts)]:
        places = [at for at, line in enumerate(discounted) if discount.applies_to(line) and line.discounted.minor > 0]
        if not places:
            continue
        bases = [discounted[at].discounted for at in places]
        base = total(bases, bases[0].currency)
        off = _off(discount, base)
        if off is None or off.is_zero:
            continue
        for at, share in zip(places, off.split([line.minor for line in bases]), strict=True):
            discounted[at] = discounted[at].with_discount(discounted[at].discount + share)
        told.append(_told(discount, base, off, period))
        used.append(discount)
    return Discounted(discounted, told, used)


def after_period(discounts: Sequence[Discount], used: Sequence[str]) -> Sequence[Discount]:
    """The discounts once a period has begun whose invoice used up a period of these (their ids)."""
    return [_after(discount, discount.id in used) for discount in discounts]


def _after(discount: Discount, is_used: bool) -> Discount:
    left = discount.periods_left
    return replace(discount, is_on_period=is_used, periods_left=left - 1 if is_used and left is not None else left)


def _percents(discounts: Sequence[Discount]) -> list[Discount]:
    return [discount for discount in discounts if discount.percent_off is not None]


def _amounts(discounts: Sequence[Discount]) -> list[Discount]:
    return [discount for discount in discounts if discount.percent_off is None]


def _off(discount: Discount, base: Money) -> Money | None:
    if discount.percent_off is not None:
        return min(base.times(Fraction(discount.percent_off) / 100), base)
    if discount.amount_off is None or discount.amount_off.currency != base.currency:
        return None
    return min(discount.amount_off, base)


def _told(discount: Discount, base: Money, off: Money, period: Period) -> Line:
    taken = ExplanationInput("base", str(base))
    if discount.percent_off is not None:
        percent = f"{discount.percent_off.normalize():f}"
        explanation = Explanation(
            text=f"Coupon {discount.code}: {percent} % of {base}.",
            formula="−min(round(base × percentOff ÷ 100), base)",
            inputs=(taken, ExplanationInput("percentOff", percent, discount.id)),
        )
        description = f"{discount.code} ({percent} % off)"
    else:
        explanation = Explanation(
            text=f"Coupon {discount.code}: {discount.amount_off} off, at most {base}.",
            formula="−min(amountOff, base)",
            inputs=(taken, ExplanationInput("amountOff", str(discount.amount_off), discount.id)),
        )
        description = f"{discount.code} ({discount.amount_off} off)"
    nothing = Money.zero(off.currency)
    return Line(LineKind.DISCOUNT, description, Decimal(1), -off, nothing, nothing, period, explanation)
