"""Asking the gateway about payments that have no end yet: unknown answers first, then those that wait."""

import structlog
from sqlmodel.ext.asyncio.session import AsyncSession

from billing.charging import ASKS_FOR_CARD
from billing.errors import UserProblem
from billing.lifecycle import PAYMENT, PaymentStatus
from gateways.port import GatewayRefused, GatewayUnavailable, PaymentIntentSnapshot
from models.audit_log import authored
from models.customers import PaymentMethod
from models.leases import LeaseLost, claim_all_due
from models.payments import MANUAL, UNANSWERED, ChargeAttempt, Payment, attempts_at, newest_intent, payment_by_id
from models.subscriptions import Subscription
from services.abreast import ABREAST, abreast
from services.app import WORKER, Actor, App
from services.changes import Why
from services.payments.collecting import answer_attempt, known_intent_ref, with_usage
from services.payments.holding import hold, let_go, wait_until_free
from services.payments.outcomes import PaymentOutcome, payment_outcome
from services.payments.settling import Holder, settle
from services.people.customers import may_act_for
from services.problems import gateway_unavailable, not_found
from services.refunds.returning import follow_returns
from services.shielding import within_budget
from services.timelines import in_time_of

log = structlog.get_logger(__name__)

_REFRESH = "refreshSubscriptionPayment"


async def resolve_due_payments(app: App) -> int:
    """One pass over the payments whose time to ask has come; how many were asked about."""
    now = app.machine_now()
    claimed = await app.database.transact(claim_all_due, Payment, now=now, machine_now=now, limit=ABREAST)
    with authored(None):  # The gateway's answer, whoever had it asked for.
        await abreast(app, claimed, resolve_quietly)
    return len(claimed)


async def resolve_quietly(app: App, payment_id: str, fence: int) -> None:
    """One payment's trouble must not keep the others waiting: at worst its lease runs out."""
    try:
        await _resolve_or_let_go(app, payment_id, fence)
    except Exception:
        log.exception("payment_not_let_go", payment=payment_id)


async def _resolve_or_let_go(app: App, payment_id: str, fence: int) -> None:
    try:
        present = await _present_of(app, payment_id)
        await resolve_payment(present, payment_id, fence, Why("sweep", WORKER, present.now()))
    except LeaseLost:
        return
    except (GatewayUnavailable, GatewayRefused, UserProblem):
        await let_go(app, payment_id, fence)
    except Exception:
        log.exception("payment_not_resolved", payment=payment_id)
        await let_go(app, payment_id, fence)


async def _present_of(app: App, payment_id: str) -> App:
    """The app at the present of the payment's customer."""
    payment = await app.database.consult(payment_by_id, payment_id)
    return await in_time_of(app, payment.test_clock_id if payment is not None else None)


async def resolve_payment(app: App, payment_id: str, fence: int, why: Why) -> PaymentIntentSnapshot | None:
    """Settle by the intent's present state; where an attempt is still unanswered, ask for it again under its own key.

    Gives the lease back. None when there is no intent to ask about. Raises GatewayUnavailable, GatewayRefused,
    LeaseLost.
    """
    payment, unanswered, method = await app.database.consult(_unanswered, payment_id)
    final = payment is None or payment.status in PAYMENT.final
    ref = None if final else await known_intent_ref(app, payment_id, fence)
    if payment is None or ref is None:
        await let_go(app, payment_id, fence)
        return None
    snapshot = await app.gateway.retrieve_payment_intent(ref)
    answered = await settle(app, snapshot, cause=why.cause, actor=why.actor, holder=Holder(fence))
    if answered:
        return snapshot
    # Never an intent that is processing or waits for the customer, nor for another amount than was asked for.
    may_confirm = snapshot.status in ASKS_FOR_CARD and snapshot.amount == payment.amount
    if unanswered is None or method is None or not may_confirm:
        await let_go(app, payment_id, fence)
        return snapshot
    if unanswered.off_session:  # Whoever has come meanwhile may have wished for the card to be kept.
        await with_usage(app, snapshot, None, f"{unanswered.id}:usage:{fence}")
    await answer_attempt(app, payment_id, fence, snapshot.ref, unanswered, method.gateway_ref, payment.return_url, why)
    return await app.gateway.retrieve_payment_intent(snapshot.ref)


async def _unanswered(
    session: AsyncSession, payment_id: str
) -> tuple[Payment | None, ChargeAttempt | None, PaymentMethod | None]:
    """The payment, its attempt that has no answer yet, and the card that was tried."""
    payment = await payment_by_id(session, payment_id)
    attempts = await attempts_at(session, payment_id)
    attempt = next((a for a in reversed(attempts) if a.outcome in UNANSWERED), None)
    method_id = attempt.payment_method_id if attempt is not None else None
    return payment, attempt, await session.get(PaymentMethod, method_id) if method_id is not None else None


async def live_snapshot(app: App, payment_id: str) -> PaymentIntentSnapshot | None:
    """The payment's intent as the gateway shows it now, for its client secret; None when it cannot be had."""
    async with app.database.read() as session:
        intent = await newest_intent(session, payment_id)
    if intent is None or intent.gateway_ref is None:
        return None
    try:
        return await app.gateway.retrieve_payment_intent(intent.gateway_ref)
    except (GatewayUnavailable, GatewayRefused):
        return None


async def refresh_payment(app: App, actor: Actor, subscription_id: str, payment_id: str | None) -> PaymentOutcome:
    """Ask the gateway about a subscription's payment now. Raises UserProblem NOT_FOUND, GATEWAY_UNAVAILABLE."""
    async with app.database.read() as session:
        subscription = await session.get(Subscription, subscription_id)
        payment = await payment_by_id(session, payment_id) if payment_id else None
    if subscription is None or not await may_act_for(app, actor, subscription.customer_id):
        raise not_found("subscription", "subscriptionId")
    if payment_id is not None and (payment is None or payment.subscription_id != subscription.id):
        raise not_found("payment", "paymentId")
    found = await payment_outcome(app, subscription_id, payment_id)
    if found.payment is None or found.payment.platform == MANUAL:
        return found
    present = await in_time_of(app, subscription.test_clock_id)
    return await within_budget(app, _refresh(present, actor, subscription_id, found.payment.id))


async def _refresh(app: App, actor: Actor, subscription_id: str, payment_id: str) -> PaymentOutcome:
    fence = await hold(app, payment_id)
    if fence is None:
        await wait_until_free(app, payment_id)
        return await payment_outcome(app, subscription_id, payment_id)
    try:
        snapshot = await resolve_payment(app, payment_id, fence, Why(_REFRESH, actor, app.now()))
        await _refresh_returns(app, payment_id, actor)
    except (GatewayUnavailable, GatewayRefused):
        await let_go(app, payment_id, fence)
        return await payment_outcome(app, subscription_id, payment_id, problems=[gateway_unavailable()])
    except LeaseLost:
        return await payment_outcome(app, subscription_id, payment_id)  # Whoever took over goes on.
    return await payment_outcome(app, subscription_id, payment_id, snapshot)


async def _refresh_returns(app: App, payment_id: str, actor: Actor) -> None:
    """Of a payment that has ended well there is only one thing left to ask: what went back."""
    async with app.database.read() as session:
        payment = await payment_by_id(session, payment_id)
        intent = await newest_intent(session, payment_id)
    paid = payment is not None and payment.status is PaymentStatus.SUCCEEDED
    if paid and intent is not None and intent.gateway_ref is not None:
        await follow_returns(app, intent.gateway_ref, cause=_REFRESH, actor=actor)
