"""PostgreSQL's own word to other processes that events became readable: NOTIFY and LISTEN.

Owns: the channel. Does not own: what is done on hearing it (services.events.hearing). A word is a hint and may be lost;
SQLite has none.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import asyncpg
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import text
from sqlmodel.ext.asyncio.session import AsyncSession

CHANNEL = "perennial_events"
LOST = (OSError, SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError)
"""What is raised where the database cannot be reached, or is no longer."""
_CLOSE_SECONDS = 1.0
_CONNECT_SECONDS = 5


async def tell_others(session: AsyncSession) -> None:
    """Told once this transaction is committed, and not at all if it is not."""
    if session.get_bind().dialect.name == "postgresql":
        await session.exec(text("SELECT pg_notify(:channel, '')"), params={"channel": CHANNEL})  # pyright: ignore[reportCallIssue, reportArgumentType]


@asynccontextmanager
async def told_by_others(url: str, hear: Callable[[], None]) -> AsyncIterator[asyncio.Event]:
    """Calls `hear` on each word while open; what it yields is set once the connection is lost.

    `url` must lead to PostgreSQL itself: a proxy that shares connections by transaction passes no words on.
    """
    lost = asyncio.Event()
    connection = await asyncpg.connect(url, timeout=_CONNECT_SECONDS)
    try:
        connection.add_termination_listener(lambda _connection: lost.set())
        await connection.add_listener(CHANNEL, lambda *_word: hear())
        yield lost
    finally:
        await connection.close(timeout=_CLOSE_SECONDS)
