"""What was used: one row per event that the application reported, never changed but for the invoice that counts it."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Index, UniqueConstraint, and_, update
from sqlmodel import Field, SQLModel, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from billing.calendar import Period
from billing.lifecycle import SUBSCRIPTION
from billing.lines import LineKind
from billing.metering import Aggregation, UsageEvent, UsageType, aggregate
from models import inserting
from models.among import among, listed
from models.base import DecimalText, UTCDateTime
from models.catalog import Plan, PlanEntitlement
from models.customers import Customer
from models.invoices import Invoice, InvoiceLine
from models.subscriptions import Subscription, SubscriptionItem


class UsageRecord(SQLModel, table=True):
    """`invoice_id`: the invoice that counted it, None until then. `unique_value`: what unique counts tell apart."""

    __tablename__ = "usage_records"
    __table_args__ = (
        UniqueConstraint("subscription_id", "idempotency_key"),
        Index("ix_usage_records_unbilled", "subscription_id", "feature_id", "invoice_id"),
    )

    id: str = Field(primary_key=True, max_length=40)
    subscription_id: str = Field(foreign_key="subscriptions.id")
    customer_id: str = Field(foreign_key="customers.id", index=True)
    feature_id: str = Field(foreign_key="features.id")
    quantity: Decimal = Field(sa_type=DecimalText)
    unique_value: str | None = Field(default=None, max_length=255)
    occurred_at: datetime = Field(sa_type=UTCDateTime)
    idempotency_key: str = Field(max_length=255)
    input_hash: str = Field(max_length=64)
    invoice_id: str | None = Field(default=None, foreign_key="invoices.id")
    recorded_at: datetime = Field(sa_type=UTCDateTime)


async def usage_between(
    session: AsyncSession, subscription_id: str, feature_ids: Sequence[str], start: datetime, end: datetime | None
) -> Sequence[UsageRecord]:
    """What occurred in `[start, end)`, in the order in which it was recorded. `end` None: all from the start on."""
    query = select(UsageRecord).where(
        UsageRecord.subscription_id == subscription_id,
        col(UsageRecord.feature_id).in_(feature_ids),
        col(UsageRecord.occurred_at) >= start,
    )
    if end is not None:
        query = query.where(col(UsageRecord.occurred_at) < end)
    return (await session.exec(query.order_by(col(UsageRecord.id)))).all()


async def uncounted_usage(
    session: AsyncSession, subscription_id: str, feature_ids: Sequence[str], before: datetime
) -> Sequence[tuple[str, datetime]]:
    """Feature and instant of what occurred before then and is on no invoice."""
    query = select(UsageRecord.feature_id, UsageRecord.occurred_at).where(
        UsageRecord.subscription_id == subscription_id,
        col(UsageRecord.feature_id).in_(feature_ids),
        col(UsageRecord.invoice_id).is_(None),
        col(UsageRecord.occurred_at) < before,
    )
    return (await session.exec(query)).all()


async def billed_usage_of(session: AsyncSession, subscription_id: str) -> Sequence[tuple[InvoiceLine, Invoice]]:
    """Every line of usage that the subscription was ever billed with, and its invoice, whatever became of that."""
    query = (
        select(InvoiceLine, Invoice)
        .join(Invoice, col(Invoice.id) == InvoiceLine.invoice_id)
        .where(Invoice.subscription_id == subscription_id, InvoiceLine.kind == LineKind.USAGE)
    )
    return (await session.exec(query)).all()


async def count_on_invoice(
    session: AsyncSession, subscription_id: str, feature_id: str, period: Period, invoice_id: str
) -> None:
    """What occurred in the period and is on no invoice yet is on this one."""
    await session.exec(
        update(UsageRecord)
        .where(
            col(UsageRecord.subscription_id) == subscription_id,
            col(UsageRecord.feature_id) == feature_id,
            col(UsageRecord.invoice_id).is_(None),
            col(UsageRecord.occurred_at) >= period.start,
            col(UsageRecord.occurred_at) < period.end,
        )
        .values(invoice_id=invoice_id)
    )


async def take_off_invoice(session: AsyncSession, subscription_id: str, invoice_id: str) -> None:
    """What the invoice had counted is on none again."""
    await session.exec(
        update(UsageRecord)
        .where(col(UsageRecord.subscription_id) == subscription_id, col(UsageRecord.invoice_id) == invoice_id)
        .values(invoice_id=None)
    )


async def recorded_hashes(session: AsyncSession, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """The hash of what was recorded under each of these (subscription, idempotency key), where something was."""
    place = (col(UsageRecord.subscription_id), col(UsageRecord.idempotency_key))
    query = select(*place, UsageRecord.input_hash).where(among(place, keys))
    return {(subscription, key): known for subscription, key, known in (await session.exec(query)).all()}


async def subscriptions_told_of(
    session: AsyncSession, keys: Sequence[tuple[str, str]]
) -> Mapping[tuple[str, str, str], str]:
    """(customer, feature, key) → the subscription of which that was recorded, ended or not; of several the newest."""
    if not keys:
        return {}
    wanted = listed((col(Subscription.customer_id), col(UsageRecord.idempotency_key)), keys)
    query = (
        select(
            Subscription.customer_id, UsageRecord.feature_id, UsageRecord.idempotency_key, UsageRecord.subscription_id
        )
        .join(wanted, wanted.c.customer_id == col(Subscription.customer_id))
        .join(
            UsageRecord,
            and_(
                col(UsageRecord.subscription_id) == Subscription.id,
                col(UsageRecord.idempotency_key) == wanted.c.idempotency_key,
            ),
        )
        .order_by(col(UsageRecord.id))
    )
    found = (await session.exec(query)).all()
    return {(customer, feature, key): subscription for customer, feature, key, subscription in found}


async def insert_missing(session: AsyncSession, rows: Sequence[UsageRecord]) -> set[str]:
    """Write these in one statement, leaving out what another request wrote under the same key: the ids written."""
    return await inserting.insert_missing(session, UsageRecord, rows, unique=["subscription_id", "idempotency_key"])


async def subscriptions_counting(
    session: AsyncSession, customer_ids: Sequence[str], feature_ids: Sequence[str]
) -> Mapping[tuple[str, str], Sequence[str]]:
    """(customer, feature) → the customer's live subscriptions that are billed by the feature; where none is, those
    that allow it."""
    counting: dict[tuple[str, str], list[str]] = {}
    measured: tuple[Any, Any, Any] = (Plan, Plan.id, Plan.meter_feature_id)
    allowed: tuple[Any, Any, Any] = (PlanEntitlement, PlanEntitlement.plan_id, PlanEntitlement.feature_id)
    for table, plan_id, feature in (measured, allowed):
        query = (
            select(Subscription.customer_id, col(feature), Subscription.id)
            .join(SubscriptionItem, col(SubscriptionItem.subscription_id) == Subscription.id)
            .join(table, col(plan_id) == SubscriptionItem.plan_id)
            .where(
                col(Subscription.customer_id).in_(customer_ids),
                col(Subscription.status).not_in(SUBSCRIPTION.final),
                col(SubscriptionItem.ended_at).is_(None),
                col(feature).in_(feature_ids),
            )
            .distinct()
        )
        found: dict[tuple[str, str], list[str]] = {}
        for customer_id, feature_id, id in (await session.exec(query)).all():
            found.setdefault((customer_id, feature_id), []).append(id)
        counting = found | counting
    return counting


async def counted_features(
    session: AsyncSession, subscription_ids: Sequence[str]
) -> Sequence[tuple[str, str, Aggregation | None]]:
    """(subscription, feature, how it is measured) of all that was ever in them; None: allowed, not measured."""
    of_plans = (
        select(SubscriptionItem.subscription_id, Plan.meter_feature_id, Plan.aggregate_usage)
        .join(Plan, col(Plan.id) == SubscriptionItem.plan_id)
        .where(col(SubscriptionItem.subscription_id).in_(subscription_ids), col(Plan.meter_feature_id).is_not(None))
    )
    allowed = (
        select(SubscriptionItem.subscription_id, PlanEntitlement.feature_id)
        .join(PlanEntitlement, col(PlanEntitlement.plan_id) == SubscriptionItem.plan_id)
        .where(col(SubscriptionItem.subscription_id).in_(subscription_ids))
    )
    measured = [
        (id, feature, Aggregation(how) if how is not None else None)
        for id, feature, how in (await session.exec(of_plans)).all()
        if feature is not None
    ]
    return [*measured, *((id, feature, None) for id, feature in (await session.exec(allowed)).all())]


async def used_in(
    session: AsyncSession, spans: Sequence[tuple[str, datetime, datetime]]
) -> dict[str, dict[str, Decimal]]:
    """What was used in each of these spans of a subscription: subscription → feature → quantity as it is measured."""
    ids = [subscription_id for subscription_id, _, _ in spans]
    counted = await counted_features(session, ids)
    how = {(id, feature): aggregation for id, feature, aggregation in reversed(counted)}  # what is measured goes first
    found: dict[str, dict[str, Decimal]] = {}
    for subscription_id, start, end in spans:
        features = [feature for id, feature in how if id == subscription_id]
        events: dict[str, list[UsageEvent]] = {}
        for record in await usage_between(session, subscription_id, features, start, end) if features else ():
            event = UsageEvent(record.id, record.occurred_at, record.quantity, record.unique_value)
            events.setdefault(record.feature_id, []).append(event)
        found[subscription_id] = {
            feature: aggregate(how[subscription_id, feature] or Aggregation.SUM, each)
            for feature, each in events.items()
        }
    return found


async def hold_customers(session: AsyncSession, customer_ids: Sequence[str]) -> None:
    """Keep them from being billed until the transaction ends.

    Others who record for them wait, too: locks that they shared would let them all pass by whoever wants to bill, who
    never had a turn while usage came without a break.
    """
    query = select(Customer.id).where(col(Customer.id).in_(customer_ids)).order_by(col(Customer.id))
    await session.exec(query.with_for_update(key_share=True))


async def metered_of(session: AsyncSession, subscription_ids: Sequence[str]) -> Collection[str]:
    """Which of these subscriptions have, or ever had, anything that is billed by use."""
    query = (
        select(SubscriptionItem.subscription_id)
        .join(Plan, col(Plan.id) == SubscriptionItem.plan_id)
        .where(col(SubscriptionItem.subscription_id).in_(subscription_ids), col(Plan.usage_type) == UsageType.METERED)
        .distinct()
    )
    return frozenset((await session.exec(query)).all())
