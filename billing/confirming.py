"""Whether the money has come, in four words: of a payment, and of a subscription as a whole."""

from collections.abc import Iterable, Mapping
from enum import StrEnum

from billing.lifecycle import SUBSCRIPTION, PaymentStatus, SubscriptionStatus


class PaymentConfirmation(StrEnum):
    PENDING = "pending"
    PROCESSING = "processing"
    PAID = "paid"
    CANCELED = "canceled"


CONFIRMATIONS: Mapping[PaymentStatus, PaymentConfirmation] = {
    PaymentStatus.REQUIRES_PAYMENT_METHOD: PaymentConfirmation.PENDING,
    PaymentStatus.REQUIRES_CONFIRMATION: PaymentConfirmation.PENDING,
    PaymentStatus.REQUIRES_ACTION: PaymentConfirmation.PENDING,
    PaymentStatus.FAILED: PaymentConfirmation.PENDING,
    PaymentStatus.UNKNOWN: PaymentConfirmation.PENDING,
    PaymentStatus.PROCESSING: PaymentConfirmation.PROCESSING,
    PaymentStatus.SUCCEEDED: PaymentConfirmation.PAID,
    PaymentStatus.CANCELED: PaymentConfirmation.CANCELED,
}


def statuses(confirmations: Iterable[PaymentConfirmation]) -> frozenset[PaymentStatus]:
    """The payment statuses that read as one of these."""
    wanted = frozenset(confirmations)
    return frozenset(status for status, confirmation in CONFIRMATIONS.items() if confirmation in wanted)


def confirmation(
    status: SubscriptionStatus, latest: PaymentStatus | None, *, awaits_invoice: bool, was_activated: bool
) -> PaymentConfirmation:
    """Of a subscription: by an open invoice that no card pays, unless money is on its way, else by the latest payment.

    Without one there was nothing to pay, so it counts as paid once it gave access.
    """
    if awaits_invoice and latest is not PaymentStatus.PROCESSING:
        return PaymentConfirmation.PENDING
    if latest is not None:
        return CONFIRMATIONS[latest]
    if was_activated or status is SubscriptionStatus.TRIALING:
        return PaymentConfirmation.PAID
    return PaymentConfirmation.CANCELED if status in SUBSCRIPTION.final else PaymentConfirmation.PENDING
