"""Invoices as rows: the draft written, numbered and booked, the customer's balance moved, the payment expected.

All in the caller's transaction, under the customer's lock.
"""

from datetime import timedelta

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.charging import SetupFutureUsage
from billing.invoicing import InvoiceDraft, invoice_uuid
from billing.ledger import PostingKind, signed_posting
from billing.lifecycle import INVOICE, PAYMENT, SUBSCRIPTION, InvoiceEvent, InvoiceStatus, PaymentStatus
from billing.money import Money
from models.base import ID_PREFIXES, new_id
from models.coupons import forget_uses
from models.customers import Customer, change_balance
from models.invoices import Invoice, InvoiceLine, pending_lines_on, waiting_lines_of
from models.leases import LEASE
from models.ledger import book
from models.payments import CollectionIntent, Payment
from models.subscriptions import CollectionMethod, Subscription
from models.usage import take_off_invoice
from services.app import App
from services.changes import Why, move_invoice, remember
from services.invoices.discounting import use_up
from services.payments.asking import next_question
from services.usage.metering import count_usage
from services.usage.refilling import refill


async def issue(
    app: App,
    session: AsyncSession,
    customer: Customer,
    subscription: Subscription,
    draft: InvoiceDraft,
    why: Why,
    *,
    setup_future_usage: SetupFutureUsage | None = None,
    return_url: str | None = None,
    error_url: str | None = None,
) -> tuple[Invoice, Payment | None]:
    """The draft as an open invoice, and the payment that is to collect it, leased to the caller.

    The draft has what waited for the subscription's next invoice: nothing of it waits any more.

    Without a payment it is either paid, nothing being due, or was sent and waits for money from outside.
    """
    invoice = await _write(session, customer, subscription, draft, why)
    await _apply_balance(session, invoice, draft.credit_applied, why)
    if draft.amount_due.is_zero:
        settle_without_money(session, invoice, why)
        await refill(session, subscription, invoice, why)
        return invoice, None
    if subscription.collection_method is CollectionMethod.SEND_INVOICE:
        if subscription.days_until_due is not None:
            invoice.due_at = why.now + timedelta(days=subscription.days_until_due)
            subscription.invoice_due_at = min(subscription.invoice_due_at or invoice.due_at, invoice.due_at)
            subscription.due_at = subscription.next_due()
        return invoice, None
    payment = await _expect_payment(
        app, session, invoice, why, setup_future_usage=setup_future_usage, return_url=return_url, error_url=error_url
    )
    return invoice, payment


def settle_without_money(session: AsyncSession, invoice: Invoice, why: Why) -> None:
    """An invoice of which nothing is due settles itself."""
    invoice.paid_at = why.now
    move_invoice(session, invoice, InvoiceEvent.PAY, why)


async def _write(
    session: AsyncSession, customer: Customer, subscription: Subscription, draft: InvoiceDraft, why: Why
) -> Invoice:
    """The rows, numbered by the customer's own sequence."""
    customer.last_invoice_number += 1
    identity = invoice_uuid(subscription.id, draft.reason, draft.occasion)
    invoice = Invoice(
        id=f"{ID_PREFIXES['invoice']}_{identity.hex}",
        number=f"{customer.invoice_prefix}-{customer.last_invoice_number:04}",
        customer_id=customer.id,
        subscription_id=subscription.id,
        reason=draft.reason,
        occasion=draft.occasion,
        status=InvoiceStatus.OPEN,
        currency=draft.total.currency,
        period_start=draft.period.start,
        period_end=draft.period.end,
        subtotal_minor=draft.subtotal.minor,
        discount_total_minor=draft.discount_total.minor,
        tax_total_minor=draft.tax_total.minor,
        total_minor=draft.total.minor,
        credit_applied_minor=draft.credit_applied.minor,
        issued_at=why.now,
        created_at=why.now,
        updated_at=why.now,
    )
    session.add(invoice)
    await session.flush()
    remember(session, INVOICE.name, invoice.id, None, invoice.status, why, customer_id=customer.id)
    session.add_all(InvoiceLine.of(invoice.id, position, line) for position, line in enumerate(draft.lines))
    for pending in await waiting_lines_of(session, subscription.id):
        pending.invoice_id = invoice.id
    await count_usage(session, invoice, draft.lines)
    await use_up(session, invoice, subscription, draft, why)
    kind, amount = signed_posting(draft.total, PostingKind.INVOICE_ISSUED, PostingKind.CREDIT_ISSUED)
    book(session, kind, amount, subject_id=invoice.id, customer_id=customer.id, at=why.now)
    return invoice


async def _apply_balance(session: AsyncSession, invoice: Invoice, applied: Money, why: Why) -> None:
    """What the balance takes over of the invoice, or is given by it."""
    if applied.is_zero:
        return
    await change_balance(session, invoice.customer_id, -applied)
    kind, amount = signed_posting(applied, PostingKind.BALANCE_APPLIED, PostingKind.BALANCE_GRANTED)
    book(session, kind, amount, subject_id=invoice.id, customer_id=invoice.customer_id, at=why.now)


async def void_invoice(session: AsyncSession, invoice: Invoice, why: Why) -> None:
    """Nothing is asked for any more: booked back, and what the balance took over or was given is undone.

    What had waited for this invoice, and what was used, waits for the next one, if there may be one; the discounts'
    periods that it used up are left again.
    """
    move_invoice(session, invoice, InvoiceEvent.VOID, why)
    invoice.voided_at = why.now
    subscription = await session.get_one(Subscription, invoice.subscription_id)
    for pending in await pending_lines_on(session, invoice.id):
        if subscription.status in SUBSCRIPTION.final:
            await session.delete(pending)
        else:
            pending.invoice_id = None
    await take_off_invoice(session, invoice.subscription_id, invoice.id)
    await forget_uses(session, invoice.id)
    unpaid = Money(invoice.total_minor - invoice.amount_paid_minor, invoice.currency)
    applied = Money(invoice.credit_applied_minor, invoice.currency)
    book(
        session,
        PostingKind.INVOICE_VOIDED,
        unpaid,
        subject_id=invoice.id,
        customer_id=invoice.customer_id,
        at=why.now,
    )
    if not applied.is_zero:
        await change_balance(session, invoice.customer_id, applied)
        kind, amount = signed_posting(applied, PostingKind.BALANCE_RETURNED, PostingKind.BALANCE_WITHDRAWN)
        book(session, kind, amount, subject_id=invoice.id, customer_id=invoice.customer_id, at=why.now)


def write_off_invoice(session: AsyncSession, invoice: Invoice, why: Why) -> None:
    """What was used and never paid: nobody will be asked for it again, and the books say what was lost."""
    book(
        session,
        PostingKind.INVOICE_WRITTEN_OFF,
        invoice.amount_due,
        subject_id=invoice.id,
        customer_id=invoice.customer_id,
        at=why.now,
    )
    move_invoice(session, invoice, InvoiceEvent.WRITE_OFF, why)


async def _expect_payment(
    app: App,
    session: AsyncSession,
    invoice: Invoice,
    why: Why,
    *,
    setup_future_usage: SetupFutureUsage | None,
    return_url: str | None,
    error_url: str | None,
) -> Payment:
    """The payment and its first intent's row, leased to the caller: intent first, the gateway after the commit."""
    payment = Payment(
        id=new_id("payment"),
        invoice_id=invoice.id,
        customer_id=invoice.customer_id,
        subscription_id=invoice.subscription_id,
        platform=app.gateway.platform,
        status=PaymentStatus.REQUIRES_PAYMENT_METHOD,
        currency=invoice.currency,
        amount_minor=invoice.amount_due.minor,
        setup_future_usage=setup_future_usage,
        return_url=return_url,
        error_url=error_url,
        test_clock_id=app.timeline,
        fence=1,
        leased_until=app.machine_now() + LEASE,
        created_at=why.now,
        updated_at=why.now,
    )
    payment.due_at = next_question(app, payment)
    session.add(payment)
    await session.flush()
    remember(session, PAYMENT.name, payment.id, None, payment.status, why, customer_id=invoice.customer_id)
    session.add(
        CollectionIntent(
            id=new_id("payment_intent"),
            invoice_id=invoice.id,
            payment_id=payment.id,
            n=1,
            platform=app.gateway.platform,
            created_at=why.now,
            updated_at=why.now,
        )
    )
    return payment
