"""How much is waiting, and since when: one indexed query for each kind, however much there is."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Column, ColumnElement, func, select
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from billing.lifecycle import PaymentStatus
from models.base import Leased, made_at, table_of
from models.events import BillingEvent
from models.payments import Payment
from models.timelines import DueTime

MOST_COUNTED = 100_000


@dataclass(frozen=True, slots=True)
class Backlog:
    """`rows` are counted up to MOST_COUNTED; `since` is when the first of them fell due, None when there is none."""

    rows: int
    since: datetime | None


async def due_in_billing_time(session: AsyncSession, due: DueTime, now: datetime) -> Backlog:
    """Rows of customers who live by the billing clock."""
    return Backlog(*await _first_and_count(session, due.at, [due.at <= now, due.table.c.test_clock_id.is_(None)]))


async def due_in_machine_time(session: AsyncSession, row: type[Leased], machine_now: datetime) -> Backlog:
    due_at = table_of(row).c.due_at
    return Backlog(*await _first_and_count(session, due_at, [due_at <= machine_now]))


async def unpublished(session: AsyncSession) -> Backlog:
    """Events that nobody can read yet. When they happened is a customer's time, so their ids tell since when."""
    events = table_of(BillingEvent)
    rows, first = await _first_and_count(session, events.c.id, [events.c.position.is_(None)])
    return Backlog(rows, made_at(first) if first is not None else None)


async def unknown_payments(session: AsyncSession) -> int:
    """Payments whose outcome is not known: they are asked about, so each has a due time."""
    unknown = [col(Payment.due_at).is_not(None), col(Payment.status) == PaymentStatus.UNKNOWN]
    counted = select(col(Payment.id)).where(*unknown).limit(MOST_COUNTED).subquery()
    return (await (await session.connection()).execute(select(func.count()).select_from(counted))).scalar_one()


async def _first_and_count(
    session: AsyncSession, column: Column[Any], only: Sequence[ColumnElement[bool]]
) -> tuple[int, Any]:
    """In the column's order, so that the count ends where it is bounded."""
    first = select(column.label("at")).where(*only).order_by(column).limit(MOST_COUNTED).subquery()
    query = select(func.count(), func.min(first.c.at))
    rows, at = (await (await session.connection()).execute(query)).one()
    return rows, at.astimezone(UTC) if isinstance(at, datetime) else at
