"""Keyset pages over rows: newest first, stable while rows are added."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, func
from sqlmodel import SQLModel, col, select
from sqlmodel.ext.asyncio.session import AsyncSession
from sqlmodel.sql.expression import SelectOfScalar

R = TypeVar("R", bound=SQLModel)


@dataclass(frozen=True, slots=True)
class Page(Generic[R]):
    """Up to `limit` rows and whether there are more in each direction."""

    rows: Sequence[R]
    has_next: bool
    has_previous: bool


async def page(
    session: AsyncSession,
    row: type[R],
    conditions: Sequence[ColumnElement[bool]],
    *,
    key: Any,
    descending: bool,
    limit: int,
    after: Any | None = None,
    before: Any | None = None,
    backwards: bool = False,
) -> Page[R]:
    """Rows ordered by the unique column `key`, strictly after and before the given key values.

    `backwards` takes the last `limit` rows of the span instead of the first; the order of the answer is the same.
    """
    column = col(key)
    query = select(row).where(*conditions)
    if after is not None:
        query = query.where(column < after if descending else column > after)
    if before is not None:
        query = query.where(column > before if descending else column < before)
    order = column.desc() if descending != backwards else column.asc()
    rows = list((await session.exec(query.order_by(order).limit(limit + 1))).all())
    more = len(rows) > limit
    rows = rows[:limit]
    if backwards:
        return Page(rows[::-1], has_next=before is not None, has_previous=more)
    return Page(rows, has_next=more, has_previous=after is not None)


async def count(session: AsyncSession, row: type[R], conditions: Sequence[ColumnElement[bool]]) -> int:
    query: SelectOfScalar[int] = select(func.count()).select_from(row).where(*conditions)
    return (await session.exec(query)).one()


async def by_ids(
    session: AsyncSession, row: type[R], ids: Sequence[Any], *, key: Any | None = None, again: bool = False
) -> Sequence[R]:
    """The rows whose `key` (their id unless given) is among `ids`, in no particular order.

    `again`: as they are now, also where this session has read them before.
    """
    column = col(key if key is not None else row.__table__.c.id)  # pyright: ignore[reportAttributeAccessIssue]
    query = select(row).where(column.in_(ids)).execution_options(populate_existing=again)
    return (await session.exec(query)).all()
