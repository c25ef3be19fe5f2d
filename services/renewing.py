"""Renewals: a due subscription is billed for its next period, one period per pass, each with its own invoice.

Billing and charging are separate commits: the invoice exists before anything is tried, and trying it again is a row
that is due. A late subscription comes back until it has caught up.
"""

from zoneinfo import ZoneInfo

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.calendar import period
from billing.invoicing import InvoiceDraft, InvoiceReason, RecurringItem, bill_period
from billing.lifecycle import InvoiceEvent, SubscriptionStatus
from models.catalog import Plan, Price
from models.customers import locked_customer
from models.invoices import open_invoices_of
from models.leases import LeaseLost, check_fence, claim_due, due_keys, release
from models.subscriptions import Subscription, items_of, renews_when_due
from services.app import WORKER, App
from services.arrears import effective_method, fall_behind
from services.changes import Why, move_invoice
from services.placing import expect_payment, issue_invoice
from services.retrying import collect

_BATCH = 100


async def renew_due_subscriptions(app: App) -> int:
    """One pass over the subscriptions whose period is over and that go on; how many were billed."""
    now, machine_now = app.now(), app.machine_now()
    async with app.database.read() as session:
        keys = await due_keys(
            session, Subscription, now=now, machine_now=machine_now, limit=_BATCH, only=renews_when_due()
        )
    billed = 0
    for key in keys:
        async with app.database.write() as session:
            fence = await claim_due(session, Subscription, key, now=now, machine_now=machine_now)
        if fence is not None:
            billed += await _renew(app, key, fence, Why("renewal", WORKER, now))
    return billed


async def _renew(app: App, subscription_id: str, fence: int, why: Why) -> bool:
    try:
        async with app.database.write() as session:
            held = await _bill_next_period(app, session, subscription_id, fence, why)
    except LeaseLost:
        return False
    if held is not None:
        await collect(app, *held)
    return True


async def _bill_next_period(
    app: App, session: AsyncSession, subscription_id: str, fence: int, why: Why
) -> tuple[str, int] | None:
    """Write the next period's invoice; the payment to try now and its fence, None when there is nothing to try.

    The decision is made again under the customer's lock. Raises LeaseLost.
    """
    seen = await session.get_one(Subscription, subscription_id)
    customer = await locked_customer(session, seen.customer_id)
    await session.refresh(seen)
    check_fence(seen, fence)
    if customer is None or not _goes_on(seen, why):
        release(seen, due_at=seen.due_at)
        return None
    unpaid = await open_invoices_of(session, seen.id)
    draft = await _next_draft(session, seen)
    seen.period_number += 1
    seen.period_start, seen.period_end = draft.period.start, draft.period.end
    seen.touch(why.now)
    release(seen, due_at=seen.next_due())
    invoice = await issue_invoice(session, customer, seen, draft, why)
    if draft.amount_due.is_zero:
        invoice.paid_at = why.now
        move_invoice(session, invoice, InvoiceEvent.PAY, why)
        return None
    payment = await expect_payment(app, session, invoice, why)
    if unpaid:
        # Nothing is tried for this period until the oldest unpaid one is settled.
        release(payment, due_at=payment.due_at)
        return None
    if await effective_method(session, seen, customer) is None:
        release(payment, due_at=payment.due_at)
        fall_behind(session, seen, why)
        return None
    payment.collect_at = why.now
    return payment.id, payment.fence


async def _next_draft(session: AsyncSession, row: Subscription) -> InvoiceDraft:
    zone = ZoneInfo(row.timezone)
    number = row.period_number + 1
    items: list[RecurringItem] = []
    for item in await items_of(session, [row.id]):
        plan, price = await session.get_one(Plan, item.plan_id), await session.get_one(Price, item.price_id)
        items.append(
            RecurringItem(plan.id, plan.name, price.id, price.amount, item.quantity, row.interval, row.interval_count)
        )
    return bill_period(
        items,
        period(row.anchor, row.interval, row.interval_count, zone, number),
        reason=InvoiceReason.SUBSCRIPTION_CYCLE,
        occasion=str(number),
        zone=zone,
    )


def _goes_on(row: Subscription, why: Why) -> bool:
    renews = row.status in (SubscriptionStatus.ACTIVE, SubscriptionStatus.PAST_DUE)
    return renews and not row.is_last_period and row.due_at is not None and row.due_at <= why.now
