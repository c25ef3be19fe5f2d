"""Due times by timeline: of the customers of one test clock, or with None of those who live by the billing clock."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Table, func, or_, select
from sqlmodel.ext.asyncio.session import AsyncSession

from models.base import Leased, table_of
from models.clocks import TestClock, TestClockStatus


@dataclass(frozen=True, slots=True)
class DueTime:
    """A column in billing time of a leased table whose rows have a `test_clock_id`."""

    row: type[Leased]
    column: str

    @property
    def table(self) -> Table:
        return table_of(self.row)

    @property
    def at(self) -> Column[Any]:
        return self.table.c[self.column]


async def earliest_after(
    session: AsyncSession, due: DueTime, *, timeline: str | None, now: datetime
) -> datetime | None:
    """The first due time on the timeline after `now`; None when there is none."""
    query = select(func.min(due.at)).where(due.table.c.test_clock_id == timeline, due.at > now)
    return (await (await session.connection()).execute(query)).scalar_one()


async def is_any_held(
    session: AsyncSession, due: DueTime, *, timeline: str | None, now: datetime, machine_now: datetime
) -> bool:
    """Whether a row of the timeline that is due by `now` is under somebody's lease."""
    query = (
        select(due.table.c.id)
        .where(due.table.c.test_clock_id == timeline, due.at <= now, due.table.c.leased_until > machine_now)
        .limit(1)
    )
    return (await (await session.connection()).execute(query)).first() is not None


async def clocks_with_work(
    session: AsyncSession, dues: Sequence[DueTime], *, machine_now: datetime, limit: int
) -> Sequence[str]:
    """Ids of test clocks that are to go on, or whose customers have something due at their present."""
    clock = table_of(TestClock)
    at_present = [
        select(due.table.c.id).where(due.table.c.test_clock_id == clock.c.id, due.at <= clock.c.now).exists()
        for due in dues
    ]
    query = (
        select(clock.c.id)
        .where(
            clock.c.archived_at.is_(None),
            or_(clock.c.leased_until.is_(None), clock.c.leased_until <= machine_now),
            or_(clock.c.due_at <= machine_now, (clock.c.status == TestClockStatus.READY) & or_(*at_present)),
        )
        .order_by(clock.c.id)
        .limit(limit)
    )
    return (await (await session.connection()).execute(query)).scalars().all()
