"""Events out: what happened, written in the transaction that causes it, and readable in one order for all."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Index, text
from sqlmodel import Field, SQLModel, col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from models.base import BIG, DOCUMENT, UTCDateTime

_ONE_PUBLISHER = text("SELECT pg_advisory_xact_lock(1515040966)")  # a number of our own; the sandbox has another one


class BillingEvent(SQLModel, table=True):
    """`type` is `subject.what`, such as `invoice.paid`; the id sorts by time.

    `position` is its place in the order in which events became readable, given once it is committed; None until then.
    `snapshot` is what it tells of its subject besides `payload`, as of that moment.
    """

    __tablename__ = "billing_events"
    __table_args__ = (
        Index(
            "ix_billing_events_unpublished",
            "id",
            sqlite_where=text("position IS NULL"),
            postgresql_where=text("position IS NULL"),
        ),
    )

    id: str = Field(primary_key=True, max_length=40)
    type: str = Field(max_length=100, index=True)
    subject_id: str = Field(max_length=40, index=True)
    customer_id: str | None = Field(default=None, foreign_key="customers.id", index=True)
    payload: dict[str, Any] = Field(default_factory=dict, sa_type=DOCUMENT)
    at: datetime = Field(sa_type=UTCDateTime)
    position: int | None = Field(default=None, sa_type=BIG, unique=True)
    snapshot: dict[str, Any] | None = Field(default=None, sa_type=DOCUMENT)


@dataclass(frozen=True, slots=True)
class EventsWhere:
    """What narrows a list to events that can be read, of these types; of all with None."""

    types: frozenset[str] | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        found: list[ColumnElement[bool]] = [col(BillingEvent.position).is_not(None)]
        if self.types is not None:
            found.append(col(BillingEvent.type).in_(sorted(self.types)))
        return found


async def unpublished_events(session: AsyncSession, *, limit: int) -> Sequence[BillingEvent]:
    """Events without a position, the oldest first."""
    query = select(BillingEvent).where(col(BillingEvent.position).is_(None)).order_by(col(BillingEvent.id)).limit(limit)
    return (await session.exec(query)).all()


async def hold_unpublished(session: AsyncSession, ids: Sequence[str]) -> Sequence[BillingEvent]:
    """Those of these events that still have no position, held until the transaction ends; the oldest first."""
    query = (
        select(BillingEvent)
        .where(col(BillingEvent.id).in_(ids), col(BillingEvent.position).is_(None))
        .order_by(col(BillingEvent.id))
        .with_for_update()
    )
    return (await session.exec(query)).all()


async def give_positions_alone(session: AsyncSession) -> None:
    """Nobody else gives positions until the transaction ends: so they become visible in their order.

    On SQLite there is one writer at a time.
    """
    if session.get_bind().dialect.name == "postgresql":
        await (await session.connection()).execute(_ONE_PUBLISHER)


async def last_position(session: AsyncSession) -> int:
    """0 while no event has one."""
    return (await session.exec(select(func.max(BillingEvent.position)))).one() or 0


async def readable_after(session: AsyncSession, position: int, *, limit: int) -> Sequence[tuple[int, str | None]]:
    """Position and customer of events that can be read, in order, from after that position on."""
    query = (
        select(BillingEvent.position, BillingEvent.customer_id)
        .where(col(BillingEvent.position) > position)
        .order_by(col(BillingEvent.position))
        .limit(limit)
    )
    return [(place, customer_id) for place, customer_id in (await session.exec(query)).all() if place is not None]
