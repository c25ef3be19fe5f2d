"""Collecting a payment while the customer is present: the first one, or again after a decline.

Challenges come back to the customer, and whoever asks for the same payment meanwhile waits for the result.
"""

from dataclasses import dataclass, replace

from billing.errors import ErrorCode, UserProblem
from billing.lifecycle import PAYMENT, PaymentStatus
from gateways.port import GatewayRefused, GatewayUnavailable, PaymentIntentSnapshot
from models.customers import Customer, PaymentMethod
from models.leases import LeaseLost
from models.payments import attempts_at, payment_by_id
from services.app import App
from services.changes import Why
from services.payments.carrying import TOO_SMALL
from services.payments.collecting import Try, open_intent
from services.payments.holding import hold, let_go, wait_until_free
from services.payments.outcomes import PaymentOutcome, payment_outcome
from services.payments.paying import pay
from services.people.customers import ensure_gateway_account
from services.problems import gateway_unavailable

_ROUNDS = 4


@dataclass(frozen=True, slots=True)
class Visit:
    """What is to be paid by whom, and with which card if one is given; otherwise the browser confirms one.

    `fence`: the caller has just written the payment and holds its lease. `is_repeatable`: the invoice is the same for
    a repeated request, so that after a restore the gateway may know its intent already.
    """

    customer: Customer
    subscription_id: str
    payment_id: str
    method: PaymentMethod | None
    trigger: str
    return_url: str | None
    fence: int | None = None
    error_url: str | None = None
    is_repeatable: bool = False


async def collect_on_session(app: App, visit: Visit, why: Why) -> PaymentOutcome:
    """Bring the payment to the gateway and, with a card, try it; a concurrent twin gets the first one's result.

    Problems are in the outcome, never raised.
    """
    fence = visit.fence
    for _ in range(_ROUNDS):
        if fence is not None:
            return await _collect_held(app, visit, fence, why)
        fence = await hold(app, visit.payment_id)
        if fence is None:
            if not await wait_until_free(app, visit.payment_id):
                break
            if await _answered_meanwhile(app, visit, why):
                return await payment_outcome(app, visit.subscription_id, visit.payment_id)
    problem = UserProblem(ErrorCode.PAYMENT_IN_PROGRESS, "This payment is being made; read the subscription shortly.")
    return await payment_outcome(app, visit.subscription_id, visit.payment_id, problems=[problem])


async def _answered_meanwhile(app: App, visit: Visit, why: Why) -> bool:
    """Whether the holder that we waited for has done what this request wants."""
    async with app.database.read() as session:
        payment = await payment_by_id(session, visit.payment_id)
        attempts = await attempts_at(session, visit.payment_id)
    if payment is None or payment.status in PAYMENT.final:
        return True
    if visit.method is None or not attempts:
        return False
    last = attempts[-1]
    return last.payment_method_id == visit.method.id and last.started_at >= why.now


async def _collect_held(app: App, visit: Visit, fence: int, why: Why) -> PaymentOutcome:
    snapshot: PaymentIntentSnapshot | None = None
    problems: list[UserProblem] = []
    payment_id = visit.payment_id
    try:
        await ensure_gateway_account(app, visit.customer)
        is_new = visit.fence is not None and not visit.is_repeatable
        snapshot = await open_intent(app, payment_id, fence, why, is_new=is_new)
        card = visit.method and Try(
            visit.method, visit.trigger, off_session=False, return_url=visit.return_url, error_url=visit.error_url
        )
        snapshot = await pay(app, payment_id, fence, snapshot, card, why)
    except GatewayUnavailable:
        problems.append(gateway_unavailable())
    except GatewayRefused as refusal:
        problems.append(_refused(refusal))
    except UserProblem as problem:
        problems.append(problem)
    except LeaseLost:
        # Whoever took over goes on and keeps the lease; of what had ended before it was ours, we keep none.
        await let_go(app, payment_id, fence)
    if problems:
        await let_go(app, payment_id, fence)
    outcome = await payment_outcome(app, visit.subscription_id, payment_id, snapshot, problems)
    if outcome.payment is not None and outcome.payment.status is PaymentStatus.CANCELED:
        return replace(outcome, problems=[_ended_meanwhile()])
    return outcome


def _ended_meanwhile() -> UserProblem:
    return UserProblem(
        ErrorCode.INVALID_STATE, "Another request ended this subscription before it was paid. Subscribe again."
    )


def _refused(refusal: GatewayRefused) -> UserProblem:
    if refusal.code == TOO_SMALL:
        return UserProblem(
            ErrorCode.AMOUNT_TOO_SMALL, "This amount is below what the gateway charges in this currency."
        )
    return UserProblem(ErrorCode.INVALID_STATE, f"The gateway does not take this payment: {refusal}")
