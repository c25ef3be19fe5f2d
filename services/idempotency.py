"""One key, one answer: the same caller asking the same thing twice is told of the same rows."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any

import orjson
from sqlalchemy.exc import IntegrityError

from billing.errors import ErrorCode, UserProblem
from models.database import is_unique_violation
from models.idempotency import IdempotencyRecord, idempotency_record
from models.leases import LEASE
from services.app import Actor, App
from services.outcomes import PaymentOutcome, payment_outcome
from services.resolving import live_snapshot

_KEPT = timedelta(days=30)
_MAX_KEY = 255
_NOT_INPUT = ("idempotency_key",)


async def once(
    app: App,
    actor: Actor,
    customer_id: str,
    mutation: str,
    key: str,
    wish: Mapping[str, Any],
    run: Callable[[], Awaitable[PaymentOutcome]],
) -> PaymentOutcome:
    """Run the step, or answer as the first run under this key did, read again from the rows.

    Raises IDEMPOTENCY_CONFLICT for other input, PAYMENT_IN_PROGRESS when the first run outlasts this request. A step
    that raised is forgotten: it has begun nothing.
    """
    if not 1 <= len(key) <= _MAX_KEY:
        raise UserProblem(ErrorCode.INVALID, f"idempotencyKey has 1 to {_MAX_KEY} characters.", ["idempotencyKey"])
    scope = _digest([str(actor), customer_id, mutation, key])
    wanted = _digest({name: value for name, value in wish.items() if name not in _NOT_INPUT})
    if not await _begin(app, scope, wanted):
        return await _first_answer(app, scope)
    try:
        outcome = await run()
    except UserProblem:
        await _forget(app, scope)
        raise
    await _finish(app, scope, outcome)
    return outcome


async def _begin(app: App, scope: str, wanted: str) -> bool:
    """Whether this request is the one to run: the first, or the successor of one that died."""
    now, machine_now = app.now(), app.machine_now()
    try:
        async with app.database.write() as session:
            record = await idempotency_record(session, scope)
            if record is None or record.expires_at <= now:
                if record is not None:
                    await session.delete(record)
                    await session.flush()
                session.add(
                    IdempotencyRecord(
                        scope=scope,
                        input_hash=wanted,
                        leased_until=machine_now + LEASE,
                        created_at=now,
                        expires_at=now + _KEPT,
                    )
                )
                return True
            if record.input_hash != wanted:
                raise UserProblem(
                    ErrorCode.IDEMPOTENCY_CONFLICT,
                    "This idempotency key was used with other input. Use a new key for a new request.",
                    ["idempotencyKey"],
                )
            if record.answer is None and (record.leased_until is None or record.leased_until <= machine_now):
                record.leased_until = machine_now + LEASE
                return True
            return False
    except IntegrityError as error:
        if not is_unique_violation(error):
            raise
        return await _begin(app, scope, wanted)


async def _first_answer(app: App, scope: str) -> PaymentOutcome:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + app.gateway_budget.total_seconds()
    while loop.time() < deadline:
        async with app.database.read() as session:
            record = await session.get(IdempotencyRecord, scope)
        if record is not None and record.answer is not None:
            answer = record.answer
            snapshot = await live_snapshot(app, answer["payment"]) if answer["payment"] else None
            problems = [
                UserProblem(ErrorCode(p["code"]), p["message"], p["field"])
                for p in answer["problems"]
                if ErrorCode(p["code"]) not in _TOLD_BY_ROWS
            ]
            return await payment_outcome(app, answer["subscription"], answer["payment"], snapshot, problems)
        await asyncio.sleep(0.05)
    raise UserProblem(ErrorCode.PAYMENT_IN_PROGRESS, "The first request with this key is still at work; ask shortly.")


# These are read again from the rows: they may have been overcome since, and they carry rows themselves.
_TOLD_BY_ROWS = frozenset(
    (ErrorCode.CARD_DECLINED, ErrorCode.PAYMENT_ACTION_REQUIRED, ErrorCode.PAYMENT_OUTCOME_UNKNOWN)
)


async def _finish(app: App, scope: str, outcome: PaymentOutcome) -> None:
    async with app.database.write() as session:
        record = await idempotency_record(session, scope)
        if record is not None:
            record.leased_until = None
            record.answer = {
                "subscription": outcome.subscription.id if outcome.subscription else None,
                "payment": outcome.payment.id if outcome.payment else None,
                "problems": [{"code": p.code.value, "message": p.message, "field": p.field} for p in outcome.problems],
            }


async def _forget(app: App, scope: str) -> None:
    async with app.database.write() as session:
        record = await idempotency_record(session, scope)
        if record is not None:
            await session.delete(record)


def _digest(value: object) -> str:
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()
