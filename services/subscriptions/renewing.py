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
from billing.schedule import Happening, what_is_due
from models.customers import Customer, locked_customer
from models.invoices import manual_invoice_from, open_invoices_of
from models.leases import LeaseLost, check_fence, release
from models.subscriptions import Subscription, SubscriptionOrigin
from services.app import App
from services.changes import Why, announce
from services.invoices.drafting import draft_period, price_of_period
from services.invoices.issuing import issue
from services.payments.arrears import effective_method, not_collected
from services.payments.retrying import collect
from services.payments.settling import activate
from services.subscriptions.trials import end_without_card


async def renew(app: App, subscription_id: str, fence: int, why: Why) -> bool:
    """Bill the next period under the held lease, and try to collect it; whether it was billed."""
    try:
        held = await app.database.transact(_bill_next_period, app, subscription_id, fence, why)
    except LeaseLost:
        return False
    if held is not None:
        await collect(app, *held)
    return True


async def _bill_next_period(
    session: AsyncSession, app: App, subscription_id: str, fence: int, why: Why
) -> tuple[str, int] | None:
    """Write the next period's invoice; the payment to try now and its fence, None when there is nothing to try.

    The decision is made again under the customer's lock. Raises LeaseLost.
    """
    seen = await session.get_one(Subscription, subscription_id)
    customer = await locked_customer(session, seen.customer_id)
    await session.refresh(seen)
    check_fence(seen, fence)
    if customer is None or what_is_due(seen.schedule, why.now) is not Happening.RENEW:
        release(seen, due_at=seen.next_due())
        return None
    if seen.origin is SubscriptionOrigin.MANUAL:
        await _go_on(session, seen, why)
        return None
    unpaid = await open_invoices_of(session, seen.id)
    span, draft = await next_draft(session, customer, seen)
    ends_trial = seen.status is SubscriptionStatus.TRIALING
    if ends_trial and not unpaid and await end_without_card(session, customer, seen, draft, why):
        return None
    if draft.used_discounts or seen.discount_amount_minor:
        price = await price_of_period(session, customer, seen, span)
        seen.discount_amount_minor = price.discount_total.minor
    begin_period(seen, span, why)
    if ends_trial:
        activate(session, seen, why)
    else:
        announce(session, RENEWED, seen.id, why, customer_id=seen.customer_id, payload={"period": seen.period_number})
    release(seen, due_at=seen.next_due())
    _, payment = await issue(app, session, customer, seen, draft, why)
    if payment is None:
        return None
    if unpaid:
        # Nothing is tried for this period until the oldest unpaid one is settled.
        release(payment, due_at=payment.due_at)
        return None
    if await effective_method(session, seen, customer) is None:
        release(payment, due_at=payment.due_at)
        await not_collected(session, payment, why)
        return None
    payment.collect_at = why.now
    return payment.id, payment.fence


async def _go_on(session: AsyncSession, row: Subscription, why: Why) -> None:
    """The next period of a manual subscription begins: it was billed when it was recorded."""
    recorded = await manual_invoice_from(session, row.id, row.period_end)
    span = next_span(row.grid, row.schedule)
    if recorded is not None:
        period = Period(recorded.period_start, recorded.period_end)
        span = Span(period, period)
    begin_period(row, span, why)
    release(row, due_at=row.next_due())
    announce(session, RENEWED, row.id, why, customer_id=row.customer_id, payload={"period": row.period_number})


async def next_draft(session: AsyncSession, customer: Customer, row: Subscription) -> tuple[Span, InvoiceDraft]:
    """The period after the present one, and its invoice."""
    span = next_span(row.grid, row.schedule)
    draft = await draft_period(
        session,
        customer,
        row,
        span,
        reason=InvoiceReason.SUBSCRIPTION_CYCLE,
        occasion=str(row.period_number + 1),
    )
    return span, draft


def begin_period(row: Subscription, span: Span, why: Why) -> None:
    """The span is the present period from now on; its number never restarts."""
    row.period_number += 1
    row.period_start, row.period_end = span.period.start, span.period.end
    row.touch(why.now)
