"""What an unpaid invoice does to its subscription, and what makes it due again."""

from datetime import datetime

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.invoicing import InvoiceReason
from billing.lifecycle import PAYMENT, SubscriptionEvent, SubscriptionStatus
from models.customers import Customer, PaymentMethod
from models.invoices import Invoice, open_invoices_of
from models.payments import Payment, payment_of_invoice
from models.subscriptions import Subscription, past_due_subscriptions
from services.changes import Why, move_subscription


async def after_decline(session: AsyncSession, payment: Payment, why: Why) -> None:
    """A renewal that was refused leaves its subscription behind; a first payment leaves it incomplete as it is."""
    invoice = await session.get_one(Invoice, payment.invoice_id)
    if invoice.reason is InvoiceReason.SUBSCRIPTION_CYCLE:
        fall_behind(session, await session.get_one(Subscription, payment.subscription_id), why)


async def after_success(session: AsyncSession, subscription: Subscription, why: Why) -> None:
    """With nothing left open the subscription has caught up; else its next oldest invoice is tried."""
    if subscription.status is not SubscriptionStatus.PAST_DUE:
        return
    if await collect_soon(session, subscription, why.now):
        return
    subscription.past_due_since = None
    move_subscription(session, subscription, SubscriptionEvent.RECOVER, why)


def fall_behind(session: AsyncSession, subscription: Subscription, why: Why) -> None:
    """An ACTIVE subscription with an invoice that was not collected; one that is behind already stays so."""
    if subscription.status is SubscriptionStatus.ACTIVE:
        subscription.past_due_since = why.now
        move_subscription(session, subscription, SubscriptionEvent.FALL_BEHIND, why)


async def collect_with_new_default(session: AsyncSession, customer: Customer, now: datetime) -> None:
    """The default card has changed: what is past due and pins no card of its own is tried with it."""
    for subscription in await past_due_subscriptions(session, customer.id):
        if subscription.payment_method_id is None:
            await collect_soon(session, subscription, now)


async def collect_soon(session: AsyncSession, subscription: Subscription, now: datetime) -> Invoice | None:
    """Make the oldest open invoice due now; None when there is none."""
    for invoice in await open_invoices_of(session, subscription.id):
        payment = await payment_of_invoice(session, invoice.id)
        if payment is not None and payment.status not in PAYMENT.final:
            payment.collect_at = now
            return invoice
    return None


async def effective_method(
    session: AsyncSession, subscription: Subscription, customer: Customer
) -> PaymentMethod | None:
    """The pinned card, else the default one; None when neither is there any more."""
    for method_id in (subscription.payment_method_id, customer.default_payment_method_id):
        method = await session.get(PaymentMethod, method_id) if method_id else None
        if method is not None and method.archived_at is None:
            return method
    return None
