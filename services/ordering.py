"""From a wish to subscribe to an order: which plan at which price, beside what is there already. Reads only.

The act and its preview both begin here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.calendar import Interval
from billing.charging import SetupFutureUsage
from billing.errors import ErrorCode, UserProblem
from billing.subscribing import Course, Terms, course
from models.catalog import Plan, Price, plan_by, plan_of_product, prices_of, product_by
from models.customers import Customer, PaymentMethod, live_payment_method
from models.subscriptions import Subscription, items_of, live_subscription
from services.changes import Why
from services.placing import Order, PlacedItem
from services.problems import not_found


@dataclass(frozen=True, slots=True)
class SubscribeWish:
    """What a caller asks for. One of `plan_id`, `plan_code`, or `product_code` with `interval`, names the plan."""

    plan_id: str | None = None
    plan_code: str | None = None
    product_code: str | None = None
    interval: Interval | None = None
    currency: str | None = None
    payment_method_id: str | None = None
    setup_future_usage: SetupFutureUsage | None = None
    name: str | None = None
    auto_renew: bool | None = None
    customer_id: str | None = None
    return_url: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])
    idempotency_key: str | None = None
    quote_token: str | None = None
    quantity: int = 1


@dataclass(frozen=True, slots=True)
class Ordered:
    """What a wish comes to. `existing` is the live subscription to the same product, `method` the card to pay with."""

    course: Course
    order: Order
    existing: Subscription | None
    method: PaymentMethod | None


async def ordered(session: AsyncSession, customer: Customer, wish: SubscribeWish, why: Why) -> Ordered:
    """Raises UserProblem for what cannot be ordered."""
    plan = await _plan(session, wish)
    price = await _price(session, plan, wish.currency)
    method = await _method(session, customer, wish.payment_method_id)
    if wish.quantity < 1:
        raise UserProblem(ErrorCode.INVALID, "quantity is 1 or more.", ["quantity"])
    terms = Terms(((plan.id, wish.quantity),), price.currency)
    existing = await live_subscription(session, customer.id, plan.product_id)
    order = Order(
        items=[PlacedItem(plan, price, wish.quantity)],
        start=why.now,
        name=wish.name,
        auto_renew=wish.auto_renew,
        metadata=wish.metadata,
        setup_future_usage=wish.setup_future_usage,
        return_url=wish.return_url,
    )
    decision = course((existing.status, await _terms(session, existing)) if existing else None, terms)
    return Ordered(decision, order, existing, method)


async def _plan(session: AsyncSession, wish: SubscribeWish) -> Plan:
    """The plan that was named, if it is for sale."""
    if wish.plan_id is not None:
        given, plan = "planId", await plan_by(session, id=wish.plan_id)
    elif wish.plan_code is not None:
        given = "planCode"
        plan = await plan_by(session, code=wish.plan_code) or await _plan_of_product(session, wish, wish.plan_code)
    elif wish.product_code is not None:
        given, plan = "productCode", await _plan_of_product(session, wish, wish.product_code)
    else:
        raise UserProblem(
            ErrorCode.REQUIRED, "Name a plan: planId, planCode, or productCode with interval.", ["planCode"]
        )
    if plan is None:
        raise UserProblem(ErrorCode.NOT_FOUND, "There is no such plan.", [given])
    if plan.archived_at is not None or not plan.is_active:
        raise UserProblem(ErrorCode.PLAN_ARCHIVED, f"{plan.name} has been withdrawn. Choose another plan.", [given])
    if not plan.is_online_sale:
        raise UserProblem(ErrorCode.PLAN_NOT_FOR_SALE, f"{plan.name} is not for sale.", [given])
    return plan


async def _plan_of_product(session: AsyncSession, wish: SubscribeWish, product_code: str) -> Plan | None:
    """Where only a product is named, its plan for the wished interval (a month unless said) and currency."""
    product = await product_by(session, code=product_code)
    if product is None:
        return None
    interval = wish.interval or Interval.MONTH
    return await plan_of_product(session, product_id=product.id, interval=interval, currency=wish.currency)


async def _price(session: AsyncSession, plan: Plan, currency: str | None) -> Price:
    """The plan's price in the wished currency, else its default one."""
    prices = await prices_of(session, [plan.id])
    price = next((p for p in prices if p.currency == currency), None) if currency else next(iter(prices), None)
    if price is None:
        offered = ", ".join(p.currency for p in prices)
        raise UserProblem(
            ErrorCode.CURRENCY_UNSUPPORTED,
            f"{plan.name} has no price in {currency}; it is sold in {offered or 'no currency'}.",
            ["currencyCode"],
        )
    return price


async def _method(session: AsyncSession, customer: Customer, reference: str | None) -> PaymentMethod | None:
    if reference is None:
        return None
    method = await live_payment_method(session, customer.id, id_or_ref=reference)
    if method is None:
        raise not_found("payment method", "paymentMethodId")
    return method


async def _terms(session: AsyncSession, existing: Subscription) -> Terms:
    items = await items_of(session, [existing.id])
    return Terms(tuple((item.plan_id, item.quantity) for item in items), existing.currency)
