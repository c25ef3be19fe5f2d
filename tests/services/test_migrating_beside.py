"""Migrating while others use the tables (promise R6): they are waited for, and nobody queues behind us for long."""

import asyncio
from uuid import uuid4

import asyncpg
import pytest

from tests.support.databases import migrate, on_server, run

NEEDS_THE_TABLE = ("0011", "0012")
"""The second adds columns to customers: it must have the table to itself for a moment."""

QUEUED = """SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
WHERE c.relname = 'customers' AND l.mode = 'AccessExclusiveLock' AND NOT l.granted"""


async def test_a_migration_that_waits_for_a_table_lets_the_others_pass(
    postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("migrations.beside.LOCK_SECONDS", 0.3)
    name = f"beside_{uuid4().hex[:12]}"
    await run(postgres, f'CREATE DATABASE "{name}"')
    url = on_server(postgres, name)
    before, after = NEEDS_THE_TABLE
    await asyncio.to_thread(migrate, url, before)
    holder, other, watcher = [await asyncpg.connect(url) for _ in range(3)]
    try:
        turn = holder.transaction()
        await turn.start()
        await holder.execute("SELECT count(*) FROM customers")
        migrating = asyncio.create_task(asyncio.to_thread(migrate, url, after))
        for _ in range(2):  # it gives up and comes again
            await _until_queued(watcher)
            await other.execute("SELECT count(*) FROM customers", timeout=60)  # while the holder goes on holding
            assert not migrating.done()
        await turn.rollback()
        await migrating
        assert await other.fetchval("SELECT version_num FROM alembic_version") == after
    finally:
        for each in (holder, other, watcher):
            await each.close()
        await run(postgres, f'DROP DATABASE "{name}" WITH (FORCE)')


async def _until_queued(watcher: asyncpg.Connection) -> None:
    async with asyncio.timeout(60):
        while not await watcher.fetchval(QUEUED):  # noqa: ASYNC110 (PostgreSQL tells nobody)
            await asyncio.sleep(0.02)
