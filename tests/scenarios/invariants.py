"""What holds of one customer's books at every moment, once all has come to rest, and when everything has ended."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlmodel import col, select

from billing.charging import IntentStatus
from billing.invoicing import InvoiceReason
from billing.ledger import Account
from billing.lifecycle import (
    ATTEMPT,
    PAYMENT,
    SUBSCRIPTION,
    InvoiceStatus,
    PaymentStatus,
    RefundStatus,
    SubscriptionStatus,
)
from models.customers import CustomerBalance, customer_of_user, gateway_account
from models.invoices import Invoice, PendingLine
from models.ledger import LedgerEntry
from models.payments import MANUAL, ChargeAttempt, Payment
from models.returns import Refund
from models.subscriptions import CollectionMethod, LivePlace, ScheduledChange, Subscription, SubscriptionItem
from tests.support.house import House
from tests.support.outside import dashboard


@dataclass
class Books:
    """All rows of one customer, and what the gateway says of it."""

    subscriptions: list[Subscription]
    invoices: list[Invoice]
    payments: list[Payment]
    entries: list[LedgerEntry]
    balances: list[CustomerBalance]
    places: list[LivePlace]
    attempts: list[ChargeAttempt]
    refunds: list[Refund]
    items: list[SubscriptionItem]
    planned: list[ScheduledChange]
    waiting: list[PendingLine]
    intents: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    charges: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    @property
    def invoice_of(self) -> dict[str, str]:
        return {intent["id"]: intent["metadata"]["perennial_invoice"] for intent in self.intents}

    @property
    def charged(self) -> Counter[str]:
        """How many succeeded charges the gateway's books hold, by our invoice."""
        of = self.invoice_of
        return Counter(of[c["payment_intent"]] for c in self.charges if c["status"] == "succeeded")

    @property
    def live(self) -> list[Subscription]:
        return [row for row in self.subscriptions if row.status not in SUBSCRIPTION.final]

    @property
    def open(self) -> list[Invoice]:
        """Invoices that ask for something, the oldest period first."""
        found = [row for row in self.invoices if row.status is InvoiceStatus.OPEN]
        return sorted(found, key=lambda row: (row.period_start, row.id))


async def books_of(house: House, user: str) -> Books | None:
    """None before the user is a customer."""
    async with house.app.database.read() as session:
        customer = await customer_of_user(session, user)
        if customer is None:
            return None
        account = await gateway_account(session, customer.id, house.app.gateway.platform)

        async def rows(kind: Any, key: Any, ids: list[str]) -> list[Any]:
            return list((await session.exec(select(kind).where(col(key).in_(ids)))).all())

        own = [await rows(kind, kind.customer_id, [customer.id]) for kind in _OWN]
        subscriptions, payments = [row.id for row in own[0]], [row.id for row in own[2]]
        of_payments = [await rows(kind, kind.payment_id, payments) for kind in (ChargeAttempt, Refund)]
        of_subscriptions = [
            await rows(kind, kind.subscription_id, subscriptions)
            for kind in (SubscriptionItem, ScheduledChange, PendingLine)
        ]
        books = Books(*own, *of_payments, *of_subscriptions)
    if account is not None:
        v1, params = dashboard(house), {"customer": account.gateway_ref, "limit": 100}
        books.intents = (await v1.payment_intents.list_async(params)).to_dict()["data"]
        books.charges = (await v1.charges.list_async(params)).to_dict()["data"]
    return books


_OWN = (Subscription, Invoice, Payment, LedgerEntry, CustomerBalance, LivePlace)


def broken(books: Books) -> list[str]:
    """Which promises do not hold, at any moment."""
    return [*_broken_money(books), *_broken_subscriptions(books)]


def _broken_money(books: Books) -> list[str]:
    charged = books.charged
    found = [f"{invoice} charged {count} times" for invoice, count in charged.items() if count > 1]
    succeeded = [row for row in books.payments if row.status is PaymentStatus.SUCCEEDED]
    collected = {row.invoice_id for row in succeeded if row.platform != MANUAL}
    found += [f"{invoice} collected without a charge" for invoice in collected if not charged[invoice]]
    paid_for = {row.invoice_id for row in succeeded}
    for row in books.invoices:
        is_paid, costs = row.status is InvoiceStatus.PAID, row.total_minor > row.credit_applied_minor
        if is_paid and costs and row.id not in paid_for:
            found.append(f"{row.id} is paid by nobody")
        if row.id in collected and not is_paid:
            found.append(f"{row.id} was collected, and is {row.status}")
    for currency in {row.currency for row in books.invoices}:
        owed = sum(row.amount_due.minor for row in books.open if row.currency == currency)
        entries = [e for e in books.entries if e.currency == currency and e.account is Account.RECEIVABLE]
        if owed != sum(entry.amount_minor for entry in entries):
            found.append(f"the ledger's receivable is not what open invoices ask for in {currency}")
    return found


def _broken_subscriptions(books: Books) -> list[str]:
    found: list[str] = []
    for row in books.subscriptions:
        first = [i for i in books.invoices if i.subscription_id == row.id and i.reason is _CREATE]
        never = row.status in (SubscriptionStatus.INCOMPLETE, SubscriptionStatus.INCOMPLETE_EXPIRED)
        if first and not _is_sent(row) and never is (first[0].status is InvoiceStatus.PAID):
            found.append(f"{row.id} is {row.status}, its first invoice {first[0].status}")
    for row in books.live:
        if row.due_at != row.next_due():
            found.append(f"{row.id} is due {row.due_at} instead of {row.next_due()}")
        held = {place.product_id for place in books.places if place.subscription_id == row.id}
        wanted = {i.product_id for i in books.items if i.subscription_id == row.id and i.ended_at is None}
        planned = any(each.subscription_id == row.id for each in books.planned)
        if not (wanted <= held if planned else wanted == held):
            found.append(f"{row.id} holds {held} and consists of {wanted}")
        if planned is (row.change_at is None):
            found.append(f"{row.id} changes at {row.change_at}: planned is {planned}")
    live = {row.id for row in books.live}
    found += [
        f"{p.subscription_id} has ended and holds {p.product_id}" for p in books.places if p.subscription_id not in live
    ]
    found += [f"{p.subscription_id} has ended and would change" for p in books.planned if p.subscription_id not in live]
    found += [
        f"{row.subscription_id} is behind: its {row.id} is open" for row in books.open if _is_overlooked(books, row)
    ]
    return found


_CREATE = InvoiceReason.SUBSCRIPTION_CREATE


def _is_sent(row: Subscription) -> bool:
    """Whether its invoices are waited for: open before they are paid, and owed after it has ended."""
    return row.collection_method is CollectionMethod.SEND_INVOICE


def _is_overlooked(books: Books, invoice: Invoice) -> bool:
    """An open invoice to which nothing can happen any more by itself."""
    row = next(each for each in books.subscriptions if each.id == invoice.subscription_id)
    payment = next((p for p in books.payments if p.invoice_id == invoice.id and p.platform != MANUAL), None)
    if payment is None:
        return not _is_sent(row)
    oldest = next(each for each in books.open if each.subscription_id == row.id)
    goes_on = (
        payment.collect_at is not None,
        payment.give_up_at is not None,
        payment.due_at is not None and payment.status in _UNDER_WAY,
        payment.leased_until is not None,
        row.status is SubscriptionStatus.INCOMPLETE,
        row.given_up_at is not None,
        oldest.id != invoice.id,
    )
    return not any(goes_on)


_UNDER_WAY = (PaymentStatus.REQUIRES_CONFIRMATION, PaymentStatus.PROCESSING, PaymentStatus.UNKNOWN)


def unfinished(books: Books, machine_now: datetime) -> list[str]:
    """What must not be left once everything has come to rest. What is not due any more keeps a lease that ran out."""
    status, of = {row.id: row.status for row in books.invoices}, books.invoice_of
    found = [f"{i} charged, but {status[i]}" for i in books.charged if status[i] is not InvoiceStatus.PAID]
    open_intents = [i for i in books.intents if i["status"] not in (IntentStatus.SUCCEEDED, IntentStatus.CANCELED)]
    found += [
        f"{intent['id']} could still be paid: its invoice is {status[of[intent['id']]]}"
        for intent in open_intents
        if status[of[intent["id"]]] is not InvoiceStatus.OPEN
    ]
    found += [f"{row.id} is incomplete" for row in books.live if row.status is SubscriptionStatus.INCOMPLETE]
    leased = (*books.payments, *books.subscriptions, *books.refunds)
    found += [f"{row.id} is leased" for row in leased if row.leased_until and row.leased_until > machine_now]
    for row in books.payments:
        is_final, is_manual = row.status in PAYMENT.final, row.platform == MANUAL
        if is_final and (row.due_at or row.collect_at or row.give_up_at):
            found.append(f"{row.id} has ended and is due")
        if not is_final and not is_manual and not row.due_at:
            found.append(f"{row.id} is open and never due")
    found += [f"{row.id} is on its way" for row in books.refunds if row.status is RefundStatus.PENDING]
    ended = {row.id for row in books.payments if row.status in PAYMENT.final}
    found += [
        f"{a.id} of an ended payment is {a.outcome}"
        for a in books.attempts
        if a.payment_id in ended and a.outcome not in ATTEMPT.final
    ]
    recorded = Counter(attempt.charge_ref for attempt in books.attempts if attempt.charge_ref)
    known = Counter(charge["id"] for charge in books.charges)
    return found + ([f"charges {known - recorded} are not recorded"] if known - recorded else [])


def left_over(books: Books) -> list[str]:
    """What must not be left after the customer's last subscription has ended and time has passed."""
    found = [f"{row.id} is {row.status}" for row in books.live]
    sent = {row.id for row in books.subscriptions if _is_sent(row)}
    owed = [row for row in books.open if row.subscription_id not in sent]
    found += [f"{row.id} of {row.reason} asks for {row.amount_due}" for row in owed]
    found += [f"{row.subscription_id} has ended with {row.id} waiting" for row in books.waiting if not row.invoice_id]
    found += [f"owes {row.amount}" for row in books.balances if row.amount.minor < 0]
    return found
