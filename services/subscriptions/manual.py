"""Manual subscriptions: agreed on and paid elsewhere, written down by the merchant, and taken back by it.

No gateway ever hears of them. They end with what was agreed on, unless they are renewed (manual_renewals).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.calendar import Interval, Period
from billing.errors import ErrorCode, UserProblem
from billing.invoicing import InvoiceReason, compose
from billing.lifecycle import SUBSCRIPTION, SubscriptionEvent, SubscriptionStatus
from billing.money import Money
from billing.offline import agreed_line, midnight
from models.base import Notes, new_id
from models.catalog import Plan, Price, plan_by, prices_of
from models.customers import Customer, locked_customer
from models.invoices import Invoice, manual_invoice, open_invoices_of
from models.subscriptions import (
    CollectionMethod,
    Subscription,
    SubscriptionItem,
    SubscriptionOrigin,
    subscription_of_external_id,
)
from services.app import Actor, App
from services.changes import Why, remember
from services.ends.closing import TERM_ENDED, close
from services.idempotency import Memory, once, scope_of
from services.invoices.issuing import issue, void_invoice
from services.owned import locked_subscription
from services.payments.offline import PaymentRecord, recorded_payment_id, refuse_record, write_payment
from services.people.customers import refuse_anonymized
from services.problems import not_found
from services.subscriptions.places import hold_places
from services.subscriptions.placing import PlacedItem
from services.timelines import in_time_of
from services.usage.allowances import Allowance, grant_allowances
from services.writing import written

_CREATE = "createManualSubscription"


@dataclass(frozen=True, slots=True)
class ManualOrder:
    """What was agreed on. Both days are the customer's own; the last one is no longer part of it.

    Without `payment` nothing was asked for. Not `is_active`: it is paused. `is_out_of_credits`: none are left of them.
    """

    plan_id: str | None
    plan_code: str | None
    interval: Interval
    period_start: date
    period_end: date
    external_id: str | None = None
    name: str | None = None
    payment: PaymentRecord | None = None
    credits: Sequence[Allowance] = ()
    is_fixed_credit: bool = False
    is_active: bool = True
    is_out_of_credits: bool = False
    metadata: Notes = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recorded:
    """A manual subscription as it is now, and the invoice of what was just agreed on."""

    subscription: Subscription
    invoice: Invoice


async def create_manual_subscription(
    app: App, actor: Actor, customer: Customer, order: ManualOrder, *, idempotency_key: str | None
) -> Recorded:
    """Write it down with its invoice, its payment and its credits, all at once.

    Raises UserProblem NOT_FOUND, INVALID, REQUIRED, CURRENCY_UNSUPPORTED, CURRENCY_MISMATCH, ALREADY_EXISTS,
    ALREADY_SUBSCRIBED, IDEMPOTENCY_CONFLICT.
    """
    present = await in_time_of(app, customer.test_clock_id)
    why = Why(_CREATE, actor, present.now())
    occasion = scope_of(actor, customer.id, _CREATE, idempotency_key) if idempotency_key is not None else None

    async def write(session: AsyncSession) -> Recorded:
        locked = await locked_customer(session, customer.id)
        if locked is None:
            raise not_found("customer", "customer")
        refuse_anonymized(locked, "customer")
        known = await manual_invoice(session, customer.id, occasion) if occasion is not None else None
        if known is not None:  # This very request, which got lost after its commit.
            return Recorded(await session.get_one(Subscription, known.subscription_id), known)
        return await _create(present, session, locked, order, occasion, why)

    run = partial(written, present, write)
    return await once(present, actor, customer.id, _CREATE, idempotency_key, asdict(order), RECORDED, run)


async def _create(
    app: App, session: AsyncSession, customer: Customer, order: ManualOrder, occasion: str | None, why: Why
) -> Recorded:
    plan, price, due = await _agreed(session, order, why.now)
    await _refuse_known_id(session, order.external_id)
    zone = ZoneInfo(customer.timezone)
    period = Period(
        in_calendar("periodStart", lambda: midnight(order.period_start, zone)),
        in_calendar("periodEnd", lambda: midnight(order.period_end, zone)),
    )
    if period.end < period.start:
        raise UserProblem(ErrorCode.INVALID, "periodEnd lies before periodStart.", ["periodEnd"])
    row = _subscription(app, customer, order, plan, due, period, why)
    session.add(row)
    await session.flush()
    remember(session, SUBSCRIPTION.name, row.id, None, row.status, why, customer_id=customer.id)
    item = PlacedItem(plan, price, unit_amount_minor=due.minor).as_item(row, why.now)
    session.add(item)
    if row.status not in SUBSCRIPTION.final:
        await hold_places(session, row, [plan.product_id])
    await session.flush()
    invoice = await bill(app, session, customer, row, item, plan, period, due, order.payment, occasion or "0", why)
    await grant_allowances(
        session,
        row,
        order.credits,
        period,
        zone,
        why,
        is_fixed=order.is_fixed_credit,
        is_used_up=order.is_out_of_credits,
    )
    return Recorded(row, invoice)


async def _agreed(session: AsyncSession, order: ManualOrder, now: datetime) -> tuple[Plan, Price, Money]:
    """The plan, its price in the currency that was paid in, and what is due."""
    if (order.plan_id is None) is (order.plan_code is None):
        raise UserProblem(ErrorCode.REQUIRED, "Name the plan: give either planId or planCode.", ["planId"])
    given = "planId" if order.plan_id is not None else "planCode"
    plan = await plan_by(session, id=order.plan_id, code=order.plan_code)
    if plan is None:
        raise UserProblem(ErrorCode.NOT_FOUND, "There is no such plan.", [given])
    prices, record = await prices_of(session, [plan.id]), order.payment
    currency = record.paid.currency if record is not None else None
    price = next((each for each in prices if currency in (None, each.currency)), None)
    if price is None:
        raise UserProblem(
            ErrorCode.CURRENCY_UNSUPPORTED, f"{plan.name} has no price in {currency or 'any currency'}.", ["payment"]
        )
    if record is None:
        return plan, price, Money.zero(price.currency)
    refuse_record(record, price.currency, now)
    return plan, price, record.due if record.due is not None else record.paid


async def _refuse_known_id(session: AsyncSession, external_id: str | None) -> None:
    if external_id is not None and await subscription_of_external_id(session, external_id) is not None:
        raise UserProblem(ErrorCode.ALREADY_EXISTS, "Another subscription has this id.", ["externalId"])


def _subscription(
    app: App, customer: Customer, order: ManualOrder, plan: Plan, due: Money, period: Period, why: Why
) -> Subscription:
    status = _status(order, period, why.now)
    has_ended = status is SubscriptionStatus.CANCELED
    row = Subscription(
        id=new_id("subscription"),
        customer_id=customer.id,
        product_id=plan.product_id,
        plan_id=plan.id,
        external_id=order.external_id,
        name=order.name,
        origin=SubscriptionOrigin.MANUAL,
        status=status,
        status_updated_at=why.now,
        currency=due.currency,
        original_amount_minor=due.minor,
        interval=order.interval,
        interval_count=1,
        timezone=customer.timezone,
        anchor=period.start,
        period_start=period.start,
        period_end=period.end,
        started_at=period.start,
        activated_at=None if status is SubscriptionStatus.SCHEDULED else why.now,
        ends_at=period.end,
        ended_at=period.end if has_ended else None,
        cancellation_reason=TERM_ENDED if has_ended else None,
        paused_at=why.now if status is SubscriptionStatus.PAUSED else None,
        collection_method=CollectionMethod.SEND_INVOICE,
        test_clock_id=app.timeline,
        created_at=why.now,
        updated_at=why.now,
        meta=order.metadata,
    )
    row.due_at = row.next_due()
    return row


def _status(order: ManualOrder, period: Period, now: datetime) -> SubscriptionStatus:
    if period.end <= max(now, period.start):
        return SubscriptionStatus.CANCELED
    if not order.is_active:
        return SubscriptionStatus.PAUSED
    return SubscriptionStatus.SCHEDULED if period.start > now else SubscriptionStatus.ACTIVE


async def bill(
    app: App,
    session: AsyncSession,
    customer: Customer,
    row: Subscription,
    item: SubscriptionItem,
    plan: Plan,
    period: Period,
    due: Money,
    record: PaymentRecord | None,
    occasion: str,
    why: Why,
) -> Invoice:
    """The invoice of a period as it was agreed on, and what has come of it; the customer's balance is left alone."""
    line = agreed_line(
        row.name or plan.name,
        due,
        period,
        ZoneInfo(row.timezone),
        plan_id=plan.id,
        product_id=plan.product_id,
        item_id=item.id,
    )
    draft = compose([line], reason=InvoiceReason.MANUAL, occasion=occasion, period=period, carries_small=False)
    invoice, _ = await issue(app, session, customer, row, draft, why)
    if record is not None and not record.paid.is_zero:
        await write_payment(
            session, customer, invoice, record, why, payment_id=recorded_payment_id(f"{invoice.id}/issued")
        )
    return invoice


async def delete_manual_subscription(
    app: App, actor: Actor, *, subscription_id: str, expected_version: int | None
) -> Subscription:
    """Take a manual subscription back: it ends at once, what is unpaid of it is voided, its rows stay to be read.

    Repeating it changes nothing. Raises UserProblem NOT_FOUND, INVALID_STATE, VERSION_CONFLICT.
    """
    seen = await known_subscription(app, subscription_id, "id")
    present = await in_time_of(app, seen.test_clock_id)
    why = Why("deleteManualSubscription", actor, present.now())
    async with present.database.write() as session:
        row, _ = await locked_subscription(session, seen, expected_version)
        if row.origin is not SubscriptionOrigin.MANUAL:
            raise UserProblem(ErrorCode.INVALID_STATE, "Only manual subscriptions are deleted.", ["id"])
        if row.archived_at is not None:
            return row
        for invoice in await open_invoices_of(session, row.id):
            await void_invoice(session, invoice, why)
        row.archived_at = why.now
        if row.status in SUBSCRIPTION.final:
            row.touch(why.now)
        else:
            row.canceled_at, row.cancellation_requested_by = why.now, actor.kind.value
            await close(session, row, SubscriptionEvent.CANCEL, why)
        return row


def in_calendar(field: str, instant: Callable[[], datetime]) -> datetime:
    try:
        return instant()
    except (OverflowError, ValueError):
        raise UserProblem(ErrorCode.INVALID, f"{field}: give a day of the years 1 to 9999.", [field]) from None


async def known_subscription(app: App, subscription_id: str, field: str) -> Subscription:
    """Any customer's: writing down is the merchant's side alone. Raises NOT_FOUND."""
    async with app.database.read() as session:
        row = await session.get(Subscription, subscription_id)
    if row is None:
        raise not_found("subscription", field)
    return row


async def _told(app: App, answer: Mapping[str, Any]) -> Recorded:
    async with app.database.read() as session:
        return Recorded(
            await session.get_one(Subscription, answer["subscription"]),
            await session.get_one(Invoice, answer["invoice"]),
        )


RECORDED: Memory[Recorded] = Memory(
    lambda recorded: {"subscription": recorded.subscription.id, "invoice": recorded.invoice.id, "payment": None}, _told
)
