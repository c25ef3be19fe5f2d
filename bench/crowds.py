"""One life made a million: a subscriber's rows copied inside the database, and what renewals write, written in bulk.

Owns: which tables a subscriber is in, and what must differ between two. Does not own: time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Insert, Select, String, case, cast, insert, literal, null, select
from sqlalchemy import update as sql_update

from models.base import metadata
from models.database import Database

_ROOM = 100_000_000  # more than anybody copies: its digits number the copies, all equally long

# Tables in the order in which they refer to one another, with the texts that no two rows may share.
_LIVES: Mapping[str, tuple[str, ...]] = {
    "customers": ("user_id", "invoice_prefix"),
    "gateway_accounts": ("gateway_ref",),
    "payment_methods": ("gateway_ref",),
    "subscriptions": (),
    "subscription_items": (),
    "live_places": (),
    "invoices": ("number",),
    "invoice_lines": (),
    "payments": (),
    "collection_intents": ("gateway_ref",),
    "charge_attempts": ("charge_ref", "idempotency_key"),
    "ledger_entries": (),
}


@dataclass(frozen=True, slots=True)
class Crowd:
    """`size` subscribers, each of them the life of one. Every `step`th is due for renewal, all others `later`."""

    size: int
    step: int
    later: datetime

    @property
    def due(self) -> int:
        return len(range(0, self.size, self.step))


async def gather(database: Database, crowd: Crowd) -> None:
    """Copy the only subscriber that there is until there are as many as the crowd has."""
    tables = metadata().tables
    async with database.write() as session:
        connection = await session.connection()
        if not database.is_sqlite:  # the copies refer to one another as the first life does: no need to look
            await connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        lives = {name: (await connection.execute(tables[name].select())).mappings().all() for name in _LIVES}
        ids = {row["id"] for rows in lives.values() for row in rows if "id" in row}
        for name, unique in _LIVES.items():
            for row in lives[name]:
                await connection.execute(_copies(tables[name], row, ids, unique, crowd))
    if not database.is_sqlite:
        async with database.write() as session:
            await (await session.connection()).exec_driver_sql("ANALYZE")


def _copies(table: Any, row: Mapping[Any, Any], ids: set[str], unique: Sequence[str], crowd: Crowd) -> Insert:
    """The row once more for each other number of the crowd, as another one's."""
    numbers = select(literal(1).label("n")).cte("numbers", recursive=True)
    numbers = numbers.union_all(select(numbers.c.n + 1).where(numbers.c.n < crowd.size - 1))
    n = numbers.c.n
    digits = cast(n + _ROOM, String)

    def value(of: Any) -> ColumnElement[Any]:
        held = row[of.name]
        if isinstance(held, str) and held in ids:
            kind, _, number = held.partition("_")
            return literal(f"{kind}_") + digits + literal(number[len(str(_ROOM)) :])
        if of.name == "invoice_prefix":
            return literal("B") + digits
        if of.name in unique and held is not None:
            return literal(f"{held}-") + digits
        if table.name == "subscriptions" and of.name in ("due_at", "period_end"):
            return case((n % crowd.step == 0, literal(held, of.type)), else_=literal(crowd.later, of.type))
        return null() if held is None else literal(held, of.type)

    told = [each for each in table.columns if each.name != "number" or table.name != "payments"]
    return insert(table).from_select([each.name for each in told], select(*(value(each) for each in told)))


# What one renewal leaves behind: the column that says when, and the texts that a second one of the same must alter.
_WRITTEN: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "invoices": ("created_at", ("id", "number", "occasion")),
    "invoice_lines": ("", ("id", "invoice_id")),
    "payments": ("created_at", ("id", "invoice_id")),
    "collection_intents": ("created_at", ("id", "invoice_id", "payment_id", "gateway_ref")),
    "charge_attempts": ("started_at", ("id", "payment_id", "intent_id", "charge_ref", "idempotency_key")),
    "changes": ("at", ("id",)),
    "billing_events": ("at", ("id",)),
    "ledger_entries": ("at", ("id", "subject_id")),
}


async def write_again(database: Database, at: datetime) -> tuple[int, int]:
    """All that was written at that instant once more, a statement a table, in one transaction: statements, rows."""
    tables = metadata().tables
    invoices, subscriptions = tables["invoices"], tables["subscriptions"]
    renewed = select(invoices.c.id).where(invoices.c.created_at == at)
    rows = 0
    async with database.write() as session:
        connection = await session.connection()
        for name, (when, altered) in _WRITTEN.items():
            table = tables[name]
            condition = table.c[when] == at if when else table.c.invoice_id.in_(renewed)
            rows += (await connection.execute(_again(table, condition, altered))).rowcount
        owners = select(invoices.c.subscription_id).where(invoices.c.created_at == at)
        touched = sql_update(subscriptions).where(subscriptions.c.id.in_(owners))
        rows += (await connection.execute(touched.values(version=subscriptions.c.version + 1))).rowcount
    return len(_WRITTEN) + 1, rows


def _again(table: Any, condition: ColumnElement[bool], altered: Sequence[str]) -> Insert:
    told = [each for each in table.columns if each.name not in ("position", "number") or table.name == "invoices"]
    if table.name == "invoice_lines":
        told = list(table.columns)
    values: Select[Any] = select(*(each + "x" if each.name in altered else each for each in told)).where(condition)
    return insert(table).from_select([each.name for each in told], values)
