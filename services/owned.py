"""Rows that a step is about, if they are the actor's to act on: a missing and a foreign one are refused alike."""

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.errors import ErrorCode, UserProblem
from models.customers import Customer, PaymentMethod, live_payment_method, locked_customer, payment_method_of
from models.invoices import Invoice
from models.payments import Payment, payment_by_id
from models.subscriptions import Subscription
from services.app import Actor, App
from services.people.customers import may_act_for
from services.problems import not_found, refuse_stale


async def own_subscription(app: App, actor: Actor, subscription_id: str) -> Subscription:
    """The subscription as last committed. Raises NOT_FOUND."""
    async with app.database.read() as session:
        row = await session.get(Subscription, subscription_id)
    if row is None or not await may_act_for(app, actor, row.customer_id):
        raise not_found("subscription", "subscriptionId")
    return row


async def own_invoice(app: App, actor: Actor, invoice_id: str) -> Invoice:
    """Raises NOT_FOUND."""
    async with app.database.read() as session:
        row = await session.get(Invoice, invoice_id)
    if row is None or not await may_act_for(app, actor, row.customer_id):
        raise not_found("invoice", "invoiceId")
    return row


async def own_payment(app: App, actor: Actor, payment_id: str) -> Payment:
    """Raises NOT_FOUND."""
    async with app.database.read() as session:
        row = await payment_by_id(session, payment_id)
    if row is None or not await may_act_for(app, actor, row.customer_id):
        raise not_found("payment", "paymentId")
    return row


async def own_card(app: App, actor: Actor, id_or_ref: str) -> PaymentMethod:
    """The card by our id or the gateway's, also when it has been detached. Raises NOT_FOUND."""
    async with app.database.read() as session:
        row = await session.get(PaymentMethod, id_or_ref)
        row = row or await payment_method_of(session, app.gateway.platform, id_or_ref)
    if row is None or not await may_act_for(app, actor, row.customer_id):
        raise not_found("payment method", "paymentMethodId")
    return row


async def locked_subscription(
    session: AsyncSession, seen: Subscription, expected_version: int | None
) -> tuple[Subscription, Customer]:
    """The row read again under its customer's lock. Raises VERSION_CONFLICT."""
    customer = await locked_customer(session, seen.customer_id)
    row = await session.get_one(Subscription, seen.id, populate_existing=True)
    if customer is None:
        raise LookupError(f"subscription {seen.id} has no customer")
    refuse_stale(row.version, expected_version)
    return row, customer


async def own_method(session: AsyncSession, customer_id: str, id_or_ref: str) -> PaymentMethod:
    """The customer's own card, by our id or the gateway's. Raises NOT_FOUND, also for a detached one."""
    method = await live_payment_method(session, customer_id, id_or_ref=id_or_ref)
    if method is None:
        raise not_found("payment method", "paymentMethodId")
    return method


def already_ended(row: Subscription) -> UserProblem:
    return UserProblem(ErrorCode.INVALID_STATE, f"The subscription is {row.status} already.", ["subscriptionId"])
