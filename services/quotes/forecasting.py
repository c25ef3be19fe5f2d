"""What subscriptions will bill: their rows as the engine's outlook."""

from collections.abc import Sequence
from dataclasses import replace

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.agreement import Agreement
from billing.forecasting import Foreseen, Outlook, Planned, forecast
from billing.lifecycle import SubscriptionStatus
from billing.proration import ProrationBehavior
from models.customers import Customer
from models.subscriptions import ScheduledChange, Subscription, SubscriptionOrigin
from services.amendments.planned import planned_items
from services.amendments.turning import ChangeProposal, Target, propose_change
from services.app import App
from services.invoices.drafting import agreement_of
from services.subscriptions.trials import is_paused_trial

PLANNED = "planned"
"""The occasion of an invoice that is only foreseen; the real one's is known when the change is made."""


async def upcoming_invoices(app: App, subscription_id: str, count: int) -> Sequence[Foreseen]:
    """Its next `count` invoices, if nobody changes anything and each is paid."""
    async with app.database.read() as session:
        row = await session.get_one(Subscription, subscription_id)
        customer = await session.get_one(Customer, row.customer_id)
        return forecast(await outlook_of(session, customer, row), count)


async def outlook_of(session: AsyncSession, customer: Customer, row: Subscription) -> Outlook:
    """The subscription as it is, with the change that is planned for it."""
    agreement = await agreement_of(session, customer, row)
    planned = await session.get(ScheduledChange, row.id)
    change = None
    if planned is not None and row.change_at is not None:
        target = Target(await planned_items(session, planned), ProrationBehavior(planned.proration), row.change_at)
        change = await planned_change(session, customer, row, target)
    outlook = outlook_with(row, agreement, change)
    return replace(outlook, pauses_trial=await is_paused_trial(session, row))


def outlook_with(row: Subscription, agreement: Agreement, change: Planned | None = None) -> Outlook:
    """The row's dates with this agreement. An unpaid first invoice is taken to be paid."""
    schedule = row.schedule
    if schedule.status is SubscriptionStatus.INCOMPLETE:
        schedule = replace(schedule, status=SubscriptionStatus.ACTIVE)
    if row.origin is SubscriptionOrigin.MANUAL:
        schedule = replace(schedule, is_given_up=True)  # Its bills are written down when somebody pays.
    return Outlook(schedule, row.grid, row.period_number, agreement, change, paused_at=row.paused_at)


async def planned_change(
    session: AsyncSession, customer: Customer, row: Subscription, target: Target
) -> Planned | None:
    """What the subscription turns into then; None where that follows from periods that are not billed yet."""
    if target.at > row.period_end and target.behavior is not ProrationBehavior.NONE:
        return None
    proposal = await propose_change(session, customer, row, target, occasion=PLANNED)
    if proposal is None:
        present = await agreement_of(session, customer, row)
        return Planned(present.items, present.discounts)
    return as_planned(proposal)


def as_planned(proposal: ChangeProposal) -> Planned:
    """A change as it would be written, as the forecast's value."""
    return Planned(
        items=proposal.agreement.items,
        discounts=proposal.agreement.discounts,
        grid=proposal.grid,
        span=proposal.span,
        draft=proposal.draft,
        waiting=None if proposal.waiting is None else (*proposal.waiting.values(), *proposal.later),
    )
