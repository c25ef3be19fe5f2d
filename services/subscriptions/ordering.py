"""From a wish to subscribe to an order: which plan at which price, beside what is there already. Reads only.

The act and its preview both begin here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.calendar import Interval
from billing.charging import SetupFutureUsage
from billing.errors import ErrorCode, UserProblem
from billing.money import Money
from billing.subscribing import Course, Terms, course, heaviest
from models.base import Notes
from models.catalog import Plan, Price, Product, plan_by, plan_of_product, prices_of, product_by
from models.coupons import discounts_of
from models.customers import Customer, PaymentMethod, live_payment_method
from models.subscriptions import CollectionMethod, Subscription, SubscriptionOrigin, items_of, live_subscriptions
from services.app import Actor, ActorKind
from services.changes import Why
from services.invoices.redeeming import Bought, asked_coupon, check_redeemable
from services.problems import not_found
from services.subscriptions.placing import Order, PlacedItem
from services.subscriptions.trials import trial_length

MOST_ITEMS = 20
DAYS_UNTIL_DUE = 30
_FARTHEST = timedelta(days=3 * 366)
_OF_A_DATE = (Interval.MONTH, Interval.YEAR)


@dataclass(frozen=True, slots=True)
class WishedItem:
    """One plan, however named, some number of times. `unit_amount`: instead of the plan's price."""

    plan_id: str | None = None
    plan_code: str | None = None
    product_code: str | None = None
    quantity: int = 1
    unit_amount: Money | None = None


@dataclass(frozen=True, slots=True)
class SubscribeWish:
    """What a caller asks for. One of `plan_id`, `plan_code`, or `product_code` with `interval`, names the plan.

    `items` name several instead. `start_at` may lie in the past or to come; `ends_at`, or the end of `period_count`
    full periods, is when its term is over.
    """

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
    error_url: str | None = None
    metadata: Notes = field(default_factory=dict)
    idempotency_key: str | None = None
    quote_token: str | None = None
    quantity: int = 1
    items: Sequence[WishedItem] | None = None
    billing_day: int | None = None
    start_at: datetime | None = None
    ends_at: datetime | None = None
    period_count: int | None = None
    collection_method: CollectionMethod | None = None
    days_until_due: int | None = None
    tax_percent: Decimal | None = None
    trial_period_days: int | None = None
    coupon_code: str | None = None
    promotion_code: str | None = None


@dataclass(frozen=True, slots=True)
class Ordered:
    """What a wish comes to. `existing` is the live subscription that stands in its way, `method` the card to pay with.

    With several products the one decides that asks for the heaviest course.
    """

    course: Course
    order: Order
    existing: Subscription | None
    method: PaymentMethod | None


async def ordered(session: AsyncSession, customer: Customer, wish: SubscribeWish, why: Why) -> Ordered:
    """Raises UserProblem for what cannot be ordered."""
    _refuse_what_is_not_the_customers(wish, why.actor)
    items = await _items(session, wish, why.actor)
    method = await _method(session, customer, wish.payment_method_id)
    coupon = await asked_coupon(session, wish.coupon_code, wish.promotion_code)
    order = replace(_order(items, wish, why), coupon=coupon)
    _check_start(order, why.now)
    order = replace(order, trial=await _trial(session, customer, order, wish))
    _check_dates(order, ZoneInfo(customer.timezone), why.now)
    products = [item.plan.product_id for item in items]
    beside = [
        (course((row.status, await _terms(session, row)), _wished_terms(order, wish, row)), row)
        for row in await live_subscriptions(session, customer.id, products)
    ]
    decision = heaviest(each for each, _ in beside)
    existing = next((row for each, row in beside if each is decision), None)
    if coupon is not None and decision in (Course.START, Course.REPLACE):
        bought = Bought(frozenset(products), order.plan.interval, order.currency)
        replaced = [row.id for each, row in beside if each is Course.REPLACE]
        await check_redeemable(session, customer.id, coupon, bought, why, given_back=replaced)
    return Ordered(decision, order, existing, method)


def _refuse_what_is_not_the_customers(wish: SubscribeWish, actor: Actor) -> None:
    """Prices, terms of payment and dates are the merchant's to give. Raises NOT_PERMITTED, naming the field."""
    if actor.kind is not ActorKind.CUSTOMER:
        return
    merchants: Mapping[str, object] = {
        "startAt": wish.start_at,
        "endsAt": wish.ends_at,
        "collectionMethod": wish.collection_method,
        "daysUntilDue": wish.days_until_due,
        "taxPercent": wish.tax_percent,
        "trialPeriodDays": wish.trial_period_days,
        "items": next((item.unit_amount for item in wish.items or () if item.unit_amount is not None), None),
    }
    for name, given in merchants.items():
        if given is not None:
            what = "unitAmount" if name == "items" else name
            raise UserProblem(ErrorCode.NOT_PERMITTED, f"Customers do not choose {what}: leave it out.", [name])


def _order(items: Sequence[PlacedItem], wish: SubscribeWish, why: Why) -> Order:
    """Raises INVALID for terms that do not go together."""
    plan, method = items[0].plan, wish.collection_method or CollectionMethod.CHARGE_AUTOMATICALLY
    day = plan.billing_day if wish.billing_day is None else wish.billing_day
    if wish.billing_day is not None and plan.interval not in _OF_A_DATE:
        raise UserProblem(ErrorCode.INVALID, "Only months and years have a billing day.", ["billingDay"])
    if wish.ends_at is not None and wish.period_count is not None:
        raise UserProblem(ErrorCode.INVALID, "Give endsAt or periodCount, not both.", ["periodCount"])
    by_mail = method is CollectionMethod.SEND_INVOICE
    if wish.days_until_due is not None and not by_mail:
        raise UserProblem(ErrorCode.INVALID, "daysUntilDue goes with SEND_INVOICE only.", ["daysUntilDue"])
    return Order(
        items=items,
        start=wish.start_at or why.now,
        name=wish.name,
        auto_renew=wish.auto_renew,
        metadata=wish.metadata,
        origin=SubscriptionOrigin.API if why.actor.kind is ActorKind.SERVICE else SubscriptionOrigin.CHECKOUT,
        billing_day=day if plan.interval in _OF_A_DATE else None,
        ends_at=wish.ends_at,
        period_count=wish.period_count,
        collection_method=method,
        days_until_due=(wish.days_until_due or DAYS_UNTIL_DUE) if by_mail else None,
        tax_percent=wish.tax_percent,
        setup_future_usage=wish.setup_future_usage,
        return_url=wish.return_url,
        error_url=wish.error_url,
    )


async def _trial(session: AsyncSession, customer: Customer, order: Order, wish: SubscribeWish) -> timedelta:
    """As the merchant says, else as the plan does; a product is tried once."""
    days = order.plan.trial_period_days if wish.trial_period_days is None else wish.trial_period_days
    products = [item.plan.product_id for item in order.items]
    return await trial_length(session, customer, products, days, order.start)


def _check_start(order: Order, now: datetime) -> None:
    """Before anything is counted from it: the calendar has an end."""
    if abs(order.start - now) > _FARTHEST:
        raise UserProblem(ErrorCode.INVALID, "startAt lies at most three years back or ahead.", ["startAt"])


def _check_dates(order: Order, zone: ZoneInfo, now: datetime) -> None:
    end, field = order.end(zone), "endsAt" if order.period_count is None else "periodCount"
    if end is not None and end <= max(order.start, now):
        raise UserProblem(ErrorCode.INVALID, f"{field}: by then it would be over already. Give a later end.", [field])


async def _items(session: AsyncSession, wish: SubscribeWish, actor: Actor) -> Sequence[PlacedItem]:
    """What is subscribed to: one currency and one interval for all, each price once."""
    named = WishedItem(wish.plan_id, wish.plan_code, wish.product_code, wish.quantity)
    if wish.items is not None and (wish.plan_id or wish.plan_code or wish.product_code or wish.quantity != 1):
        raise UserProblem(ErrorCode.INVALID, "Name one plan, or several in items, not both.", ["items"])
    if wish.items is not None and not 1 <= len(wish.items) <= MOST_ITEMS:
        raise UserProblem(ErrorCode.INVALID, f"Give 1 to {MOST_ITEMS} items.", ["items"])
    currency = wish.currency
    items: list[PlacedItem] = []
    for sought in wish.items or [named]:
        item = await _item(session, wish, sought, currency, actor)
        currency = currency or item.price.currency
        items.append(item)
    if len({(item.plan.interval, item.plan.interval_count) for item in items}) > 1:
        raise UserProblem(ErrorCode.INVALID, "The plans of one subscription are billed equally often.", ["items"])
    if len({item.price.id for item in items}) < len(items):
        raise UserProblem(ErrorCode.INVALID, "A plan is named twice; give it once, with a quantity.", ["items"])
    return items


async def _item(
    session: AsyncSession, wish: SubscribeWish, sought: WishedItem, currency: str | None, actor: Actor
) -> PlacedItem:
    """`currency`: the wished one, else the one of the items before; None for the first."""
    if sought.quantity < 1:
        raise UserProblem(ErrorCode.INVALID, "quantity is 1 or more.", ["quantity" if wish.items is None else "items"])
    plan = await _plan(session, wish, sought, actor)
    price = await _price(session, plan, currency, mixed=currency is not None and wish.currency is None)
    given = sought.unit_amount
    if given is not None and given.currency != price.currency:
        raise UserProblem(
            ErrorCode.CURRENCY_MISMATCH,
            f"unitAmount is in {given.currency}; this is sold in {price.currency}.",
            ["items"],
        )
    return PlacedItem(plan, price, sought.quantity, None if given is None else given.minor)


async def _plan(session: AsyncSession, wish: SubscribeWish, sought: WishedItem, actor: Actor) -> Plan:
    """The plan that was named, if it is for sale; what is not on sale online only the merchant sells."""
    if sought.plan_id is not None:
        given, plan = "planId", await plan_by(session, id=sought.plan_id)
    elif sought.plan_code is not None:
        given, code = "planCode", sought.plan_code
        plan = await plan_by(session, code=code) or await _plan_of_product(session, wish, code)
    elif sought.product_code is not None:
        given, plan = "productCode", await _plan_of_product(session, wish, sought.product_code)
    else:
        raise UserProblem(
            ErrorCode.REQUIRED,
            "Name a plan: planId, planCode, or productCode with interval.",
            ["planCode" if wish.items is None else "items"],
        )
    where = [given] if wish.items is None else ["items"]
    if plan is None:
        raise UserProblem(ErrorCode.NOT_FOUND, "There is no such plan.", where)
    await refuse_other_names(session, sought, plan, where)
    if wish.interval not in (None, plan.interval):
        message = f"{plan.name} is billed by the {plan.interval}. Leave interval out, or name another plan."
        raise UserProblem(ErrorCode.INVALID, message, ["interval"])
    await refuse_unsold(session, actor, plan, where)
    return plan


async def refuse_other_names(session: AsyncSession, sought: WishedItem, plan: Plan, field: Sequence[str]) -> None:
    """Of several names one that is another plan's would be passed over, and something else sold. Raises INVALID."""
    names = (sought.plan_id, sought.plan_code, sought.product_code)
    if sum(name is not None for name in names) < 2:
        return
    products = [await product_by(session, code=code) for code in names[1:] if code not in (None, plan.code)]
    is_of_each = all(product is not None and product.id == plan.product_id for product in products)
    if sought.plan_id not in (None, plan.id) or not is_of_each:
        message = "planId, planCode and productCode name different plans: one of them is enough."
        raise UserProblem(ErrorCode.INVALID, message, field)


async def refuse_unsold(session: AsyncSession, actor: Actor, plan: Plan, field: Sequence[str]) -> None:
    """Raises PLAN_ARCHIVED for what nobody can have any more, itself or its product, and PLAN_NOT_FOR_SALE."""
    is_offered = plan.is_active and (await session.get_one(Product, plan.product_id)).is_active
    if plan.archived_at is not None or not is_offered:
        raise UserProblem(ErrorCode.PLAN_ARCHIVED, f"{plan.name} has been withdrawn. Choose another plan.", field)
    if not plan.is_online_sale and actor.kind is ActorKind.CUSTOMER:
        raise UserProblem(ErrorCode.PLAN_NOT_FOR_SALE, f"{plan.name} is not for sale.", field)


async def _plan_of_product(session: AsyncSession, wish: SubscribeWish, product_code: str) -> Plan | None:
    """Where only a product is named, its plan for the wished interval (a month unless said) and currency."""
    product = await product_by(session, code=product_code)
    if product is None:
        return None
    interval = wish.interval or Interval.MONTH
    return await plan_of_product(session, product_id=product.id, interval=interval, currency=wish.currency)


async def _price(session: AsyncSession, plan: Plan, currency: str | None, *, mixed: bool) -> Price:
    """The plan's price in the wished currency, else its default one. `mixed`: other items are paid in the currency."""
    prices = await prices_of(session, [plan.id])
    price = next((p for p in prices if p.currency == currency), None) if currency else next(iter(prices), None)
    if price is None:
        offered = ", ".join(p.currency for p in prices)
        raise UserProblem(
            ErrorCode.CURRENCY_MISMATCH if mixed else ErrorCode.CURRENCY_UNSUPPORTED,
            f"{plan.name} has no price in {currency}; it is sold in {offered or 'no currency'}.",
            ["items" if mixed else "currencyCode"],
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
    """What was agreed. One that began when it was written was given no start; what waits for money has no trial."""
    items = await items_of(session, [existing.id])
    return Terms(
        items=tuple((item.plan_id, item.quantity, item.unit_amount_minor) for item in items),
        currency=existing.currency,
        coupon=next((applied.coupon.id for applied in await discounts_of(session, [existing.id])), None),
        start=existing.started_at if existing.started_at != existing.created_at else None,
        ends_at=existing.ends_at,
        billing_day=existing.billing_day,
        collection_method=existing.collection_method,
        days_until_due=existing.days_until_due,
        tax_percent=existing.tax_percent,
    )


def _wished_terms(order: Order, wish: SubscribeWish, existing: Subscription) -> Terms:
    """The same of a wish; without a start of its own its term counts from the one that is there."""
    start = wish.start_at or existing.started_at
    return Terms(
        items=tuple((item.plan.id, item.quantity, item.unit_amount_minor) for item in order.items),
        currency=order.currency,
        coupon=order.coupon.coupon.id if order.coupon is not None else None,
        start=wish.start_at,
        ends_at=replace(order, start=start).end(existing.grid.zone),
        billing_day=order.billing_day,
        collection_method=order.collection_method,
        days_until_due=order.days_until_due,
        tax_percent=order.tax_percent,
        trial=order.trial,
    )
