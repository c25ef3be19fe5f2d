"""Subscribing: from a wish to a standing order, its first invoice and its first payment."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.calendar import Interval
from billing.charging import SetupFutureUsage
from billing.errors import ErrorCode, UserProblem
from billing.subscribing import Course, Terms, course
from models.catalog import Plan, Price, plan_by, plan_of_product, prices_of, product_by
from models.customers import Customer, PaymentMethod, live_payment_method, locked_customer
from models.payments import latest_payment_of
from models.subscriptions import Subscription, items_of, live_subscription
from services.app import Actor, App
from services.changes import Why
from services.customers import acting_customer
from services.ending import end_incomplete
from services.idempotency import PAYMENT_OUTCOMES, once
from services.on_session import Visit, collect_on_session
from services.outcomes import PaymentOutcome, payment_outcome
from services.placing import Order, PlacedItem, place
from services.problems import not_found
from services.shielding import within_budget
from services.timelines import in_time_of

_CAUSE = "subscribe"
_ROUNDS = 4  # placing again after an old unpaid subscription has been given up; each round ends one

SubscribeOutcome = PaymentOutcome


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
    quantity: int = 1


async def subscribe(app: App, actor: Actor, wish: SubscribeWish) -> SubscribeOutcome:
    """Start, continue, double or refuse a subscription; with a saved card the first charge is tried at once.

    A declined or unanswered charge still leaves subscription and payment, beside the problem. Raises UserProblem when
    nothing was begun.
    """
    customer = await acting_customer(app, actor, wish.customer_id)
    present = await in_time_of(app, customer.test_clock_id)

    async def run() -> SubscribeOutcome:
        return await _subscribe(present, actor, customer, wish)

    return await once(app, actor, customer.id, _CAUSE, wish.idempotency_key, asdict(wish), PAYMENT_OUTCOMES, run)


async def _subscribe(app: App, actor: Actor, customer: Customer, wish: SubscribeWish) -> SubscribeOutcome:
    why = Why(_CAUSE, actor, app.now())
    for _ in range(_ROUNDS):
        async with app.database.write() as session:
            decided = await _decide(app, session, customer.id, wish, why)
        if not isinstance(decided, Subscription):
            break
        await within_budget(app, end_incomplete(app, decided.id, why))
    else:
        raise UserProblem(ErrorCode.PAYMENT_IN_PROGRESS, "Another request is subscribing; read the subscription.")
    if decided.course is Course.REFUSE:
        return await payment_outcome(app, decided.subscription_id, problems=[_already_subscribed()])
    if decided.payment_id is None:
        return await payment_outcome(app, decided.subscription_id)
    visit = Visit(
        customer=customer,
        subscription_id=decided.subscription_id,
        payment_id=decided.payment_id,
        method=decided.method,
        trigger="purchase",
        return_url=wish.return_url,
        fence=decided.fence,
    )
    try:
        return await within_budget(app, collect_on_session(app, visit, why))
    except UserProblem as problem:
        return await payment_outcome(app, decided.subscription_id, decided.payment_id, problems=[problem])


@dataclass(frozen=True, slots=True)
class _Decided:
    """What stands after the decision. `fence`: this step holds the lease of a payment that it has just written."""

    course: Course
    subscription_id: str
    payment_id: str | None
    method: PaymentMethod | None
    fence: int | None = None


async def _decide(
    app: App, session: AsyncSession, customer_id: str, wish: SubscribeWish, why: Why
) -> _Decided | Subscription:
    """Decide under the customer's lock and write what follows; an old subscription that must go first is returned."""
    customer = await locked_customer(session, customer_id)
    if customer is None:
        raise not_found("customer", "customerId")
    plan = await _plan(session, wish)
    price = await _price(session, plan, wish.currency)
    method = await _method(session, customer, wish.payment_method_id)
    if wish.quantity < 1:
        raise UserProblem(ErrorCode.INVALID, "quantity is 1 or more.", ["quantity"])
    terms = Terms(((plan.id, wish.quantity),), price.currency)
    existing = await live_subscription(session, customer.id, plan.product_id)
    decision = course((existing.status, await _terms(session, existing)) if existing else None, terms)
    if existing is not None and decision is Course.REPLACE:
        return existing
    if existing is not None and decision is Course.REFUSE:
        return _Decided(decision, existing.id, None, method)
    if existing is not None and decision is Course.CONTINUE:
        payment_id = await _continue(session, existing, wish, why)
        return _Decided(decision, existing.id, payment_id, method)
    order = Order(
        items=[PlacedItem(plan, price, wish.quantity)],
        start=why.now,
        name=wish.name,
        auto_renew=wish.auto_renew,
        metadata=wish.metadata,
        setup_future_usage=wish.setup_future_usage,
        return_url=wish.return_url,
    )
    placed = await place(app, session, customer, order, why)
    return _Decided(decision, placed.subscription_id, placed.payment_id, method, placed.fence)


async def _continue(session: AsyncSession, existing: Subscription, wish: SubscribeWish, why: Why) -> str:
    """The same wish again: the open payment goes on, the card and whether it is kept may change."""
    payment = await latest_payment_of(session, existing.id)
    if payment is None:
        raise LookupError(f"subscription {existing.id} is incomplete without a payment")
    if wish.setup_future_usage is not None and payment.setup_future_usage != wish.setup_future_usage:
        payment.setup_future_usage = wish.setup_future_usage
        payment.touch(why.now)
    if wish.auto_renew is not None and wish.auto_renew is existing.cancel_at_period_end:
        existing.cancel_at_period_end = not wish.auto_renew
        existing.touch(why.now)
    return payment.id


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


def _already_subscribed() -> UserProblem:
    return UserProblem(
        ErrorCode.ALREADY_SUBSCRIBED,
        "There is a subscription to this product already; it is returned. Change or cancel that one.",
    )
