"""Figures counted by the database: a handful of statements, however many subscriptions and days there are.

All of them are about one currency, and leave customers on test clocks out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import CTE, Integer, Select, and_, case, column, distinct, func, or_, select, values
from sqlmodel import col
from sqlmodel import select as select_rows
from sqlmodel.ext.asyncio.session import AsyncSession

from billing.invoicing import InvoiceReason
from billing.ledger import Account
from billing.lifecycle import SUBSCRIPTION, InvoiceStatus, SubscriptionStatus
from billing.lines import LineKind
from billing.metering import UsageType
from billing.metrics import ACTIVE, LEFT, Day
from models.base import UTCDateTime
from models.catalog import Plan, Price
from models.customers import Customer
from models.invoices import Invoice, InvoiceLine
from models.ledger import LedgerEntry
from models.subscriptions import Change, Subscription, SubscriptionItem, SubscriptionOrigin


@dataclass(frozen=True, slots=True)
class ItemsAlike:
    """`count` items that are the same for this purpose at the end of a day; `discount` of `amount` is taken off."""

    day: int
    price_id: str
    quantity: int
    unit_amount_minor: int | None
    interval: str
    interval_count: int
    count: int
    amount: int = 0
    discount: int = 0


async def items_by_day(session: AsyncSession, currency: str, days: Sequence[Day]) -> Sequence[ItemsAlike]:
    """What is subscribed to at the end of each day and is billed in advance."""
    at = _days(days)
    keys = _alike(at)
    query = _items(at, currency).add_columns(*keys, func.count()).group_by(*keys)
    return [ItemsAlike(*row) for row in await _rows(session, query)]


async def discounted_by_day(session: AsyncSession, currency: str, days: Sequence[Day]) -> Sequence[ItemsAlike]:
    """Of these, those whose invoice for that time took something off."""
    at = _days(days)
    keys, money = _alike(at), (col(InvoiceLine.amount_minor), col(InvoiceLine.discount_minor))
    query = (
        _items(at, currency)
        .add_columns(*keys, func.count(), *money)
        .join(InvoiceLine, col(InvoiceLine.item_id) == SubscriptionItem.id)
        .join(Invoice, col(Invoice.id) == InvoiceLine.invoice_id)
        .where(
            col(InvoiceLine.kind) == LineKind.RECURRING,
            col(InvoiceLine.discount_minor) > 0,
            col(InvoiceLine.amount_minor) > 0,
            col(InvoiceLine.period_start) < at.c.until,
            col(InvoiceLine.period_end) >= at.c.until,
            col(Invoice.status) != InvoiceStatus.VOID,
        )
        .group_by(*keys, *money)
    )
    return [ItemsAlike(*row) for row in await _rows(session, query)]


async def statuses_at(
    session: AsyncSession, currency: str, instants: Sequence[datetime]
) -> Mapping[tuple[int, SubscriptionStatus], int]:
    """(which instant, status) → how many subscriptions had it just before then."""
    at = _days([Day(instant.date(), instant, instant) for instant in instants])
    standing = _standing()
    keys = (at.c.day, standing.c.to_status)
    query = (
        _at_the_time(select(*keys, func.count()), at, standing)
        .where(col(Subscription.currency) == currency)
        .group_by(*keys)
    )
    return {(day, SubscriptionStatus(status)): count for day, status, count in await _rows(session, query)}


async def lost_of_those_active(session: AsyncSession, currency: str, start: datetime, end: datetime) -> int:
    """How many of the subscriptions that were active at the start were canceled until the end."""
    standing = _standing()
    at = _days([Day(start.date(), start, start)])
    query = (
        _at_the_time(select(func.count(distinct(standing.c.subject_id))), at, standing)
        .join(Change, col(Change.subject_id) == standing.c.subject_id)
        .where(
            col(Subscription.currency) == currency,
            standing.c.to_status.in_(ACTIVE),
            col(Change.machine) == SUBSCRIPTION.name,
            col(Change.to_status) == SubscriptionStatus.CANCELED,
            col(Change.at) >= start,
            col(Change.at) < end,
        )
    )
    return (await _rows(session, query))[0][0]


async def begun_by_day(session: AsyncSession, currency: str, days: Sequence[Day]) -> Mapping[int, int]:
    """Day → how many subscriptions were active for the first time."""
    first = (
        select(col(Change.subject_id), func.min(col(Change.at)).label("at"))
        .where(col(Change.machine) == SUBSCRIPTION.name, col(Change.to_status).in_(ACTIVE))
        .group_by(col(Change.subject_id))
        .subquery()
    )
    at = _days(days)
    query = (
        select(at.c.day, func.count())
        .select_from(at)
        .join(first, and_(first.c.at >= at.c.since, first.c.at < at.c.until))
        .join(Subscription, col(Subscription.id) == first.c.subject_id)
        .where(*_counted(currency))
        .group_by(at.c.day)
    )
    return {day: count for day, count in await _rows(session, query)}  # noqa: C416 (rows are no pairs to the checker)


async def lost_by_day(session: AsyncSession, currency: str, days: Sequence[Day]) -> Mapping[int, int]:
    """Day → how many subscriptions that had been active were canceled."""
    at = _days(days)
    query = (
        select(at.c.day, func.count())
        .select_from(at)
        .join(Change, and_(col(Change.at) >= at.c.since, col(Change.at) < at.c.until))
        .join(Subscription, col(Subscription.id) == Change.subject_id)
        .where(
            *_counted(currency),
            col(Change.machine) == SUBSCRIPTION.name,
            col(Change.to_status) == SubscriptionStatus.CANCELED,
            col(Change.from_status).in_(LEFT),
        )
        .group_by(at.c.day)
    )
    return {day: count for day, count in await _rows(session, query)}  # noqa: C416


async def kept_by_day(session: AsyncSession, currency: str, days: Sequence[Day]) -> Mapping[int, int]:
    """Day → what came in less what went back, in minor units, as the ledger has it."""
    at = _days(days)
    query = (
        select(at.c.day, func.sum(col(LedgerEntry.amount_minor)))
        .select_from(at)
        .join(LedgerEntry, and_(col(LedgerEntry.at) >= at.c.since, col(LedgerEntry.at) < at.c.until))
        .join(Customer, col(Customer.id) == LedgerEntry.customer_id)
        .where(
            col(LedgerEntry.currency) == currency,
            col(LedgerEntry.account).in_((Account.GATEWAY, Account.OFFLINE)),
            col(Customer.test_clock_id).is_(None),
        )
        .group_by(at.c.day)
    )
    return {day: int(amount) for day, amount in await _rows(session, query)}


async def recovered(session: AsyncSession, currency: str, start: datetime, end: datetime) -> int:
    """What was paid in that time for renewals whose collection had failed before, in minor units."""
    query = (
        select(func.coalesce(func.sum(col(Invoice.amount_paid_minor)), 0))
        .join(Customer, col(Customer.id) == Invoice.customer_id)
        .where(
            col(Invoice.currency) == currency,
            col(Invoice.reason) == InvoiceReason.SUBSCRIPTION_CYCLE,
            col(Invoice.status) == InvoiceStatus.PAID,
            col(Invoice.paid_at) >= start,
            col(Invoice.paid_at) < end,
            col(Invoice.first_failed_at).is_not(None),
            col(Customer.test_clock_id).is_(None),
        )
    )
    return int((await _rows(session, query))[0][0])


async def other_currencies(session: AsyncSession, currency: str) -> Sequence[str]:
    """In which other ones there are subscriptions, by their codes."""
    query = (
        select(col(Subscription.currency))
        .distinct()
        .where(col(Subscription.currency) != currency, col(Subscription.test_clock_id).is_(None))
        .order_by(col(Subscription.currency))
    )
    return [code for (code,) in await _rows(session, query)]


async def prices_with_plans(session: AsyncSession, price_ids: Sequence[str]) -> Mapping[str, tuple[Price, Plan]]:
    query = select_rows(Price, Plan).join(Plan, col(Plan.id) == Price.plan_id).where(col(Price.id).in_(price_ids))
    return {price.id: (price, plan) for price, plan in (await session.exec(query)).all()}


def _days(days: Sequence[Day]) -> CTE:
    """The days as a table: number, first instant, end."""
    instant = UTCDateTime()
    numbered = [(number, day.start, day.end) for number, day in enumerate(days)]
    table = values(column("day", Integer), column("since", instant), column("until", instant), name="spans")
    return table.data(numbered).cte("days")


def _standing() -> CTE:
    """Each subscription's statuses one after another: from when on, and until when."""
    after = func.lead(col(Change.at)).over(partition_by=col(Change.subject_id), order_by=col(Change.id))
    return (
        select(col(Change.subject_id), col(Change.to_status), col(Change.at), after.label("until"))
        .where(col(Change.machine) == SUBSCRIPTION.name)
        .cte("standing")
    )


def _at_the_time(query: Select[*tuple[Any, ...]], at: CTE, standing: CTE) -> Select[*tuple[Any, ...]]:
    """The status that each subscription had just before the end of each day."""
    still = or_(standing.c.until.is_(None), standing.c.until >= at.c.until)
    return (
        query.select_from(at)
        .join(standing, and_(standing.c.at < at.c.until, still))
        .join(Subscription, col(Subscription.id) == standing.c.subject_id)
        .where(col(Subscription.test_clock_id).is_(None))
    )


def _items(at: CTE, currency: str) -> Select[*tuple[Any, ...]]:
    """Items of active subscriptions just before the end of each day, metered ones left out."""
    standing = _standing()
    still = or_(col(SubscriptionItem.ended_at).is_(None), col(SubscriptionItem.ended_at) >= at.c.until)
    return (
        _at_the_time(select(), at, standing)
        .join(
            SubscriptionItem,
            and_(
                col(SubscriptionItem.subscription_id) == Subscription.id,
                col(SubscriptionItem.created_at) < at.c.until,
                still,
            ),
        )
        .join(Plan, col(Plan.id) == SubscriptionItem.plan_id)
        .where(
            col(Subscription.currency) == currency,
            standing.c.to_status.in_(ACTIVE),
            col(Plan.usage_type) == UsageType.LICENSED,
        )
    )


def _alike(at: CTE) -> Sequence[Any]:
    """What makes items the same. What was agreed on by hand goes by its own interval, all else by its plan's."""
    by_hand = col(Subscription.origin) == SubscriptionOrigin.MANUAL
    return (
        at.c.day,
        col(SubscriptionItem.price_id),
        col(SubscriptionItem.quantity),
        col(SubscriptionItem.unit_amount_minor),
        case((by_hand, col(Subscription.interval)), else_=col(Plan.interval)).label("every"),
        case((by_hand, col(Subscription.interval_count)), else_=col(Plan.interval_count)).label("every_count"),
    )


def _counted(currency: str) -> Sequence[Any]:
    return (col(Subscription.currency) == currency, col(Subscription.test_clock_id).is_(None))


async def _rows(session: AsyncSession, query: Select[*tuple[Any, ...]]) -> Sequence[Any]:
    return (await (await session.connection()).execute(query)).all()
