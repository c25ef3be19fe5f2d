"""Renewals of manual subscriptions: agreed on anew, each an invoice for the time that follows."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.calendar import Period, boundary
from billing.errors import ErrorCode, UserProblem
from billing.invoicing import InvoiceReason, invoice_uuid
from billing.lifecycle import SUBSCRIPTION
from billing.money import Money
from billing.offline import midnight
from models.base import ID_PREFIXES
from models.catalog import Plan, Price
from models.customers import Customer
from models.invoices import Invoice
from models.subscriptions import Subscription, SubscriptionItem, SubscriptionOrigin, items_of
from services.app import Actor, App
from services.changes import Why
from services.idempotency import once, scope_of
from services.owned import already_ended, locked_subscription
from services.payments.offline import PaymentRecord, refuse_record
from services.subscriptions.manual import RECORDED, Recorded, bill, in_calendar, known_subscription
from services.subscriptions.placing import PlacedItem
from services.timelines import in_time_of
from services.usage.allowances import Allowance, allowances_of_before, renew_allowances

_RENEW = "renewManualSubscription"


@dataclass(frozen=True, slots=True)
class ManualRenewal:
    """What was agreed on next. `period_end`: one interval later unless given. Without `payment` it asks for the same
    amount again, and for nothing to be paid yet. `credits`: instead of what was granted before."""

    subscription_id: str
    period_end: date | None = None
    payment: PaymentRecord | None = None
    credits: Sequence[Allowance] | None = None


async def renew_manual_subscription(
    app: App, actor: Actor, renewal: ManualRenewal, *, idempotency_key: str
) -> Recorded:
    """Let a manual subscription go on after its end: the time that follows is billed, and paid as recorded.

    Raises UserProblem NOT_FOUND, INVALID, INVALID_STATE, CURRENCY_MISMATCH, IDEMPOTENCY_CONFLICT.
    """
    seen = await known_subscription(app, renewal.subscription_id, "subscriptionId")
    present = await in_time_of(app, seen.test_clock_id)
    why = Why(_RENEW, actor, present.now())
    occasion = scope_of(actor, seen.customer_id, _RENEW, idempotency_key)

    async def run() -> Recorded:
        async with present.database.write() as session:
            row, customer = await locked_subscription(session, seen, None)
            identity = invoice_uuid(row.id, InvoiceReason.MANUAL, occasion)
            known = await session.get(Invoice, f"{ID_PREFIXES['invoice']}_{identity.hex}")
            if known is not None:  # This very request, which got lost after its commit.
                return Recorded(row, known)
            return await _renew(present, session, customer, row, renewal, occasion, why)

    return await once(present, actor, seen.customer_id, _RENEW, idempotency_key, asdict(renewal), RECORDED, run)


async def _renew(
    app: App,
    session: AsyncSession,
    customer: Customer,
    row: Subscription,
    renewal: ManualRenewal,
    occasion: str,
    why: Why,
) -> Recorded:
    if row.origin is not SubscriptionOrigin.MANUAL or row.ends_at is None:
        raise UserProblem(ErrorCode.INVALID_STATE, "Only manual subscriptions are renewed by hand.", ["subscriptionId"])
    if row.status in SUBSCRIPTION.final or row.ends_at <= why.now:
        raise already_ended(row)
    start = row.ends_at
    period = Period(start, in_calendar("periodEnd", lambda: _next_end(row, start, renewal.period_end)))
    if period.end <= period.start:
        raise UserProblem(ErrorCode.INVALID, "periodEnd lies before the end that it has already.", ["periodEnd"])
    _refuse_canceled(row, period.end)
    record = renewal.payment
    if record is not None:
        refuse_record(record, row.currency, why.now)
    due = Money(row.original_amount_minor, row.currency)
    if record is not None:
        due = record.due if record.due is not None else record.paid
    plan = await session.get_one(Plan, row.plan_id)
    item = await _item_at(session, row, plan, due, why.now)
    row.ends_at = period.end
    row.original_amount_minor = due.minor
    row.touch(why.now)
    invoice = await bill(app, session, customer, row, item, plan, period, due, record, occasion, why)
    credits = renewal.credits if renewal.credits is not None else await allowances_of_before(session, row, start)
    await renew_allowances(session, row, credits, period, row.grid.zone, why)
    row.due_at = row.next_due()
    return Recorded(row, invoice)


def _next_end(row: Subscription, start: datetime, wished: date | None) -> datetime:
    """The wished day, else one interval later: on the grid of its first day, as long as it has kept to that."""
    zone = row.grid.zone
    if wished is not None:
        return midnight(wished, zone)
    span = row.grid.span_from(start)
    return span.full.end if span.full.start == start else boundary(start, row.interval, row.interval_count, zone, 1)


async def _item_at(session: AsyncSession, row: Subscription, plan: Plan, due: Money, now: datetime) -> SubscriptionItem:
    """Its item at what it costs from now on: an item is never changed, another one takes its place."""
    item = (await items_of(session, [row.id]))[0]
    if item.unit_amount_minor == due.minor:
        return item
    item.ended_at = now
    await session.flush()
    price = await session.get_one(Price, item.price_id)
    successor = PlacedItem(plan, price, unit_amount_minor=due.minor).as_item(row, now)
    session.add(successor)
    await session.flush()
    return successor


def _refuse_canceled(row: Subscription, at: datetime) -> None:
    """Somebody wants it to end before then. Raises INVALID_STATE."""
    if row.cancel_at_period_end or (row.cancel_at is not None and row.cancel_at < at):
        message = "It is canceled, and would end before what is paid now. Let it go on first: uncancelSubscription."
        raise UserProblem(ErrorCode.INVALID_STATE, message, ["subscriptionId"])
