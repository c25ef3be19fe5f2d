"""The door to the database: short read sessions, one transaction per step.

SQLite (WAL, immediate write transactions, synchronous=FULL) and PostgreSQL behave alike from here on: a write
transaction sees no other writer's half work, and what must be unique is held by a unique key.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, Engine, ExceptionContext
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlmodel import text
from sqlmodel.ext.asyncio.session import AsyncSession

from database_urls import with_driver
from gauges import count_statement
from models.audit_log import WatchedSession
from models.setbacks import note_commit
from sqlite_trips import OneTripDriver
from tracing import begin_statement, end_statement, is_tracing

_SQLITE_BUSY_SECONDS = 15

# All of them end before the 10 s that a request has: its client is told why, and not only that it took too long.
CONNECT_SECONDS = 5
POOL_SECONDS = 8
LOCK_SECONDS = 8
_RECYCLE_SECONDS = 1800
# No transaction waits for anything but the database: one that is idle belongs to a process that was stopped or cut off.
IDLE_SECONDS = 30
# Where the server itself is silent, nobody would cancel the statement.
_SILENT_SECONDS = 5

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of a PostgreSQL one process takes; SQLite minds the size alone.

    `size` connections are kept and up to `overflow` more opened for as long as they are needed. A statement is
    cancelled by the database after `statement_seconds` (0: never). `by_transaction`: a proxy lends a connection for
    one transaction only, so that nothing may be left on it.
    """

    size: int = 10
    overflow: int = 10
    statement_seconds: int = 10
    by_transaction: bool = False


class Database:
    """An engine and its two doors. Sessions are never shared between tasks."""

    def __init__(self, url: str, limits: Limits | None = None) -> None:
        """`url` carries no driver: `sqlite:///path` or `postgresql://user@host/name`."""
        self.url = with_driver(url)
        limits = limits or Limits()
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.engine = _sqlite_engine(self.url, limits) if self.is_sqlite else _postgres_engine(self.url, limits)
        event.listen(self.engine.sync_engine, "before_cursor_execute", _count)
        if is_tracing():
            _trace(self.engine.sync_engine)
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
        note_commit()

    async def transact(
        self, work: Callable[Concatenate[AsyncSession, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Carry the work out in one transaction; of steps side by side, one that others may share (`models.convoys`).

        The work may be carried out again after it was undone: it changes nothing but the session's rows.
        """
        async with self.write() as session:
            return await work(session, *args, **kwargs)

    async def consult(
        self, work: Callable[Concatenate[AsyncSession, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """The same for a work that only reads."""
        async with self.read() as session:
            return await work(session, *args, **kwargs)

    async def ping(self) -> None:
        """One round trip; raises what the driver raises when the database is away."""
        async with self.engine.connect() as connection:
            await connection.execute(text("SELECT 1"))

    async def close(self) -> None:
        await self.engine.dispose()

    def _turn(self) -> AbstractAsyncContextManager[Any]:
        return self._writers if self.is_sqlite else nullcontext()


def is_unique_violation(error: IntegrityError) -> bool:
    """Whether a unique key, rather than another constraint, refused the row."""
    origin = error.orig
    if getattr(origin, "sqlstate", None) is not None:
        return getattr(origin, "sqlstate", None) == "23505"
    return "UNIQUE constraint failed" in str(origin)


def _count(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
    """Transactions' own words aside."""
    if not statement.startswith(("BEGIN", "PRAGMA", "SELECT set_config")):
        count_statement()


def _trace(engine: Engine) -> None:
    system = engine.dialect.name

    @event.listens_for(engine, "before_cursor_execute")
    def begin(connection: Connection, _cursor: Any, statement: str, *_rest: Any) -> None:  # pyright: ignore[reportUnusedFunction] (a listener)
        begin_statement(connection.info, statement, system)

    @event.listens_for(engine, "after_cursor_execute")
    def end(connection: Connection, *_rest: Any) -> None:  # pyright: ignore[reportUnusedFunction] (a listener)
        end_statement(connection.info)

    @event.listens_for(engine, "handle_error")
    def fail(told: ExceptionContext) -> None:  # pyright: ignore[reportUnusedFunction] (a listener)
        if told.connection is not None:
            end_statement(told.connection.info, told.original_exception)


def _sqlite_engine(url: URL, limits: Limits) -> AsyncEngine:
    if url.database and url.database != ":memory:":
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_async_engine(
        url,
        module=OneTripDriver(),
        hide_parameters=True,
        pool_size=limits.size,
        connect_args={"timeout": _SQLITE_BUSY_SECONDS},
    )

    @event.listens_for(engine.sync_engine, "connect")
    def configure(connection: Any, _record: Any) -> None:  # pyright: ignore[reportUnusedFunction] (a listener)
        connection.isolation_level = None  # we begin transactions ourselves
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()
        connection.create_function("lower", 1, _lower, deterministic=True)

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Connection) -> None:  # pyright: ignore[reportUnusedFunction] (a listener)
        writes = connection.get_execution_options().get("perennial_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _lower(text: object) -> str | None:
    """SQLite's own knows the alphabet of ASCII alone, and texts are looked for whatever their case."""
    return str(text).lower() if text is not None else None


def _postgres_engine(url: URL, limits: Limits) -> AsyncEngine:
    session = {
        "statement_timeout": f"{limits.statement_seconds}s",
        "lock_timeout": f"{LOCK_SECONDS}s",
        "idle_in_transaction_session_timeout": f"{IDLE_SECONDS}s",
    }
    connect: dict[str, Any] = {"timeout": CONNECT_SECONDS}
    if limits.statement_seconds:
        connect["command_timeout"] = limits.statement_seconds + _SILENT_SECONDS
    # A proxy passes no settings of a session on, and what is prepared under a name stays behind on its connection.
    connect.update(without_names() if limits.by_transaction else {"server_settings": session})
    engine = create_async_engine(
        url,
        hide_parameters=True,  # what was to be written may be about a person, and errors are kept and shown
        pool_size=limits.size,
        max_overflow=limits.overflow,
        pool_timeout=POOL_SECONDS,
        pool_recycle=_RECYCLE_SECONDS,
        pool_pre_ping=True,
        connect_args=connect,
    )
    if limits.by_transaction:
        bounded = "SELECT " + ", ".join(f"set_config('{name}', '{value}', true)" for name, value in session.items())

        @event.listens_for(engine.sync_engine, "begin")
        def begin(connection: Connection) -> None:  # pyright: ignore[reportUnusedFunction] (a listener)
            connection.exec_driver_sql(bounded)

    return engine


def without_names() -> dict[str, Any]:
    """What the driver is told so that it prepares nothing that outlives its transaction."""
    return {"statement_cache_size": 0, "prepared_statement_cache_size": 0, "prepared_statement_name_func": str}
