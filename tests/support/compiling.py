"""A statement is compiled once in a process, not once in each test's house: that was a third of a short test.

SQLAlchemy keeps what it compiled by engine, and each house has an engine of its own. Engines of one kind are alike.
"""

from collections import defaultdict
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.dialects.sqlite.aiosqlite import SQLiteDialect_aiosqlite
from sqlalchemy.util import LRUCache

_compiled: defaultdict[str, LRUCache[Any, Any]] = defaultdict(lambda: LRUCache(10_000))


def compile_once() -> None:
    """From here on, all engines of this process share what they compiled."""
    for kind in (PGDialect_asyncpg, SQLiteDialect_aiosqlite):
        kind.__hash__ = lambda dialect: hash(type(dialect))
        kind.__eq__ = lambda dialect, other: type(dialect) is type(other)
    event.listen(Engine, "engine_connect", _share)


def _share(connection: Connection) -> None:
    connection.engine._compiled_cache = _compiled[connection.dialect.name]
