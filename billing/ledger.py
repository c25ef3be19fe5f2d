"""The books as values: every movement is a posting whose entries sum to zero in one currency."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from billing.money import Money, MoneyError


class Account(StrEnum):
    """Where value stands. Positive entries are debits."""

    RECEIVABLE = "receivable"
    REVENUE = "revenue"
    GATEWAY = "gateway"


class PostingKind(StrEnum):
    INVOICE_ISSUED = "invoice_issued"
    INVOICE_VOIDED = "invoice_voided"
    PAYMENT_CAPTURED = "payment_captured"


_SIDES: dict[PostingKind, tuple[Account, Account]] = {
    PostingKind.INVOICE_ISSUED: (Account.RECEIVABLE, Account.REVENUE),
    PostingKind.INVOICE_VOIDED: (Account.REVENUE, Account.RECEIVABLE),
    PostingKind.PAYMENT_CAPTURED: (Account.GATEWAY, Account.RECEIVABLE),
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
