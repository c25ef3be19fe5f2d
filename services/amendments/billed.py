"""What the present period was billed with, gathered from the rows: what a change within it gives back follows from it.

Reads only.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.crediting import credit, with_taken
from billing.lifecycle import InvoiceStatus
from billing.money import Money
from billing.proration import Billed, Present, price_of_used
from billing.recurring import full_length
from models.credits import balances_granted_by
from models.invoices import Invoice, InvoiceLine, recurring_lines_since, waiting_lines_of
from models.lists import by_ids
from models.payments import payments_of_invoices
from models.subscriptions import Subscription, SubscriptionItem, priced_items
from services.refunds.crediting import creditable_lines

_INSTANT = timedelta(microseconds=1)


async def present_period(
    session: AsyncSession, row: Subscription, items: Sequence[SubscriptionItem], *, counts_use: bool
) -> Present:
    """The period under way with what these items were billed. `counts_use`: also what has been used of it."""
    lines = await present_lines(session, row, items)
    invoices = {line.invoice_id for line in lines}
    rows = await by_ids(session, Invoice, sorted(invoices))
    paid = {invoice.id for invoice in rows if invoice.status is InvoiceStatus.PAID}
    returned = await _returned(session, sorted(invoices))
    nothing = Money.zero(row.currency)
    billed: list[Billed] = []
    for each in lines:
        line = each.line
        used = await _used(session, row, line.plan_id, line.cost) if counts_use else nothing
        billed.append(Billed(line, each.invoice_id in paid, returned.get(each.id, nothing), used))
    return Present(
        start=row.period_start,
        end=row.period_end,
        full=await _full_length(session, row),
        billed=billed,
        waiting={pending.id: pending.as_line for pending in await waiting_lines_of(session, row.id)},
        items=frozenset(item.id for item in items),
    )


async def present_lines(
    session: AsyncSession, row: Subscription, items: Sequence[SubscriptionItem]
) -> Sequence[InvoiceLine]:
    """The newest line of each item for the present period, of invoices that were not withdrawn."""
    lines = await recurring_lines_since(session, [item.id for item in items], row.period_start)
    newest = {line.item_id: line for line in lines}
    return [newest[item.id] for item in items if item.id in newest]


async def _returned(session: AsyncSession, invoice_ids: Sequence[str]) -> Mapping[str, Money]:
    """What of each line's cost went back to the customer since: refunds as their credit notes say.

    What banks hold back falls on what is left of the lines.
    """
    payments = await payments_of_invoices(session, invoice_ids)
    found: dict[str, Money] = {}
    for invoice_id in invoice_ids:
        lines = await creditable_lines(session, invoice_id)
        held = sum(each.amount_disputed_minor for each in payments if each.invoice_id == invoice_id)
        if lines and held > 0:
            lines = with_taken(lines, credit(Money(held, lines[0].cost.currency), lines))
        found |= {line.id: line.credited for line in lines}
    return found


async def _used(session: AsyncSession, row: Subscription, plan_id: str | None, cost: Money) -> Money:
    """The price of the credits of the plan that are gone: of several units that of which the most is."""
    balances = await balances_granted_by(session, row.id, plan_id) if plan_id is not None else ()
    used = [price_of_used(cost, each.total_used, each.total_granted) for each in balances]
    return max(used, default=Money.zero(cost.currency))


async def _full_length(session: AsyncSession, row: Subscription) -> timedelta:
    """Of a whole period: as the present one was billed, whatever it consisted of then; by the grid where it was not.

    A pause and another billing day move what is to come. How long this period is was settled when it began.
    """
    items = [item.id for item, _, _ in await priced_items(session, row.id)]
    lines = await recurring_lines_since(session, items, row.period_start)
    told = (full_length(each.line) for each in reversed(lines))
    return next((each for each in told if each is not None), row.grid.span_from(row.period_end - _INSTANT).full.length)
