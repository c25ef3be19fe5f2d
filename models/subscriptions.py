"""Subscriptions, what they contain, and the one live place per customer and product."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Index, UniqueConstraint, or_
from sqlmodel import Field, SQLModel, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from billing.calendar import Interval
from billing.lifecycle import SUBSCRIPTION, SubscriptionStatus
from models.base import BIG, EnumText, Leased, Record, UTCDateTime
from models.catalog import Product


class Subscription(Record, Leased, table=True):
    """A customer's standing order. `due_at` is when the worker must look: expiry, renewal or end."""

    __tablename__ = "subscriptions"

    customer_id: str = Field(foreign_key="customers.id", index=True)
    product_id: str = Field(foreign_key="products.id")
    plan_id: str = Field(foreign_key="plans.id", index=True)
    external_id: str | None = Field(default=None, unique=True, max_length=255)
    name: str | None = Field(default=None, max_length=250)
    origin: str = Field(default="checkout", max_length=20)
    status: SubscriptionStatus = Field(sa_type=EnumText(SubscriptionStatus))
    status_updated_at: datetime = Field(sa_type=UTCDateTime)
    currency: str = Field(max_length=3)
    original_amount_minor: int = Field(sa_type=BIG)
    discount_amount_minor: int = Field(default=0, sa_type=BIG)
    interval: Interval = Field(sa_type=EnumText(Interval))
    interval_count: int
    timezone: str = Field(max_length=64)
    anchor: datetime = Field(sa_type=UTCDateTime)
    period_number: int = 0
    period_start: datetime = Field(sa_type=UTCDateTime)
    period_end: datetime = Field(sa_type=UTCDateTime)
    started_at: datetime = Field(sa_type=UTCDateTime)
    activated_at: datetime | None = Field(default=None, sa_type=UTCDateTime)
    past_due_since: datetime | None = Field(default=None, sa_type=UTCDateTime)
    cancel_at_period_end: bool = False
    cancel_at: datetime | None = Field(default=None, sa_type=UTCDateTime)
    canceled_at: datetime | None = Field(default=None, sa_type=UTCDateTime)
    ended_at: datetime | None = Field(default=None, sa_type=UTCDateTime)
    cancellation_reason: str | None = Field(default=None, max_length=40)
    cancellation_comment: str | None = None
    cancellation_requested_by: str | None = Field(default=None, max_length=20)
    payment_method_id: str | None = Field(default=None, foreign_key="payment_methods.id")

    @property
    def is_last_period(self) -> bool:
        """Whether it ends with or within the period under way."""
        return self.cancel_at_period_end or (self.cancel_at is not None and self.cancel_at <= self.period_end)

    def next_due(self) -> datetime:
        """When a paid one is renewed or ended: at its period's end, or at its last instant if that is earlier."""
        return self.period_end if self.cancel_at is None else min(self.period_end, self.cancel_at)


class SubscriptionItem(SQLModel, table=True):
    """One plan at one price, some number of times."""

    __tablename__ = "subscription_items"
    __table_args__ = (UniqueConstraint("subscription_id", "price_id"),)

    id: str = Field(primary_key=True, max_length=40)
    subscription_id: str = Field(foreign_key="subscriptions.id", index=True)
    plan_id: str = Field(foreign_key="plans.id")
    price_id: str = Field(foreign_key="prices.id")
    quantity: int = 1
    created_at: datetime = Field(sa_type=UTCDateTime)


class LivePlace(SQLModel, table=True):
    """The one non-ended subscription per customer and product; the row goes when the subscription ends."""

    __tablename__ = "live_places"

    customer_id: str = Field(primary_key=True, foreign_key="customers.id")
    product_id: str = Field(primary_key=True, foreign_key="products.id")
    subscription_id: str = Field(foreign_key="subscriptions.id", unique=True)


class Change(SQLModel, table=True):
    """One applied transition of one machine: from, to, why, who, when."""

    __tablename__ = "changes"
    __table_args__ = (Index("ix_changes_subject_id_id", "subject_id", "id"),)

    id: str = Field(primary_key=True, max_length=40)
    machine: str = Field(max_length=20)
    subject_id: str = Field(max_length=40)
    from_status: str | None = Field(default=None, max_length=40)
    to_status: str = Field(max_length=40)
    cause: str = Field(max_length=100)
    actor: str = Field(max_length=300)
    at: datetime = Field(sa_type=UTCDateTime)


async def live_subscription(session: AsyncSession, customer_id: str, product_id: str) -> Subscription | None:
    """The non-ended subscription of that customer to that product."""
    query = (
        select(Subscription)
        .join(LivePlace, col(LivePlace.subscription_id) == Subscription.id)
        .where(LivePlace.customer_id == customer_id, LivePlace.product_id == product_id)
    )
    return (await session.exec(query)).first()


async def newest_live_subscription(
    session: AsyncSession, customer_id: str, product_code: str | None = None
) -> Subscription | None:
    """The customer's non-ended subscription, the newest if there are several products."""
    conditions: list[ColumnElement[bool]] = [
        col(Subscription.customer_id) == customer_id,
        col(Subscription.status).not_in(SUBSCRIPTION.final),
    ]
    query = select(Subscription).where(*conditions).order_by(col(Subscription.id).desc()).limit(1)
    if product_code is not None:
        query = query.join(Product, col(Product.id) == Subscription.product_id).where(Product.code == product_code)
    return (await session.exec(query)).first()


async def items_of(session: AsyncSession, subscription_ids: Sequence[str]) -> Sequence[SubscriptionItem]:
    query = (
        select(SubscriptionItem)
        .where(col(SubscriptionItem.subscription_id).in_(subscription_ids))
        .order_by(col(SubscriptionItem.id))
    )
    return (await session.exec(query)).all()


async def live_place(session: AsyncSession, subscription_id: str) -> LivePlace | None:
    return (await session.exec(select(LivePlace).where(LivePlace.subscription_id == subscription_id))).first()


async def changes_of(session: AsyncSession, machine: str, subject_ids: Sequence[str]) -> Sequence[Change]:
    """Applied transitions in the order in which they happened."""
    query = (
        select(Change)
        .where(Change.machine == machine, col(Change.subject_id).in_(subject_ids))
        .order_by(col(Change.id))
    )
    return (await session.exec(query)).all()


async def pinned_subscriptions(session: AsyncSession, customer_id: str) -> Sequence[Subscription]:
    """The customer's non-ended subscriptions that pin a card of their own."""
    query = select(Subscription).where(
        Subscription.customer_id == customer_id,
        col(Subscription.status).not_in(SUBSCRIPTION.final),
        col(Subscription.payment_method_id).is_not(None),
    )
    return (await session.exec(query)).all()


async def past_due_subscriptions(session: AsyncSession, customer_id: str) -> Sequence[Subscription]:
    query = select(Subscription).where(
        Subscription.customer_id == customer_id, Subscription.status == SubscriptionStatus.PAST_DUE
    )
    return (await session.exec(query)).all()


_RENEWING = (SubscriptionStatus.ACTIVE, SubscriptionStatus.PAST_DUE)


def ends_when_due() -> Sequence[ColumnElement[bool]]:
    """Which due subscriptions end instead of renewing: unpaid first ones, and those that run out."""
    return [
        or_(
            col(Subscription.status) == SubscriptionStatus.INCOMPLETE,
            col(Subscription.cancel_at_period_end),
            col(Subscription.cancel_at) <= col(Subscription.due_at),
        )
    ]


def renews_when_due() -> Sequence[ColumnElement[bool]]:
    """Which due subscriptions are billed for another period."""
    return [
        col(Subscription.status).in_(_RENEWING),
        col(Subscription.cancel_at_period_end).is_(False),
        or_(col(Subscription.cancel_at).is_(None), col(Subscription.cancel_at) > col(Subscription.due_at)),
    ]
