"""Asking for money no more: an open invoice's intent is canceled at the gateway, then payment and invoice are voided.

If the intent turns out to have been paid, that outcome wins. The gateway is never called inside a transaction, so there
are two steps: `collecting_stopped` holds the payments' leases for the block in which `void_collection` ends them.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager

import structlog
from sqlmodel.ext.asyncio.session import AsyncSession

from billing.charging import IntentStatus
from billing.errors import ErrorCode, UserProblem
from billing.lifecycle import ATTEMPT, PAYMENT, AttemptEvent, InvoiceStatus, PaymentEvent
from gateways.port import GatewayNotFound, GatewayRefused, GatewayUnavailable
from models.invoices import Invoice
from models.leases import LeaseLost, check_fence, release
from models.payments import attempts_at, newest_intent, payment_by_id, payment_of_invoice
from services.app import App
from services.changes import Why, move_attempt, move_payment
from services.invoices.issuing import void_invoice
from services.payments.asking import next_question
from services.payments.collecting import known_intent_ref
from services.payments.holding import hold, let_go, wait_until_free
from services.payments.settling import settle
from services.problems import gateway_unavailable

log = structlog.get_logger(__name__)


@asynccontextmanager
async def collecting_stopped(app: App, invoices: Sequence[Invoice], why: Why) -> AsyncGenerator[Mapping[str, int]]:
    """The fences of the payments held, by their ids, once nobody can pay their intents any more.

    A payment that turns out to be paid is settled and not among them; an invoice without a payment has none. Raises
    UserProblem GATEWAY_UNAVAILABLE, PAYMENT_IN_PROGRESS, also for what the block raises of gateways and leases;
    whatever goes wrong, no payment stays held.
    """
    fences: dict[str, int] = {}
    try:
        await _stop_collecting(app, invoices, fences, why)
        yield fences
    except BaseException as trouble:
        for payment_id, fence in fences.items():
            await let_go(app, payment_id, fence)
        if isinstance(trouble, GatewayUnavailable | GatewayRefused):
            raise gateway_unavailable() from None
        if isinstance(trouble, LeaseLost):
            raise under_way() from None
        raise


async def _stop_collecting(app: App, invoices: Sequence[Invoice], fences: dict[str, int], why: Why) -> None:
    """Raises GatewayUnavailable, GatewayRefused, LeaseLost, UserProblem; the payments held are noted in `fences`."""
    async with app.database.read() as session:
        payments = [await payment_of_invoice(session, invoice.id) for invoice in invoices]
    for payment in payments:
        if payment is None or payment.status in PAYMENT.final:
            continue
        fence = await hold(app, payment.id)
        if fence is None:
            await wait_until_free(app, payment.id)
            fence = await hold(app, payment.id)
        if fence is None:
            raise under_way()
        fences[payment.id] = fence
        if await _cancel_intent(app, payment.id, fence, why):
            await let_go(app, payment.id, fences.pop(payment.id))


def under_way() -> UserProblem:
    return UserProblem(ErrorCode.PAYMENT_IN_PROGRESS, "A payment is under way; repeat this shortly.")


async def _cancel_intent(app: App, payment_id: str, fence: int, why: Why) -> bool:
    """Whether the intent could no longer be canceled because it was paid."""
    ref = await known_intent_ref(app, payment_id, fence)
    if ref is None:
        return False
    try:
        # Each holder has a key of its own: the gateway would tell an old key's answer, of another intent or time.
        snapshot = await app.gateway.cancel_payment_intent(ref, idempotency_key=f"{payment_id}:cancel:{fence}")
    except GatewayNotFound:
        log.warning("intent_gone_at_gateway", payment=payment_id)
        return False  # What does not exist cannot be paid.
    # What was tried before is recorded, also when nothing came of it.
    await settle(app, snapshot, cause=why.cause, actor=why.actor)
    if snapshot.status is IntentStatus.CANCELED:
        return False
    if snapshot.status is IntentStatus.SUCCEEDED:
        return True
    raise UserProblem(ErrorCode.PAYMENT_IN_PROGRESS, "A payment is being processed; repeat this when it has ended.")


async def spare_collection(app: App, session: AsyncSession, payment_id: str, fence: int) -> None:
    """Give the held payment back as it is, in the caller's transaction: it is not to end after all. Raises LeaseLost.

    A later try finds its intent canceled, and makes the next one.
    """
    payment = await payment_by_id(session, payment_id)
    if payment is None:
        raise LeaseLost(payment_id)
    check_fence(payment, fence)
    release(payment, due_at=next_question(app, payment))


async def void_collection(session: AsyncSession, payment_id: str, fence: int, why: Why) -> None:
    """Give up the held payment and void its invoice, in the caller's transaction. Raises LeaseLost."""
    invoice = await end_collection(session, payment_id, fence, why)
    if invoice is not None:
        await void_invoice(session, invoice, why)


async def end_collection(session: AsyncSession, payment_id: str, fence: int, why: Why) -> Invoice | None:
    """Give up the held payment, in the caller's transaction: its invoice if that is still open. Raises LeaseLost."""
    payment = await payment_by_id(session, payment_id)
    if payment is None:
        raise LeaseLost(payment_id)
    check_fence(payment, fence)
    if payment.status in PAYMENT.final:
        release(payment, due_at=None)  # Another request ended it while this one waited for the lease.
        return None
    for attempt in await attempts_at(session, payment_id):
        if attempt.outcome not in ATTEMPT.final:
            move_attempt(session, attempt, AttemptEvent.ABANDON, why)
    intent = await newest_intent(session, payment_id)
    if intent is not None and intent.gateway_ref is not None:
        intent.status = IntentStatus.CANCELED
        intent.next_action_url = None
    payment.collect_at = payment.give_up_at = None
    move_payment(session, payment, PaymentEvent.CANCEL, why)
    release(payment, due_at=None)
    invoice = await session.get_one(Invoice, payment.invoice_id)
    return invoice if invoice.status is InvoiceStatus.OPEN else None
