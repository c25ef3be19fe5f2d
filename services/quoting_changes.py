"""Quotes of what a change of a subscription's items does, at once or later."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.forecasting import Outlook, changed, forecast
from billing.invoicing import InvoiceDraft
from billing.proration import ProrationBehavior
from billing.quotes import Quote, quote
from models.customers import Customer
from models.subscriptions import CollectionMethod, Subscription
from services.app import App
from services.arrears import effective_method
from services.changing import refuse_status
from services.drafting import agreement_of
from services.forecasting import as_planned, outlook_with, planned_change
from services.places import refuse_taken_places
from services.placing import PlacedItem
from services.planned import refuse_if_over, target_to_come
from services.quoting import FORESEEN, asked
from services.turning import Target, propose_change

Choose = Callable[[AsyncSession, Subscription], Awaitable[Sequence[PlacedItem]]]


@dataclass(frozen=True, slots=True)
class ChangeAsked:
    """A change as it is wished. `is_now`: at once; else at `date`, None: when the period ends."""

    act: str
    subscription_id: str
    wish: Mapping[str, Any]
    choose: Choose
    behavior: ProrationBehavior | None
    is_now: bool
    date: datetime | None = None


async def quote_change(change: ChangeAsked, app: App, session: AsyncSession) -> Quote:
    """Raises UserProblem as the change itself would."""
    row = await session.get_one(Subscription, change.subscription_id)
    customer = await session.get_one(Customer, row.customer_id)
    refuse_status(row)
    refuse_if_over(app, row)
    items = await change.choose(session, row)
    await refuse_taken_places(session, row, [each.plan.product_id for each in items])
    agreement = await agreement_of(session, customer, row)
    outlook = replace(outlook_with(row, agreement), schedule=replace(row.schedule, change_at=None))
    draft: InvoiceDraft | None = None
    if change.is_now:
        target = Target(items, change.behavior or ProrationBehavior.PRORATE_NOW, app.now())
        proposal = await propose_change(session, customer, row, target, occasion="")
        if proposal is not None:
            draft, outlook = proposal.draft, changed(outlook, as_planned(proposal))
    else:
        outlook = await _with_change_to_come(app, session, customer, row, outlook, change, items)
    return quote(
        asked(change.act, customer, change.wish, row.version),
        app.now(),
        agreement.balance,
        draft,
        foreseen=forecast(outlook, FORESEEN),
        warnings=await _warnings(session, customer, row, draft),
    )


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
