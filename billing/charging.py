"""What a gateway's answer about a charge means.

A charge has four answers: succeeded, needs action, declined, unknown. An intent that still waits for the browser has
no answer yet. Unknown is never a failure: the gateway is asked until it tells.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from billing.lifecycle import AttemptEvent, PaymentEvent


class IntentStatus(StrEnum):
    """Where an intent stands at the gateway."""

    REQUIRES_PAYMENT_METHOD = "requires_payment_method"
    REQUIRES_CONFIRMATION = "requires_confirmation"
    REQUIRES_ACTION = "requires_action"
    PROCESSING = "processing"
    REQUIRES_CAPTURE = "requires_capture"
    SUCCEEDED = "succeeded"
    CANCELED = "canceled"


ASKS_FOR_CARD = frozenset((IntentStatus.REQUIRES_PAYMENT_METHOD, IntentStatus.REQUIRES_CONFIRMATION))
"""Nothing is under way at the intent: a card may be tried on it."""


class SetupFutureUsage(StrEnum):
    """Whether a card is kept after it paid, and for charges with or without its owner present."""

    ON_SESSION = "on_session"
    OFF_SESSION = "off_session"


@dataclass(frozen=True, slots=True)
class CardProblem:
    """Why a card was refused, in the words of the card networks."""

    code: str
    message: str
    decline_code: str | None = None
    advice_code: str | None = None


class DeclineClass(StrEnum):
    """What can be done about a decline; see docs/errors.md."""

    NEW_CARD = "new_card"
    CUSTOMER_UPDATES = "customer_updates"
    CUSTOMER_AUTHENTICATES = "customer_authenticates"
    SOFT = "soft"
    TECHNICAL = "technical"


DECLINE_CODES: dict[DeclineClass, frozenset[str]] = {
    DeclineClass.NEW_CARD: frozenset(
        """incorrect_number lost_card pickup_card stolen_card revocation_of_authorization
        revocation_of_all_authorizations highest_risk_level transaction_not_allowed restricted_card fraudulent
        stop_payment_order invalid_account card_not_supported currency_not_supported not_permitted
        merchant_blacklist testmode_decline""".split()
    ),
    DeclineClass.CUSTOMER_UPDATES: frozenset(
        """expired_card incorrect_cvc invalid_cvc invalid_expiry_month invalid_expiry_year incorrect_zip
        invalid_number""".split()
    ),
    DeclineClass.CUSTOMER_AUTHENTICATES: frozenset(
        """authentication_required authentication_not_handled payment_intent_authentication_failure
        setup_intent_authentication_failure""".split()
    ),
    DeclineClass.TECHNICAL: frozenset(
        "processing_error issuer_not_available reenter_transaction approve_with_id lock_timeout".split()
    ),
}
DECLINE_ADVICE = {
    "do_not_try_again": DeclineClass.NEW_CARD,
    "confirm_card_data": DeclineClass.CUSTOMER_UPDATES,
}


def classify(problem: CardProblem) -> DeclineClass:
    """The issuer's reason decides first, then its advice; what is not listed is soft."""
    for code in (problem.decline_code, problem.code):
        for decline_class, codes in DECLINE_CODES.items():
            if code in codes:
                return decline_class
    return DECLINE_ADVICE.get(problem.advice_code or "", DeclineClass.SOFT)


def is_retryable(problem: CardProblem) -> bool:
    """Whether the same card may be tried again without the customer doing anything."""
    return classify(problem) in (DeclineClass.SOFT, DeclineClass.TECHNICAL)


ON_SESSION_TRIES = 5
ON_SESSION_SPAN = timedelta(hours=1)
"""A customer who is present may try one invoice so often within this span; guessing cards is not paying."""


def next_try_on_session(tried_at: Iterable[datetime], now: datetime) -> datetime | None:
    """When an invoice that was tried on session at these instants may be tried so again; None: now."""
    recent = sorted(at for at in tried_at if at > now - ON_SESSION_SPAN)
    return recent[-ON_SESSION_TRIES] + ON_SESSION_SPAN if len(recent) >= ON_SESSION_TRIES else None


_ADVICE: dict[DeclineClass, str] = {
    DeclineClass.NEW_CARD: "Use another card.",
    DeclineClass.CUSTOMER_UPDATES: "Check the card's details, or use another card.",
    DeclineClass.CUSTOMER_AUTHENTICATES: "Try again and confirm it with the bank, or use another card.",
    DeclineClass.SOFT: "Try again later, or use another card.",
    DeclineClass.TECHNICAL: "Try again in a few minutes.",
}


def message_for_customer(problem: CardProblem) -> str:
    """What happened and what to do next, to be shown as it is."""
    decline_class = classify(problem)
    authentication = decline_class is DeclineClass.CUSTOMER_AUTHENTICATES
    happened = "The bank has not confirmed this card." if authentication else problem.message
    return f"{happened} {_ADVICE[decline_class]}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an intent's present state does to its payment and to the attempt that led there (None: nothing)."""

    payment: PaymentEvent
    attempt: AttemptEvent | None


_VERDICTS: dict[IntentStatus, Verdict] = {
    IntentStatus.SUCCEEDED: Verdict(PaymentEvent.SUCCEED, AttemptEvent.SUCCEED),
    # The gateway gave this intent up, not we the invoice: it gets a new one when somebody pays.
    IntentStatus.CANCELED: Verdict(PaymentEvent.ASK_PAYMENT_METHOD, AttemptEvent.ABANDON),
    IntentStatus.REQUIRES_ACTION: Verdict(PaymentEvent.ASK_CUSTOMER, AttemptEvent.ASK_CUSTOMER),
    IntentStatus.PROCESSING: Verdict(PaymentEvent.PROCESS, None),
    IntentStatus.REQUIRES_CAPTURE: Verdict(PaymentEvent.PROCESS, None),
    IntentStatus.REQUIRES_CONFIRMATION: Verdict(PaymentEvent.START_ATTEMPT, None),
}
_DECLINED = Verdict(PaymentEvent.DECLINE, AttemptEvent.DECLINE)
_WAITING = Verdict(PaymentEvent.ASK_PAYMENT_METHOD, None)


def read_intent(status: IntentStatus, problem: CardProblem | None) -> Verdict:
    """An intent that asks for a card has either just been declined or never been tried."""
    if status is IntentStatus.REQUIRES_PAYMENT_METHOD:
        return _DECLINED if problem else _WAITING
    return _VERDICTS[status]
