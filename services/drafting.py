"""What to bill, gathered from the rows: the engine's values in, an invoice draft out. Writes nothing.

The same functions serve the act and its preview.
"""

from collections.abc import Sequence

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.agreement import Agreement
from billing.calendar import Span
from billing.invoicing import InvoiceDraft, InvoiceReason
from billing.lines import Line
from billing.metering import UsageType
from billing.money import Money
from billing.pricing import PriceTerms
from billing.recurring import RecurringItem
from models.catalog import Plan, Price
from models.customers import Customer, balance_of
from models.invoices import waiting_lines_of
from models.subscriptions import CollectionMethod, Subscription, SubscriptionItem, items_of


def recurring_item(row: Subscription, item: SubscriptionItem, plan: Plan, price: Price) -> RecurringItem:
    """An item as the engine sees it. A price of its own and the subscription's tax rate go before the plan's."""
    terms = price.terms(plan)
    if item.unit_amount_minor is not None:
        terms = PriceTerms(price.id, row.currency, Money(item.unit_amount_minor, row.currency).major)
    return RecurringItem(
        plan_id=plan.id,
        plan_name=plan.name,
        price=terms,
        quantity=item.quantity,
        interval=row.interval,
        interval_count=row.interval_count,
        item_id=item.id,
        product_id=plan.product_id,
        tax_percent=row.tax_percent if row.tax_percent is not None else plan.tax_percent,
    )


async def recurring_items(session: AsyncSession, row: Subscription) -> Sequence[RecurringItem]:
    """What the subscription bills in advance; metered items are billed by their usage."""
    found: list[RecurringItem] = []
    for item in await items_of(session, [row.id]):
        plan, price = await session.get_one(Plan, item.plan_id), await session.get_one(Price, item.price_id)
        if plan.usage_type is UsageType.LICENSED:
            found.append(recurring_item(row, item, plan, price))
    return found


async def agreement_of(session: AsyncSession, customer: Customer, row: Subscription) -> Agreement:
    """What the subscription bills from now on, gathered from its rows."""
    return await agreement_with(session, customer, row, await recurring_items(session, row))


async def agreement_with(
    session: AsyncSession, customer: Customer, row: Subscription, items: Sequence[RecurringItem]
) -> Agreement:
    """The same with these items: what the subscription would bill, were they its own."""
    return Agreement(
        zone=row.grid.zone,
        items=items,
        balance=await balance_of(session, customer.id, row.currency),
        waiting=[pending.as_line for pending in await waiting_lines_of(session, row.id)],
        carries_small=row.collection_method is CollectionMethod.CHARGE_AUTOMATICALLY,
    )


async def draft_period(
    session: AsyncSession,
    customer: Customer,
    row: Subscription,
    span: Span,
    *,
    reason: InvoiceReason,
    occasion: str,
) -> InvoiceDraft:
    """The invoice of a period: its items in advance, and what waited for the next invoice."""
    agreement = await agreement_of(session, customer, row)
    return agreement.draft_period(span, reason=reason, occasion=occasion)


async def draft_lines(
    session: AsyncSession,
    customer: Customer,
    row: Subscription,
    lines: Sequence[Line],
    *,
    span: Span,
    reason: InvoiceReason,
    occasion: str,
) -> InvoiceDraft:
    """These lines with the subscription's discounts, tax and the customer's balance."""
    agreement = await agreement_of(session, customer, row)
    return agreement.draft_lines(lines, period=span.period, reason=reason, occasion=occasion)
