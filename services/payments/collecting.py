"""Collecting a payment: intent first, one intent per invoice, its id saved before it is confirmed.

Whoever collects holds the payment's lease. Each commit leaves rows from which the next process can go on, and every
gateway call carries a key made from those rows.
"""

from dataclasses import dataclass
from datetime import timedelta

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.charging import ASKS_FOR_CARD, IntentStatus, SetupFutureUsage, next_try_on_session
from billing.errors import ErrorCode, UserProblem
from billing.lifecycle import ATTEMPT, PAYMENT, AttemptEvent, AttemptOutcome, PaymentEvent
from gateways.port import GatewayRefused, GatewayUnavailable, PaymentIntentSnapshot
from models.base import new_id
from models.customers import GatewayAccount, PaymentMethod, gateway_account
from models.invoices import Invoice
from models.leases import LeaseLost, check_fence, hold_on, release
from models.payments import (
    ChargeAttempt,
    CollectionIntent,
    Payment,
    attempts_at,
    newest_intent,
    payment_by_id,
)
from services.app import App
from services.changes import Why, move_attempt, move_payment, remember
from services.payments.arrears import not_collected
from services.payments.asking import next_question
from services.payments.holding import held_payment
from services.payments.settling import Holder, settle
from services.people.customers import remember_account
from services.problems import TooManyAttempts

_LOOK_BACK = timedelta(days=1)


async def open_intent(
    app: App, payment_id: str, fence: int, why: Why, *, is_new: bool = False, off_session: bool = False
) -> PaymentIntentSnapshot:
    """The payment's intent at the gateway, made there if it is not yet; its reference is committed before this returns.

    `is_new` says that this very step has just written an invoice of an id that never was, so that nothing can be found.
    `off_session`: for a card that is kept already, charged while nobody is there who could allow any to be kept.
    Raises GatewayUnavailable, GatewayRefused and LeaseLost, also when the payment has ended: what is paid or void gets
    no intent that somebody could pay.
    """
    seen = await app.database.consult(_collected, payment_id, app.gateway.platform)
    if seen is None:
        raise LookupError(f"payment {payment_id} has no intent, account or invoice")
    payment, intent, account, invoice = seen
    usage_key = f"{intent.id}:usage:{fence}"
    usage = None if off_session else payment.setup_future_usage
    if payment.status in PAYMENT.final:
        raise LeaseLost(f"payment {payment_id} is {payment.status}")
    if intent.gateway_ref is not None:
        snapshot = await app.gateway.retrieve_payment_intent(intent.gateway_ref)
        # What happened there is recorded before a new try replaces it; what a canceled intent left open ends with it.
        await settle(app, snapshot, cause=why.cause, actor=why.actor)
        is_another = snapshot.amount != payment.amount or snapshot.customer_ref not in (None, account.gateway_ref)
        if snapshot.status is not IntentStatus.CANCELED and is_another:
            # Altered there, made before a restore, or of a customer deleted there since, whom no card is left to pay.
            key = f"{payment_id}:another:{fence}"
            snapshot = await app.gateway.cancel_payment_intent(snapshot.ref, idempotency_key=key)
            await settle(app, snapshot, cause=why.cause, actor=why.actor)
        if snapshot.status is not IntentStatus.CANCELED:
            return await with_usage(app, snapshot, usage, usage_key)
        # A database restored from a backup may know the canceled intent and not the one that followed it.
        intent = await _next_intent(app, payment, intent, fence)
    found = None if is_new else await _made_before(app, account.gateway_ref, payment, intent, invoice)
    snapshot = found
    if snapshot is None:
        snapshot = await app.gateway.create_payment_intent(
            customer_ref=account.gateway_ref,
            amount=payment.amount,
            invoice_id=invoice.id,
            description=f"Invoice {invoice.number}",
            setup_future_usage=usage,
            # One holder at a time makes it, after having looked for it: a key that a fault was stored under is left.
            idempotency_key=f"{intent.id}:{fence}",
        )
    await app.database.transact(_save_reference, app, payment_id, intent.id, snapshot, fence)
    if found is not None and found.amount != payment.amount:
        return await open_intent(app, payment_id, fence, why, off_session=off_session)
    return await with_usage(app, snapshot, usage, usage_key)


async def known_intent_ref(app: App, payment_id: str, fence: int) -> str | None:
    """The reference of the payment's newest intent, looked for at the gateway when no row tells; None: there is none.

    Raises GatewayUnavailable, GatewayRefused and LeaseLost.
    """
    seen = await app.database.consult(_collected, payment_id, app.gateway.platform)
    if seen is None:
        intent = await app.database.consult(newest_intent, payment_id)
        return intent.gateway_ref if intent else None
    payment, intent, account, invoice = seen
    if intent.gateway_ref is not None:
        return intent.gateway_ref
    snapshot = await _made_before(app, account.gateway_ref, payment, intent, invoice)
    if snapshot is None:
        return None
    await app.database.transact(_save_reference, app, payment_id, intent.id, snapshot, fence)
    return snapshot.ref


async def adopt_intent(app: App, payment_id: str, fence: int, snapshot: PaymentIntentSnapshot) -> bool:
    """Write down an intent that the gateway has for the payment's invoice; False when the payment has one that counts.

    The customer's account is written down with it if that was lost too. Raises LeaseLost.
    """
    async with app.database.read() as session:
        payment = await payment_by_id(session, payment_id)
        intent = await newest_intent(session, payment_id)
    if payment is None or intent is None:
        return False
    if intent.gateway_ref is not None:
        if intent.status is not IntentStatus.CANCELED:
            return False
        intent = await _next_intent(app, payment, intent, fence)
    if snapshot.customer_ref is not None:
        await remember_account(app, payment.customer_id, snapshot.customer_ref)
    await app.database.transact(_save_reference, app, payment_id, intent.id, snapshot, fence)
    return True


async def _collected(
    session: AsyncSession, payment_id: str, platform: str
) -> tuple[Payment, CollectionIntent, GatewayAccount, Invoice] | None:
    """All that collecting a payment is about; None when something of it is missing."""
    payment = await payment_by_id(session, payment_id)
    intent = await newest_intent(session, payment_id)
    if payment is None or intent is None:
        return None
    account = await gateway_account(session, payment.customer_id, platform)
    invoice = await session.get(Invoice, payment.invoice_id)
    return (payment, intent, account, invoice) if account is not None and invoice is not None else None


async def _made_before(
    app: App, customer_ref: str, payment: Payment, intent: CollectionIntent, invoice: Invoice
) -> PaymentIntentSnapshot | None:
    """An intent that an earlier process made and could not save; keys may be forgotten, the gateway's list is not.

    Looked for since the period's start, not the row's making, for after a restore the invoice is written anew. The
    gateway's dates are not those of a test clock: of its customers all intents are looked through. Told apart by our
    invoice's id.
    """
    since = invoice.period_start - _LOOK_BACK if payment.test_clock_id is None else None
    found = await app.gateway.find_payment_intents(
        customer_ref=customer_ref, invoice_id=invoice.id, created_since=since
    )
    for snapshot in found:
        if snapshot.status is IntentStatus.CANCELED:
            continue
        newest = await app.database.consult(newest_intent, intent.payment_id)
        if newest is None or newest.gateway_ref in (None, snapshot.ref):
            return snapshot
    return None


async def with_usage(
    app: App, snapshot: PaymentIntentSnapshot, usage: SetupFutureUsage | None, key: str
) -> PaymentIntentSnapshot:
    """Bring the intent to what is wished now about keeping the card; to None before a charge off session.

    `key` is the holder's own, for a key that a fault was stored under is of no use any more.
    """
    if snapshot.setup_future_usage == usage or snapshot.status not in ASKS_FOR_CARD:
        return snapshot
    try:
        return await app.gateway.update_payment_intent(snapshot.ref, setup_future_usage=usage, idempotency_key=key)
    except GatewayRefused:
        return await app.gateway.retrieve_payment_intent(snapshot.ref)  # The browser has moved it on meanwhile.


async def _next_intent(app: App, payment: Payment, canceled: CollectionIntent, fence: int) -> CollectionIntent:
    """Intent n+1, only because the gateway itself calls the one before canceled."""
    now = app.now()
    row = CollectionIntent(
        id=new_id("payment_intent"),
        invoice_id=payment.invoice_id,
        payment_id=payment.id,
        n=canceled.n + 1,
        platform=app.gateway.platform,
        created_at=now,
        updated_at=now,
    )
    async with app.database.write() as session:
        held = await payment_by_id(session, payment.id)
        if held is None:
            raise LeaseLost(payment.id)
        check_fence(held, fence)
        session.add(row)
    return row


async def _save_reference(
    session: AsyncSession, app: App, payment_id: str, intent_id: str, snapshot: PaymentIntentSnapshot, fence: int
) -> None:
    payment = await payment_by_id(session, payment_id)
    row = await session.get(CollectionIntent, intent_id)
    if payment is None or row is None:
        raise LookupError(f"intent {intent_id} is gone")
    check_fence(payment, fence)
    hold_on(payment, app.machine_now())
    row.gateway_ref = snapshot.ref
    row.status = snapshot.status
    row.updated_at = app.now()


@dataclass(frozen=True, slots=True)
class Try:
    """How to try: with which card, why, and whether the customer is present."""

    method: PaymentMethod
    trigger: str
    off_session: bool
    return_url: str | None
    error_url: str | None = None


async def charge(
    app: App, payment_id: str, fence: int, intent_ref: str, wish: Try, why: Why
) -> PaymentIntentSnapshot | None:
    """One attempt at the saved intent, settled: the gateway's answer. A lost one is None and leaves UNKNOWN.

    Gives the lease back. Raises LeaseLost, also when a webhook has settled the payment meanwhile, and UserProblem
    when the gateway will not take the request at all.
    """
    attempt = await app.database.transact(_start_attempt, app, payment_id, fence, wish, why)
    return await answer_attempt(
        app, payment_id, fence, intent_ref, attempt, wish.method.gateway_ref, wish.return_url, why
    )


async def answer_attempt(
    app: App,
    payment_id: str,
    fence: int,
    intent_ref: str,
    attempt: ChargeAttempt,
    method_ref: str,
    return_url: str | None,
    why: Why,
) -> PaymentIntentSnapshot | None:
    """Ask the gateway to carry the attempt out, under the attempt's own key however often it is asked, and settle.

    A key that it has answered with a fault is of no use for a day: once the intent shows nothing new, another is taken.
    """
    try:
        snapshot = await app.gateway.confirm_payment_intent(
            intent_ref,
            payment_method_ref=method_ref,
            off_session=attempt.off_session,
            return_url=return_url,
            idempotency_key=attempt.idempotency_key,
        )
    except GatewayUnavailable as problem:
        await app.database.transact(_lose_answer, app, payment_id, fence, attempt.id, why, is_fault=problem.is_fault)
        return None
    except GatewayRefused as refusal:
        snapshot = await _abandon(app, payment_id, fence, attempt.id, intent_ref, why)
        if snapshot.status is IntentStatus.CANCELED:  # No card was refused: the next intent may take it.
            raise GatewayUnavailable("the intent was canceled as a card was tried") from None
        if snapshot.status in ASKS_FOR_CARD:
            raise UserProblem(
                ErrorCode.INVALID_STATE, f"The gateway does not take this card: {refusal}", ["paymentMethodId"]
            ) from None
        return snapshot  # The browser was faster: the intent has moved on.
    await settle(app, snapshot, cause=why.cause, actor=why.actor, holder=Holder(fence, attempt.id))
    return snapshot


async def _start_attempt(
    session: AsyncSession, app: App, payment_id: str, fence: int, wish: Try, why: Why
) -> ChargeAttempt:
    payment = await held_payment(session, payment_id, fence)
    attempts = await attempts_at(session, payment_id)
    if not PAYMENT.allows(payment.status, PaymentEvent.START_ATTEMPT):
        raise LeaseLost(f"{payment_id} is {payment.status} since it was looked at")
    intent = await newest_intent(session, payment_id)
    if intent is None:
        raise LookupError(f"payment {payment_id} has no intent")
    again_at = next_try_on_session((a.started_at for a in attempts if not a.off_session), why.now)
    if again_at is not None and not wish.off_session:
        raise TooManyAttempts(again_at)
    for earlier in attempts:
        # A challenge that the customer walked away from ends with the next try.
        if earlier.outcome is AttemptOutcome.REQUIRES_ACTION:
            move_attempt(session, earlier, AttemptEvent.ABANDON, why)
    attempt_id = new_id("charge_attempt")
    attempt = ChargeAttempt(
        id=attempt_id,
        payment_id=payment_id,
        intent_id=intent.id,
        sequence=len(attempts) + 1,
        trigger=wish.trigger,
        idempotency_key=attempt_id,
        off_session=wish.off_session,
        outcome=AttemptOutcome.PENDING,
        payment_method_id=wish.method.id,
        started_at=why.now,
    )
    session.add(attempt)
    remember(session, ATTEMPT.name, attempt_id, None, attempt.outcome, why)
    payment.payment_method_id = wish.method.id
    payment.return_url, payment.error_url = wish.return_url, wish.error_url
    payment.collect_at = None
    move_payment(session, payment, PaymentEvent.START_ATTEMPT, why)
    hold_on(payment, app.machine_now())
    payment.due_at = next_question(app, payment)
    return attempt


async def _lose_answer(
    session: AsyncSession, app: App, payment_id: str, fence: int, attempt_id: str, why: Why, *, is_fault: bool
) -> None:
    payment = await held_payment(session, payment_id, fence)
    attempt = await session.get_one(ChargeAttempt, attempt_id)
    # A webhook may have been faster than the answer.
    if payment.status not in PAYMENT.final and attempt.outcome not in ATTEMPT.final:
        move_attempt(session, attempt, AttemptEvent.LOSE_ANSWER, why)
        move_payment(session, payment, PaymentEvent.LOSE_ANSWER, why)
        if is_fault:
            attempt.idempotency_key = f"{attempt.id}:{fence}"  # Each holder asks once.
    release(payment, due_at=next_question(app, payment))


async def _abandon(
    app: App, payment_id: str, fence: int, attempt_id: str, intent_ref: str, why: Why
) -> PaymentIntentSnapshot:
    """The gateway refused the request itself: the attempt never was one. The intent as it is, settled.

    What is left open is dunned: the card may be gone for good.
    """
    await app.database.transact(_end_attempt, payment_id, fence, attempt_id, why)
    snapshot = await app.gateway.retrieve_payment_intent(intent_ref)
    await settle(app, snapshot, cause=why.cause, actor=why.actor, holder=Holder(fence))
    return snapshot


async def _end_attempt(session: AsyncSession, payment_id: str, fence: int, attempt_id: str, why: Why) -> None:
    payment = await held_payment(session, payment_id, fence)
    attempt = await session.get_one(ChargeAttempt, attempt_id)
    if attempt.outcome not in ATTEMPT.final:
        move_attempt(session, attempt, AttemptEvent.ABANDON, why)
    if PAYMENT.allows(payment.status, PaymentEvent.ASK_PAYMENT_METHOD):
        move_payment(session, payment, PaymentEvent.ASK_PAYMENT_METHOD, why)
        await not_collected(session, payment, why)
