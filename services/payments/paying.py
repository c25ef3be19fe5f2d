"""Trying a card on an intent, with whatever an earlier try has left open finished first."""

from billing.charging import ASKS_FOR_CARD, IntentStatus
from gateways.port import PaymentIntentSnapshot
from models.payments import UNANSWERED, ChargeAttempt, attempts_at
from services.app import App
from services.changes import Why
from services.payments.collecting import Try, charge
from services.payments.holding import hold
from services.payments.resolving import resolve_payment
from services.payments.settling import Holder, settle


async def pay(
    app: App, payment_id: str, fence: int, snapshot: PaymentIntentSnapshot, wish: Try | None, why: Why
) -> PaymentIntentSnapshot | None:
    """Try the card if there is one and the intent takes it; else settle by the intent's state. Gives the lease back.

    The intent as it is afterwards comes back, None while the answer to a try is missing. Raises GatewayUnavailable,
    GatewayRefused, LeaseLost, and UserProblem when the gateway will not take the card at all.
    """
    earlier = await _unanswered_attempt(app, payment_id)
    if earlier is not None:
        snapshot = await resolve_payment(app, payment_id, fence, why) or snapshot
        is_another = wish is not None and earlier.payment_method_id != wish.method.id
        # Another card waits for as long as the first one's answer is missing: both might be charged.
        may_try = is_another and await _unanswered_attempt(app, payment_id) is None
        again = await hold(app, payment_id) if may_try else None
        if again is None:
            return snapshot
        fence = again
    if wish is None or not _takes_card(snapshot, wish):
        await settle(app, snapshot, cause=why.cause, actor=why.actor, holder=Holder(fence))
        return snapshot
    return await charge(app, payment_id, fence, snapshot.ref, wish, why)


def _takes_card(snapshot: PaymentIntentSnapshot, wish: Try) -> bool:
    """A challenge of the same card is carried on, not begun anew; the worker leaves any challenge to the customer."""
    if snapshot.status is IntentStatus.REQUIRES_ACTION:
        return not wish.off_session and snapshot.payment_method_ref != wish.method.gateway_ref
    return snapshot.status in ASKS_FOR_CARD


async def _unanswered_attempt(app: App, payment_id: str) -> ChargeAttempt | None:
    attempts = await app.database.consult(attempts_at, payment_id)
    return next((a for a in reversed(attempts) if a.outcome in UNANSWERED), None)
