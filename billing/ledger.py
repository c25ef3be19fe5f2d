"""The books as values: every movement is a posting whose entries sum to zero in one currency."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from billing.money import Money, MoneyError


class Account(StrEnum):
    """Where value stands. Positive entries are debits.

    What of a payment stands in GATEWAY is what it is worth: captured − refunded − disputed. RECEIVABLE is what open
    invoices still ask for, CUSTOMER_BALANCE what customers have left with us (negative entries: we owe it to them),
    OFFLINE what came in by other ways than the gateway's.
    """

    RECEIVABLE = "receivable"
    REVENUE = "revenue"
    GATEWAY = "gateway"
    REFUNDS = "refunds"
    DISPUTES = "disputes"
    CUSTOMER_BALANCE = "customer_balance"
    OFFLINE = "offline"
    WRITTEN_OFF = "written_off"


class PostingKind(StrEnum):
    INVOICE_ISSUED = "invoice_issued"
    CREDIT_ISSUED = "credit_issued"
    INVOICE_VOIDED = "invoice_voided"
    INVOICE_WRITTEN_OFF = "invoice_written_off"
    WRITE_OFF_RECOVERED = "write_off_recovered"
    BALANCE_APPLIED = "balance_applied"
    BALANCE_GRANTED = "balance_granted"
    BALANCE_RETURNED = "balance_returned"
    BALANCE_WITHDRAWN = "balance_withdrawn"
    BALANCE_WRITTEN_OFF = "balance_written_off"
    PAYMENT_RECORDED = "payment_recorded"
    PAYMENT_CAPTURED = "payment_captured"
    REFUND_SUCCEEDED = "refund_succeeded"
    REFUND_FAILED = "refund_failed"
    DISPUTE_WITHDRAWN = "dispute_withdrawn"
    DISPUTE_REINSTATED = "dispute_reinstated"


_SIDES: dict[PostingKind, tuple[Account, Account]] = {
    PostingKind.INVOICE_ISSUED: (Account.RECEIVABLE, Account.REVENUE),
    PostingKind.INVOICE_VOIDED: (Account.REVENUE, Account.RECEIVABLE),
    # An invoice below zero: what unused time gives back is more than what is asked for.
    PostingKind.CREDIT_ISSUED: (Account.REVENUE, Account.RECEIVABLE),
    PostingKind.INVOICE_WRITTEN_OFF: (Account.WRITTEN_OFF, Account.RECEIVABLE),
    # What was given up comes after all: it is asked for again, and paid.
    PostingKind.WRITE_OFF_RECOVERED: (Account.RECEIVABLE, Account.WRITTEN_OFF),
    # The customer's balance takes over what is due, or is given what an invoice below zero owes.
    PostingKind.BALANCE_APPLIED: (Account.CUSTOMER_BALANCE, Account.RECEIVABLE),
    PostingKind.BALANCE_GRANTED: (Account.RECEIVABLE, Account.CUSTOMER_BALANCE),
    # A voided invoice gives back what it took from the balance, and takes back what it gave.
    PostingKind.BALANCE_RETURNED: (Account.RECEIVABLE, Account.CUSTOMER_BALANCE),
    PostingKind.BALANCE_WITHDRAWN: (Account.CUSTOMER_BALANCE, Account.RECEIVABLE),
    PostingKind.BALANCE_WRITTEN_OFF: (Account.WRITTEN_OFF, Account.CUSTOMER_BALANCE),
    PostingKind.PAYMENT_RECORDED: (Account.OFFLINE, Account.RECEIVABLE),
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


def signed_posting(amount: Money, positive: PostingKind, negative: PostingKind) -> tuple[PostingKind, Money]:
    """Which of two opposite movements an amount is, and over how much."""
    return (negative, -amount) if amount.minor < 0 else (positive, amount)
