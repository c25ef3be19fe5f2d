"""What an unpaid invoice does to its subscription, what follows by itself, and what makes it due again."""

from collections.abc import Sequence
from datetime import datetime

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.dunning import Card, Tried, is_mended, next_step
from billing.events import PAUSE_UNSCHEDULED
from billing.invoicing import InvoiceReason
from billing.lifecycle import PAYMENT, SUBSCRIPTION, PaymentStatus, SubscriptionEvent, SubscriptionStatus
from models.customers import Customer, PaymentMethod
from models.invoices import Invoice, open_invoices_of
from models.leases import release
from models.organization import dunning_policy
from models.payments import ChargeAttempt, Payment, attempts_at, payment_of_invoice, problem_of
from models.subscriptions import Subscription, unpaid_subscriptions
from services.amendments.unplanning import tell_of_pause
from services.app import App
from services.changes import Why, move_subscription

_BEHIND = frozenset((SubscriptionStatus.PAST_DUE, SubscriptionStatus.UNPAID))


async def not_collected(session: AsyncSession, payment: Payment, why: Why, *, is_retried: bool = True) -> None:
    """An invoice was refused, or there is nothing to pay it with: its subscription falls behind, and dunning begins or
    goes on. A first payment leaves its subscription incomplete as it is; what has ended stays so, and is dunned alike.

    What follows is decided by what was tried: hearing of the same decline again changes nothing. Not `is_retried`: the
    gateway will not take this card, or waits for the customer, whatever the schedule says.
    """
    invoice = await session.get_one(Invoice, payment.invoice_id)
    subscription = await session.get_one(Subscription, payment.subscription_id)
    if invoice.reason is InvoiceReason.SUBSCRIPTION_CREATE:
        return
    if subscription.given_up_at is not None and subscription.status not in SUBSCRIPTION.final:
        payment.give_up_at = None  # Another card that was chosen since still has its turn.
        return
    fall_behind(session, subscription, why)
    invoice.first_failed_at = invoice.first_failed_at or why.now
    customer = await session.get_one(Customer, payment.customer_id)
    method = await effective_method(session, subscription, customer)
    step = next_step(
        await dunning_policy(session),
        invoice.first_failed_at,
        tries_of(await attempts_at(session, payment.id)),
        card_of(method) if method is not None else None,
    )
    payment.give_up_at = step.give_up_at
    if step.try_at is None or not is_retried:
        payment.collect_at = None
    else:
        # Another card may have been chosen while this one was tried.
        payment.collect_at = min(payment.collect_at or step.try_at, step.try_at)


async def try_anew(session: AsyncSession, payment: Payment, why: Why) -> None:
    """The gateway gave the intent up before it had answered the try, which never was one: the invoice is due as before.

    A first payment waits for its customer, and what was given up stays so.
    """
    invoice = await session.get_one(Invoice, payment.invoice_id)
    subscription = await session.get_one(Subscription, payment.subscription_id)
    if invoice.reason is not InvoiceReason.SUBSCRIPTION_CREATE and subscription.given_up_at is None:
        payment.collect_at = payment.collect_at or why.now


async def after_success(session: AsyncSession, subscription: Subscription, why: Why) -> None:
    """With nothing left open the subscription has caught up; else its next oldest invoice is tried."""
    is_overdue = subscription.invoice_due_at is not None and await await_sent_invoices(session, subscription, why.now)
    if subscription.status not in _BEHIND:
        await _collect_what_waited(session, subscription, why.now)
        return
    if await collect_soon(session, subscription, why.now) or is_overdue:
        return
    _recover(session, subscription, why)


async def _collect_what_waited(session: AsyncSession, subscription: Subscription, now: datetime) -> None:
    """A period may have begun while the answer to the one before was missing: its invoice was not tried yet."""
    payment = await _oldest_to_collect(session, subscription)
    if payment is not None and payment.status is PaymentStatus.REQUIRES_PAYMENT_METHOD and payment.give_up_at is None:
        payment.collect_at = payment.collect_at or now


async def await_sent_invoices(session: AsyncSession, subscription: Subscription, now: datetime) -> bool:
    """Note when the oldest unpaid invoice that was sent must be paid; whether that is over."""
    dues = [invoice.due_at for invoice in await open_invoices_of(session, subscription.id)]
    due_at = min((each for each in dues if each is not None), default=None)
    if due_at != subscription.invoice_due_at:
        subscription.invoice_due_at = due_at
        subscription.due_at = subscription.next_due()
    return due_at is not None and due_at <= now


def _recover(session: AsyncSession, subscription: Subscription, why: Why) -> None:
    """After dunning had ended nothing was billed: if what was paid is over, a new period begins now.

    It is billed as any other is. Periods are counted from now on, or stay on the billing day.
    """
    subscription.past_due_since = None
    if subscription.given_up_at is not None and subscription.period_end <= why.now:
        _begin_anew(session, subscription, why)
    subscription.given_up_at = None
    move_subscription(session, subscription, SubscriptionEvent.RECOVER, why)
    subscription.due_at = subscription.next_due()


def _begin_anew(session: AsyncSession, subscription: Subscription, why: Why) -> None:
    """The present period ends now; what was planned for the time since it had run out is late.

    A change is made at its end. A pause is none, as always when it meets an unpaid invoice.
    """
    subscription.period_end = why.now
    if subscription.billing_day is None:
        subscription.anchor = why.now
    if subscription.change_at is not None:
        subscription.change_at = max(subscription.change_at, why.now)
    if subscription.pause_at is not None and subscription.pause_at <= why.now:
        tell_of_pause(session, PAUSE_UNSCHEDULED, subscription, why)
        subscription.pause_at = subscription.resume_at = None


async def fall_behind_when_overdue(
    _app: App, session: AsyncSession, _customer: Customer, row: Subscription, why: Why
) -> bool:
    """An invoice that was sent is not paid in time; what was paid or withdrawn meanwhile is not waited for."""
    if not await await_sent_invoices(session, row, why.now):
        return False
    fall_behind(session, row, why)
    return True


def fall_behind(session: AsyncSession, subscription: Subscription, why: Why) -> None:
    """An ACTIVE subscription with an invoice that was not collected; one that is behind already stays so."""
    if subscription.status is SubscriptionStatus.ACTIVE:
        subscription.past_due_since = why.now
        move_subscription(session, subscription, SubscriptionEvent.FALL_BEHIND, why)


async def collect_with_new_default(session: AsyncSession, customer: Customer, now: datetime) -> None:
    """The default card has changed: what is unpaid and pins no card of its own is tried with it."""
    for subscription in await unpaid_subscriptions(session, customer.id):
        if subscription.payment_method_id is None:
            await collect_soon(session, subscription, now)


async def collect_with_mended_card(
    session: AsyncSession, customer: Customer, method: PaymentMethod, now: datetime
) -> None:
    """The card's data have changed: what it was refused for because of them is tried with it again."""
    for subscription in await unpaid_with(session, customer, method):
        payment = await _oldest_to_collect(session, subscription)
        if payment is None:
            continue
        tries = tries_of(await attempts_at(session, payment.id))
        if is_mended(await dunning_policy(session), tries, card_of(method)):
            payment.collect_at = now


async def unpaid_with(session: AsyncSession, customer: Customer, method: PaymentMethod) -> Sequence[Subscription]:
    """The customer's unpaid subscriptions that this card is to pay."""
    found: list[Subscription] = []
    for subscription in await unpaid_subscriptions(session, customer.id):
        paying = await effective_method(session, subscription, customer)
        if paying is not None and paying.id == method.id:
            found.append(subscription)
    return found


async def collect_soon(session: AsyncSession, subscription: Subscription, now: datetime) -> Invoice | None:
    """Make the oldest open invoice due now; None when there is none."""
    payment = await _oldest_to_collect(session, subscription)
    if payment is None:
        return None
    payment.collect_at = now
    return await session.get_one(Invoice, payment.invoice_id)


async def try_at_once(
    session: AsyncSession, customer: Customer, subscription: Subscription, payment: Payment, why: Why
) -> Payment | bool:
    """The payment just issued, to be tried as soon as it is committed; without a card it is given back: True."""
    if await effective_method(session, subscription, customer) is None:
        release(payment, due_at=payment.due_at)
        await not_collected(session, payment, why)
        return True
    payment.collect_at = why.now
    return payment


async def _oldest_to_collect(session: AsyncSession, subscription: Subscription) -> Payment | None:
    for invoice in await open_invoices_of(session, subscription.id):
        payment = await payment_of_invoice(session, invoice.id)
        if payment is not None and payment.status not in PAYMENT.final:
            return payment
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


def card_of(method: PaymentMethod) -> Card:
    """The card as dunning sees it: its row is touched when its data change, and only then."""
    return Card(method.id, method.updated_at)


def tries_of(attempts: Sequence[ChargeAttempt]) -> Sequence[Tried]:
    """The tries as dunning sees them."""
    return [Tried(each.started_at, each.payment_method_id, each.off_session, problem_of(each)) for each in attempts]
