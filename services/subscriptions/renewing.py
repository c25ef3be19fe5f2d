"""Renewals: a subscription whose period is over is billed for its next one, each with its own invoice.

Billing and charging are separate commits: the invoice exists before anything is tried, and trying it again is a row
that is due. A late subscription comes back until it has caught up.
"""

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.calendar import Period, Span
from billing.events import RENEWED
from billing.forecasting import next_span
from billing.invoicing import InvoiceDraft, InvoiceReason
from billing.lifecycle import SubscriptionStatus
from models.customers import Customer
from models.invoices import manual_invoice_from, open_invoices_of
from models.leases import release
from models.payments import Payment
from models.subscriptions import Subscription, SubscriptionOrigin
from services.app import App
from services.changes import Why, announce
from services.invoices.drafting import agreement_of, price_of_period
from services.invoices.issuing import issue
from services.payments.arrears import try_at_once
from services.payments.settling import activate
from services.subscriptions.trials import end_without_card


async def renew(app: App, session: AsyncSession, customer: Customer, row: Subscription, why: Why) -> Payment | bool:
    """Bill the next period."""
    if row.origin is SubscriptionOrigin.MANUAL:
        await _go_on(session, row, why)
        return True
    unpaid = await open_invoices_of(session, row.id)
    span, draft = await _next_draft(session, customer, row)
    ends_trial = row.status is SubscriptionStatus.TRIALING
    if ends_trial and not unpaid and await end_without_card(session, customer, row, draft, why):
        return True
    if draft.used_discounts or row.discount_amount_minor:
        price = await price_of_period(session, customer, row, span)
        row.discount_amount_minor = price.discount_total.minor
    _begin_period(row, span, why)
    if ends_trial:
        activate(session, row, why)
    else:
        announce(session, RENEWED, row.id, why, customer_id=row.customer_id, payload={"period": row.period_number})
    _, payment = await issue(app, session, customer, row, draft, why)
    if payment is None:
        return True
    if unpaid:
        # Nothing is tried for this period until the oldest unpaid one is settled.
        release(payment, due_at=payment.due_at)
        return True
    return await try_at_once(session, customer, row, payment, why)


async def _go_on(session: AsyncSession, row: Subscription, why: Why) -> None:
    """The next period of a manual subscription begins: it was billed when it was recorded."""
    recorded = await manual_invoice_from(session, row.id, row.period_end)
    span = next_span(row.grid, row.schedule)
    if recorded is not None:
        period = Period(recorded.period_start, recorded.period_end)
        span = Span(period, period)
    _begin_period(row, span, why)
    announce(session, RENEWED, row.id, why, customer_id=row.customer_id, payload={"period": row.period_number})


async def _next_draft(session: AsyncSession, customer: Customer, row: Subscription) -> tuple[Span, InvoiceDraft]:
    """The period after the present one, and its invoice."""
    span = next_span(row.grid, row.schedule)
    agreement = await agreement_of(session, customer, row)
    number = str(row.period_number + 1)
    return span, agreement.draft_period(span, reason=InvoiceReason.SUBSCRIPTION_CYCLE, occasion=number)


def _begin_period(row: Subscription, span: Span, why: Why) -> None:
    """The span is the present period from now on; its number never restarts."""
    row.period_number += 1
    row.period_start, row.period_end = span.period.start, span.period.end
    row.due_at = row.next_due()
    row.touch(why.now)
