"""Webhook deliveries made by hand: events and signatures as the gateway makes them, or as it never would."""

import hashlib
import hmac
from collections.abc import Sequence
from datetime import timedelta
from itertools import count
from typing import Any

import httpx
import orjson

from models.base import metadata
from settings import SANDBOX_WEBHOOK_SECRET
from tests.support.house import House

_numbers = count(1)


def event(kind: str, reference: str | None, type_: str, **more: Any) -> dict[str, Any]:
    """A snapshot event about an object that has no more than its kind and id."""
    return {
        "id": f"evt_by_hand_{next(_numbers)}",
        "object": "event",
        "api_version": "2026-10-28.endive",
        "created": 1_769_851_800,
        "data": {"object": {"id": reference, "object": kind}},
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": type_,
        **more,
    }


def signed(house: House, body: bytes, secret: str = SANDBOX_WEBHOOK_SECRET, *, age: timedelta = timedelta(0)) -> str:
    """The Stripe-Signature header of a delivery that left the gateway `age` ago by the machine's clock."""
    second = int((house.machine.now() - age).timestamp())
    return f"t={second},v1={digest(body, secret, second)}"


def digest(body: bytes, secret: str, second: int) -> str:
    return hmac.new(secret.encode(), f"{second}.".encode() + body, hashlib.sha256).hexdigest()


async def post(house: House, body: bytes, signature: str | bytes | None) -> httpx.Response:
    """One delivery over HTTP; None leaves the signature's header out."""
    headers: dict[str, Any] = {"Content-Type": "application/json; charset=utf-8"}
    if signature is not None:
        headers["Stripe-Signature"] = signature
    return await house.http.post("/webhooks/stripe", content=body, headers=headers)


async def send(house: House, told: Any) -> httpx.Response:
    """A properly signed delivery of whatever JSON."""
    body = orjson.dumps(told)
    return await post(house, body, signed(house, body))


Dump = dict[str, list[tuple[Any, ...]]]


async def dump(house: House, *, but: Sequence[str] = ("gateway_events", "audit_entries")) -> Dump:
    """Every row of the product's tables but the named ones."""
    tables = {table.name: table for table in metadata().sorted_tables if table.name not in but}
    async with house.app.database.read() as session:
        connection = await session.connection()
        return {
            name: sorted((tuple(row) for row in (await connection.execute(table.select())).all()), key=repr)
            for name, table in tables.items()
        }


async def inbox(house: House) -> list[tuple[str, str, str]]:
    """Event id, type and status of every stored delivery, in the order of arrival."""
    table = metadata().tables["gateway_events"]
    async with house.app.database.read() as session:
        query = table.select().order_by(table.c.id)
        rows = (await (await session.connection()).execute(query)).mappings().all()
    return [(row["gateway_ref"], row["type"], str(row["status"])) for row in rows]
