"""Rows by a key of theirs."""

from collections.abc import Sequence
from typing import Any, TypeVar

from sqlmodel import SQLModel, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

R = TypeVar("R", bound=SQLModel)


async def by_ids(
    session: AsyncSession, row: type[R], ids: Sequence[Any], *, key: Any | None = None, again: bool = False
) -> Sequence[R]:
    """The rows whose `key` (their id unless given) is among `ids`, in no particular order.

    `again`: as they are now, also where this session has read them before.
    """
    column = col(key if key is not None else row.__table__.c.id)  # pyright: ignore[reportAttributeAccessIssue]
    query = select(row).where(column.in_(ids)).execution_options(populate_existing=again)
    return (await session.exec(query)).all()
