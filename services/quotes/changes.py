"""Quotes of what a change of a subscription's items does, at once or later."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.forecasting import Outlook, changed, forecast
from billing.invoicing import InvoiceDraft
from billing.proration import ProrationBehavior
from billing.quotes import EntitlementChange, Quote, quote
from models.customers import Customer, balance_of
from models.subscriptions import CollectionMethod, Subscription
from services.amendments.changing import refuse_status
from services.amendments.planned import refuse_if_over, target_to_come, would_change
from services.amendments.turning import Target, propose_change
from services.app import App
from services.invoices.drafting import agreement_of
from services.payments.arrears import effective_method
from services.quotes.forecasting import as_planned, outlook_of, outlook_with, planned_change
from services.quotes.quoting import FORESEEN, asked
from services.subscriptions.entitling import changes_of_access
from services.subscriptions.places import refuse_taken_places
from services.subscriptions.placing import PlacedItem

Choose = Callable[[AsyncSession, Subscription], Awaitable[Sequence[PlacedItem]]]


@dataclass(frozen=True, slots=True)
class ChangeAsked:
    """A change as it is wished. `is_now`: at once; else at `date`, None: when the period ends.

    `choose` None leaves the items as they are. `amend` changes what else is wished, on a copy of the row.
    """

    act: str
    subscription_id: str
    wish: Mapping[str, Any]
    choose: Choose | None
    behavior: ProrationBehavior | None
    is_now: bool
    date: datetime | None = None
    amend: Callable[[App, Subscription], None] | None = None


async def quote_change(change: ChangeAsked, app: App, session: AsyncSession) -> Quote:
    """Raises UserProblem as the change itself would."""
    row = await session.get_one(Subscription, change.subscription_id)
    customer = await session.get_one(Customer, row.customer_id)
    draft: InvoiceDraft | None = None
    gained: Sequence[EntitlementChange] = ()
    if change.choose is None:
        outlook = await outlook_of(session, customer, _amended(app, row, change))
    else:
        items = await change.choose(session, row)
        draft, outlook = await _changed(app, session, customer, row, change, items)
        at = max(app.now(), row.started_at) if change.is_now else change.date or row.period_end
        held = [(each.plan.id, each.quantity) for each in items]
        gained = await changes_of_access(app, session, customer.id, row, held, at)
    return quote(
        asked(change.act, customer, change.wish, row.version),
        app.now(),
        await balance_of(session, customer.id, row.currency),
        draft,
        foreseen=forecast(outlook, FORESEEN),
        entitlement_changes=gained,
        warnings=await _warnings(session, customer, row, draft),
    )


def _amended(app: App, row: Subscription, change: ChangeAsked) -> Subscription:
    """A copy that no session knows, with what else is wished."""
    if change.amend is None:
        return row
    copy = Subscription(**row.model_dump())
    change.amend(app, copy)
    return copy


async def _changed(
    app: App,
    session: AsyncSession,
    customer: Customer,
    row: Subscription,
    change: ChangeAsked,
    items: Sequence[PlacedItem],
) -> tuple[InvoiceDraft | None, Outlook]:
    """The invoice at once, and what follows. What was planned before gives way to this change."""
    refuse_status(row)
    refuse_if_over(app, row)
    await refuse_taken_places(session, row, [each.plan.product_id for each in items])
    row = _amended(app, row, change)
    plain = outlook_with(row, await agreement_of(session, customer, row))
    outlook = replace(plain, schedule=replace(plain.schedule, change_at=None))
    if not change.is_now:
        return None, await _with_change_to_come(app, session, customer, row, outlook, change, items)
    target = Target(items, change.behavior or ProrationBehavior.PRORATE_NOW, app.now())
    proposal = await propose_change(session, customer, row, target, occasion="")
    if proposal is None:
        return None, outlook
    return proposal.draft, changed(outlook, as_planned(row, proposal))


async def _with_change_to_come(
    app: App,
    session: AsyncSession,
    customer: Customer,
    row: Subscription,
    outlook: Outlook,
    change: ChangeAsked,
    items: Sequence[PlacedItem],
) -> Outlook:
    target = target_to_come(app, row, items, change.behavior, change.date, app.now())
    if not await would_change(session, customer, row, items):
        return outlook
    schedule = replace(outlook.schedule, change_at=target.at)
    return replace(outlook, schedule=schedule, planned=await planned_change(session, customer, row, target))


async def _warnings(
    session: AsyncSession, customer: Customer, row: Subscription, draft: InvoiceDraft | None
) -> Sequence[str]:
    is_due = draft is not None and draft.amount_due.minor > 0
    is_charged = row.collection_method is CollectionMethod.CHARGE_AUTOMATICALLY
    if is_due and is_charged and await effective_method(session, row, customer) is None:
        return ["There is no card to pay this with. Save one first."]
    return ()
