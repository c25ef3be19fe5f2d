"""Rows that may be there already: written in one statement, those that are known left as they are."""

from collections.abc import Sequence
from typing import Any, TypeVar

from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import SQLModel
from sqlmodel.ext.asyncio.session import AsyncSession

Row = TypeVar("Row", bound=SQLModel)


async def insert_missing(
    session: AsyncSession, kind: type[Row], rows: Sequence[Row], *, unique: Sequence[str]
) -> set[str]:
    """Leaves out what another wrote under the same `unique` columns: the ids written."""
    if not rows:
        return set()
    dialect: Any = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    table: Any = kind
    statement = (
        dialect.insert(kind)
        .values([row.model_dump() for row in rows])
        .on_conflict_do_nothing(index_elements=list(unique))
        .returning(table.id)
    )
    return set((await session.exec(statement)).scalars())
