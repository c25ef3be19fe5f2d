"""Where the sandbox remembers: the only SQL of the sandbox.

Owns: its tables (prefix `sandbox_`, metadata of their own, created on start), the transaction of one request (`Unit`)
and the queries. Does not own: what objects mean. Objects are JSON documents beside the few columns they are found by.
One writer at a time, on either database and across processes (SQLite: BEGIN IMMEDIATE; PostgreSQL: an advisory lock):
a sandbox has no need to be faster, and so nothing in it can race or deadlock.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import orjson
from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    bindparam,
    event,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

metadata = MetaData()
_BigKey = BigInteger().with_variant(Integer, "sqlite")

objects = Table(
    "sandbox_objects",
    metadata,
    Column("seq", _BigKey, primary_key=True, autoincrement=True),
    Column("id", String(255), nullable=False, unique=True),
    Column("kind", String(40), nullable=False),
    Column("customer", String(255)),
    Column("lookup", String(600)),
    Column("created", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    Column("private", Text, nullable=False),
    Index("sandbox_objects_kind", "kind", "seq"),
    Index("sandbox_objects_customer", "customer", "kind", "seq"),
    Index("sandbox_objects_lookup", "lookup", "kind", "seq"),
)
idempotency = Table(
    "sandbox_idempotency",
    metadata,
    Column("key", String(255), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("request_id", String(64), nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("status", Integer, nullable=False),
    Column("body", Text, nullable=False),
)
deliveries = Table(
    "sandbox_deliveries",
    metadata,
    Column("id", _BigKey, primary_key=True, autoincrement=True),
    Column("event", String(255), nullable=False),
    Column("endpoint", String(255), nullable=False),
    Column("state", String(10), nullable=False),
    Column("due_ms", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("last_status", Integer),
    Index("sandbox_deliveries_due", "state", "due_ms"),
    Index("sandbox_deliveries_event", "event"),
)

# The field of the body that lists are narrowed by, besides the customer.
LOOKED_UP_BY = {
    "customer": "email",
    "payment_method": "allow_redisplay",
    "charge": "payment_intent",
    "setup_intent": "payment_method",
    "setup_attempt": "setup_intent",
    "event": "type",
    "webhook_endpoint": "url",
}
DELETED = ".deleted"
_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}
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
        looked_up_by = LOOKED_UP_BY.get(self.kind, "")
        return {
            "id": self.id,
            "kind": self.kind,
            "customer": self.body.get("customer"),
            "lookup": self.body.get(looked_up_by),
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
class Listing:
    """What a list asks for. `cursor` is (object id, True for older than it)."""

    kind: str
    limit: int = 10
    cursor: tuple[str, bool] | None = None
    customer: str | None = None
    lookup: str | None = None
    lookups: tuple[str, ...] = ()
    created: dict[str, int] = field(default_factory=dict)


def _record(row: Any) -> Record:
    return Record(row.kind, orjson.loads(row.body), orjson.loads(row.private), row.seq)


class Unit:
    """One request's transaction: objects read once, changes written together at its end."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._known: dict[str, Record] = {}
        self._added: list[Record] = []
        self._changed: dict[str, Record] = {}

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

    async def find_all(self, listing: Listing) -> list[Record]:
        """Newest first; one more than the limit when there are more."""
        query = select(objects).where(objects.c.kind == listing.kind)
        column = objects.c
        if listing.customer is not None:
            query = query.where(column.customer == listing.customer)
        if listing.lookup is not None:
            query = query.where(column.lookup == listing.lookup)
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

    async def claim_key(self, key: str, answer: StoredAnswer) -> StoredAnswer | None:
        """Takes an idempotency key for this request; the answer already there if another one took it."""
        result = await self._connection.execute(_CLAIM_KEY[self._connection.dialect.name], {"key": key, **vars(answer)})
        if result.rowcount == 1:
            return None
        row = (await self._connection.execute(select(idempotency).where(idempotency.c.key == key))).one()
        return StoredAnswer(row.fingerprint, row.request_id, row.created, row.status, row.body)

    async def keep_answer(self, key: str, answer: StoredAnswer) -> None:
        await self._connection.execute(_KEEP_ANSWER, {"the_key": key, **vars(answer)})

    def discard(self) -> None:
        """Forget every change of this unit; what the database already holds of it is untouched."""
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
        self._added.clear()
        self._changed.clear()


_CLAIM_KEY = {
    "postgresql": postgresql_insert(idempotency).on_conflict_do_nothing(),
    "sqlite": sqlite_insert(idempotency).on_conflict_do_nothing(),
}
_KEEP_ANSWER = update(idempotency).where(idempotency.c.key == bindparam("the_key"))
_ADD = insert(objects)
_CHANGE = update(objects).where(objects.c.id == bindparam("the_id"))
_QUEUE = insert(deliveries)


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
        scheme, separator, rest = url.partition("://")
        if not separator or scheme.partition("+")[0] not in _DRIVERS:
            raise ValueError("a sandbox database is sqlite:///path or postgresql://user@host/name")
        self._engine = create_async_engine(f"{_DRIVERS[scheme.partition('+')[0]]}://{rest}")
        self._writing = self._engine.execution_options(sandbox_writes=True)
        self._writer = asyncio.Lock()
        if self._engine.dialect.name == "sqlite":
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
