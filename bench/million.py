"""A PostgreSQL database as it looks after a year with a million subscriptions, filled by a few statements.

Rows are plausible in what is looked for (states, due times, owners) and empty in what is only read.
"""

from collections.abc import Mapping
from typing import Any

import asyncpg
from sqlalchemy import Boolean, Column, Integer, Table

from models.base import ID_PREFIXES, DecimalText, EnumText, UTCDateTime, metadata

NOW = "2026-06-15 12:00:00+00"
"""The present of that database: some rows of each kind are due by then."""

_ID_OF_TABLE = {
    "customers": "customer",
    "gateway_accounts": "gateway_account",
    "payment_methods": "payment_method",
    "subscriptions": "subscription",
    "subscription_items": "subscription_item",
    "invoices": "invoice",
    "payments": "payment",
    "collection_intents": "payment_intent",
    "charge_attempts": "charge_attempt",
    "ledger_entries": "ledger_entry",
    "changes": "change",
    "billing_events": "billing_event",
    "gateway_events": "gateway_event",
    "webhook_deliveries": "webhook_delivery",
    "refunds": "refund",
    "usage_records": "usage_record",
    "audit_entries": "audit_entry",
}


_MADE = 1_780_000_000_000


def an_id(kind: str, number: str = "n") -> str:
    """SQL for the id of that kind of the n-th row."""
    made, rest = f"lpad(to_hex({_MADE} + {number}), 12, '0')", f"lpad(to_hex({number}), 15, '0')"
    return f"'{ID_PREFIXES[kind]}_' || {made} || '70008' || {rest}"


def the_id(kind: str, number: int) -> str:
    """The same id for those who ask."""
    return f"{ID_PREFIXES[kind]}_{_MADE + number:012x}70008{number:015x}"


# A month of due times, the first of them some minutes ago: about one in 2,000 is due.
_IN_A_MONTH = f"timestamptz '{NOW}' - interval '20 minutes' + n % 43200 * interval '1 minute'"
_PAST = f"timestamptz '{NOW}' - n % 525600 * interval '1 minute'"
_OWN = {"customer_id": an_id("customer"), "created_at": _PAST, "updated_at": _PAST}
_OF_ALL: Mapping[str, str] = {
    "subscription_id": an_id("subscription"),
    "invoice_id": an_id("invoice"),
    "payment_id": an_id("payment"),
    "plan_id": "'pln_1'",
    "price_id": "'prc_' || n % 10",
    "product_id": "'prd_1'",
    "platform": "'stripe'",
    "currency": "'USD'",
    "timezone": "'UTC'",
}

# Rows of a table for each subscription, and what its columns hold.
FILLED: Mapping[str, tuple[float, Mapping[str, str]]] = {
    "customers": (
        1,
        {"user_id": "'user-' || n", "email": "'user-' || n || '@shop.example'", "invoice_prefix": "'C' || n"},
    ),
    "gateway_accounts": (1, {"gateway_ref": "'cus_' || n", "due_at": f"CASE WHEN n % 50000 = 0 THEN {_PAST} END"}),
    "payment_methods": (1, {"gateway_ref": "'pm_' || n", "type": "'card'"}),
    "subscriptions": (
        1,
        {
            "status": "CASE WHEN n % 10 = 0 THEN 'canceled' WHEN n % 97 = 0 THEN 'past_due' ELSE 'active' END",
            "due_at": f"CASE WHEN n % 10 > 0 THEN {_IN_A_MONTH} END",
            "period_end": _IN_A_MONTH,
            "interval": "'month'",
            "original_amount_minor": "n % 10000",
            "external_id": "'order-' || n",
        },
    ),
    "subscription_items": (1, {}),
    "live_places": (0.9, {}),
    "invoices": (
        1,
        {
            "status": "CASE WHEN n % 97 = 0 THEN 'open' ELSE 'paid' END",
            "number": "'C' || n || '-1'",
            "reason": "'subscription_cycle'",
            "occasion": "n::text",
        },
    ),
    "payments": (
        1,
        {
            "number": "n",
            "status": "CASE WHEN n % 50000 = 0 THEN 'unknown' WHEN n % 97 = 0 THEN 'failed' ELSE 'succeeded' END",
            "due_at": f"CASE WHEN n % 5000 = 0 THEN {_IN_A_MONTH} - interval '15 days' END",
            "collect_at": f"CASE WHEN n % 97 = 0 THEN {_IN_A_MONTH} END",
            "give_up_at": f"CASE WHEN n % 97 = 0 THEN {_IN_A_MONTH} + interval '1 minute' END",
            "amount_minor": "n % 10000",
            "amount_paid_minor": "CASE WHEN n % 97 = 0 THEN 0 ELSE n % 10000 END",
        },
    ),
    "collection_intents": (1, {"gateway_ref": "'pi_' || n", "n": "1", "status": "'succeeded'"}),
    "charge_attempts": (
        1,
        {
            "intent_id": an_id("payment_intent"),
            "outcome": "CASE WHEN n % 50000 = 0 THEN 'unknown' ELSE 'succeeded' END",
            "charge_ref": "'ch_' || n",
            "idempotency_key": "'key-' || n",
            "trigger": "'renewal'",
        },
    ),
    "ledger_entries": (
        2,
        {"subject_id": an_id("payment", "n / 2"), "account": "CASE n % 2 WHEN 0 THEN 'gateway' ELSE 'receivable' END"},
    ),
    "changes": (1, {"subject_id": an_id("subscription"), "machine": "'subscription'", "to_status": "'active'"}),
    "billing_events": (
        2,
        {
            "position": "CASE WHEN n <= {rows} - 200 THEN n END",
            "type": "CASE n % 2 WHEN 0 THEN 'invoice.paid' ELSE 'subscription.renewed' END",
            "subject_id": an_id("subscription", "n / 2"),
            "customer_id": an_id("customer", "n / 2 + 1"),
        },
    ),
    "gateway_events": (
        1,
        {
            "gateway_ref": "'evt_' || n",
            "type": "'payment_intent.succeeded'",
            "status": "CASE WHEN n % 3000 = 0 THEN 'received' ELSE 'processed' END",
            "due_at": f"CASE WHEN n % 3000 = 0 THEN {_PAST} END",
        },
    ),
    "webhook_deliveries": (
        1,
        {
            "event_id": an_id("billing_event"),
            "endpoint_id": "'wep_' || CASE WHEN n % 20 = 0 THEN 2 ELSE 1 END",
            "status": "CASE WHEN n % 20 = 0 OR n % 3001 = 0 THEN 'pending' ELSE 'succeeded' END",
            # One endpoint has not answered for days.
            "due_at": f"CASE WHEN n % 20 = 0 THEN {_IN_A_MONTH} WHEN n % 3001 = 0 THEN {_PAST} END",
        },
    ),
    "refunds": (0.01, {"gateway_ref": "'re_' || n", "due_at": f"CASE WHEN n % 1000 = 0 THEN {_PAST} END"}),
    "idempotency_records": (0.2, {"scope": "'scope-' || n"}),
    "usage_records": (0.2, {"feature_id": "'ftr_1'", "idempotency_key": "'key-' || n"}),
    "audit_entries": (
        0.2,
        {"subject_id": an_id("subscription"), "kind": "'subscriptions'", "actor": "'user-' || n % 50"},
    ),
}


async def fill(connection: asyncpg.Connection, subscriptions: int) -> int:
    """How many rows were written. The tables must be empty; their secondary indexes are made anew at the end."""
    await connection.execute("SET session_replication_role = replica")  # nobody checks what refers to what
    written = 0
    for name, (share, columns) in FILLED.items():
        rows = int(subscriptions * share)
        table = metadata().tables[name]
        indexes = await connection.fetch(
            "SELECT i.indexrelid::regclass::text AS name, pg_get_indexdef(i.indexrelid) AS made FROM pg_index i "
            "LEFT JOIN pg_constraint c ON c.conindid = i.indexrelid WHERE i.indrelid = $1::regclass AND c.oid IS NULL",
            name,
        )
        for index in indexes:
            await connection.execute(f"DROP INDEX {index['name']}")
        await connection.execute(_insert(table, rows, columns))
        for index in indexes:
            await connection.execute(index["made"])
        written += rows
    await connection.execute("VACUUM ANALYZE")
    return written


def _insert(table: Table, rows: int, columns: Mapping[str, str]) -> str:
    given = {**_OF_ALL, **_OWN, **columns}
    if table.name in _ID_OF_TABLE:
        given["id"] = an_id(_ID_OF_TABLE[table.name])
    values = {
        column.name: given.get(column.name) or _nothing(column)
        for column in table.columns
        if column.name in given or not column.nullable
    }
    if table.name in ("customers", "refunds"):
        values.pop("customer_id", None)
    names = ", ".join(f'"{name}"' for name in values)
    sql = ", ".join(values.values()).replace("{rows}", str(rows))
    return f"INSERT INTO {table.name} ({names}) SELECT {sql} FROM generate_series(1, {rows}) AS n"  # noqa: S608


def _nothing(column: Column[Any]) -> str:
    """What stands where a value is wanted and does not matter."""
    kind = column.type
    if isinstance(kind, EnumText):
        return f"'{next(iter(kind.enum)).value}'"
    if isinstance(kind, UTCDateTime):
        return _PAST
    if isinstance(kind, Boolean):
        return "false"
    if isinstance(kind, Integer | DecimalText):
        return "'0'"
    return "'{}'"
