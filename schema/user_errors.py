"""Refusals as data: what a client can act on stands beside what was done."""

from collections.abc import Sequence
from datetime import datetime

import strawberry

from billing.errors import ErrorCode, UserProblem, VersionConflict
from resolvers.standing import action_of_payment
from schema.actions import NextAction
from schema.fields import PaymentRef, described
from schema.payments import Payment
from schema.previews import MoneyPreview
from services.problems import CardDeclined, PaymentActionRequired, TooManyAttempts
from services.quotes.quoting import QuoteStale


@strawberry.interface(description="Why something was not done, or not finished. The message says what to do next.")
class UserError:
    code: ErrorCode = described("What kind of refusal it is.")
    message: str = described("For the developer or the customer to read.")
    field: list[str] | None = described('The path of the input at fault, if one is: `["planCode"]`.')


@strawberry.type(description="A refusal with nothing more to tell than its code, message and field.")
class ValidationError(UserError):
    pass


@strawberry.type(description="The card was refused. Try another card on the same subscription.")
class CardDeclinedError(UserError):
    decline_code: str | None = described("The issuer's reason, such as insufficient_funds.")
    is_retryable: bool = described("Whether the same card may be tried again as it is.")
    next_retry_at: datetime | None = described("When it is tried again by itself; null if it is not.")
    payment: PaymentRef | None = described("The payment as it stands; null if the card was only being saved.")


@strawberry.type(description="The customer's bank asks for a confirmation before it pays.")
class PaymentActionRequiredError(UserError):
    next_action: NextAction = described("What the customer must do.")
    payment: PaymentRef | None = described("The payment as it stands.")


@strawberry.type(description="Somebody changed the object meanwhile.")
class VersionConflictError(UserError):
    current_version: int = described("The version that it is at. Read it again before you repeat this.")


@strawberry.type(description="One invoice was tried too often within an hour.")
class TooManyAttemptsError(UserError):
    retry_at: datetime = described("When it may be tried again.")


@strawberry.type(description="What was quoted is no longer what would be done, or the quote is too old. Nothing was.")
class QuoteStaleError(UserError):
    fresh_quote: MoneyPreview = described("What would be done now, with a token of its own.")


USER_ERRORS = (
    ValidationError,
    CardDeclinedError,
    PaymentActionRequiredError,
    VersionConflictError,
    TooManyAttemptsError,
    QuoteStaleError,
)


def refusals(problems: Sequence[UserProblem]) -> list[UserError]:
    return [_user_error(problem) for problem in problems]


def _user_error(problem: UserProblem) -> UserError:
    said = {"code": problem.code, "message": problem.message, "field": problem.field}
    if isinstance(problem, CardDeclined):
        return CardDeclinedError(
            **said,
            decline_code=problem.decline_code,
            is_retryable=problem.is_retryable,
            next_retry_at=problem.payment.collect_at if problem.payment is not None else None,
            payment=Payment.of(problem.payment) if problem.payment is not None else None,
        )
    if isinstance(problem, PaymentActionRequired):
        return PaymentActionRequiredError(
            **said,
            next_action=NextAction.of(action_of_payment(problem.payment, problem.redirect_url)),
            payment=Payment.of(problem.payment),
        )
    if isinstance(problem, VersionConflict):
        return VersionConflictError(**said, current_version=problem.current_version)
    if isinstance(problem, TooManyAttempts):
        return TooManyAttemptsError(**said, retry_at=problem.retry_at)
    if isinstance(problem, QuoteStale):
        return QuoteStaleError(**said, fresh_quote=MoneyPreview.of(problem.fresh))
    return ValidationError(**said)
