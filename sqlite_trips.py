"""SQLite's driver with one trip to its thread for a statement, where SQLAlchemy's own makes four.

Each connection lives in a thread of its own. Making a cursor, executing, fetching and closing were a trip each, and the
trips cost more than the statement. A cursor here makes one when it executes, and is closed when that returns.
"""

import asyncio
import sqlite3
from collections import deque
from collections.abc import Sequence
from typing import Any

import aiosqlite
from sqlalchemy.dialects.sqlite.aiosqlite import (
    AsyncAdapt_aiosqlite_connection,
    AsyncAdapt_aiosqlite_cursor,
    AsyncAdapt_aiosqlite_dbapi,
)


class _Cursor(AsyncAdapt_aiosqlite_cursor):
    """There is no cursor of the driver's before a statement is executed, and nothing to close afterwards."""

    __slots__ = ()

    def _make_new_cursor(self, connection: Any) -> Any:
        return None

    def _aenter_cursor(self, cursor: Any) -> Any:
        return None

    async def _execute_async(self, operation: Any, parameters: Any) -> Any:
        async with self._adapt_connection._execute_mutex:
            self._cursor, self._rows = await _on_thread(self._connection, _execute, operation, parameters or ())
            return self._cursor

    async def _executemany_async(self, operation: Any, seq_of_parameters: Any) -> Any:
        async with self._adapt_connection._execute_mutex:
            self._cursor = await _on_thread(self._connection, _execute_many, operation, seq_of_parameters)
            return self._cursor

    async def _async_soft_close(self) -> None:
        pass

    def close(self) -> None:
        self._rows.clear()


class _Connection(AsyncAdapt_aiosqlite_connection):
    __slots__ = ()

    _cursor_cls = _Cursor


class OneTripDriver(AsyncAdapt_aiosqlite_dbapi):
    """What `create_async_engine` takes as its `module`."""

    def __init__(self) -> None:
        super().__init__(aiosqlite, sqlite3)

    def connect(self, *arg: Any, **kw: Any) -> _Connection:
        return _Connection(self, super().connect(*arg, async_creator_fn=_opened, **kw)._connection)


async def _opened(*arg: Any, **kw: Any) -> aiosqlite.Connection:
    """What cannot be opened is told once its thread has ended: the loop may be closed right then, and what the thread
    still had to say to it became a traceback."""
    connection = aiosqlite.connect(*arg, **kw)
    connection._thread.daemon = True
    try:
        return await connection
    except sqlite3.Error:
        await asyncio.to_thread(connection._thread.join)
        raise


async def _on_thread(connection: Any, work: Any, operation: str, parameters: Any) -> Any:
    return await connection._execute(work, connection._conn, operation, parameters)


def _execute(connection: sqlite3.Connection, operation: str, parameters: Any) -> tuple[sqlite3.Cursor, deque[Any]]:
    cursor = connection.execute(operation, parameters)
    rows = deque(cursor.fetchall() if cursor.description else ())
    cursor.close()
    return cursor, rows


def _execute_many(connection: sqlite3.Connection, operation: str, parameters: Sequence[Any]) -> sqlite3.Cursor:
    cursor = connection.executemany(operation, parameters)
    cursor.close()
    return cursor
