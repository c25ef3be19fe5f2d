"""Refusals that many steps share, and those that carry the rows a client needs to act on them."""

from datetime import UTC, datetime

from billing.charging import ON_SESSION_TRIES, CardProblem, is_retryable, message_for_customer
from billing.errors import ErrorCode, UserProblem, VersionConflict
from models.payments import Payment


class CardDeclined(UserProblem):
    """The card was refused; the payment beside it says what stands."""

    def __init__(self, problem: CardProblem, payment: Payment | None, field: str = "paymentMethodId") -> None:
        super().__init__(ErrorCode.CARD_DECLINED, message_for_customer(problem), [field])
        self.decline_code = problem.decline_code
        self.is_retryable = is_retryable(problem)
        self.payment = payment


class PaymentActionRequired(UserProblem):
    """The bank asks for the customer: at `redirect_url`, or through the gateway's browser SDK when it is None."""

    def __init__(self, payment: Payment, redirect_url: str | None) -> None:
        super().__init__(
            ErrorCode.PAYMENT_ACTION_REQUIRED,
            "The bank asks the customer to confirm this payment. Carry out nextAction, then read the subscription.",
        )
        self.payment = payment
        self.redirect_url = redirect_url


class TooManyAttempts(UserProblem):
    """The customer has tried one invoice too often; `retry_at` is when it may be tried again."""

    def __init__(self, retry_at: datetime) -> None:
        super().__init__(
            ErrorCode.TOO_MANY_ATTEMPTS,
            f"This invoice was tried {ON_SESSION_TRIES} times within an hour. "
            f"Try again at {retry_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC.",
        )
        self.retry_at = retry_at


def refuse_stale(version: int, expected: int | None) -> None:
    """Raises VERSION_CONFLICT unless the row is as the client has read it; None: whatever it is."""
    if expected not in (None, version):
        raise VersionConflict(version)


def not_found(what: str, field: str) -> UserProblem:
    """The same answer for a missing and for a foreign id."""
    return UserProblem(ErrorCode.NOT_FOUND, f"There is no such {what} of yours.", [field])


def key_reused() -> UserProblem:
    return UserProblem(
        ErrorCode.IDEMPOTENCY_CONFLICT,
        "This idempotency key was used with other input. Use a new key for a new request.",
        ["idempotencyKey"],
    )


def gateway_unavailable() -> UserProblem:
    return UserProblem(
        ErrorCode.GATEWAY_UNAVAILABLE, "The payment gateway cannot be reached. Repeat the request; it is safe to."
    )


def outcome_unknown() -> UserProblem:
    return UserProblem(
        ErrorCode.PAYMENT_OUTCOME_UNKNOWN,
        "The payment gateway has not answered yet. The outcome follows within a minute; nothing is charged twice.",
    )
