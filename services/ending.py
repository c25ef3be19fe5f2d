"""Ends: an unpaid first subscription is given up, a subscription is canceled now, at its period's end or at a date.

The open intent is canceled at the gateway first; if it turns out to have been paid, that outcome wins.
"""

from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlmodel.ext.asyncio.session import AsyncSession

from billing.charging import IntentStatus
from billing.errors import ErrorCode, UserProblem, VersionConflict
from billing.lifecycle import (
    ATTEMPT,
    PAYMENT,
    SUBSCRIPTION,
    AttemptEvent,
    InvoiceStatus,
    PaymentEvent,
    SubscriptionEvent,
    SubscriptionStatus,
)
from billing.schedule import Happening, what_is_due
from gateways.port import GatewayNotFound, GatewayRefused, GatewayUnavailable
from models.invoices import Invoice, open_invoices_of
from models.leases import LeaseLost, check_fence, release
from models.payments import attempts_of, newest_intent, payment_by_id, payment_of_invoice
from models.subscriptions import Subscription, live_places
from services.app import WORKER, Actor, ActorKind, App
from services.changes import Why, move_attempt, move_payment, move_subscription
from services.collecting import hold, known_intent_ref, let_go, wait_until_free
from services.issuing import void_invoice
from services.owned import already_ended, locked_subscription, own_subscription
from services.problems import gateway_unavailable
from services.settling import settle
from services.shielding import within_budget

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class CancelOutcome:
    """The subscription after the step, and the invoice that it ended with if that was voided."""

    subscription: Subscription
    invoice: Invoice | None


async def cancel_subscription(
    app: App,
    actor: Actor,
    *,
    subscription_id: str,
    at_period_end: bool,
    at: datetime | None = None,
    reason: str | None,
    comment: str | None,
    expected_version: int | None,
) -> CancelOutcome:
    """End a subscription now, or let it run out until its period's end or the instant `at`. An unpaid first one ends
    at once either way. Periods up to `at` are billed in full.

    Repeating a cancellation to come changes nothing, another one replaces it. Raises UserProblem NOT_FOUND, INVALID,
    INVALID_STATE, VERSION_CONFLICT, GATEWAY_UNAVAILABLE.
    """
    seen = await own_subscription(app, actor, subscription_id)
    wish = _Cancellation(reason, comment, expected_version)
    why = Why("cancelSubscription", actor, app.now())
    if at is not None and at <= why.now:
        raise UserProblem(ErrorCode.INVALID, "The date is past. Give one to come, or cancel now.", ["date"])
    if (at_period_end or at is not None) and seen.status is not SubscriptionStatus.INCOMPLETE:
        return CancelOutcome(await _let_run_out(app, seen, wish, at, why), None)
    return await within_budget(app, _cancel_now(app, seen, wish, why))


async def end_incomplete(app: App, subscription_id: str, why: Why) -> None:
    """Give an unpaid first subscription up, unless its payment turns out to have succeeded.

    Raises UserProblem GATEWAY_UNAVAILABLE, PAYMENT_IN_PROGRESS.
    """
    async with app.database.read() as session:
        seen = await session.get(Subscription, subscription_id)
    if seen is None or seen.status is not SubscriptionStatus.INCOMPLETE:
        return
    await _stop_and_end(app, seen, SubscriptionEvent.EXPIRE, _Cancellation(None, None, None), why)


async def end_when_over(app: App, subscription_id: str, fence: int, why: Why) -> bool:
    """End what is unpaid too long, or over: whether it has ended. A later pass tries again what could not end now."""
    async with app.database.read() as session:
        row = await session.get(Subscription, subscription_id)
    if row is None:
        return False
    try:
        if row.status is SubscriptionStatus.INCOMPLETE:
            await end_incomplete(app, row.id, why)
            return True
        if _is_over(row, why) and row.status not in SUBSCRIPTION.final:
            ended, _ = await _stop_and_end(app, row, SubscriptionEvent.CANCEL, _Cancellation(None, None, None), why)
            return ended
    except UserProblem:
        return False  # The lease runs out and the row, still due, is tried again.
    return False


def _is_over(row: Subscription, why: Why) -> bool:
    return what_is_due(row.schedule, why.now) is Happening.END


@dataclass(frozen=True, slots=True)
class _Cancellation:
    reason: str | None
    comment: str | None
    expected_version: int | None

    def note(self, row: Subscription, actor: Actor, why: Why) -> None:
        row.cancellation_reason = self.reason or row.cancellation_reason
        row.cancellation_comment = self.comment or row.cancellation_comment
        if actor.kind is not ActorKind.WORKER:
            row.cancellation_requested_by = actor.kind.value
            row.canceled_at = row.canceled_at or why.now


async def _let_run_out(
    app: App, seen: Subscription, wish: _Cancellation, at: datetime | None, why: Why
) -> Subscription:
    async with app.database.write() as session:
        row, _ = await locked_subscription(session, seen, wish.expected_version)
        if row.status in SUBSCRIPTION.final:
            raise already_ended(row)
        if (row.cancel_at_period_end, row.cancel_at) != (at is None, at):
            row.cancel_at_period_end, row.cancel_at = at is None, at
            row.due_at = row.next_due()
            wish.note(row, why.actor, why)
            row.touch(why.now)
        return row


async def _cancel_now(app: App, seen: Subscription, wish: _Cancellation, why: Why) -> CancelOutcome:
    if seen.status in SUBSCRIPTION.final:
        raise already_ended(seen)
    if wish.expected_version is not None and wish.expected_version != seen.version:
        raise VersionConflict(seen.version)
    # The version was compared before the gateway was called; what settled since is the payment that has to win.
    wish = _Cancellation(wish.reason, wish.comment, None)
    unpaid = seen.status is SubscriptionStatus.INCOMPLETE
    event = SubscriptionEvent.EXPIRE if unpaid else SubscriptionEvent.CANCEL
    ended, voided = await _stop_and_end(app, seen, event, wish, why)
    if not ended:
        raise UserProblem(
            ErrorCode.INVALID_STATE,
            "The subscription changed at this very moment: its payment went through, or it ended. Read it again.",
            ["subscriptionId"],
        )
    async with app.database.read() as session:
        row = await session.get_one(Subscription, seen.id)
        payment = await payment_by_id(session, voided) if voided else None
        invoice = await session.get(Invoice, payment.invoice_id) if payment else None
    return CancelOutcome(row, invoice)


async def _stop_and_end(
    app: App, seen: Subscription, event: SubscriptionEvent, wish: _Cancellation, why: Why
) -> tuple[bool, str | None]:
    """Whether it ended, and the first of the payments that were voided.

    Raises UserProblem GATEWAY_UNAVAILABLE, PAYMENT_IN_PROGRESS; whatever goes wrong, no payment stays held.
    """
    fences: dict[str, int] = {}
    try:
        await _stop_collecting(app, seen, fences, why)
        return await _end(app, seen, event, wish, fences, why), next(iter(fences), None)
    except BaseException as trouble:
        for payment_id, fence in fences.items():
            await let_go(app, payment_id, fence)
        if isinstance(trouble, GatewayUnavailable | GatewayRefused):
            raise gateway_unavailable() from None
        if isinstance(trouble, LeaseLost):
            raise _under_way() from None
        raise


async def _stop_collecting(app: App, seen: Subscription, fences: dict[str, int], why: Why) -> None:
    """Cancel the intents of open invoices at the gateway; the payments held are noted in `fences`.

    A payment that turns out to be paid is settled and not among them. Raises GatewayUnavailable, GatewayRefused,
    LeaseLost, UserProblem.
    """
    async with app.database.read() as session:
        invoices = await open_invoices_of(session, seen.id)
        payments = [await payment_of_invoice(session, invoice.id) for invoice in invoices]
    for payment in payments:
        if payment is None or payment.status in PAYMENT.final:
            continue
        fence = await hold(app, payment.id)
        if fence is None:
            await wait_until_free(app, payment.id)
            fence = await hold(app, payment.id)
        if fence is None:
            raise _under_way()
        fences[payment.id] = fence
        if await _cancel_intent(app, payment.id, fence, why):
            await let_go(app, payment.id, fences.pop(payment.id))


def _under_way() -> UserProblem:
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


async def _end(
    app: App,
    seen: Subscription,
    event: SubscriptionEvent,
    wish: _Cancellation,
    fences: dict[str, int],
    why: Why,
) -> bool:
    """Void what is unpaid and end the subscription; an unpaid first one whose payment won meanwhile stays alive."""
    async with app.database.write() as session:
        row, _ = await locked_subscription(session, seen, wish.expected_version)
        if why.actor == WORKER and event is SubscriptionEvent.CANCEL and not _is_over(row, why):
            raise _under_way()  # It goes on since it was looked at.
        for payment_id, fence in fences.items():
            await _void(session, payment_id, fence, why)
        if row.status in SUBSCRIPTION.final:
            return False
        if event is SubscriptionEvent.EXPIRE and row.status is not SubscriptionStatus.INCOMPLETE:
            return False
        wish.note(row, why.actor, why)
        move_subscription(session, row, event, why)
        row.ended_at = why.now
        release(row, due_at=None)
        for place in await live_places(session, row.id):
            await session.delete(place)
        return True


async def _void(session: AsyncSession, payment_id: str, fence: int, why: Why) -> None:
    payment = await payment_by_id(session, payment_id)
    if payment is None:
        raise LeaseLost(payment_id)
    check_fence(payment, fence)
    if payment.status in PAYMENT.final:
        release(payment, due_at=None)  # Another request ended it while this one waited for the lease.
        return
    for attempt in await attempts_of(session, [payment_id]):
        if attempt.outcome not in ATTEMPT.final:
            move_attempt(session, attempt, AttemptEvent.ABANDON, why)
    intent = await newest_intent(session, payment_id)
    if intent is not None and intent.gateway_ref is not None:
        intent.status = IntentStatus.CANCELED
        intent.next_action_url = None
    payment.collect_at = None
    move_payment(session, payment, PaymentEvent.CANCEL, why)
    release(payment, due_at=None)
    invoice = await session.get_one(Invoice, payment.invoice_id)
    if invoice.status is InvoiceStatus.OPEN:
        await void_invoice(session, invoice, why)
