"""Subscriptions with a start to come: at their start they are billed for the first time, and the saved card is tried.

Without a card, or with one that is refused, they wait for their first payment as any new subscription does.
"""

from dataclasses import replace

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.invoicing import InvoiceReason
from billing.lifecycle import SubscriptionEvent
from models.customers import Customer
from models.payments import Payment
from models.subscriptions import Subscription, SubscriptionOrigin
from services.app import App
from services.changes import Why, move_subscription
from services.invoices.drafting import agreement_of
from services.invoices.issuing import issue
from services.payments.arrears import try_at_once
from services.payments.settling import activate
from services.subscriptions.trials import begin_trial, may_begin_trial


async def start(app: App, session: AsyncSession, customer: Customer, row: Subscription, why: Why) -> Payment | bool:
    """Begin the first period."""
    if await may_begin_trial(session, row):
        move_subscription(session, row, SubscriptionEvent.START_TRIAL, why)
        await begin_trial(session, row, why)
        return True
    _give_trial_up(row)
    move_subscription(session, row, SubscriptionEvent.START, why)
    if row.origin is SubscriptionOrigin.MANUAL:
        activate(session, row, why)  # What it costs was told, and billed, when it was written.
        return True
    span = row.grid.span_from(row.period_start).until(row.ends_at)
    # What meters show of the first period is asked for when that is over.
    agreement = replace(await agreement_of(session, customer, row), usage=())
    number = str(row.period_number)
    draft = agreement.draft_period(span, reason=InvoiceReason.SUBSCRIPTION_CREATE, occasion=number)
    _, payment = await issue(app, session, customer, row, draft, why)
    if payment is None:
        activate(session, row, why)
        return True
    return await try_at_once(session, customer, row, payment, why)


def _give_trial_up(row: Subscription) -> None:
    """The product was tried since this was agreed: the first period begins at once."""
    if row.trial_end is None:
        return
    row.trial_start = row.trial_end = None
    if row.billing_day is None:
        row.anchor = row.period_start
    row.period_end = row.grid.span_from(row.period_start).until(row.ends_at).period.end
