"""The books as values: every movement is a posting whose entries sum to zero in one currency."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from billing.money import Money, MoneyError


class Account(StrEnum):
    """Where value stands. Positive entries are debits.

    What of a payment stands in GATEWAY is what it is worth: captured − refunded − disputed.
    """

    RECEIVABLE = "receivable"
    REVENUE = "revenue"
    GATEWAY = "gateway"
    REFUNDS = "refunds"
    DISPUTES = "disputes"


class PostingKind(StrEnum):
    INVOICE_ISSUED = "invoice_issued"
    INVOICE_VOIDED = "invoice_voided"
    PAYMENT_CAPTURED = "payment_captured"
    REFUND_SUCCEEDED = "refund_succeeded"
    REFUND_FAILED = "refund_failed"
    DISPUTE_WITHDRAWN = "dispute_withdrawn"
    DISPUTE_REINSTATED = "dispute_reinstated"


_SIDES: dict[PostingKind, tuple[Account, Account]] = {
    PostingKind.INVOICE_ISSUED: (Account.RECEIVABLE, Account.REVENUE),
    PostingKind.INVOICE_VOIDED: (Account.REVENUE, Account.RECEIVABLE),
    PostingKind.PAYMENT_CAPTURED: (Account.GATEWAY, Account.RECEIVABLE),
    PostingKind.REFUND_SUCCEEDED: (Account.REFUNDS, Account.GATEWAY),
    PostingKind.REFUND_FAILED: (Account.GATEWAY, Account.REFUNDS),
    PostingKind.DISPUTE_WITHDRAWN: (Account.DISPUTES, Account.GATEWAY),
    PostingKind.DISPUTE_REINSTATED: (Account.GATEWAY, Account.DISPUTES),
}


@dataclass(frozen=True, slots=True)
class Entry:
    account: Account
    amount: Money


def posting(kind: PostingKind, amount: Money) -> Sequence[Entry]:
    """The two entries of a movement of `amount`; none for zero. A negative one is a MoneyError: it has another kind."""
    if amount.minor < 0:
        raise MoneyError(f"a {kind} posting of {amount} is none; post its opposite")
    if amount.is_zero:
        return ()
    debit, credit = _SIDES[kind]
    return (Entry(debit, amount), Entry(credit, -amount))
