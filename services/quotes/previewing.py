"""Previews: what an act would do to money, for whoever might act. Nothing is written, not even a first customer."""

from functools import partial

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.errors import ErrorCode, UserProblem
from models.customers import Customer, customer_of_user
from models.invoices import Invoice
from models.payments import payment_by_id
from models.subscriptions import Subscription
from services.amendments.amending import UpdateWish, refuse_wish, update_asked
from services.amendments.plan_changes import ChangePlanWish, change_asked
from services.app import Actor, ActorKind, App
from services.ends.canceling import CancelWish, quote_cancellation
from services.payments.paying_again import quote_retry
from services.policies import zone_in_force
from services.problems import not_found
from services.quotes.changes import quote_change
from services.quotes.coupons import quote_coupon
from services.quotes.orders import quote_subscribe
from services.quotes.quoting import Quoted, Quoting, quoted
from services.refunds.giving_back import RefundWish, quote_refunding
from services.subscriptions.ordering import SubscribeWish
from services.subscriptions.pausing import PauseWish, ResumeWish, quote_pausing, quote_resuming
from services.timelines import in_time_within

_NOBODY = Actor(ActorKind.CUSTOMER)
"""Who may not be known: somebody who looks at prices before signing in."""


async def preview_subscribe(app: App, actor: Actor | None, wish: SubscribeWish) -> Quoted:
    """What `subscribe` with this wish would do. `actor` None: nobody is signed in.

    Raises UserProblem for what cannot be subscribed to.
    """
    async with app.database.read() as session:
        customer = await _shopper(app, session, actor, wish.customer_id)
        present = await in_time_within(app, session, customer.test_clock_id)
        return await quoted(present, session, partial(quote_subscribe, actor or _NOBODY, customer, wish))


async def preview_change_plan(app: App, actor: Actor, wish: ChangePlanWish) -> Quoted:
    """What `changePlan` with this wish would do. Raises UserProblem as it would."""
    return await _of_subscription(app, actor, wish.subscription_id, partial(quote_change, change_asked(actor, wish)))


async def preview_update_subscription(app: App, actor: Actor, wish: UpdateWish) -> Quoted:
    """What `updateSubscription` with this wish would do to money. Raises UserProblem as it would."""
    refuse_wish(wish, actor)
    return await _of_subscription(app, actor, wish.subscription_id, partial(quote_change, update_asked(actor, wish)))


async def preview_cancel(app: App, actor: Actor, wish: CancelWish) -> Quoted:
    """What `cancelSubscription` with this wish would do to money. Raises UserProblem as it would."""
    return await _of_subscription(app, actor, wish.subscription_id, partial(quote_cancellation, wish))


async def preview_pause(app: App, actor: Actor, wish: PauseWish) -> Quoted:
    """What `pauseSubscription` with this wish would do to what is to come. Raises UserProblem as it would."""
    return await _of_subscription(app, actor, wish.subscription_id, partial(quote_pausing, actor, wish))


async def preview_resume(app: App, actor: Actor, wish: ResumeWish) -> Quoted:
    """What `resumeSubscription` with this wish would do to what is to come. Raises UserProblem as it would."""
    return await _of_subscription(app, actor, wish.subscription_id, partial(quote_resuming, actor, wish))


async def preview_refund(app: App, actor: Actor, wish: RefundWish) -> Quoted:
    """What `refundPayment` with this wish would give back, by our own books. Raises UserProblem as it would."""
    async with app.database.read() as session:
        payment = await payment_by_id(session, wish.payment_id)
        if payment is None or not await _may_act(session, actor, payment.customer_id):
            raise not_found("payment", "paymentId")
        present = await in_time_within(app, session, payment.test_clock_id)
        return await quoted(present, session, partial(quote_refunding, actor, wish))


async def preview_apply_coupon(
    app: App, actor: Actor, subscription_id: str, coupon_code: str | None, promotion_code: str | None
) -> Quoted:
    """What `applyCoupon` would take off what is to come. Raises UserProblem as it would."""
    quoting = partial(quote_coupon, subscription_id, coupon_code, promotion_code)
    return await _of_subscription(app, actor, subscription_id, quoting)


async def preview_retry_payment(app: App, actor: Actor, invoice_id: str) -> Quoted:
    """What `retryPayment` would collect. Raises UserProblem as it would."""
    async with app.database.read() as session:
        invoice = await session.get(Invoice, invoice_id)
        if invoice is None or not await _may_act(session, actor, invoice.customer_id):
            raise not_found("invoice", "invoiceId")
        row = await session.get_one(Subscription, invoice.subscription_id)
        present = await in_time_within(app, session, row.test_clock_id)
        return await quoted(present, session, partial(quote_retry, invoice.id))


async def _of_subscription(app: App, actor: Actor, subscription_id: str, quoting: Quoting) -> Quoted:
    """The quote of an act on a subscription that exists. Raises NOT_FOUND for one that is not the actor's."""
    async with app.database.read() as session:
        row = await session.get(Subscription, subscription_id)
        if row is None or not await _may_act(session, actor, row.customer_id):
            raise not_found("subscription", "subscriptionId")
        present = await in_time_within(app, session, row.test_clock_id)
        return await quoted(present, session, quoting)


async def _may_act(session: AsyncSession, actor: Actor, customer_id: str) -> bool:
    """As in the act; but nobody becomes a customer by looking."""
    if actor.acts_for_customers:
        return True
    own = await customer_of_user(session, actor.user_id) if actor.user_id is not None else None
    return own is not None and own.id == customer_id


async def _shopper(app: App, session: AsyncSession, actor: Actor | None, customer_id: str | None) -> Customer:
    """For whom: as in the act itself, but a customer that does not exist yet is not made."""
    is_customer = actor is not None and actor.kind is ActorKind.CUSTOMER
    if customer_id is not None and not is_customer:
        if actor is None or not actor.acts_for_customers:
            raise UserProblem(ErrorCode.NOT_PERMITTED, "This caller does not act for customers.", ["customerId"])
        named = await session.get(Customer, customer_id)
        if named is None:
            raise not_found("customer", "customerId")
        return named
    user_id = actor.user_id if actor is not None else None
    own = await customer_of_user(session, user_id) if user_id is not None else None
    if customer_id is not None and (own is None or own.id != customer_id):
        raise UserProblem(
            ErrorCode.NOT_PERMITTED, "Customers act for themselves: leave customerId out.", ["customerId"]
        )
    return own or _newcomer(app, user_id, await zone_in_force(session, app))


def _newcomer(app: App, user_id: str | None, zone: str) -> Customer:
    """Somebody who has never asked for anything that costs; not to be kept."""
    now = app.now()
    return Customer(id="", user_id=user_id or "", timezone=zone, invoice_prefix="", created_at=now, updated_at=now)
