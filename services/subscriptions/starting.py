"""Subscriptions with a start to come: at their start they are billed for the first time, and the saved card is tried.

Without a card, or with one that is refused, they wait for their first payment as any new subscription does.
"""

from dataclasses import replace

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.invoicing import InvoiceReason
from billing.lifecycle import SubscriptionEvent
from billing.schedule import Happening, what_is_due
from models.customers import locked_customer
from models.leases import LeaseLost, check_fence, release
from models.subscriptions import Subscription, SubscriptionOrigin
from services.app import App
from services.changes import Why, move_subscription
from services.invoices.drafting import agreement_of
from services.invoices.issuing import issue
from services.payments.arrears import effective_method
from services.payments.retrying import collect
from services.payments.settling import activate
from services.subscriptions.trials import begin_trial, may_begin_trial


async def start_when_due(app: App, subscription_id: str, fence: int, why: Why) -> bool:
    """Begin the first period under the held lease, and try to collect its invoice; whether it was begun."""
    try:
        async with app.database.write() as session:
            begun, held = await _begin(app, session, subscription_id, fence, why)
    except LeaseLost:
        return False
    if held is not None:
        await collect(app, *held)
    return begun


async def _begin(
    app: App, session: AsyncSession, subscription_id: str, fence: int, why: Why
) -> tuple[bool, tuple[str, int] | None]:
    """Whether it was begun, and the payment to try now with its fence; None when there is nothing to try.

    The decision is made again under the customer's lock. Raises LeaseLost.
    """
    seen = await session.get_one(Subscription, subscription_id)
    customer = await locked_customer(session, seen.customer_id)
    await session.refresh(seen)
    check_fence(seen, fence)
    if customer is None or what_is_due(seen.schedule, why.now) is not Happening.START:
        release(seen, due_at=seen.next_due())
        return False, None
    if await may_begin_trial(session, seen):
        move_subscription(session, seen, SubscriptionEvent.START_TRIAL, why)
        await begin_trial(session, seen, why)
        release(seen, due_at=seen.next_due())
        return True, None
    _give_trial_up(seen)
    move_subscription(session, seen, SubscriptionEvent.START, why)
    release(seen, due_at=seen.next_due())
    if seen.origin is SubscriptionOrigin.MANUAL:
        activate(session, seen, why)  # What it costs was told, and billed, when it was written.
        return True, None
    span = seen.grid.span_from(seen.period_start).until(seen.ends_at)
    # What meters show of the first period is asked for when that is over.
    agreement = replace(await agreement_of(session, customer, seen), usage=())
    number = str(seen.period_number)
    draft = agreement.draft_period(span, reason=InvoiceReason.SUBSCRIPTION_CREATE, occasion=number)
    _, payment = await issue(app, session, customer, seen, draft, why)
    if payment is None:
        activate(session, seen, why)
        return True, None
    if await effective_method(session, seen, customer) is None:
        release(payment, due_at=payment.due_at)
        return True, None
    payment.collect_at = why.now
    return True, (payment.id, payment.fence)


def _give_trial_up(row: Subscription) -> None:
    """The product was tried since this was agreed: the first period begins at once."""
    if row.trial_end is None:
        return
    row.trial_start = row.trial_end = None
    if row.billing_day is None:
        row.anchor = row.period_start
    row.period_end = row.grid.span_from(row.period_start).until(row.ends_at).period.end
