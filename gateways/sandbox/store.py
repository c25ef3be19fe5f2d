"""Where the sandbox remembers: the only SQL of the sandbox.

Owns: the transaction of one request (`Unit`) and the queries. Does not own: the tables (tables.py), what objects mean.
Objects are JSON documents beside the few columns they are found by.
One writer at a time, on either database and across processes (SQLite: BEGIN IMMEDIATE; PostgreSQL: an advisory lock):
a sandbox has no need to be faster, and so nothing in it can race or deadlock.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import orjson
from sqlalchemy import bindparam, delete, event, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from database_urls import with_driver
from gateways.sandbox.tables import (
    LOOKED_UP_BY,
    WHATEVER_THE_CASE,
    deliveries,
    duties,
    idempotency,
    metadata,
    objects,
)
from sqlite_trips import OneTripDriver

DELETED = ".deleted"
CHUNK = 200  # how many bodies are judged at a time
_WRITERS_LOCK = text("SELECT pg_advisory_xact_lock(1515040965)")  # a number of our own

T = TypeVar("T")


@dataclass(eq=False)
class Record:
    """One stored object: what the wire shows (`body`) and what only the sandbox knows (`private`)."""

    kind: str
    body: dict[str, Any]
    private: dict[str, Any] = field(default_factory=dict)
    seq: int | None = None

    @property
    def id(self) -> str:
        return self.body["id"]

    @property
    def deleted(self) -> bool:
        return self.kind.endswith(DELETED)

    def row(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "kind": self.kind,
            "customer": self.body.get("customer"),
            "lookup": _folded(self.kind, self.body.get(LOOKED_UP_BY.get(self.kind, ""))),
            "created": self.body.get("created", 0),
            "body": orjson.dumps(self.body).decode(),
            "private": orjson.dumps(self.private).decode(),
        }


@dataclass(frozen=True)
class StoredAnswer:
    fingerprint: str
    request_id: str
    created: int
    status: int
    body: str


@dataclass(frozen=True)
class Delivery:
    id: int
    event: str
    endpoint: str
    attempts: int
    due_ms: int


@dataclass(frozen=True)
class Duty:
    """What the sandbox does of its own accord to `object` at `due` (second of the billing clock)."""

    kind: str
    object: str
    due: int


@dataclass(frozen=True)
class Listing:
    """What a list asks for. `cursor` is (object id, True for older than it); `where` judges bodies that no column
    can tell apart."""

    kind: str
    limit: int = 10
    cursor: tuple[str, bool] | None = None
    customer: str | None = None
    lookup: str | None = None
    lookups: tuple[str, ...] = ()
    created: dict[str, int] = field(default_factory=dict)
    where: Callable[[dict[str, Any]], bool] | None = None


def _folded(kind: str, value: str | None) -> str | None:
    return value.casefold() if value is not None and kind in WHATEVER_THE_CASE else value


def _record(row: Any) -> Record:
    return Record(row.kind, orjson.loads(row.body), orjson.loads(row.private), row.seq)


class Unit:
    """One request's transaction: objects read once, changes written together at its end."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._known: dict[str, Record] = {}
        self._added: list[Record] = []
        self._changed: dict[str, Record] = {}
        self._planned: list[Duty] = []

    async def find(self, kind: str, identity: str) -> Record | None:
        """The object, deleted or not."""
        if (known := self._known.get(identity)) is None:
            query = select(objects).where(objects.c.id == identity)
            if (row := (await self._connection.execute(query)).first()) is None:
                return None
            known = self._known[identity] = _record(row)
        return known if known.kind.removesuffix(DELETED) == kind else None

    def add(self, kind: str, body: dict[str, Any], private: dict[str, Any] | None = None) -> Record:
        record = Record(kind, body, private or {})
        self._known[record.id] = record
        self._added.append(record)
        return record

    def change(self, record: Record) -> Record:
        """Remember that `record` was changed in place."""
        if record.seq is not None:
            self._changed[record.id] = record
        return record

    async def taken(self, identity: str) -> bool:
        """Whether any object, of whatever kind, has this id."""
        query = select(objects.c.seq).where(objects.c.id == identity)
        return identity in self._known or (await self._connection.execute(query)).first() is not None

    async def find_all(self, listing: Listing) -> list[Record]:
        """Newest first; one more than the limit when there are more."""
        if listing.where is None:
            return await self._find_some(listing)
        found: list[Record] = []
        chunk = replace(listing, limit=CHUNK - 1)
        while True:
            records = await self._find_some(chunk)
            found += [record for record in records if listing.where(record.body)]
            if len(found) > listing.limit or len(records) < CHUNK:
                return found[: listing.limit + 1]
            newest_first = listing.cursor is None or listing.cursor[1]
            chunk = replace(chunk, cursor=(records[-1].id, newest_first))

    async def _find_some(self, listing: Listing) -> list[Record]:
        query = select(objects).where(objects.c.kind == listing.kind)
        column = objects.c
        if listing.customer is not None:
            query = query.where(column.customer == listing.customer)
        if listing.lookup is not None:
            query = query.where(column.lookup == _folded(listing.kind, listing.lookup))
        if listing.lookups:
            query = query.where(column.lookup.in_(listing.lookups))
        for bound, second in listing.created.items():
            compare = {"gt": "__gt__", "gte": "__ge__", "lt": "__lt__", "lte": "__le__"}[bound]
            query = query.where(getattr(column.created, compare)(second))
        newest_first = True
        if listing.cursor is not None:
            identity, newest_first = listing.cursor
            position = select(column.seq).where(column.id == identity).scalar_subquery()
            query = query.where(column.seq < position if newest_first else column.seq > position)
        query = query.order_by(column.seq.desc() if newest_first else column.seq.asc()).limit(listing.limit + 1)
        rows = (await self._connection.execute(query)).all()
        return [self._known.get(row.id) or _record(row) for row in rows]

    async def mentioning(self, kind: str, identity: str) -> list[Record]:
        """Objects of that kind whose body names the id."""
        named = objects.c.body.contains(identity, autoescape=True)
        rows = (await self._connection.execute(select(objects).where(objects.c.kind == kind, named))).all()
        return [self._known.setdefault(row.id, _record(row)) for row in rows]

    async def rewrite_answers(self, identity: str, rewrite: Callable[[str], str]) -> None:
        """Change what is told again of requests whose answer names the id."""
        named = select(idempotency.c.key, idempotency.c.body).where(
            idempotency.c.body.contains(identity, autoescape=True)
        )
        for row in (await self._connection.execute(named)).all():
            changed = update(idempotency).where(idempotency.c.key == row.key).values(body=rewrite(row.body))
            await self._connection.execute(changed)

    async def claim_key(self, key: str, answer: StoredAnswer) -> StoredAnswer | None:
        """Takes an idempotency key for this request; the answer already there if another one took it."""
        result = await self._connection.execute(_CLAIM_KEY[self._connection.dialect.name], {"key": key, **vars(answer)})
        if result.rowcount == 1:
            return None
        row = (await self._connection.execute(select(idempotency).where(idempotency.c.key == key))).one()
        return StoredAnswer(row.fingerprint, row.request_id, row.created, row.status, row.body)

    async def keep_answer(self, key: str, answer: StoredAnswer) -> None:
        await self._connection.execute(_KEEP_ANSWER, {"the_key": key, **vars(answer)})

    def plan(self, kind: str, identity: str, due: int) -> None:
        """Let the sandbox do something to this object at that second of the billing clock."""
        self._planned.append(Duty(kind, identity, due))

    async def anything_due(self, second: int) -> bool:
        query = select(duties.c.id).where(duties.c.due <= second).limit(1)
        return (await self._connection.execute(query)).first() is not None

    async def take_due(self, second: int) -> list[Duty]:
        """The duties due by `second`, in their order; they are done when this unit is."""
        due = duties.c.due <= second
        rows = (await self._connection.execute(select(duties).where(due).order_by(duties.c.due, duties.c.id))).all()
        await self._connection.execute(delete(duties).where(due))
        return [Duty(row.kind, row.object, row.due) for row in rows]

    async def planned(self, kind: str) -> bool:
        return (await self._connection.execute(select(duties.c.id).where(duties.c.kind == kind))).first() is not None

    async def prune(self, *, keys_before: int, events_before: int) -> None:
        """Forget idempotency keys and events made before those seconds, and what was delivered of them."""
        old = (objects.c.kind == "event") & (objects.c.created < events_before)
        kept = select(objects.c.id).where(objects.c.kind == "event")
        await self._connection.execute(delete(idempotency).where(idempotency.c.created < keys_before))
        await self._connection.execute(delete(objects).where(old))
        await self._connection.execute(
            delete(deliveries).where(deliveries.c.state != "pending", deliveries.c.event.not_in(kept))
        )

    def discard(self) -> None:
        """Forget every change of this unit; what the database already holds of it is untouched."""
        self._planned.clear()
        self._added.clear()
        self._changed.clear()
        self._known.clear()

    async def endpoints(self) -> list[Record]:
        return await self.find_all(Listing("webhook_endpoint", limit=100))

    async def queue(self, rows: Sequence[dict[str, Any]]) -> None:
        """Queue deliveries: event, endpoint, due_ms."""
        if rows:
            await self._connection.execute(_QUEUE, [{"state": "pending", "attempts": 0, **row} for row in rows])

    async def pending(self, event_id: str) -> int:
        query = select(func.count()).where(deliveries.c.event == event_id, deliveries.c.state != "delivered")
        return (await self._connection.execute(query)).scalar_one()

    async def flush(self) -> None:
        """Write every addition and change, in the order they were made."""
        if self._added:
            await self._connection.execute(_ADD, [record.row() for record in self._added])
        if self._changed:
            rows = [record.row() for record in self._changed.values()]
            await self._connection.execute(_CHANGE, [{"the_id": row.pop("id"), **row} for row in rows])
        if self._planned:
            await self._connection.execute(_PLAN, [vars(duty) for duty in self._planned])
        self._added.clear()
        self._changed.clear()
        self._planned.clear()


_CLAIM_KEY = {
    "postgresql": postgresql_insert(idempotency).on_conflict_do_nothing(),
    "sqlite": sqlite_insert(idempotency).on_conflict_do_nothing(),
}
_KEEP_ANSWER = update(idempotency).where(idempotency.c.key == bindparam("the_key"))
_ADD = insert(objects)
_CHANGE = update(objects).where(objects.c.id == bindparam("the_id"))
_QUEUE = insert(deliveries)
_PLAN = insert(duties)


def _prepare_sqlite(engine: AsyncEngine) -> None:
    @event.listens_for(engine.sync_engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=15000"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: Any) -> None:
        writes = connection.get_execution_options().get("sandbox_writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


class Store:
    """The database of one sandbox. `url` is written without a driver."""

    def __init__(self, url: str) -> None:
        try:
            address = with_driver(url)
        except (ArgumentError, KeyError):
            raise ValueError("a sandbox database is sqlite:///path or postgresql://user@host/name") from None
        is_sqlite = address.get_backend_name() == "sqlite"
        self._engine = create_async_engine(address, module=OneTripDriver() if is_sqlite else None)
        self._writing = self._engine.execution_options(sandbox_writes=True)
        self._writer = asyncio.Lock()
        if is_sqlite:
            _prepare_sqlite(self._engine)

    async def start(self) -> None:
        """Create the tables that are missing; two processes may do so at once."""
        async with self._connect(writes=True) as connection:
            await connection.run_sync(metadata.create_all)

    async def close(self) -> None:
        await self._engine.dispose()

    @asynccontextmanager
    async def _connect(self, *, writes: bool) -> AsyncIterator[AsyncConnection]:
        if not writes:
            async with self._engine.begin() as connection:
                yield connection
            return
        async with self._writer, self._writing.begin() as connection:
            if self._engine.dialect.name == "postgresql":
                await connection.execute(_WRITERS_LOCK)
            yield connection

    async def read(self, work: Callable[[Unit], Awaitable[T]]) -> T:
        async with self._connect(writes=False) as connection:
            return await work(Unit(connection))

    async def write(self, work: Callable[[Unit], Awaitable[T]]) -> T:
        """Run `work` in a transaction of the only writer, and flush it."""
        async with self._connect(writes=True) as connection:
            unit = Unit(connection)
            result = await work(unit)
            await unit.flush()
            return result

    async def claim_due(self, now_ms: int, lease_ms: int, limit: int) -> list[Delivery]:
        """Take deliveries due by now for this process: their due time moves a lease ahead, so that nobody else
        takes them and a crash only delays them."""
        due = (deliveries.c.state == "pending") & (deliveries.c.due_ms <= now_ms)
        query = select(deliveries).where(due).order_by(deliveries.c.due_ms, deliveries.c.id).limit(limit)
        if not await self._any(query):
            return []
        async with self._connect(writes=True) as connection:
            rows = (await connection.execute(query)).all()
            if rows:
                taken = update(deliveries).where(deliveries.c.id.in_([row.id for row in rows]))
                await connection.execute(taken.values(due_ms=now_ms + lease_ms))
        return [Delivery(row.id, row.event, row.endpoint, row.attempts, row.due_ms) for row in rows]

    async def _any(self, query: Any) -> bool:
        async with self._connect(writes=False) as connection:
            return (await connection.execute(query.limit(1))).first() is not None

    async def record_attempt(self, delivery: Delivery, *, state: str, due_ms: int, status: int | None) -> None:
        """Note how one attempt ended: `delivered`, `pending` (again at due_ms) or `abandoned`."""
        async with self._connect(writes=True) as connection:
            query = update(deliveries).where(deliveries.c.id == delivery.id)
            values = {"state": state, "due_ms": due_ms, "last_status": status, "attempts": delivery.attempts + 1}
            await connection.execute(query.values(**values))

    async def next_due_ms(self) -> int | None:
        query = select(func.min(deliveries.c.due_ms)).where(deliveries.c.state == "pending")
        async with self._connect(writes=False) as connection:
            return (await connection.execute(query)).scalar_one()

    async def last_seq(self) -> int:
        async with self._connect(writes=False) as connection:
            return (await connection.execute(select(func.max(objects.c.seq)))).scalar_one() or 0
