"""What a step about a payment leaves behind, read again from the rows."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from billing.errors import UserProblem
from billing.lifecycle import AttemptOutcome, PaymentStatus
from gateways.port import PaymentIntentSnapshot, SetupIntentSnapshot
from models.customers import SetupIntentRow
from models.payments import (
    CollectionIntent,
    Payment,
    attempts_at,
    latest_payment_of,
    newest_intent,
    payment_by_id,
    problem_of,
)
from models.subscriptions import Subscription
from services.app import App
from services.problems import CardDeclined, PaymentActionRequired, outcome_unknown


@dataclass(frozen=True, slots=True)
class PaymentIntentView:
    """An intent's row with its payment, and the gateway's live answer where a step has just asked for it."""

    row: CollectionIntent
    payment: Payment
    snapshot: PaymentIntentSnapshot | None


@dataclass(frozen=True, slots=True)
class SetupIntentView:
    """A setup intent's row and the gateway's live answer."""

    row: SetupIntentRow
    snapshot: SetupIntentSnapshot


@dataclass(frozen=True, slots=True)
class PaymentOutcome:
    """What a step about a payment leaves behind, read again from the rows; success and problems come together.

    `setup_intent`: where nothing is to be paid yet, what the browser saves a card for the first period with.
    """

    subscription: Subscription | None
    payment: Payment | None
    intent: PaymentIntentView | None
    problems: Sequence[UserProblem] = field(default_factory=tuple)
    setup_intent: SetupIntentView | None = None


async def payment_outcome(
    app: App,
    subscription_id: str,
    payment_id: str | None = None,
    snapshot: PaymentIntentSnapshot | None = None,
    problems: Sequence[UserProblem] = (),
) -> PaymentOutcome:
    """The rows as they are now. `payment_id` defaults to the subscription's latest payment.

    The problems told are the given ones, else those that the rows show.
    """
    async with app.database.read() as session:
        subscription = await session.get(Subscription, subscription_id)
        payment = await (
            payment_by_id(session, payment_id) if payment_id else latest_payment_of(session, subscription_id)
        )
        if payment is None:
            return PaymentOutcome(subscription, None, None, tuple(problems))
        intent = await newest_intent(session, payment.id)
        attempts = await attempts_at(session, payment.id)
    view = PaymentIntentView(intent, payment, snapshot) if intent else None
    last = attempts[-1].outcome if attempts else None
    return PaymentOutcome(subscription, payment, view, tuple(problems) or _problems(payment, intent, last))


def _problems(
    payment: Payment, intent: CollectionIntent | None, last: AttemptOutcome | None
) -> tuple[UserProblem, ...]:
    refused = problem_of(payment)
    if payment.status is PaymentStatus.FAILED and refused is not None:
        return (CardDeclined(refused, payment),)
    if payment.status is PaymentStatus.REQUIRES_ACTION and last is AttemptOutcome.REQUIRES_ACTION:
        return (PaymentActionRequired(payment, intent.next_action_url if intent else None),)
    if payment.status is PaymentStatus.UNKNOWN or last in (AttemptOutcome.PENDING, AttemptOutcome.UNKNOWN):
        return (outcome_unknown(),)
    return ()
