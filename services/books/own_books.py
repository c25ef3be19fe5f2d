"""Our own books proven among themselves: ledger, payments, invoices, balances, redemptions, each line by its formula.

Nothing is changed.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.explaining import UnworkableFormula, recompute
from billing.instants import written
from billing.ledger import Account
from models.books import (
    amounts_off_their_discounts,
    balances_by_customer,
    invoices_off_their_lines,
    invoices_paid_twice,
    lines_after,
    periods_paid_twice,
    receivable_by_customer,
)
from models.coupons import miscounted_codes
from models.invoices import InvoiceLine
from models.ledger import account_by_customer, paid_by_payment, settled_payments, sums_by_currency
from models.returns import contradictions
from services.app import App

_PAGE = 500


class FindingKind(StrEnum):
    """What can be wrong."""

    LEDGER_OFF_BALANCE = "ledger_off_balance"
    PAYMENT_OFF_LEDGER = "payment_off_ledger"
    RECEIVABLE_OFF_LEDGER = "receivable_off_ledger"
    BALANCE_OFF_LEDGER = "balance_off_ledger"
    INVOICE_OFF_LINES = "invoice_off_lines"
    LINE_UNEXPLAINED = "line_unexplained"
    SUBSCRIPTION_OFF_AMOUNT = "subscription_off_amount"
    REDEMPTIONS_MISCOUNTED = "redemptions_miscounted"
    PERIOD_PAID_TWICE = "period_paid_twice"
    INVOICE_PAID_TWICE = "invoice_paid_twice"
    INVOICE_CHARGED_TWICE = "invoice_charged_twice"
    PAID_THERE_ONLY = "paid_there_only"
    PAID_HERE_ONLY = "paid_here_only"
    CAPTURE_DIFFERS = "capture_differs"
    REFUNDED_ABOVE_PAID = "refunded_above_paid"
    RETURN_CONTRADICTS = "return_contradicts"
    REFUND_DIFFERS = "refund_differs"
    DISPUTE_DIFFERS = "dispute_differs"


DOUBLE_CHARGES = frozenset(
    (FindingKind.PERIOD_PAID_TWICE, FindingKind.INVOICE_PAID_TWICE, FindingKind.INVOICE_CHARGED_TWICE)
)


@dataclass(frozen=True, slots=True)
class Finding:
    """`subject`: our id, or the gateway's reference, of what is wrong; `text` says it in a sentence."""

    kind: FindingKind
    subject: str
    text: str


async def audit_own_books(app: App) -> Sequence[Finding]:
    """All that is wrong, by each of the checks, at one instant: others may be writing meanwhile."""
    found: list[Finding] = []
    async with app.database.snapshot() as session:
        for check in _CHECKS:
            found += [finding async for finding in check(session)]
    return found


async def unexplained_lines(app: App) -> Sequence[Finding]:
    """The lines whose formula does not come to their amount."""
    async with app.database.read() as session:
        return [finding async for finding in _lines(session)]


async def _sums(session: AsyncSession) -> AsyncIterator[Finding]:
    for currency, off in (await sums_by_currency(session)).items():
        if off:
            text = f"the ledger is off by {off} minor units of {currency}"
            yield Finding(FindingKind.LEDGER_OFF_BALANCE, currency, text)


async def _payments(session: AsyncSession) -> AsyncIterator[Finding]:
    booked, payments = await paid_by_payment(session), await settled_payments(session)
    kept = {row.id: row.amount_kept for row in payments}
    for payment in sorted(kept.keys() | booked.keys()):
        if kept.get(payment) != booked.get(payment):
            text = f"payment {payment}: {kept.get(payment)} kept of it, {booked.get(payment)} by the ledger"
            yield Finding(FindingKind.PAYMENT_OFF_LEDGER, payment, text)
    for row in payments:
        if row.amount_refunded_minor > row.amount_paid_minor:
            text = f"payment {row.id}: more was refunded than paid"
            yield Finding(FindingKind.REFUNDED_ABOVE_PAID, row.id, text)


async def _receivable(session: AsyncSession) -> AsyncIterator[Finding]:
    """What open invoices ask for is what stands receivable."""
    asked, booked = await receivable_by_customer(session), await account_by_customer(session, Account.RECEIVABLE)
    for customer, currency in sorted(asked.keys() | booked.keys()):
        due, stands = asked.get((customer, currency), 0), booked.get((customer, currency), 0)
        if due != stands:
            text = f"customer {customer}: open invoices ask for {due} minor units of {currency}, {stands} by the ledger"
            yield Finding(FindingKind.RECEIVABLE_OFF_LEDGER, customer, text)


async def _balances(session: AsyncSession) -> AsyncIterator[Finding]:
    """What a customer has left with us is what we owe it by the ledger."""
    left, booked = await balances_by_customer(session), await account_by_customer(session, Account.CUSTOMER_BALANCE)
    for customer, currency in sorted(left.keys() | booked.keys()):
        has, owed = left.get((customer, currency), 0), -booked.get((customer, currency), 0)
        if has != owed:
            text = f"customer {customer}: a balance of {has} minor units of {currency}, {owed} by the ledger"
            yield Finding(FindingKind.BALANCE_OFF_LEDGER, customer, text)


async def _invoices(session: AsyncSession) -> AsyncIterator[Finding]:
    for invoice, total, lines in await invoices_off_their_lines(session):
        text = f"invoice {invoice}: a total of {total} minor units, {lines} by its lines"
        yield Finding(FindingKind.INVOICE_OFF_LINES, invoice, text)
    for invoice, count in await invoices_paid_twice(session):
        yield Finding(FindingKind.INVOICE_PAID_TWICE, invoice, f"invoice {invoice}: paid by {count} intents")
    for subscription, start, count in await periods_paid_twice(session):
        text = f"subscription {subscription}: {count} paid invoices for the period from {written(start)}"
        yield Finding(FindingKind.PERIOD_PAID_TWICE, f"{subscription} {written(start)}", text)


async def _lines(session: AsyncSession) -> AsyncIterator[Finding]:
    after = ""
    while rows := await lines_after(session, after, limit=_PAGE):
        for row in rows:
            wrong = _wrong_with(row)
            if wrong is not None:
                text = f"line {row.id} of invoice {row.invoice_id}, {row.description!r}: {wrong}"
                yield Finding(FindingKind.LINE_UNEXPLAINED, row.id, text)
        after = rows[-1].id


def _wrong_with(row: InvoiceLine) -> str | None:
    inputs = {given["name"]: given["value"] for given in row.explanation_inputs}
    try:
        comes_to = recompute(row.explanation_formula, inputs, row.currency)
    except UnworkableFormula as problem:
        return str(problem)
    amount = row.line.amount
    return None if comes_to == amount else f"{row.explanation_formula} comes to {comes_to}, not {amount}"


async def _subscriptions(session: AsyncSession) -> AsyncIterator[Finding]:
    """amount = original amount − discount, which takes off something between nothing and all."""
    for row in await amounts_off_their_discounts(session):
        original, discount = row.original_amount_minor, row.discount_amount_minor
        text = f"subscription {row.id}: {discount} minor units of {row.currency} are taken off {original}"
        yield Finding(FindingKind.SUBSCRIPTION_OFF_AMOUNT, row.id, text)


async def _redemptions(session: AsyncSession) -> AsyncIterator[Finding]:
    """A code is counted as often as discounts were given for it, those freed aside: caps are exact by that count."""
    for id, code, counted, stands in await miscounted_codes(session):
        text = f"code {code}: counted {counted} times, {stands} discounts were given for it"
        yield Finding(FindingKind.REDEMPTIONS_MISCOUNTED, id, text)


async def _returns(session: AsyncSession) -> AsyncIterator[Finding]:
    for row in await contradictions(session):
        text = f"{row.id} of payment {row.payment_id}: {row.contradiction}"
        yield Finding(FindingKind.RETURN_CONTRADICTS, row.id, text)


_CHECKS: Sequence[Callable[[AsyncSession], AsyncIterator[Finding]]] = (
    _sums,
    _payments,
    _receivable,
    _balances,
    _invoices,
    _lines,
    _subscriptions,
    _redemptions,
    _returns,
)
