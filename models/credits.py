"""Credits that paid periods grant and the application consumes, unit by unit, with every entry kept."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum

from sqlalchemy import UniqueConstraint
from sqlmodel import Field, SQLModel, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from models.audit_log import Audited
from models.base import BIG, EnumText, UTCDateTime
from models.catalog import PlanCredit
from models.lockstep import for_each, grouped
from models.subscriptions import Subscription, SubscriptionItem


class CreditKind(StrEnum):
    GRANT = "grant"
    CONSUME = "consume"
    EXPIRE = "expire"
    ADJUST = "adjust"
    REFUND = "refund"


class CreditBalance(SQLModel, table=True):
    """What a subscription has left of one unit. `used_on` is the day in the customer's zone that `used_today` counts.

    `is_fixed`: granted once and never refilled. `expires_at` None: at the next refill, or never when fixed.
    """

    __tablename__ = "credit_balances"
    __table_args__ = (UniqueConstraint("subscription_id", "unit"),)

    id: str = Field(primary_key=True, max_length=40)
    subscription_id: str = Field(foreign_key="subscriptions.id")
    customer_id: str = Field(foreign_key="customers.id", index=True)
    unit: str = Field(max_length=100)
    daily: int | None = Field(default=None, sa_type=BIG)
    total_granted: int = Field(default=0, sa_type=BIG)
    total_used: int = Field(default=0, sa_type=BIG)
    remaining: int = Field(default=0, sa_type=BIG)
    used_today: int = Field(default=0, sa_type=BIG)
    used_on: str | None = Field(default=None, max_length=10)
    is_fixed: bool = False
    expires_at: datetime | None = Field(default=None, sa_type=UTCDateTime)
    created_at: datetime = Field(sa_type=UTCDateTime)
    updated_at: datetime = Field(sa_type=UTCDateTime)


class CreditEntry(SQLModel, table=True):
    """One movement of a balance, never changed. `quantity` is signed; `balance_after` is what was left."""

    __tablename__ = "credit_entries"
    __audited__ = Audited(
        masked=frozenset(("reason",)),
        unseen=frozenset(("idempotency_key", "input_hash")),
        when=lambda row: row.kind is not CreditKind.CONSUME,
    )
    __table_args__ = (UniqueConstraint("balance_id", "idempotency_key"),)

    id: str = Field(primary_key=True, max_length=40)
    balance_id: str = Field(foreign_key="credit_balances.id")
    kind: CreditKind = Field(sa_type=EnumText(CreditKind))
    quantity: int = Field(sa_type=BIG)
    balance_after: int = Field(sa_type=BIG)
    reason: str | None = None
    idempotency_key: str | None = Field(default=None, max_length=255)
    input_hash: str | None = Field(default=None, max_length=64)
    occurred_at: datetime = Field(sa_type=UTCDateTime)
    created_at: datetime = Field(sa_type=UTCDateTime)


@for_each
async def balances_of_subscription(
    session: AsyncSession, subscription_ids: Sequence[str]
) -> Mapping[str, Sequence[CreditBalance]]:
    """A subscription's, by unit."""
    rows = await credit_balances_of(session, subscription_ids, parent="subscription_id")
    return grouped(subscription_ids, rows, lambda row: row.subscription_id)


async def balance_of_unit(session: AsyncSession, subscription_id: str, unit: str) -> CreditBalance | None:
    """As it is now, whatever the session has seen of it."""
    query = select(CreditBalance).where(CreditBalance.subscription_id == subscription_id, CreditBalance.unit == unit)
    return (await session.exec(query.execution_options(populate_existing=True))).first()


async def entry_of_key(session: AsyncSession, balance_id: str, key: str) -> CreditEntry | None:
    query = select(CreditEntry).where(CreditEntry.balance_id == balance_id, CreditEntry.idempotency_key == key)
    return (await session.exec(query)).first()


async def subscription_moved(session: AsyncSession, customer_id: str, unit: str, key: str) -> Subscription | None:
    """That whose credits of the unit were moved under the key, ended or not; of several the newest."""
    query = (
        select(Subscription)
        .join(CreditBalance, col(CreditBalance.subscription_id) == Subscription.id)
        .join(CreditEntry, col(CreditEntry.balance_id) == CreditBalance.id)
        .where(
            CreditBalance.customer_id == customer_id,
            CreditBalance.unit == unit,
            CreditEntry.idempotency_key == key,
        )
        .order_by(col(Subscription.id).desc())
    )
    return (await session.exec(query.limit(1))).first()


async def agreed_grant(session: AsyncSession, balance_id: str) -> int | None:
    """How many were granted last by what was agreed on: by hand they are granted under a key. None: never any."""
    query = (
        select(CreditEntry.quantity)
        .where(
            CreditEntry.balance_id == balance_id,
            CreditEntry.kind == CreditKind.GRANT,
            col(CreditEntry.idempotency_key).is_(None),
        )
        .order_by(col(CreditEntry.id).desc())
    )
    return (await session.exec(query.limit(1))).first()


async def credit_balances_of(session: AsyncSession, ids: Sequence[str], *, parent: str) -> Sequence[CreditBalance]:
    """Those of these subscriptions or customers, by unit; `parent` is the column that names them."""
    owner = col(getattr(CreditBalance, parent))
    query = select(CreditBalance).where(owner.in_(ids)).order_by(col(CreditBalance.unit), col(CreditBalance.id))
    return (await session.exec(query)).all()


@for_each
async def credit_terms_of(
    session: AsyncSession, subscription_ids: Sequence[str]
) -> Mapping[str, Sequence[tuple[PlanCredit, int]]]:
    """What the plans of a subscription's present items grant, and how many times."""
    query = (
        select(PlanCredit, SubscriptionItem)
        .join(SubscriptionItem, col(SubscriptionItem.plan_id) == PlanCredit.plan_id)
        .where(col(SubscriptionItem.subscription_id).in_(subscription_ids), col(SubscriptionItem.ended_at).is_(None))
        .order_by(PlanCredit.unit, col(SubscriptionItem.id))
    )
    found = grouped(subscription_ids, (await session.exec(query)).all(), lambda each: each[1].subscription_id)
    return {key: [(credit, item.quantity) for credit, item in each] for key, each in found.items()}


async def balances_granted_by(session: AsyncSession, subscription_id: str, plan_id: str) -> Sequence[CreditBalance]:
    """The subscription's balances of the units that a plan grants."""
    granting = select(PlanCredit.unit).where(PlanCredit.plan_id == plan_id)
    query = select(CreditBalance).where(
        CreditBalance.subscription_id == subscription_id, col(CreditBalance.unit).in_(granting)
    )
    return (await session.exec(query)).all()
