"""Claiming due rows: a conditional UPDATE that repeats the due condition and takes an expiring lease.

Any number of workers on any number of machines may claim at once; a dead one's lease runs out. The fence grows with
each claim, and whoever writes an outcome repeats it, so a slow holder cannot overwrite its successor. Due times of
billing are compared with the billing clock, leases always with the machine's: they are about processes, not money.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Table, or_, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from models.base import Leased, table_of

LEASE = timedelta(seconds=40)
"""Twice the worker's budget for a gateway call, and below the 60 s after which the dead must be replaced."""


class LeaseLost(Exception):
    """Somebody else has claimed the row since; nothing of this holder's outcome was written."""


L = TypeVar("L", bound=Leased)


async def claim_all_due(
    session: AsyncSession,
    row: type[Leased],
    *,
    now: datetime,
    machine_now: datetime,
    limit: int,
    due: str = "due_at",
    only: Sequence[ColumnElement[bool]] = (),
) -> Mapping[str, int]:
    """Take the leases of rows that are due by `now` (by the column `due`) and free, in one statement: id → new fence.

    Of those that `only` admits, the longest due first. What somebody is changing at this moment is left for later.
    """
    table = table_of(row)
    at = table.c[due]
    found = (
        select(table.c.id)
        .where(at <= now, _free(table, machine_now), *only)
        .order_by(at)  # and by nothing else: of a million due at one instant only these are read
        .limit(limit)
        .with_for_update(key_share=True, skip_locked=True)
        .cte("found")
    )
    statement = (
        update(table)
        .where(table.c.id.in_(select(found.c.id)))
        .values(_claimed(table, machine_now))
        .returning(at, table.c.id, table.c.fence)
    )
    claimed = (await (await session.connection()).execute(statement)).all()
    return {key: fence for _, key, fence in sorted(claimed, key=lambda each: (each[0], each[1]))}


async def claim(session: AsyncSession, row: type[Leased], key: str, *, machine_now: datetime) -> int | None:
    """Take the lease of a row whether or not it is due: its new fence, or None while somebody holds it."""
    table = table_of(row)
    statement = (
        update(table)
        .where(table.c.id == key, _free(table, machine_now))
        .values(_claimed(table, machine_now))
        .returning(table.c.fence)
    )
    return (await (await session.connection()).execute(statement)).scalar_one_or_none()


def check_fence(row: Leased, fence: int) -> None:
    """Raise LeaseLost when the row has been claimed again since."""
    if row.fence != fence:
        raise LeaseLost(f"claimed again: fence {row.fence} instead of {fence}")


async def extend(session: AsyncSession, row: type[Leased], key: str, fence: int, *, machine_now: datetime) -> None:
    """Take the lease anew in the middle of long work. Raises LeaseLost when somebody else has claimed the row since."""
    table = table_of(row)
    statement = (
        update(table)
        .where(table.c.id == key, table.c.fence == fence)
        .values(leased_until=machine_now + LEASE)
        .returning(table.c.id)
    )
    if (await (await session.connection()).execute(statement)).scalar_one_or_none() is None:
        raise LeaseLost(f"claimed again: no longer fence {fence}")


def hold_on(row: Leased, machine_now: datetime) -> None:
    """Take the lease anew, under a fence just checked: the next thing to wait for may take as long as the last."""
    row.leased_until = machine_now + LEASE


def release(row: Leased, *, due_at: datetime | None) -> None:
    """Give the lease back and say when the row is due again (None: never)."""
    row.leased_until = None
    row.due_at = due_at


def _claimed(table: Table, machine_now: datetime) -> Mapping[str, Any]:
    return {"leased_until": machine_now + LEASE, "fence": table.c.fence + 1, "tries": table.c.tries + 1}


def _free(table: Table, machine_now: datetime) -> ColumnElement[bool]:
    return or_(table.c.leased_until.is_(None), table.c.leased_until <= machine_now)
