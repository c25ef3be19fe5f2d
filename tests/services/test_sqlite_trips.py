"""SQLite behind its thread: one trip for a statement, and what the driver tells of it."""

from typing import Any

import aiosqlite
import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from models.database import Database
from tests.support.house import House


@pytest.fixture
def database(small_house: House) -> Database:
    return small_house.app.database


async def test_a_statement_is_one_trip_and_a_transaction_two_more(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await database.ping()  # a connection waits in the pool from here on
    trips: list[Any] = []
    execute = aiosqlite.Connection._execute

    async def counted(self: aiosqlite.Connection, work: Any, *args: Any, **kwargs: Any) -> Any:
        trips.append(work)
        return await execute(self, work, *args, **kwargs)

    monkeypatch.setattr(aiosqlite.Connection, "_execute", counted)
    async with database.engine.connect() as connection:
        assert (await connection.execute(text("SELECT 7 AS seven"))).all() == [(7,)]
        assert len(trips) == 2  # BEGIN, and the statement with its rows
        assert (await connection.execute(text("SELECT 7 AS seven WHERE false"))).mappings().all() == []
        assert len(trips) == 3
        await connection.rollback()
        assert len(trips) == 4


async def test_rows_counts_and_refusals_are_the_drivers_own(database: Database) -> None:
    async with database.engine.begin() as connection:
        await connection.execute(text("CREATE TABLE cups (id INTEGER PRIMARY KEY, name TEXT UNIQUE)"))
        assert (await connection.execute(text("INSERT INTO cups (name) VALUES ('red')"))).lastrowid == 1
        many = [{"name": name} for name in ("blue", "green")]
        assert (await connection.execute(text("INSERT INTO cups (name) VALUES (:name)"), many)).rowcount == 2
        assert (await connection.execute(text("UPDATE cups SET name = name || '!' WHERE id > 1"))).rowcount == 2
        made = await connection.execute(text("INSERT INTO cups (name) VALUES ('big') RETURNING id, name"))
        assert made.mappings().all() == [{"id": 4, "name": "big"}]
    async with database.engine.connect() as connection:
        async with connection.stream(text("SELECT name FROM cups ORDER BY id")) as rows:
            assert [name async for (name,) in rows] == ["red", "blue!", "green!", "big"]
        with pytest.raises(IntegrityError, match=r"UNIQUE constraint failed: cups\.name"):
            await connection.execute(text("INSERT INTO cups (name) VALUES ('red')"))
        assert (await connection.execute(text("SELECT count(*) FROM cups"))).scalar_one() == 4
