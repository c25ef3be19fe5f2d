"""Subscriptions, what they contain, and the one live place per customer and product."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Index, text
from sqlmodel import Field, SQLModel, col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from billing.calendar import Grid, Interval
from billing.dunning import BEHIND
from billing.lifecycle import SUBSCRIPTION, InvoiceStatus, SubscriptionStatus
from billing.schedule import Schedule, next_happening
from models.audit_log import Audited
from models.base import BIG, DOCUMENT, DecimalText, EnumText, Leased, Record, UTCDateTime, index_where_set
from models.catalog import Plan, Price
from models.invoices import Invoice
from models.lockstep import for_each, grouped


class CollectionMethod(StrEnum):
    """Whether invoices are charged to a card, or sent and waited for."""

    CHARGE_AUTOMATICALLY = "charge_automatically"
    SEND_INVOICE = "send_invoice"


class SubscriptionOrigin(StrEnum):
    CHECKOUT = "checkout"
    MANUAL = "manual"
    IMPORTED = "imported"
    API = "api"


class Subscription(Record, Leased, table=True):
    """A customer's standing order. `due_at` (billing time) is when something happens to it: see `billing.schedule`.

    Periods lie on the grid of `anchor` and `billing_day`. `period_number` counts what was begun and never restarts.
    `change_at`, `pause_at`, `resume_at`: planned. `given_up_at`: when its dunning ended without money.
    `invoice_due_at`: when the oldest unpaid invoice that was sent must be paid.
    """

    __tablename__ = "subscriptions"
    __audited__ = Audited(masked=frozenset(("name", "external_id", "cancellation_comment", "meta")))
    __table_args__ = (
        index_where_set("subscriptions", "due_at"),
        Index("ix_subscriptions_status_id", "status", "id"),
        Index(
            "ix_subscriptions_test_clock_id_due_at",
            "test_clock_id",
            "due_at",
            sqlite_where=text("test_clock_id IS NOT NULL"),
            postgresql_where=text("test_clock_id IS NOT NULL"),
        ),
    )

    customer_id: str = Field(foreign_key="customers.id", index=True)
    product_id: str = Field(foreign_key="products.id")
    plan_id: str = Field(foreign_key="plans.id", index=True)
    external_id: str | None = Field(default=None, unique=True, max_length=255)
    name: str | None = Field(default=None, max_length=250)
    origin: SubscriptionOrigin = Field(default=SubscriptionOrigin.CHECKOUT, sa_type=EnumText(SubscriptionOrigin))
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
    test_clock_id: str | None = Field(default=None, foreign_key="test_clocks.id")
    collection_method: CollectionMethod = Field(
        default=CollectionMethod.CHARGE_AUTOMATICALLY, sa_type=EnumText(CollectionMethod)
    )
    days_until_due: int | None = None
    tax_percent: Decimal | None = Field(default=None, sa_type=DecimalText)
    billing_day: int | None = None
    trial_start: datetime | None = Field(default=None, sa_type=UTCDateTime)
    trial_end: datetime | None = Field(default=None, sa_type=UTCDateTime)
    trial_end_announced_at: datetime | None = Field(default=None, sa_type=UTCDateTime)
    ends_at: datetime | None = Field(default=None, sa_type=UTCDateTime)
    change_at: datetime | None = Field(default=None, sa_type=UTCDateTime)
    pause_at: datetime | None = Field(default=None, sa_type=UTCDateTime)
    paused_at: datetime | None = Field(default=None, sa_type=UTCDateTime)
    resume_at: datetime | None = Field(default=None, sa_type=UTCDateTime)
    given_up_at: datetime | None = Field(default=None, sa_type=UTCDateTime)
    invoice_due_at: datetime | None = Field(default=None, sa_type=UTCDateTime)

    @property
    def is_last_period(self) -> bool:
        """Whether it ends with or within the period under way."""
        end = self.schedule.end
        return end is not None and end <= self.period_end

    @property
    def schedule(self) -> Schedule:
        """The dates it carries, for the engine."""
        return Schedule(
            status=self.status,
            since=self.status_updated_at,
            period_start=self.period_start,
            period_end=self.period_end,
            trial_end=self.trial_end,
            is_trial_end_announced=self.trial_end_announced_at is not None,
            cancel_at_period_end=self.cancel_at_period_end,
            cancel_at=self.cancel_at,
            ends_at=self.ends_at,
            change_at=self.change_at,
            pause_at=self.pause_at,
            resume_at=self.resume_at,
            invoice_due_at=self.invoice_due_at,
            is_given_up=self.given_up_at is not None,
        )

    @property
    def grid(self) -> Grid:
        """Where its periods begin and end."""
        return Grid(self.anchor, self.interval, self.interval_count, ZoneInfo(self.timezone), self.billing_day)

    def paying_card(self, default: str | None) -> str | None:
        """The card that its invoices are charged to: its own, else the customer's default one; None where they are
        sent."""
        is_charged = self.collection_method is CollectionMethod.CHARGE_AUTOMATICALLY
        return self.payment_method_id or default if is_charged else None

    def move_end(self, end: datetime) -> None:
        """The present period ends then, and what is planned for its end moves along."""
        if self.change_at == self.period_end:
            self.change_at = end
        if self.pause_at == self.period_end:
            self.pause_at = end
        self.period_end = end

    def next_due(self) -> datetime | None:
        """When time does something to it next; None when only somebody's doing can."""
        upcoming = next_happening(self.schedule)
        return upcoming[0] if upcoming is not None else None


class SubscriptionItem(SQLModel, table=True):
    """One plan at one price, some number of times. Never changed: a change ends it and begins another.

    `unit_amount_minor` is a price that the merchant's own back end gave instead of the plan's.
    """

    __tablename__ = "subscription_items"
    __audited__ = Audited(masked=frozenset(("meta",)))
    __table_args__ = (
        Index(
            "uq_subscription_items_live_price",
            "subscription_id",
            "price_id",
            unique=True,
            sqlite_where=text("ended_at IS NULL"),
            postgresql_where=text("ended_at IS NULL"),
        ),
    )

    id: str = Field(primary_key=True, max_length=40)
    subscription_id: str = Field(foreign_key="subscriptions.id", index=True)
    plan_id: str = Field(foreign_key="plans.id")
    price_id: str = Field(foreign_key="prices.id", index=True)
    product_id: str = Field(foreign_key="products.id")
    quantity: int = 1
    unit_amount_minor: int | None = Field(default=None, sa_type=BIG)
    meta: dict[str, Any] = Field(default_factory=dict, sa_type=DOCUMENT, sa_column_kwargs={"name": "metadata"})
    created_at: datetime = Field(sa_type=UTCDateTime)
    ended_at: datetime | None = Field(default=None, sa_type=UTCDateTime)


class ScheduledChange(SQLModel, table=True):
    """What a subscription changes to at its `change_at`.

    `items` are objects of price_id, quantity and, where it was given, unit_amount_minor. `is_migration`: the merchant
    moves it to another price, which the customer cannot take back.
    """

    __tablename__ = "scheduled_changes"
    __audited__ = Audited(masked=frozenset(("requested_by",)), subject="subscription_id")

    subscription_id: str = Field(primary_key=True, foreign_key="subscriptions.id")
    plan_id: str = Field(foreign_key="plans.id")
    items: list[dict[str, Any]] = Field(sa_type=DOCUMENT)
    proration: str = Field(max_length=40)
    requested_by: str = Field(max_length=300)
    is_migration: bool = False
    created_at: datetime = Field(sa_type=UTCDateTime)


class LivePlace(SQLModel, table=True):
    """The one non-ended subscription per customer and product; the rows go when the subscription ends.

    A subscription with items of several products holds a place for each.
    """

    __tablename__ = "live_places"

    customer_id: str = Field(primary_key=True, foreign_key="customers.id")
    product_id: str = Field(primary_key=True, foreign_key="products.id")
    subscription_id: str = Field(foreign_key="subscriptions.id", index=True)


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
    at: datetime = Field(sa_type=UTCDateTime, index=True)


async def live_subscriptions(
    session: AsyncSession, customer_id: str, product_ids: Sequence[str]
) -> Sequence[Subscription]:
    """The customer's non-ended subscriptions to any of these products, the oldest first."""
    held = select(LivePlace.subscription_id).where(
        LivePlace.customer_id == customer_id, col(LivePlace.product_id).in_(product_ids)
    )
    query = select(Subscription).where(col(Subscription.id).in_(held)).order_by(col(Subscription.id))
    return (await session.exec(query)).all()


async def subscription_of_external_id(session: AsyncSession, external_id: str) -> Subscription | None:
    return (await session.exec(select(Subscription).where(Subscription.external_id == external_id))).first()


async def items_of(session: AsyncSession, subscription_ids: Sequence[str]) -> Sequence[SubscriptionItem]:
    """What they contain now, in the order in which it was added."""
    query = (
        select(SubscriptionItem)
        .where(col(SubscriptionItem.subscription_id).in_(subscription_ids), col(SubscriptionItem.ended_at).is_(None))
        .order_by(col(SubscriptionItem.id))
    )
    return (await session.exec(query)).all()


async def subscribers_of_prices(session: AsyncSession, price_ids: Sequence[str]) -> dict[str, int]:
    """How many subscriptions that have not ended contain something at those prices; none: left out."""
    return await _subscribers_by(session, Price.id, price_ids)


async def subscribers_of_plans(session: AsyncSession, plan_ids: Sequence[str]) -> dict[str, int]:
    """How many subscriptions that have not ended contain something of those plans; none: left out."""
    return await _subscribers_by(session, Price.plan_id, plan_ids)


async def _subscribers_by(session: AsyncSession, kind: Any, wanted: Sequence[str]) -> dict[str, int]:
    """By what the prices of items are alike in."""
    query = (
        select(kind, func.count(func.distinct(SubscriptionItem.subscription_id)))
        .join(SubscriptionItem, col(SubscriptionItem.price_id) == Price.id)
        .join(Subscription, col(Subscription.id) == SubscriptionItem.subscription_id)
        .where(
            col(kind).in_(wanted),
            col(SubscriptionItem.ended_at).is_(None),
            col(Subscription.status).not_in(SUBSCRIPTION.final),
        )
        .group_by(col(kind))
    )
    return dict((await session.exec(query)).all())


async def live_subscriptions_of(session: AsyncSession, customer_id: str) -> Sequence[Subscription]:
    """The customer's that have not ended, newest first."""
    query = (
        select(Subscription)
        .where(Subscription.customer_id == customer_id, col(Subscription.status).not_in(SUBSCRIPTION.final))
        .order_by(col(Subscription.id).desc())
    )
    return (await session.exec(query)).all()


@for_each
async def priced_items(
    session: AsyncSession, subscription_ids: Sequence[str]
) -> Mapping[str, Sequence[tuple[SubscriptionItem, Plan, Price]]]:
    """All that a subscription ever contained, ended items too, in the order in which it was added."""
    query = (
        select(SubscriptionItem, Plan, Price)
        .join(Plan, col(Plan.id) == SubscriptionItem.plan_id)
        .join(Price, col(Price.id) == SubscriptionItem.price_id)
        .where(col(SubscriptionItem.subscription_id).in_(subscription_ids))
        .order_by(col(SubscriptionItem.id))
    )
    return grouped(subscription_ids, (await session.exec(query)).all(), lambda each: each[0].subscription_id)


async def live_places(session: AsyncSession, subscription_id: str) -> Sequence[LivePlace]:
    return (await session.exec(select(LivePlace).where(LivePlace.subscription_id == subscription_id))).all()


async def changes_of(session: AsyncSession, machine: str, subject_ids: Sequence[str]) -> Sequence[Change]:
    """Applied transitions in the order in which they happened."""
    query = (
        select(Change)
        .where(Change.machine == machine, col(Change.subject_id).in_(subject_ids))
        .order_by(col(Change.id))
    )
    return (await session.exec(query)).all()


async def pinned_subscriptions(session: AsyncSession, customer_id: str) -> Sequence[Subscription]:
    """The customer's subscriptions that pin a card of their own and have not ended, or are not paid to the end."""
    query = select(Subscription).where(
        Subscription.customer_id == customer_id,
        col(Subscription.status).not_in(SUBSCRIPTION.final) | _owes(customer_id),
        col(Subscription.payment_method_id).is_not(None),
    )
    return (await session.exec(query)).all()


def _owes(customer_id: str) -> ColumnElement[bool]:
    """Ended, and an invoice of it is open."""
    unpaid = select(Invoice.subscription_id).where(
        Invoice.customer_id == customer_id, Invoice.status == InvoiceStatus.OPEN
    )
    return (col(Subscription.status) == SubscriptionStatus.CANCELED) & col(Subscription.id).in_(unpaid)


async def unpaid_subscriptions(session: AsyncSession, customer_id: str) -> Sequence[Subscription]:
    """The customer's subscriptions that a payment would bring back: PAST_DUE and UNPAID ones.

    Also those that came to their start without one that went through, for nobody is at the page to pay them, and ended
    ones whose last invoice is open.
    """
    started = (col(Subscription.status) == SubscriptionStatus.INCOMPLETE) & (
        col(Subscription.started_at) > col(Subscription.created_at)
    )
    query = select(Subscription).where(
        Subscription.customer_id == customer_id, col(Subscription.status).in_(BEHIND) | started | _owes(customer_id)
    )
    return (await session.exec(query)).all()


async def live_on_timeline(session: AsyncSession, timeline: str, *, limit: int) -> Sequence[Subscription]:
    """Non-ended subscriptions of a test clock's customers, the oldest first."""
    query = (
        select(Subscription)
        .where(Subscription.test_clock_id == timeline, col(Subscription.status).not_in(SUBSCRIPTION.final))
        .order_by(col(Subscription.id))
        .limit(limit)
    )
    return (await session.exec(query)).all()


def on_timeline(timeline: str | None) -> Sequence[ColumnElement[bool]]:
    """Which due subscriptions are a timeline's: a test clock's, or with None those of the billing clock."""
    return [col(Subscription.test_clock_id) == timeline]


async def subscriptions_with_status(
    session: AsyncSession, customer_id: str, statuses: Collection[SubscriptionStatus]
) -> Sequence[Subscription]:
    """The customer's subscriptions that stand there, the oldest first."""
    query = (
        select(Subscription)
        .where(Subscription.customer_id == customer_id, col(Subscription.status).in_(statuses))
        .order_by(col(Subscription.id))
    )
    return (await session.exec(query)).all()
