"""Money that went back: refunds, and what banks hold back in disputes."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Column, ForeignKey, String, UniqueConstraint
from sqlmodel import Field, SQLModel, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from billing.charging import IntentStatus
from billing.lifecycle import RefundStatus
from billing.money import Money
from billing.returning import DisputeStatus, RefundOrigin, RefundReason
from models.audit_log import Audited
from models.base import BIG, DOCUMENT, EnumText, Leased, UTCDateTime, index_where_set
from models.payments import CollectionIntent


class Refund(Leased, table=True):
    """Money given back of one payment. `created_at` is when the gateway made it, or when it was asked for here.

    One of ours exists before the gateway is asked, its id in the refund's metadata: `due_at` (machine time) is when the
    worker looks for the answer that is missing.

    `spoilt_keys` counts the idempotency keys that the gateway keeps a fault under: the next one is another.
    `line_ids` are the invoice lines that it is meant for, None: all of them. `ends_subscription_id` is the subscription
    that ends with it. `contradiction` says why what the gateway tells of it is not in our books, None when it is.
    """

    __tablename__ = "refunds"
    __audited__ = Audited(masked=frozenset(("requested_by",)), unseen=frozenset(("spoilt_keys",)))
    __table_args__ = (UniqueConstraint("platform", "gateway_ref"), index_where_set("refunds", "due_at"))

    id: str = Field(primary_key=True, max_length=40)
    payment_id: str = Field(sa_column=Column(String(40), ForeignKey("payments.id"), nullable=False, index=True))
    platform: str = Field(max_length=20)
    gateway_ref: str | None = Field(default=None, max_length=255)
    currency: str = Field(max_length=3)
    amount_minor: int = Field(sa_type=BIG)
    reason: RefundReason = Field(sa_type=EnumText(RefundReason))
    status: RefundStatus = Field(default=RefundStatus.PENDING, sa_type=EnumText(RefundStatus))
    origin: RefundOrigin = Field(sa_type=EnumText(RefundOrigin))
    failure_reason: str | None = Field(default=None, max_length=100)
    contradiction: str | None = None
    requested_by: str | None = Field(default=None, max_length=300)
    spoilt_keys: int = 0
    line_ids: list[str] | None = Field(default=None, sa_type=DOCUMENT)
    ends_subscription_id: str | None = Field(default=None, foreign_key="subscriptions.id", index=True)
    version: int = 1
    created_at: datetime = Field(sa_type=UTCDateTime)
    updated_at: datetime = Field(sa_type=UTCDateTime)

    @property
    def amount(self) -> Money:
        return Money(self.amount_minor, self.currency)

    def touch(self, now: datetime) -> None:
        self.version += 1
        self.updated_at = now


class Dispute(SQLModel, table=True):
    """A bank's objection to a payment. What it has taken and given back so far are the two amounts that were booked.

    `asked_at` (machine time) is when the gateway was asked for what the row says; older answers do not replace it.
    """

    __tablename__ = "disputes"
    __table_args__ = (UniqueConstraint("platform", "gateway_ref"),)

    id: str = Field(primary_key=True, max_length=40)
    payment_id: str = Field(sa_column=Column(String(40), ForeignKey("payments.id"), nullable=False, index=True))
    platform: str = Field(max_length=20)
    gateway_ref: str = Field(max_length=255)
    currency: str = Field(max_length=3)
    amount_minor: int = Field(sa_type=BIG)
    withdrawn_minor: int = Field(default=0, sa_type=BIG)
    reinstated_minor: int = Field(default=0, sa_type=BIG)
    status: DisputeStatus = Field(sa_type=EnumText(DisputeStatus))
    reason: str = Field(max_length=100)
    contradiction: str | None = None
    asked_at: datetime = Field(sa_type=UTCDateTime)
    version: int = 1
    created_at: datetime = Field(sa_type=UTCDateTime)
    updated_at: datetime = Field(sa_type=UTCDateTime)

    @property
    def amount(self) -> Money:
        return Money(self.amount_minor, self.currency)

    @property
    def withdrawn(self) -> Money:
        return Money(self.withdrawn_minor, self.currency)

    @property
    def reinstated(self) -> Money:
        return Money(self.reinstated_minor, self.currency)

    def touch(self, now: datetime) -> None:
        self.version += 1
        self.updated_at = now


async def refunds_of(session: AsyncSession, payment_ids: Sequence[str]) -> Sequence[Refund]:
    """Each payment's, oldest first."""
    query = (
        select(Refund)
        .where(col(Refund.payment_id).in_(payment_ids))
        .order_by(col(Refund.payment_id), col(Refund.created_at), col(Refund.id))
    )
    return (await session.exec(query)).all()


async def paid_intent(session: AsyncSession, payment_id: str) -> CollectionIntent | None:
    """The intent that the payment was paid by: only of its money something can go back."""
    query = select(CollectionIntent).where(
        CollectionIntent.payment_id == payment_id, CollectionIntent.status == IntentStatus.SUCCEEDED
    )
    return (await session.exec(query.order_by(col(CollectionIntent.n).desc()))).first()


async def disputes_of(session: AsyncSession, payment_ids: Sequence[str]) -> Sequence[Dispute]:
    """Each payment's, oldest first."""
    query = (
        select(Dispute)
        .where(col(Dispute.payment_id).in_(payment_ids))
        .order_by(col(Dispute.payment_id), col(Dispute.created_at), col(Dispute.id))
    )
    return (await session.exec(query)).all()


async def refunds_by_ref(session: AsyncSession, platform: str, refs: Sequence[str]) -> dict[str, Refund]:
    """By the gateway's references; those without a row are left out."""
    query = select(Refund).where(Refund.platform == platform, col(Refund.gateway_ref).in_(refs))
    return {row.gateway_ref: row for row in (await session.exec(query)).all() if row.gateway_ref is not None}


async def disputes_by_ref(session: AsyncSession, platform: str, refs: Sequence[str]) -> dict[str, Dispute]:
    """By the gateway's references; those without a row are left out."""
    query = select(Dispute).where(Dispute.platform == platform, col(Dispute.gateway_ref).in_(refs))
    return {row.gateway_ref: row for row in (await session.exec(query)).all()}


async def contradictions(session: AsyncSession) -> Sequence[Refund | Dispute]:
    """Refunds and disputes of which the gateway tells what our books cannot hold."""
    found: list[Refund | Dispute] = []
    for row in (Refund, Dispute):
        query = select(row).where(col(row.contradiction).is_not(None)).order_by(col(row.id))
        found += (await session.exec(query)).all()
    return found
