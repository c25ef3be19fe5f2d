"""What subscriptions will bill: their rows as the engine's outlook."""

from collections.abc import Sequence
from dataclasses import replace

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.agreement import Agreement
from billing.calendar import Period
from billing.forecasting import Foreseen, Outlook, Planned, forecast
from billing.lifecycle import SubscriptionStatus
from billing.lines import Line
from billing.metering import usage_line
from billing.proration import ProrationBehavior
from models.customers import Customer
from models.subscriptions import ScheduledChange, Subscription, SubscriptionOrigin
from services.amendments.planned import planned_items, waits_for_period
from services.amendments.turning import UNBILLED, ChangeProposal, Target, propose_change
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
    if schedule.status is SubscriptionStatus.SCHEDULED:
        agreement = replace(agreement, usage=())  # The first invoice is not for a time before.
    if schedule.status is SubscriptionStatus.INCOMPLETE:
        schedule = replace(schedule, status=SubscriptionStatus.ACTIVE)
    if row.origin is SubscriptionOrigin.MANUAL:
        schedule = replace(schedule, is_given_up=True)  # Its bills are written down when somebody pays.
    return Outlook(schedule, row.grid, row.period_number, agreement, change, paused_at=row.paused_at)


async def planned_change(
    session: AsyncSession, customer: Customer, row: Subscription, target: Target
) -> Planned | None:
    """What the subscription turns into then; None where that follows from what is not billed, or not paid, yet."""
    is_beyond = target.at > row.period_end and target.behavior is not ProrationBehavior.NONE
    if is_beyond or await waits_for_period(session, row, target):
        return None
    proposal = await propose_change(session, customer, row, target, occasion=PLANNED)
    if proposal is None:
        present = await agreement_of(session, customer, row)
        return Planned(present.items, present.discounts, present.meters)
    return as_planned(row, proposal)


def as_planned(row: Subscription, proposal: ChangeProposal) -> Planned:
    """A change as it would be written, as the forecast's value."""
    return Planned(
        items=proposal.agreement.items,
        discounts=proposal.agreement.discounts,
        meters=proposal.agreement.meters,
        unused=_unused(row, proposal),
        grid=proposal.grid,
        span=proposal.span,
        draft=proposal.draft,
        waiting=None if proposal.waiting is None else (*proposal.waiting.values(), *proposal.later),
    )


def _unused(row: Subscription, proposal: ChangeProposal) -> Sequence[Line]:
    """What the change begins to measure, nothing of it used yet: at once, unless periods to come are changed."""
    at, span, agreement = proposal.target.at, proposal.span, proposal.agreement
    if row.status in UNBILLED or at >= row.period_end:
        return ()
    begun = {item.id for item in proposal.begun}
    meters = [each for each in agreement.meters if span is not None or each.item.item_id in begun]
    period = Period(at, row.period_end) if span is None else span.period
    return [usage_line(meter, period, (), agreement.zone) for meter in meters]
