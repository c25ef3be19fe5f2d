"""The books: each movement's two entries, which sum to nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.ledger import Account, Entry, PostingKind, posting
from billing.money import CURRENCIES, Money, MoneyError, total

SIDES = {
    PostingKind.INVOICE_ISSUED: (Account.RECEIVABLE, Account.REVENUE),
    PostingKind.INVOICE_VOIDED: (Account.REVENUE, Account.RECEIVABLE),
    PostingKind.CREDIT_ISSUED: (Account.REVENUE, Account.RECEIVABLE),
    PostingKind.INVOICE_WRITTEN_OFF: (Account.WRITTEN_OFF, Account.RECEIVABLE),
    PostingKind.WRITE_OFF_RECOVERED: (Account.RECEIVABLE, Account.WRITTEN_OFF),
    PostingKind.BALANCE_APPLIED: (Account.CUSTOMER_BALANCE, Account.RECEIVABLE),
    PostingKind.BALANCE_GRANTED: (Account.RECEIVABLE, Account.CUSTOMER_BALANCE),
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
PRICE = Money(700, "USD")


def balances(*kinds: PostingKind) -> dict[Account, int]:
    entries = [entry for kind in kinds for entry in posting(kind, PRICE)]
    return {account: sum(e.amount.minor for e in entries if e.account is account) for account in Account}


@pytest.mark.parametrize("kind", PostingKind)
def test_a_movement_debits_one_account_and_credits_the_other(kind: PostingKind) -> None:
    debited, credited = SIDES[kind]
    assert posting(kind, PRICE) == (Entry(debited, Money(700, "USD")), Entry(credited, Money(-700, "USD")))


@pytest.mark.parametrize("kind", PostingKind)
def test_nothing_moves_for_nothing(kind: PostingKind) -> None:
    assert posting(kind, Money(0, "JPY")) == ()


@given(st.sampled_from(PostingKind), st.integers(0, 2**63 - 1), st.sampled_from(sorted(CURRENCIES)))
def test_a_movement_sums_to_zero_in_its_currency(kind: PostingKind, minor: int, currency: str) -> None:
    entries = posting(kind, Money(minor, currency))
    assert total([entry.amount for entry in entries], currency) == Money(0, currency)


def test_an_invoice_that_was_paid_leaves_nothing_receivable() -> None:
    assert balances(PostingKind.INVOICE_ISSUED, PostingKind.PAYMENT_CAPTURED) == {
        Account.RECEIVABLE: 0,
        Account.REVENUE: -700,
        Account.GATEWAY: 700,
        Account.REFUNDS: 0,
        Account.DISPUTES: 0,
        Account.CUSTOMER_BALANCE: 0,
        Account.OFFLINE: 0,
        Account.WRITTEN_OFF: 0,
    }


SETTLED = {**dict.fromkeys(Account, 0), Account.REVENUE: -700}


@pytest.mark.parametrize(
    ("gone", "back", "account"),
    [
        (PostingKind.REFUND_SUCCEEDED, PostingKind.REFUND_FAILED, Account.REFUNDS),
        (PostingKind.DISPUTE_WITHDRAWN, PostingKind.DISPUTE_REINSTATED, Account.DISPUTES),
    ],
)
def test_money_that_goes_back_leaves_the_gateway_and_returns_to_it(
    gone: PostingKind, back: PostingKind, account: Account
) -> None:
    paid = (PostingKind.INVOICE_ISSUED, PostingKind.PAYMENT_CAPTURED)
    assert balances(*paid, gone) == {**SETTLED, account: 700}
    assert balances(*paid, gone, back) == {**SETTLED, Account.GATEWAY: 700}


def test_an_invoice_that_was_voided_leaves_no_trace_in_the_balances() -> None:
    assert balances(PostingKind.INVOICE_ISSUED, PostingKind.INVOICE_VOIDED) == dict.fromkeys(Account, 0)


def test_a_negative_posting_is_refused():
    with pytest.raises(MoneyError, match="post its opposite"):
        posting(PostingKind.PAYMENT_CAPTURED, Money(-1, "USD"))
