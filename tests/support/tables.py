"""The database as a whole, to be compared before and after."""

from typing import Any

from sqlmodel import select

from models.base import metadata
from services.app import App


async def everything(app: App) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table of ours."""
    async with app.database.engine.connect() as connection:
        return {
            table.name: sorted((tuple(row) for row in await connection.execute(select(table))), key=repr)
            for table in metadata().sorted_tables
        }
