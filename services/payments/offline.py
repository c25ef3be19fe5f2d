"""Payments that came by other ways than the gateway's, recorded by the merchant.

What a card could still pay of the invoice is stopped first; if it turns out to have been paid by it, that wins.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.errors import ErrorCode, UserProblem
from billing.ledger import PostingKind
from billing.lifecycle import (
    INVOICE,
    PAYMENT,
    InvoiceEvent,
    InvoiceStatus,
    PaymentEvent,
    PaymentStatus,
    SubscriptionStatus,
)
from billing.money import Money
from billing.offline import allot
from models.base import ID_PREFIXES, Notes
from models.customers import Customer, change_balance
from models.invoices import Invoice
from models.ledger import book
from models.payments import MANUAL, Payment, payment_by_id, payment_of_invoice
from models.subscriptions import Subscription
from services.app import Actor, App
from services.changes import Why, move_invoice, move_payment, remember
from services.idempotency import Memory, once, scope_of
from services.owned import locked_subscription
from services.payments.arrears import after_success
from services.payments.settling import activate
from services.payments.stopping import collecting_stopped, end_collection
from services.problems import key_reused, not_found, refuse_stale
from services.shielding import within_budget
from services.timelines import in_time_of
from services.usage.refilling import refill

_CAUSE = "recordManualPayment"
_PAYMENTS = uuid5(NAMESPACE_URL, "perennial:payment")
_CLOCKS_DIFFER = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class PaymentRecord:
    """What came. `due`: what was asked for, where the merchant names it. `reference` is the merchant's own.

    `gateway_status`, `redirect_url` and `metadata` are what a record of the ledger says besides.
    """

    paid: Money
    due: Money | None = None
    paid_at: datetime | None = None
    reference: str | None = None
    gateway_status: str | None = None
    redirect_url: str | None = None
    metadata: Notes = field(default_factory=dict)


async def record_manual_payment(
    app: App, actor: Actor, *, invoice_id: str, record: PaymentRecord, idempotency_key: str
) -> Payment:
    """Book a payment to an invoice that is open or was written off: partly, in full, or the rest to the balance.

    Raises UserProblem NOT_FOUND, INVALID, CURRENCY_MISMATCH, ALREADY_PAID, INVALID_STATE, GATEWAY_UNAVAILABLE,
    PAYMENT_IN_PROGRESS, IDEMPOTENCY_CONFLICT.
    """
    async with app.database.read() as session:
        seen = await session.get(Invoice, invoice_id)
        if seen is None:
            raise not_found("invoice", "invoiceId")
        subscription = await session.get_one(Subscription, seen.subscription_id)
    present = await in_time_of(app, subscription.test_clock_id)
    # Who repeats a request that got lost half way meets the payment that it made.
    payment_id = recorded_payment_id(scope_of(actor, seen.customer_id, _CAUSE, idempotency_key))

    async def run() -> Payment:
        why = Why(_CAUSE, actor, present.now())
        return await within_budget(present, receive(present, seen, subscription, record, why, payment_id=payment_id))

    wish = {"invoice": seen.id, **asdict(record)}
    return await once(present, actor, seen.customer_id, _CAUSE, idempotency_key, wish, _PAYMENT, run)


def recorded_payment_id(scope: str) -> str:
    """The id of the payment that is recorded under an idempotency key's scope."""
    return f"{ID_PREFIXES['payment']}_{uuid5(_PAYMENTS, scope).hex}"


async def receive(
    app: App,
    seen: Invoice,
    subscription: Subscription,
    record: PaymentRecord,
    why: Why,
    *,
    payment_id: str,
    expected_version: int | None = None,
) -> Payment:
    """The one door for money from outside: what a card could pay of the invoice is stopped, then what came is booked.

    The payment may have been announced, at `expected_version`; one that has ended is told as it is. Raises UserProblem
    as `record_manual_payment` does, and VERSION_CONFLICT.
    """
    async with app.database.read() as session:
        known = await payment_by_id(session, payment_id)
        if known is not None and (known.invoice_id, known.amount) != (seen.id, record.paid):
            raise key_reused()  # Keys are forgotten after a while; what one has booked is not.
        if known is not None and known.status in PAYMENT.final:
            return known
        collected = await payment_of_invoice(session, seen.id)
    refuse_for(seen, record, why.now)
    if collected is not None and collected.status not in PAYMENT.final and record.paid < seen.amount_due:
        raise UserProblem(
            ErrorCode.INVALID,
            f"This invoice is charged to a card, in one piece: record all of {seen.amount_due}.",
            ["payment"],
        )
    async with collecting_stopped(app, [seen], why) as fences, app.database.write() as session:
        row, customer = await locked_subscription(session, subscription, None)
        known = await payment_by_id(session, payment_id)
        if known is not None and known.status in PAYMENT.final:
            return known
        if known is not None:
            refuse_stale(known.version, expected_version)
        invoice = await session.get_one(Invoice, seen.id, populate_existing=True)
        refuse_for(invoice, record, why.now)
        for held, fence in fences.items():
            await end_collection(session, held, fence, why)
        payment = known or await announce_payment(session, customer, invoice, record, why, payment_id=payment_id)
        await book_payment(session, payment, invoice, record, why)
        if invoice.status is InvoiceStatus.PAID:
            if row.status is SubscriptionStatus.INCOMPLETE:
                activate(session, row, why)
            await session.flush()
            await after_success(session, row, why)
        return payment


def refuse_for(invoice: Invoice, record: PaymentRecord, now: datetime) -> None:
    """Raises for an invoice that asks for nothing, and for a record that cannot be of it."""
    if invoice.status is InvoiceStatus.PAID:
        raise UserProblem(ErrorCode.ALREADY_PAID, "Nothing is left to pay of this invoice.", ["invoiceId"])
    if not INVOICE.allows(invoice.status, InvoiceEvent.PAY):
        raise UserProblem(ErrorCode.INVALID_STATE, f"The invoice is {invoice.status}.", ["invoiceId"])
    refuse_record(record, invoice.currency, now)
    if record.paid.is_zero:
        raise UserProblem(ErrorCode.INVALID, "amountPaid: give what has come.", ["payment"])
    if record.due is not None and record.due != invoice.amount_due:
        raise UserProblem(
            ErrorCode.INVALID,
            f"amountDue: the invoice asks for {invoice.amount_due}. Give that, or leave it out.",
            ["payment"],
        )


def refuse_record(record: PaymentRecord, currency: str, now: datetime) -> None:
    """Raises CURRENCY_MISMATCH, and INVALID for money that is still to come."""
    for money in (record.paid, record.due):
        if money is not None and money.currency != currency:
            raise UserProblem(
                ErrorCode.CURRENCY_MISMATCH, f"The invoice is in {currency}, not in {money.currency}.", ["payment"]
            )
    if record.paid_at is not None and record.paid_at > now + _CLOCKS_DIFFER:
        raise UserProblem(ErrorCode.INVALID, "paidAt lies in the future.", ["payment"])


async def write_payment(
    session: AsyncSession, customer: Customer, invoice: Invoice, record: PaymentRecord, why: Why, *, payment_id: str
) -> Payment:
    """The payment booked to an open invoice. In the caller's transaction, under the customer's lock."""
    payment = await announce_payment(session, customer, invoice, record, why, payment_id=payment_id)
    await book_payment(session, payment, invoice, record, why)
    return payment


async def announce_payment(
    session: AsyncSession, customer: Customer, invoice: Invoice, record: PaymentRecord, why: Why, *, payment_id: str
) -> Payment:
    """The payment as it is before anything has come of it: no money moves."""
    payment = Payment(
        id=payment_id,
        invoice_id=invoice.id,
        customer_id=customer.id,
        subscription_id=invoice.subscription_id,
        platform=MANUAL,
        status=PaymentStatus.REQUIRES_PAYMENT_METHOD,
        currency=invoice.currency,
        amount_minor=record.paid.minor,
        created_at=why.now,
        updated_at=why.now,
    )
    write_texts(payment, record)
    session.add(payment)
    await session.flush()
    remember(session, PAYMENT.name, payment.id, None, payment.status, why, customer_id=customer.id)
    return payment


async def book_payment(
    session: AsyncSession, payment: Payment, invoice: Invoice, record: PaymentRecord, why: Why
) -> None:
    """What came, booked to the invoice, which it may pay; what is too much is the customer's balance."""
    write_texts(payment, record)
    payment.amount_paid_minor = record.paid.minor
    payment.paid_at = record.paid_at or why.now
    move_payment(session, payment, PaymentEvent.SUCCEED, why)
    books = partial(book, session, subject_id=payment.id, customer_id=payment.customer_id, at=why.now)
    books(PostingKind.PAYMENT_RECORDED, record.paid)
    to_invoice, rest = allot(record.paid, invoice.amount_due)
    if invoice.status is InvoiceStatus.UNCOLLECTIBLE:
        books(PostingKind.WRITE_OFF_RECOVERED, to_invoice)
    invoice.amount_paid_minor += to_invoice.minor
    if not rest.is_zero:
        await change_balance(session, payment.customer_id, rest)
        books(PostingKind.BALANCE_GRANTED, rest)
    if invoice.amount_due.is_zero and INVOICE.allows(invoice.status, InvoiceEvent.PAY):
        invoice.paid_at = payment.paid_at
        move_invoice(session, invoice, InvoiceEvent.PAY, why)
        subscription = await session.get_one(Subscription, invoice.subscription_id)
        await refill(session, subscription, invoice, why)
    else:
        invoice.touch(why.now)


def write_texts(payment: Payment, record: PaymentRecord) -> None:
    """What the record says besides the money."""
    payment.reference, payment.gateway_status = record.reference, record.gateway_status
    payment.return_url, payment.meta = record.redirect_url, record.metadata


async def _told(app: App, answer: Mapping[str, Any]) -> Payment:
    async with app.database.read() as session:
        payment = await payment_by_id(session, answer["payment"])
    if payment is None:
        raise LookupError(f"payment {answer['payment']} is gone")
    return payment


_PAYMENT: Memory[Payment] = Memory(lambda payment: {"payment": payment.id}, _told)
