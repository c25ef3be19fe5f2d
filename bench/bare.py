"""The bare route that an operation is compared with: the same SQL in the same transactions, and the same JSON.

Owns: noting what an operation sends to the database, and sending it again with fresh identifiers. Does not own: time.
"""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import orjson
from sqlalchemy import event
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from models.database import Database

# Identifiers, ours and the gateway's, and invoice numbers. The catalog's stay as they are.
_NAMES = re.compile(r"\b(?!(?:prd|pln|prc|rol)_)([a-z]{2,4}_)([0-9A-Za-z]{14,})\b|\b([A-Z2-9]{10})(-\d{4})\b")
_OWN_WORDS = ("BEGIN", "PRAGMA")
_WRITES = "perennial_writes"


@dataclass(frozen=True, slots=True)
class Statement:
    sql: str
    parameters: Any


@dataclass(slots=True)
class Turn:
    """What is sent on one connection: statements that only read, or one transaction that writes."""

    writes: bool
    statements: list[Statement] = field(default_factory=list)


@asynccontextmanager
async def noted(database: Database) -> AsyncIterator[list[Turn]]:
    """Everything that the block sends, in its order. The block's own transactions do not overlap."""
    turns: list[Turn] = []
    engine = database.engine.sync_engine

    def begin(connection: Any) -> None:
        writes = connection.get_execution_options().get(_WRITES, False)
        if writes or not turns or turns[-1].writes:
            turns.append(Turn(writes))

    def send(connection: Any, _cursor: Any, sql: str, parameters: Any, *_rest: Any) -> None:
        if not sql.startswith(_OWN_WORDS):
            turns[-1].statements.append(Statement(sql, parameters))

    event.listen(engine, "begin", begin)
    event.listen(engine, "before_cursor_execute", send)
    try:
        yield turns
    finally:
        event.remove(engine, "begin", begin)
        event.remove(engine, "before_cursor_execute", send)
        turns[:] = [turn for turn in turns if turn.statements]


class Names:
    """New identifiers in the place of the noted ones: those in `known` as it says, any other a fresh one.

    With None every identifier stays: what only reads, reads the same rows again.
    """

    def __init__(self, known: Mapping[str, str] | None) -> None:
        self._keeps_all = known is None
        self._new = dict(known or {})

    def of(self, value: Any) -> Any:
        if self._keeps_all:
            return value
        if isinstance(value, str):
            return _NAMES.sub(self._renamed, value)
        if isinstance(value, tuple | list):
            return type(value)(self.of(each) for each in value)
        return value

    def _renamed(self, match: re.Match[str]) -> str:
        kind, rest, series, number = match.groups()
        old = match[0] if kind else series
        if old not in self._new:
            fresh = uuid4().hex
            letters = fresh.upper().translate(str.maketrans("01", "GH"))
            self._new[old] = f"{kind}{fresh[: len(rest)]}" if kind else letters[:10]
        return self._new[old] if kind else f"{self._new[old]}{number}"


class BareRoute:
    """Sends noted turns again at each request, with the identifiers that `known` says for the next one."""

    def __init__(self, database: Database, turns: list[Turn], answer: Any) -> None:
        self._reading = database.engine
        self._writing = database.engine.execution_options(**{_WRITES: True})
        self._turns, self._answer = turns, answer
        self.known: Mapping[str, str] | None = None

    @property
    def statements(self) -> int:
        return sum(len(turn.statements) for turn in self._turns)

    def app(self, path: str) -> ASGIApp:
        return Starlette(routes=[Route(path, self._respond, methods=["POST"])])

    async def _respond(self, request: Request) -> Response:
        await request.body()
        names = Names(self.known)
        number: int | None = None
        for turn in self._turns:
            if not turn.writes:
                async with self._reading.connect() as connection:
                    for each in turn.statements:
                        number = await _send(connection, each, names, number)
            else:
                async with self._writing.begin() as connection:
                    for each in turn.statements:
                        number = await _send(connection, each, names, number)
        return Response(orjson.dumps(self._answer), media_type="application/json")


async def _send(connection: Any, statement: Statement, names: Names, number: int | None) -> int | None:
    """Send one statement. A payment's number is the database's own: it is remembered from one to the next."""
    parameters = names.of(statement.parameters)
    if number is not None and "payments.number = " in statement.sql:
        parameters = (*parameters[:-1], number)
    result = await connection.exec_driver_sql(statement.sql, parameters)
    rows = result.all() if result.returns_rows else []
    if statement.sql.startswith("INSERT INTO payments "):
        return rows[0][0] if rows else result.lastrowid
    return number
