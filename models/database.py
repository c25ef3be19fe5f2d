"""The door to the database: short read sessions, one transaction per step.

SQLite (WAL, immediate write transactions, synchronous=FULL) and PostgreSQL behave alike from here on: a write
transaction sees no other writer's half work, and what must be unique is held by a unique key.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

from sqlalchemy import event, make_url
from sqlalchemy.engine import URL, Connection
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlmodel import text
from sqlmodel.ext.asyncio.session import AsyncSession

from gauges import count_statement
from models.audit_log import WatchedSession

_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}
_SQLITE_BUSY_SECONDS = 15


class Database:
    """An engine and its two doors. Sessions are never shared between tasks."""

    def __init__(self, url: str, *, pool_size: int = 10) -> None:
        """`url` carries no driver: `sqlite:///path` or `postgresql://user@host/name`."""
        self.url = with_driver(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.engine = _sqlite_engine(self.url, pool_size) if self.is_sqlite else _postgres_engine(self.url, pool_size)
        event.listen(self.engine.sync_engine, "before_cursor_execute", _count)
        self._writing_engine = self.engine.execution_options(perennial_writes=True)
        # SQLite's own waiting is neither fair nor fast: writers of this process queue here instead.
        self._writers = asyncio.Lock()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncSession]:
        """A session for queries; nothing it does is kept."""
        async with AsyncSession(self.engine, expire_on_commit=False) as session:
            yield session

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[AsyncSession]:
        """The same, and all its queries see one instant: to hold tables against each other while others write."""
        async with self.read() as session:
            if not self.is_sqlite:  # There a transaction is one already.
                await session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
            yield session

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncSession]:
        """One transaction: committed at the end, rolled back by any exception. No network call belongs inside.

        What it changes is written down beside it: see `models.audit_log`.
        """
        async with (
            self._turn(),
            AsyncSession(self._writing_engine, expire_on_commit=False, sync_session_class=WatchedSession) as session,
            session.begin(),
        ):
            yield session

    async def ping(self) -> None:
        """One round trip; raises what the driver raises when the database is away."""
        async with self.engine.connect() as connection:
            await connection.execute(text("SELECT 1"))

    async def close(self) -> None:
        await self.engine.dispose()

    def _turn(self) -> AbstractAsyncContextManager[Any]:
        return self._writers if self.is_sqlite else nullcontext()


def with_driver(url: str) -> URL:
    """The same address with the driver that this application uses."""
    parsed = make_url(url)
    return parsed.set(drivername=_DRIVERS[parsed.get_backend_name()])


def is_unique_violation(error: IntegrityError) -> bool:
    """Whether a unique key, rather than another constraint, refused the row."""
    origin = error.orig
    if getattr(origin, "sqlstate", None) is not None:
        return getattr(origin, "sqlstate", None) == "23505"
    return "UNIQUE constraint failed" in str(origin)


def _count(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
    """Transactions' own words aside."""
    if not statement.startswith(("BEGIN", "PRAGMA")):
        count_statement()


def _sqlite_engine(url: URL, pool_size: int) -> AsyncEngine:
    if url.database and url.database != ":memory:":
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_async_engine(url, pool_size=pool_size, connect_args={"timeout": _SQLITE_BUSY_SECONDS})

    @event.listens_for(engine.sync_engine, "connect")
    def configure(connection: Any, _record: Any) -> None:  # pyright: ignore[reportUnusedFunction] (a listener)
        connection.isolation_level = None  # we begin transactions ourselves
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Connection) -> None:  # pyright: ignore[reportUnusedFunction] (a listener)
        writes = connection.get_execution_options().get("perennial_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _postgres_engine(url: URL, pool_size: int) -> AsyncEngine:
    return create_async_engine(url, pool_size=pool_size, max_overflow=pool_size, pool_pre_ping=True)
