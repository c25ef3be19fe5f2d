"""What to bill, gathered from the rows: the engine's values in, an invoice draft out. Writes nothing.

The same functions serve the act and its preview.
"""

from collections.abc import Sequence
from dataclasses import replace

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.agreement import Agreement
from billing.calendar import Span
from billing.discounting import Discount
from billing.invoicing import InvoiceDraft, InvoiceReason
from billing.metering import UsageType
from billing.recurring import RecurringItem
from models.customers import Customer, balance_of
from models.invoices import waiting_lines_of
from models.subscriptions import CollectionMethod, Subscription, priced_items
from services.agreed_items import PricedItem, recurring_item
from services.invoices.discounting import discount_values
from services.usage.metering import meters_of, usage_lines


def recurring_items(row: Subscription, items: Sequence[PricedItem]) -> Sequence[RecurringItem]:
    """What the subscription bills in advance; metered items are billed by their usage."""
    return [
        recurring_item(row, item, plan, price)
        for item, plan, price in items
        if item.ended_at is None and plan.usage_type is UsageType.LICENSED
    ]


async def agreement_of(session: AsyncSession, customer: Customer, row: Subscription) -> Agreement:
    """What the subscription bills from now on, gathered from its rows; the next period's invoice has its usage."""
    items = await priced_items(session, row.id)
    agreement = await agreement_with(session, customer, row, items)
    return replace(agreement, usage=await usage_lines(session, row, row.period_end, items=items))


async def agreement_with(
    session: AsyncSession,
    customer: Customer,
    row: Subscription,
    items: Sequence[PricedItem],
    discounts: Sequence[Discount] | None = None,
) -> Agreement:
    """The same with these items: what the subscription would bill, were they its own. So with these `discounts`."""
    return Agreement(
        zone=row.grid.zone,
        items=recurring_items(row, items),
        balance=await balance_of(session, customer.id, row.currency),
        discounts=await discount_values(session, row) if discounts is None else discounts,
        waiting=[pending.as_line for pending in await waiting_lines_of(session, row.id)],
        meters=await meters_of(session, row, items),
        carries_small=row.collection_method is CollectionMethod.CHARGE_AUTOMATICALLY,
    )


async def price_of_period(session: AsyncSession, customer: Customer, row: Subscription, span: Span) -> InvoiceDraft:
    """What a full period costs, with the discounts of one that begins now; whatever of it is billed."""
    agreement = replace(await agreement_of(session, customer, row), waiting=(), usage=())
    return agreement.draft_period(Span(span.full, span.full), reason=InvoiceReason.SUBSCRIPTION_CYCLE, occasion="")
