"""Migrating while others use the tables (promise R6): they are waited for, and nobody queues behind us for long."""

import asyncio

import asyncpg
import pytest

from tests.support.databases import database_on, migrate
from tests.support.waiting import until

NEEDS_THE_TABLE = ("0011", "0012")
"""The second adds columns to customers: it must have the table to itself for a moment."""

QUEUED = """SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
WHERE c.relname = 'customers' AND l.mode = 'AccessExclusiveLock' AND NOT l.granted"""


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
