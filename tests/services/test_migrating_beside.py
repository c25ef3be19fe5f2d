"""Migrating while others use the tables (promise R6): they are waited for, and nobody queues behind us for long."""

import asyncio
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy.exc import DBAPIError

from settings import ROOT
from tests.support.databases import apart, database_on, migrate
from tests.support.processes import environment
from tests.support.waiting import until

NEEDS_THE_TABLE = ("0011", "0012")
"""The second adds columns to customers: it must have the table to itself for a moment."""

QUEUED = """SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
WHERE c.relname = 'customers' AND l.mode = 'AccessExclusiveLock' AND NOT l.granted"""
WHOSE_TURN = """SELECT count(*) FROM pg_stat_activity
WHERE query LIKE '%pg_try_advisory_lock%' AND datname = current_database() AND pid <> pg_backend_pid()"""


async def test_a_migration_that_waits_for_a_table_lets_the_others_pass(
    postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("migrations.beside.LOCK_SECONDS", 0.3)
    before, after = NEEDS_THE_TABLE
    async with database_on(postgres) as url:
        await asyncio.to_thread(migrate, url, before)
        holder, other, watcher = [await asyncpg.connect(url) for _ in range(3)]
        turn = holder.transaction()
        await turn.start()
        await holder.execute("SELECT count(*) FROM customers")
        migrating = asyncio.create_task(asyncio.to_thread(migrate, url, after))
        for _ in range(2):  # it gives up and comes again
            await until(lambda: watcher.fetchval(QUEUED))
            await other.execute("SELECT count(*) FROM customers", timeout=60)  # while the holder goes on holding
            assert not migrating.done()
        await turn.rollback()
        await migrating
        assert await other.fetchval("SELECT version_num FROM alembic_version") == after
        for each in (holder, other, watcher):
            await each.close()


async def test_of_two_that_migrate_at_once_one_waits_and_finds_it_done(postgres: str) -> None:
    before, after = NEEDS_THE_TABLE
    async with database_on(postgres) as url:
        await asyncio.to_thread(migrate, url, before)
        holder, watcher = await asyncpg.connect(url), await asyncpg.connect(url)
        turn = holder.transaction()
        await turn.start()
        await holder.execute("SELECT count(*) FROM customers")
        migrating = asyncio.create_task(asyncio.to_thread(migrate, url, after))
        await until(lambda: watcher.fetchval(QUEUED))
        command = [sys.executable, "-m", "alembic", "-c", str(ROOT / "alembic.ini"), "upgrade", after]
        told = environment(PERENNIAL_DATABASE_URL=url)
        other = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=told)
        await until(lambda: _is_more_than_one(watcher))
        assert not migrating.done()
        await turn.rollback()
        await migrating
        assert await other.wait() == 0
        assert await watcher.fetchval("SELECT version_num FROM alembic_version") == after
        await holder.close()
        await watcher.close()


async def _is_more_than_one(watcher: asyncpg.Connection) -> bool:
    return int(await watcher.fetchval(WHOSE_TURN) or 0) > 1


def test_on_sqlite_all_of_it_is_done_or_nothing(tmp_path: Path) -> None:
    """Its second table cannot be made: the first is not there either, and the next try begins anew."""
    file = tmp_path / "perennial.db"
    url = f"sqlite:///{file}"
    apart(lambda: migrate(url, "0003"))
    with closing(sqlite3.connect(file)) as database:
        before = database.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
        database.execute("CREATE TABLE timers (id INTEGER)")
        with pytest.raises(DBAPIError, match="already exists"):
            apart(lambda: migrate(url))
        database.execute("DROP TABLE timers")
        assert database.execute("SELECT version_num FROM alembic_version").fetchone() == ("0003",)
        assert database.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall() == before
        apart(lambda: migrate(url))
        assert database.execute("SELECT count(*) FROM timers").fetchone() == (0,)
