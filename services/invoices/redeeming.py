"""Redeeming coupons: with a new subscription, or on one that runs; taking them away; what becomes of them at the end.

A redemption is counted in the transaction that applies the coupon, by an UPDATE that counts no further than the cap;
how often a customer has redeemed it is counted under the customer's lock. A subscription that is never begun gives its
redemptions back in the transaction that ends it: there is no moment at which one is lost or counted twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.calendar import Interval
from billing.couponing import Redemption, folded, refuse
from billing.errors import ErrorCode, UserProblem
from billing.events import COUPON_APPLIED, COUPON_REMOVED
from billing.lifecycle import SUBSCRIPTION, SubscriptionStatus
from models.base import new_id
from models.coupons import (
    Applied,
    Coupon,
    Discount,
    DiscountStatus,
    PromotionCode,
    count_redemption,
    coupon_of_code,
    discounts_of,
    has_bought,
    promotion_of_code,
    redemptions_of,
    uncount_redemption,
    was_changed,
)
from models.customers import Customer
from models.subscriptions import Subscription, SubscriptionOrigin, items_of
from services.app import Actor, App
from services.changes import Why, announce
from services.owned import already_ended, locked_subscription, own_subscription
from services.quotes.quoting import Quoting, at_quote, hold_to_quote
from services.timelines import in_time_of


@dataclass(frozen=True, slots=True)
class CouponWish:
    """A coupon as it was asked for. `given` is the input's field that named it."""

    coupon: Coupon
    promotion: PromotionCode | None
    given: str


@dataclass(frozen=True, slots=True)
class Bought:
    """What it would be redeemed for."""

    product_ids: frozenset[str]
    interval: Interval
    currency: str


async def asked_coupon(session: AsyncSession, coupon_code: str | None, promotion_code: str | None) -> CouponWish | None:
    """The coupon of the one code that is given, whether it may be redeemed or not. Raises COUPON_INVALID, INVALID."""
    if coupon_code is not None and promotion_code is not None:
        raise UserProblem(ErrorCode.INVALID, "Give couponCode or promotionCode, not both.", ["promotionCode"])
    if promotion_code is not None:
        found = await promotion_of_code(session, folded(promotion_code.strip()))
        if found is None:
            raise _no_such_code("promotionCode")
        return CouponWish(found[1], found[0], "promotionCode")
    if coupon_code is None:
        return None
    coupon = await coupon_of_code(session, coupon_code)
    if coupon is None:
        raise _no_such_code("couponCode")
    return CouponWish(coupon, None, "couponCode")


async def check_redeemable(
    session: AsyncSession,
    customer_id: str,
    wish: CouponWish,
    bought: Bought,
    why: Why,
    *,
    given_back: Sequence[str] = (),
) -> None:
    """Raises UserProblem COUPON_… unless it may be redeemed now.

    `given_back` are unpaid subscriptions that go first, and their redemptions with them.
    """
    reserved = await discounts_of(session, given_back) if given_back else ()
    own = sum(applied.coupon.id == wish.coupon.id for applied in reserved)
    offers = [wish.coupon.offer.less(own)]
    if wish.promotion is not None:
        own_code = sum(applied.discount.promotion_code_id == wish.promotion.id for applied in reserved)
        offers.insert(0, wish.promotion.offer.less(own_code))
    first_only = any(offer.first_purchase_only for offer in offers)
    redemption = Redemption(
        now=why.now,
        product_ids=bought.product_ids,
        interval=bought.interval,
        currency=bought.currency,
        redeemed_before=await redemptions_of(session, customer_id, wish.coupon.id) - own,
        has_bought=first_only and await has_bought(session, customer_id),
    )
    refuse(offers, redemption, wish.given)


def applied_to(row: Subscription, wish: CouponWish, why: Why) -> Applied:
    """The discount as it would be written."""
    discount = Discount(
        id=new_id("discount"),
        subscription_id=row.id,
        customer_id=row.customer_id,
        coupon_id=wish.coupon.id,
        promotion_code_id=wish.promotion.id if wish.promotion is not None else None,
        status=DiscountStatus.ACTIVE,
        started_at=why.now,
    )
    return Applied(discount, wish.coupon, wish.promotion)


async def redeem(session: AsyncSession, applied: Applied, given: str, why: Why) -> None:
    """Count the redemption and write the discount, under the customer's lock.

    Raises COUPON_EXHAUSTED, and INVALID_STATE where the coupon was changed since it was read.
    """
    discount = applied.discount
    if not await count_redemption(session, applied.coupon, applied.promotion):
        if await was_changed(session, applied.coupon, applied.promotion):
            raise UserProblem(ErrorCode.INVALID_STATE, "This code has been changed at this moment. Try again.", [given])
        raise UserProblem(ErrorCode.COUPON_EXHAUSTED, "This code has been used as often as it may be.", [given])
    session.add(discount)
    await session.flush()
    _announce(session, COUPON_APPLIED, applied, why)


async def apply_coupon(
    app: App,
    actor: Actor,
    *,
    subscription_id: str,
    coupon_code: str | None,
    promotion_code: str | None,
    quote_token: str | None = None,
    quoting: Quoting | None = None,
) -> Subscription:
    """Put a coupon on a subscription that runs, from its next period on. `quoting` is asked where a token is given.

    Raises NOT_FOUND, REQUIRED, INVALID, INVALID_STATE, COUPON_…, QUOTE_STALE.
    """
    seen = await own_subscription(app, actor, subscription_id)
    app = await in_time_of(app, seen.test_clock_id)
    why = Why("applyCoupon", actor, at_quote(app, quote_token).now())
    async with app.database.write() as session:
        row, customer = await locked_subscription(session, seen, None)
        wish = await applicable(session, row, customer, coupon_code, promotion_code, why)
        if quoting is not None:
            await hold_to_quote(app, session, quote_token, quoting)
        await redeem(session, applied_to(row, wish, why), wish.given, why)
        row.touch(why.now)
        return row


async def applicable(
    session: AsyncSession,
    row: Subscription,
    customer: Customer,
    coupon_code: str | None,
    promotion_code: str | None,
    why: Why,
) -> CouponWish:
    """The coupon that the codes stand for, if it may be put on the subscription now; reads only. Raises UserProblem."""
    if row.status in SUBSCRIPTION.final:
        raise already_ended(row)
    if row.status is SubscriptionStatus.INCOMPLETE:
        message = "Its first invoice is not paid yet. Subscribe again with the code instead."
        raise UserProblem(ErrorCode.INVALID_STATE, message, ["subscriptionId"])
    if row.origin is SubscriptionOrigin.MANUAL:
        message = "What it costs was agreed on by hand: a coupon would take nothing off."
        raise UserProblem(ErrorCode.INVALID_STATE, message, ["subscriptionId"])
    wish = await asked_coupon(session, coupon_code, promotion_code)
    if wish is None:
        raise UserProblem(ErrorCode.REQUIRED, "Give couponCode or promotionCode.", ["couponCode"])
    if any(applied.coupon.id == wish.coupon.id for applied in await discounts_of(session, [row.id])):
        message = "This coupon is on the subscription already."
        raise UserProblem(ErrorCode.COUPON_ALREADY_REDEEMED, message, [wish.given])
    products = frozenset(item.product_id for item in await items_of(session, [row.id]))
    await check_redeemable(session, customer.id, wish, Bought(products, row.interval, row.currency), why)
    return wish


async def remove_coupon(app: App, actor: Actor, *, subscription_id: str, coupon_code: str) -> Subscription:
    """Take a coupon off a subscription: invoices from now on are without it. It stays redeemed.

    Raises NOT_FOUND, INVALID_STATE.
    """
    seen = await own_subscription(app, actor, subscription_id)
    app = await in_time_of(app, seen.test_clock_id)
    why = Why("removeCoupon", actor, app.now())
    async with app.database.write() as session:
        row, _ = await locked_subscription(session, seen, None)
        if row.status in SUBSCRIPTION.final:
            raise already_ended(row)
        if row.status is SubscriptionStatus.INCOMPLETE:
            message = "Its first invoice, which has the discount, is not paid yet. Cancel it instead."
            raise UserProblem(ErrorCode.INVALID_STATE, message, ["subscriptionId"])
        found = await discounts_of(session, [row.id])
        applied = next((each for each in found if each.coupon.code == coupon_code), None)
        if applied is None:
            raise UserProblem(ErrorCode.NOT_FOUND, "There is no such coupon on the subscription.", ["couponCode"])
        applied.discount.status, applied.discount.ended_at = DiscountStatus.ENDED, why.now
        _announce(session, COUPON_REMOVED, applied, why)
        row.touch(why.now)
        return row


async def end_discounts(session: AsyncSession, row: Subscription, why: Why, *, was_begun: bool) -> None:
    """The subscription is over. One that was never begun gives its redemptions back."""
    found = await discounts_of(session, [row.id])
    # Counters are taken back in one order everywhere, so that two ends never wait for one another.
    for discount in sorted((applied.discount for applied in found), key=lambda discount: discount.coupon_id):
        discount.status = DiscountStatus.ENDED if was_begun else DiscountStatus.FREED
        discount.ended_at = why.now
        if not was_begun:
            await uncount_redemption(session, discount.coupon_id, discount.promotion_code_id)


def _announce(session: AsyncSession, event: str, applied: Applied, why: Why) -> None:
    discount = applied.discount
    payload = {"coupon": applied.coupon.code, "discount": discount.id}
    announce(session, event, discount.subscription_id, why, customer_id=discount.customer_id, payload=payload)


def _no_such_code(given: str) -> UserProblem:
    return UserProblem(ErrorCode.COUPON_INVALID, "There is no such code, or it may not be used.", [given])
