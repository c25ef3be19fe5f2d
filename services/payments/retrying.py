"""Collecting open invoices off session: at the renewal, on the days of dunning, and when a new card is there.

Which card is decided at the moment of the try: the subscription's pinned one, else the customer's default.
"""

from collections.abc import Sequence
from datetime import timedelta

import structlog
from sqlmodel.ext.asyncio.session import AsyncSession

from billing.dunning import may_try
from billing.errors import ErrorCode, UserProblem
from billing.invoicing import InvoiceReason
from billing.lifecycle import PAYMENT, PaymentStatus, SubscriptionStatus
from gateways.port import GatewayRefused, GatewayUnavailable
from models.customers import Customer, PaymentMethod, locked_customer
from models.invoices import Invoice
from models.leases import LeaseLost, claim_all_due, release
from models.organization import dunning_policy
from models.payments import ChargeAttempt, Payment, attempts_at, collected_on, payment_by_id
from models.subscriptions import Subscription
from services.abreast import ABREAST, abreast
from services.app import WORKER, App
from services.changes import Why
from services.payments.arrears import card_of, effective_method, not_collected, tries_of
from services.payments.asking import next_question
from services.payments.carrying import carried_over
from services.payments.collecting import Try, open_intent
from services.payments.holding import held_payment
from services.payments.paying import pay
from services.people.customers import ensure_gateway_account
from services.witnessing import witnessed_try

log = structlog.get_logger(__name__)

_GATEWAY_AWAY = timedelta(minutes=1)
_GATEWAY_REFUSES = timedelta(hours=1)


async def collect_due_payments(app: App) -> int:
    """One pass over the payments whose time to be tried has come; how many were tried."""
    claimed = await app.database.transact(
        claim_all_due,
        Payment,
        now=app.due(),
        machine_now=app.machine_now(),
        limit=ABREAST,
        due="collect_at",
        only=collected_on(app.timeline),
    )
    return sum(await abreast(app, claimed, _try))


async def _try(app: App, payment_id: str, fence: int) -> bool:
    try:
        return await witnessed_try(app, payment_id, collect(app, payment_id, fence))
    except Exception:  # One payment's trouble must not keep the others waiting; its lease runs out.
        log.exception("payment_not_collected", payment=payment_id)
        return False


async def collect(app: App, payment_id: str, fence: int) -> bool:
    """Try the effective card once, off session, under the held lease; whether it was tried.

    A gateway that is away leaves the payment due in a minute; one that refuses the card, until another one is there.
    Where it refuses before a card is tried, as with the key of another account, the card is as good as it was: the
    subscription falls behind, and the payment is due in an hour.
    """
    try:
        ready = await app.database.transact(_prepare, app, payment_id, fence)
    except LeaseLost:
        return False  # Whoever took over goes on.
    if ready is None:
        return False
    customer, wish = ready
    why = Why(wish.trigger, WORKER, app.now())
    try:
        await ensure_gateway_account(app, customer)
        snapshot = await open_intent(app, payment_id, fence, why, off_session=True)
        await pay(app, payment_id, fence, snapshot, wish, why)
        await app.database.transact(_leave_waiting, app, payment_id, wish.method, why)
    except (GatewayUnavailable, GatewayRefused, UserProblem) as problem:
        if await carried_over(app, payment_id, fence, problem):
            return False
        await app.database.transact(_put_aside, app, payment_id, fence, wish.method, problem)
        return False
    except LeaseLost:
        return False
    return True


async def _prepare(session: AsyncSession, app: App, payment_id: str, fence: int) -> tuple[Customer, Try] | None:
    """The customer and what to try; None, and the payment put aside, when there is nothing to try it with."""
    payment = await held_payment(session, payment_id, fence)
    is_due = payment.collect_at is not None and payment.collect_at <= app.now()
    subscription = await session.get_one(Subscription, payment.subscription_id)
    customer = await session.get_one(Customer, payment.customer_id)
    method = await effective_method(session, subscription, customer)
    # Between the list of what is due and the lease another worker may have made this very try.
    if is_due and method is not None and payment.status not in PAYMENT.final:
        attempts = await attempts_at(session, payment_id)
        # A card that has said no, or was tried as often as may be, has not become another one by being chosen.
        if may_try(await dunning_policy(session), tries_of(attempts), card_of(method), app.now()):
            invoice = await session.get_one(Invoice, payment.invoice_id)
            trigger = _trigger(subscription, invoice, method, attempts)
            return customer, Try(method, trigger, off_session=True, return_url=None)
    if is_due:
        payment.collect_at = None
        if payment.status not in PAYMENT.final:
            # The card may be gone since this was issued: whatever is open comes to an end by dunning.
            await not_collected(session, payment, Why("renewal", WORKER, app.now()))
    release(payment, due_at=next_question(app, payment))
    return None


def _trigger(
    subscription: Subscription, invoice: Invoice, method: PaymentMethod, attempts: Sequence[ChargeAttempt]
) -> str:
    if subscription.status is SubscriptionStatus.INCOMPLETE:
        has_just_started = not attempts and subscription.started_at > subscription.created_at
        return "purchase" if has_just_started else "payment_method_updated"
    if not attempts:
        return "plan_change" if invoice.reason is InvoiceReason.SUBSCRIPTION_UPDATE else "renewal"
    last = attempts[-1]
    is_same = last.payment_method_id == method.id and method.updated_at <= last.started_at
    return "dunning_retry" if is_same else "payment_method_updated"


def _is_away(problem: Exception) -> bool:
    told_away = isinstance(problem, UserProblem) and problem.code is ErrorCode.GATEWAY_UNAVAILABLE
    return told_away or isinstance(problem, GatewayUnavailable)


async def _leave_waiting(session: AsyncSession, app: App, payment_id: str, tried: PaymentMethod, why: Why) -> None:
    """What took no try, a challenge that waits for the customer, is not looked at again until somebody acts.

    Where an answer is still missing the card waits for it a little longer. Another card that was chosen while this one
    was tried has its turn at once.
    """
    payment = await payment_by_id(session, payment_id)
    if payment is None:
        return
    await locked_customer(session, payment.customer_id)
    await session.refresh(payment, with_for_update=True)
    if await _gave_way(session, payment, tried):
        payment.collect_at = why.now
        return
    if payment.collect_at is None or payment.collect_at > why.now:
        return
    waits = payment.status is PaymentStatus.UNKNOWN
    payment.collect_at = app.now() + _GATEWAY_AWAY if waits else None


async def _gave_way(session: AsyncSession, payment: Payment, tried: PaymentMethod) -> bool:
    """Whether what is unpaid would be paid by another card than the one that was just tried."""
    if payment.status in PAYMENT.final:
        return False
    subscription = await session.get_one(Subscription, payment.subscription_id)
    customer = await session.get_one(Customer, payment.customer_id)
    method = await effective_method(session, subscription, customer)
    return method is not None and method.id != tried.id


async def _put_aside(
    session: AsyncSession, app: App, payment_id: str, fence: int, tried: PaymentMethod, problem: Exception
) -> None:
    """Until the gateway is back, or the subscription has fallen behind."""
    try:
        payment = await held_payment(session, payment_id, fence)
    except LeaseLost:
        return
    if payment.status in PAYMENT.final:
        return
    now = app.now()
    payment.collect_at = now + _GATEWAY_AWAY if _is_away(problem) else None
    if payment.collect_at is None:
        await not_collected(session, payment, Why("renewal", WORKER, now), is_retried=False)
        if isinstance(problem, GatewayRefused) and payment.give_up_at is not None:
            payment.collect_at = now + _GATEWAY_REFUSES
        if await _gave_way(session, payment, tried):
            payment.collect_at = now
    release(payment, due_at=next_question(app, payment))
