"""Discounts of a subscription as the engine's values; and how many periods of each are used up, or given back."""

from collections.abc import Sequence

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.calendar import Interval
from billing.discounting import Discount as Value
from billing.events import COUPON_USED_UP
from billing.invoicing import InvoiceDraft
from models.coupons import Applied, DiscountUse, discounts_on, periods_used
from models.invoices import Invoice
from models.subscriptions import Subscription
from services.changes import Why, announce


def as_value(applied: Applied, row: Subscription, used: Sequence[int] = ()) -> Value:
    """`used` are the numbers of the periods of the subscription `row` that have used it."""
    discount, coupon, promotion = applied
    periods = coupon.periods(row.interval_count)
    return Value(
        id=discount.id,
        code=promotion.code if promotion is not None else coupon.code,
        percent_off=coupon.percent_off,
        amount_off=coupon.amount_in(row.currency),
        product_ids=frozenset(coupon.product_ids) if coupon.product_ids is not None else None,
        periods_left=None if periods is None else max(periods - len(set(used)), 0),
        is_on_period=row.period_number in used,
    )


async def discount_values(
    session: AsyncSession, row: Subscription, *, interval: Interval | None = None
) -> Sequence[Value]:
    """In the order of their application. A coupon for another interval than the subscription's rests.

    `interval`: the one that the subscription is about to have.
    """
    return [
        as_value(applied, row, await periods_used(session, applied.discount.id))
        for applied in await discounts_on(session, row.id)
        if applied.coupon.interval in (None, interval or row.interval)
    ]


async def use_up(session: AsyncSession, invoice: Invoice, row: Subscription, draft: InvoiceDraft, why: Why) -> None:
    """The invoice that has begun the subscription's present period uses up one of each discount that is on it."""
    if not draft.used_discounts:
        return
    session.add_all(
        DiscountUse(discount_id=discount_id, invoice_id=invoice.id, period_number=row.period_number)
        for discount_id in draft.used_discounts
    )
    await session.flush()
    for applied in await discounts_on(session, row.id):
        if applied.discount.id not in draft.used_discounts:
            continue
        if as_value(applied, row, await periods_used(session, applied.discount.id)).periods_left == 0:
            payload = {"coupon": applied.coupon.code, "discount": applied.discount.id}
            announce(session, COUPON_USED_UP, row.id, why, customer_id=row.customer_id, payload=payload)
