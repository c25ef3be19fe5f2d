"""Writing a new subscription with its first invoice and payment, in the caller's transaction."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.calendar import period
from billing.charging import SetupFutureUsage
from billing.errors import ErrorCode, UserProblem
from billing.invoicing import InvoiceDraft, InvoiceReason, RecurringItem, bill_period, invoice_uuid
from billing.ledger import PostingKind
from billing.lifecycle import (
    INVOICE,
    PAYMENT,
    SUBSCRIPTION,
    InvoiceEvent,
    InvoiceStatus,
    PaymentStatus,
    SubscriptionStatus,
)
from billing.money import minimum_charge
from billing.subscribing import INCOMPLETE_LIFETIME
from models.base import ID_PREFIXES, new_id
from models.catalog import Plan, Price
from models.customers import Customer
from models.invoices import Invoice, InvoiceLine
from models.leases import LEASE
from models.ledger import book
from models.payments import CollectionIntent, Payment
from models.subscriptions import LivePlace, Subscription, SubscriptionItem
from services.app import App
from services.asking import next_question
from services.changes import Why, move_invoice, remember
from services.settling import activate


@dataclass(frozen=True, slots=True)
class Placed:
    """Ids of what was written. A free subscription is active at once and has no payment.

    `fence`: the new payment's lease is held by the caller.
    """

    subscription_id: str
    payment_id: str | None
    fence: int | None


async def place(
    app: App,
    session: AsyncSession,
    customer: Customer,
    plan: Plan,
    price: Price,
    *,
    quantity: int,
    name: str | None,
    auto_renew: bool | None,
    metadata: Mapping[str, Any],
    setup_future_usage: SetupFutureUsage | None,
    return_url: str | None,
    why: Why,
) -> Placed:
    """Everything that must exist before the gateway is called; the customer is locked by the caller."""
    zone = ZoneInfo(customer.timezone)
    first = period(why.now, plan.interval, plan.interval_count, zone, 0)
    item = RecurringItem(plan.id, plan.name, price.id, price.amount, quantity, plan.interval, plan.interval_count)
    draft = bill_period([item], first, reason=InvoiceReason.SUBSCRIPTION_CREATE, occasion="0", zone=zone)
    due = draft.amount_due
    if not due.is_zero and due.minor < minimum_charge(due.currency):
        raise UserProblem(ErrorCode.AMOUNT_TOO_SMALL, f"{due} is below what the gateway charges.")
    subscription = _subscription(customer, plan, draft, name=name, metadata=metadata, why=why)
    if auto_renew is not None:
        subscription.cancel_at_period_end = not auto_renew
    session.add(subscription)
    await session.flush()
    remember(session, SUBSCRIPTION.name, subscription.id, None, subscription.status, why)
    session.add(LivePlace(customer_id=customer.id, product_id=plan.product_id, subscription_id=subscription.id))
    session.add(
        SubscriptionItem(
            id=new_id("subscription_item"),
            subscription_id=subscription.id,
            plan_id=plan.id,
            price_id=price.id,
            quantity=quantity,
            created_at=why.now,
        )
    )
    invoice = await issue_invoice(session, customer, subscription, draft, why)
    if due.is_zero:
        invoice.paid_at = why.now
        move_invoice(session, invoice, InvoiceEvent.PAY, why)
        activate(session, subscription, why)
        return Placed(subscription.id, None, None)
    payment = await expect_payment(
        app, session, invoice, why, setup_future_usage=setup_future_usage, return_url=return_url
    )
    return Placed(subscription.id, payment.id, payment.fence)


def _subscription(
    customer: Customer, plan: Plan, draft: InvoiceDraft, *, name: str | None, metadata: Mapping[str, Any], why: Why
) -> Subscription:
    """The row of a subscription whose first period is the draft's; unpaid, it is due to be given up."""
    return Subscription(
        id=new_id("subscription"),
        customer_id=customer.id,
        product_id=plan.product_id,
        plan_id=plan.id,
        name=name,
        status=SubscriptionStatus.INCOMPLETE,
        status_updated_at=why.now,
        currency=draft.subtotal.currency,
        original_amount_minor=draft.subtotal.minor,
        discount_amount_minor=draft.discount_total.minor,
        interval=plan.interval,
        interval_count=plan.interval_count,
        timezone=customer.timezone,
        anchor=why.now,
        period_start=draft.period.start,
        period_end=draft.period.end,
        started_at=why.now,
        cancel_at_period_end=plan.cancel_at_period_end,
        due_at=why.now + INCOMPLETE_LIFETIME,
        created_at=why.now,
        updated_at=why.now,
        meta=dict(metadata),
    )


async def issue_invoice(
    session: AsyncSession, customer: Customer, subscription: Subscription, draft: InvoiceDraft, why: Why
) -> Invoice:
    """The draft as an open invoice with its lines, numbered by the customer's own sequence and booked."""
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
    remember(session, INVOICE.name, invoice.id, None, invoice.status, why)
    for position, line in enumerate(draft.lines):
        session.add(
            InvoiceLine(
                id=new_id("invoice_line"),
                invoice_id=invoice.id,
                position=position,
                plan_id=line.plan_id,
                description=line.description,
                quantity=line.quantity,
                currency=line.amount.currency,
                unit_amount_minor=line.unit_amount.minor,
                amount_minor=line.amount.minor,
                is_proration=line.is_proration,
                period_start=line.period.start,
                period_end=line.period.end,
                explanation_text=line.explanation.text,
                explanation_formula=line.explanation.formula,
                explanation_inputs=[
                    {"name": i.name, "value": i.value, "source": i.source} for i in line.explanation.inputs
                ],
            )
        )
    book(
        session,
        PostingKind.INVOICE_ISSUED,
        draft.total,
        subject_id=invoice.id,
        customer_id=customer.id,
        at=why.now,
    )
    return invoice


async def expect_payment(
    app: App,
    session: AsyncSession,
    invoice: Invoice,
    why: Why,
    *,
    setup_future_usage: SetupFutureUsage | None = None,
    return_url: str | None = None,
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
        fence=1,
        leased_until=app.machine_now() + LEASE,
        created_at=why.now,
        updated_at=why.now,
    )
    payment.due_at = next_question(app, payment)
    session.add(payment)
    await session.flush()
    remember(session, PAYMENT.name, payment.id, None, payment.status, why)
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
