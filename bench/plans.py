"""`python -m bench.plans`: how PostgreSQL carries out the queries that run again and again, on a million subscriptions.

python -m bench.plans --subscriptions 1000000
"""

import argparse
import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg
from sqlalchemy import event
from sqlmodel import text

from bench.million import NOW, fill
from bench.repeated import DUE, LISTS, WATCHED, Ask
from models.database import Database, Limits
from tests.support.databases import migrate, place_on, postgres_server

_EXPERT = re.compile(
    r"\s*(Planning|Buffers|Heap Fetches|Rows Removed|Sort Method|Inner Unique|Index Searches|Execution)"
)
_COSTS = re.compile(
    r"\(cost=\S+ rows=\d+ width=\d+\) \(actual time=[\d.]+\.\.([\d.]+) rows=(\d+)(?:\.\d+)? loops=\d+\)"
)


@dataclass(frozen=True)
class Plan:
    """How one query is carried out."""

    name: str
    lines: Sequence[str]

    @property
    def scanned(self) -> Sequence[str]:
        """Tables that are read from one end to the other."""
        return [found[1] for line in self.lines if (found := re.search(r"Seq Scan on (\w+)", line))]

    @property
    def milliseconds(self) -> float:
        return sum(float(found[1]) for line in self.lines if (found := re.search(r"Execution Time: ([\d.]+)", line)))


@asynccontextmanager
async def the_statements(database: Database) -> AsyncIterator[list[tuple[str, Any]]]:
    """What is sent in the block, each with its parameters."""
    sent: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        sent.append((statement, parameters))

    event.listen(database.engine.sync_engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(database.engine.sync_engine, "before_cursor_execute", note)


async def plan_of(database: Database, name: str, ask: Ask, now: datetime, *, explain: str, before: str = "") -> Plan:
    """The plan of all that the query sends; `before` is said to PostgreSQL first."""
    async with the_statements(database) as sent, database.read() as session:
        await ask(session, now)
    lines: list[str] = []
    async with database.engine.connect() as connection:
        if before:
            await connection.execute(text(before))
        for statement, parameters in sent:
            told = await connection.exec_driver_sql(f"EXPLAIN ({explain}) {statement}", tuple(parameters))
            lines += [row[0] for row in told]
    return Plan(name, lines)


def shortened(plan: Plan) -> Sequence[str]:
    """Its nodes with what they took, without what only an expert reads."""
    return [_COSTS.sub(r"\1 ms, \2 rows", line) for line in plan.lines if not _EXPERT.match(line)]


async def explain(url: str, *, only: str) -> Sequence[Plan]:
    database = Database(url, Limits(size=1, overflow=0, statement_seconds=0))
    now = datetime.fromisoformat(NOW)
    asked = {name: ask for part in (DUE, WATCHED, LISTS) for name, ask in part.items() if re.search(only, name)}
    try:
        return [
            await plan_of(database, name, ask, now, explain="ANALYZE, BUFFERS, COSTS") for name, ask in asked.items()
        ]
    finally:
        await database.close()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.plans", description=__doc__)
    parser.add_argument("--subscriptions", type=int, default=1_000_000)
    parser.add_argument(
        "--database", help="the address of one that is filled already; else one is made and thrown away"
    )
    parser.add_argument("--only", default="", help="a regular expression of names of queries")
    asked = parser.parse_args(arguments)
    with _database(asked.database, asked.subscriptions) as url:
        for plan in asyncio.run(explain(url, only=asked.only)):
            scanned = f"  READS ALL OF {', '.join(plan.scanned)}" if plan.scanned else ""
            print(f"\n{plan.name}: {plan.milliseconds:.1f} ms{scanned}", *shortened(plan), sep="\n    ")


@contextmanager
def _database(given: str | None, subscriptions: int) -> Iterator[str]:
    if given is not None:
        yield given
        return
    with postgres_server() as server, place_on(server) as place:
        migrate(place.url)
        began = time.perf_counter()
        rows = asyncio.run(_filled(place.url, subscriptions))
        print(f"{rows:,} rows in {time.perf_counter() - began:.0f} s")
        yield place.url


async def _filled(url: str, subscriptions: int) -> int:
    connection = await asyncpg.connect(url)
    try:
        return await fill(connection, subscriptions)
    finally:
        await connection.close()


if __name__ == "__main__":
    main()
