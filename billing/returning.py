"""Money that goes back: refunds, which the merchant gives, and disputes, by which a bank takes.

Neither changes the status of the payment: that the money came stays true. How the payment is seen follows from both.
"""

from enum import StrEnum

from billing.lifecycle import PaymentStatus, RefundEvent, RefundStatus
from billing.money import Money


class RefundReason(StrEnum):
    DUPLICATE = "duplicate"
    FRAUDULENT = "fraudulent"
    REQUESTED_BY_CUSTOMER = "requested_by_customer"
    SERVICE_NOT_PROVIDED = "service_not_provided"
    OTHER = "other"


class RefundOrigin(StrEnum):
    """Who gave the money back: somebody at the gateway's dashboard, or a call of ours."""

    GATEWAY = "gateway"
    API = "api"


class DisputeStatus(StrEnum):
    """How the bank's question stands; a WARNING is an inquiry, for which no money has moved yet."""

    WARNING_NEEDS_RESPONSE = "warning_needs_response"
    WARNING_UNDER_REVIEW = "warning_under_review"
    WARNING_CLOSED = "warning_closed"
    NEEDS_RESPONSE = "needs_response"
    UNDER_REVIEW = "under_review"
    APPEAL_NEEDS_RESPONSE = "appeal_needs_response"
    APPEAL_UNDER_REVIEW = "appeal_under_review"
    WON = "won"
    LOST = "lost"
    PREVENTED = "prevented"


REFUND_NEWS: dict[RefundStatus, RefundEvent | None] = {
    RefundStatus.PENDING: None,
    RefundStatus.SUCCEEDED: RefundEvent.SUCCEED,
    RefundStatus.FAILED: RefundEvent.FAIL,
    RefundStatus.CANCELED: RefundEvent.CANCEL,
}
"""What it means for a refund that the gateway says it stands so."""


class PaymentStanding(StrEnum):
    """How a payment is seen: the statuses of its machine, and what became of the money afterwards."""

    REQUIRES_PAYMENT_METHOD = "requires_payment_method"
    REQUIRES_CONFIRMATION = "requires_confirmation"
    REQUIRES_ACTION = "requires_action"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    UNKNOWN = "unknown"
    PARTIALLY_REFUNDED = "partially_refunded"
    REFUNDED = "refunded"
    DISPUTED = "disputed"


def refundable(captured: Money, *, disputed: Money, given_back: Money) -> Money:
    """What of a payment may still be given back. `given_back`: by refunds that succeeded or are under way."""
    return max(captured - disputed - given_back, Money.zero(captured.currency))


def standing(status: PaymentStatus, *, paid: int, refunded: int, disputed: int) -> PaymentStanding:
    """Amounts in minor units. What a bank holds back comes before what was given back."""
    if status is not PaymentStatus.SUCCEEDED or (refunded == 0 and disputed == 0):
        return PaymentStanding(status)
    if disputed > 0:
        return PaymentStanding.DISPUTED
    return PaymentStanding.REFUNDED if refunded >= paid else PaymentStanding.PARTIALLY_REFUNDED
