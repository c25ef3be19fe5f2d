"""Quotes of ends and pauses: what comes back, what is still asked for, what is no longer to come."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.forecasting import Outlook, forecast, gone_on, paused
from billing.invoicing import InvoiceDraft, credit_applied
from billing.lifecycle import SUBSCRIPTION, SubscriptionStatus
from billing.money import Money, total
from billing.quotes import EntitlementChange, Quote, quote
from models.customers import Customer
from models.invoices import Invoice, open_invoices_of
from models.subscriptions import CollectionMethod, Subscription
from services.app import App
from services.ends.settling_up import LastBill, last_bill
from services.owned import already_ended
from services.quotes.forecasting import outlook_of
from services.quotes.quoting import FORESEEN, asked
from services.subscriptions.entitling import NOTHING, changes_of_access, held_by


@dataclass(frozen=True, slots=True)
class EndAsked:
    """An end as it is wished: `at_period_end`, or `at` an instant to come, else now."""

    subscription_id: str
    wish: Mapping[str, Any]
    at_period_end: bool
    at: datetime | None
    gives_back: bool


def ends_at_once(status: SubscriptionStatus, *, at_period_end: bool) -> bool:
    """Whether there is nothing to let run out: no first period was paid, or has begun."""
    unpaid = status is SubscriptionStatus.INCOMPLETE
    return unpaid or (at_period_end and status is SubscriptionStatus.SCHEDULED)


async def quote_end(end: EndAsked, app: App, session: AsyncSession) -> Quote:
    """Raises INVALID_STATE for what has ended."""
    row, customer = await _read(session, end.subscription_id)
    if row.status in SUBSCRIPTION.final:
        raise already_ended(row)
    outlook = await outlook_of(session, customer, row)
    runs_out = end.at_period_end or end.at is not None
    if runs_out and not ends_at_once(row.status, at_period_end=end.at_period_end):
        schedule = replace(outlook.schedule, cancel_at_period_end=end.at is None, cancel_at=end.at)
        ends = replace(outlook, schedule=schedule)
        lost = await changes_of_access(app, session, customer.id, row, NOTHING, schedule.end or app.now())
        return _quote(app, customer, row, "cancelSubscription", end.wish, ends, lost)
    # What was sent stays owed.
    is_sent = row.collection_method is CollectionMethod.SEND_INVOICE
    unpaid = () if is_sent else await open_invoices_of(session, row.id)
    bill = LastBill()
    if row.status is not SubscriptionStatus.INCOMPLETE:
        bill = await last_bill(session, customer, row, app.now(), gives_back=end.gives_back)
    return quote(
        asked("cancelSubscription", customer, end.wish, row.version),
        app.now(),
        outlook.agreement.balance,
        _with_voided(bill.draft, outlook, unpaid),
        refund=total([part.to_card for part in bill.unused], row.currency),
        entitlement_changes=await changes_of_access(app, session, customer.id, row, NOTHING, app.now()),
        warnings=[f"Invoice {each.number} over {each.amount_due} is withdrawn." for each in unpaid],
    )


def _with_voided(draft: InvoiceDraft | None, outlook: Outlook, unpaid: Sequence[Invoice]) -> InvoiceDraft | None:
    """The last invoice, once what the balance had taken over of those that are withdrawn is there again."""
    if draft is None or not unpaid:
        return draft
    agreement = outlook.agreement
    returned = Money(sum(each.credit_applied_minor for each in unpaid), draft.total.currency)
    applied = credit_applied(draft.total, agreement.balance + returned, carries_small=agreement.carries_small)
    return replace(draft, credit_applied=applied, amount_due=draft.total - applied)


async def quote_pause(
    subscription_id: str,
    wish: Mapping[str, Any],
    at_period_end: bool,
    until: datetime | None,
    app: App,
    session: AsyncSession,
) -> Quote:
    """Of a wish that has been found possible."""
    row, customer = await _read(session, subscription_id)
    outlook = await outlook_of(session, customer, row)
    is_paused = row.status is SubscriptionStatus.PAUSED
    schedule = replace(outlook.schedule, resume_at=until)
    if at_period_end and not is_paused:
        schedule = replace(schedule, pause_at=row.period_end)
    outlook = replace(outlook, schedule=schedule)
    if not is_paused and not at_period_end:
        outlook = paused(outlook, app.now())
    begins = row.period_end if at_period_end else app.now()
    lost = await changes_of_access(app, session, customer.id, row, NOTHING, begins)
    return _quote(app, customer, row, "pauseSubscription", wish, outlook, lost)


async def quote_resume(subscription_id: str, wish: Mapping[str, Any], app: App, session: AsyncSession) -> Quote:
    """Of a wish that has been found possible."""
    row, customer = await _read(session, subscription_id)
    outlook = await outlook_of(session, customer, row)
    if row.status is SubscriptionStatus.PAUSED:
        outlook = gone_on(outlook, app.now())
    else:
        outlook = replace(outlook, schedule=replace(outlook.schedule, pause_at=None, resume_at=None))
    gained = await changes_of_access(app, session, customer.id, row, await held_by(session, row), app.now())
    return _quote(app, customer, row, "resumeSubscription", wish, outlook, gained)


async def _read(session: AsyncSession, subscription_id: str) -> tuple[Subscription, Customer]:
    row = await session.get_one(Subscription, subscription_id)
    return row, await session.get_one(Customer, row.customer_id)


def _quote(
    app: App,
    customer: Customer,
    row: Subscription,
    act: str,
    wish: Mapping[str, Any],
    outlook: Outlook,
    access: Sequence[EntitlementChange],
) -> Quote:
    """Of an act that moves no money now."""
    return quote(
        asked(act, customer, wish, row.version),
        app.now(),
        outlook.agreement.balance,
        None,
        foreseen=forecast(outlook, FORESEEN),
        entitlement_changes=access,
    )
