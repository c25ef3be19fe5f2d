"""Alembic's entry: the product's own tables; the sandbox's (named sandbox_…) are its own affair."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from typing import Any, Literal

from alembic import context
from sqlalchemy import Connection, NullPool, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlmodel.sql.sqltypes import AutoString

import models.api_keys
import models.audit_log
import models.catalog
import models.clocks
import models.coupons
import models.credits
import models.customers
import models.endpoints
import models.events
import models.idempotency
import models.inbox
import models.invoices
import models.ledger
import models.organization
import models.pacing
import models.payments
import models.reconciliations
import models.returns
import models.runs
import models.subscriptions
import models.timers
import models.usage  # noqa: F401 (importing them fills the metadata)
from database_urls import with_driver
from migrations.beside import LOCK_SECONDS, TRIES
from models.base import DecimalText, EnumText, UTCDateTime, metadata
from models.setbacks import Setback, setback_of
from settings import load_settings
from sqlite_trips import OneTripDriver

_PAUSE_SECONDS = 1.0
_TURNS = 3600
"""How often it is asked whether another migration is over, one that builds indexes for a long time."""
_TURN = int.from_bytes(b"migrate", "big")
"""The name of the lock: any number of PostgreSQL's that nobody else in this database takes."""


def _is_ours(name: str | None, kind: str, _parents: object) -> bool:
    return not (kind == "table" and name is not None and name.startswith("sandbox_"))


def _plain(kind: str, item: Any, _context: Any) -> str | Literal[False]:
    """Migrations outlive our column types: they are written with SQLAlchemy's own."""
    if kind == "type" and isinstance(item, UTCDateTime):
        return "sa.DateTime(timezone=True)"
    if kind == "type" and isinstance(item, DecimalText | EnumText | AutoString):
        length = item.length if isinstance(item, AutoString) else 40
        return f"sa.String(length={length})" if length else "sa.String()"
    return False


def _run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=metadata(),
        include_name=_is_ours,
        render_as_batch=connection.dialect.name == "sqlite",
        compare_type=True,
        render_item=_plain,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


async def _connect() -> None:
    url = context.config.get_main_option("sqlalchemy.url") or load_settings().direct_database_url
    address = with_driver(url)
    driver = OneTripDriver() if address.get_backend_name() == "sqlite" else None
    engine = create_async_engine(address, module=driver, poolclass=NullPool)  # nothing stays open, whatever ends it
    for number in range(1, TRIES + 1):
        try:
            await _migrate(engine)
            break
        except DBAPIError as error:
            if setback_of(error) not in (Setback.BUSY, Setback.LOST) or number == TRIES:
                raise
            # Those behind us go first; what was finished stays finished.
            await asyncio.sleep(_PAUSE_SECONDS)


async def _migrate(engine: AsyncEngine) -> None:
    is_sqlite = engine.dialect.name == "sqlite"
    async with nullcontext() if is_sqlite else _turn(engine), engine.connect() as connection:
        if is_sqlite:
            # All of it or nothing, while nobody else writes: the driver would begin no transaction for a table.
            await connection.execute(text("BEGIN IMMEDIATE"))
        else:
            await connection.execute(text(f"SET lock_timeout = '{LOCK_SECONDS}s'"))
            await connection.commit()
        await connection.run_sync(_run)
        await connection.commit()


@asynccontextmanager
async def _turn(engine: AsyncEngine) -> AsyncIterator[None]:
    """Of several that are started at once, as beside each new server, one migrates, and the others find it done.

    The lock is asked for again and again: a statement that waited for it would be a transaction that an index built
    beside others waits for. It ends with its connection.
    """
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        for _ in range(_TURNS):
            if await connection.scalar(text("SELECT pg_try_advisory_lock(:turn)"), {"turn": _TURN}):
                yield
                return
            await asyncio.sleep(_PAUSE_SECONDS)
    raise TimeoutError("another migration has not ended")


asyncio.run(_connect())
