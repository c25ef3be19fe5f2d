"""Breaking rows on purpose, behind the back of every rule, to see that it is noticed."""

from typing import Any

from models.base import metadata
from tests.support.house import House


async def alter(house: House, table: str, where: dict[str, Any], **values: Any) -> None:
    """Overwrite columns of exactly one row of a table of the product."""
    rows = metadata().tables[table]
    async with house.app.database.write() as session:
        statement = rows.update().where(*(rows.c[name] == value for name, value in where.items())).values(**values)
        changed = await (await session.connection()).execute(statement)
        assert changed.rowcount == 1, f"{changed.rowcount} rows of {table} are {where}"


async def only(house: House, table: str) -> dict[str, Any]:
    """The one row that a table holds, by column."""
    async with house.app.database.read() as session:
        rows = (await (await session.connection()).execute(metadata().tables[table].select())).mappings().all()
    (row,) = rows
    return dict(row)


async def add(house: House, table: str, **values: Any) -> None:
    """Insert a row as it is given."""
    async with house.app.database.write() as session:
        await (await session.connection()).execute(metadata().tables[table].insert().values(**values))
