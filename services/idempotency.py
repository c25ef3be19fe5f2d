"""One key, one answer: the same caller asking the same thing twice is told of the same rows."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, TypeVar

import orjson
from sqlalchemy.exc import IntegrityError
from sqlmodel.ext.asyncio.session import AsyncSession

from billing.errors import ErrorCode, UserProblem
from billing.lifecycle import PAYMENT
from models.database import is_unique_violation
from models.idempotency import IdempotencyRecord, delete_expired, idempotency_record
from models.leases import LEASE
from models.payments import payment_by_id
from models.setbacks import repeated
from services.app import Actor, App
from services.payments.outcomes import PaymentOutcome, payment_outcome
from services.payments.resolving import live_snapshot
from services.problems import key_reused

_KEPT = timedelta(days=30)
_MAX_KEY = 255
_FORGOTTEN_AT_ONCE = 1_000
_NOT_INPUT = ("idempotency_key",)


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Memory(Generic[T]):
    """How an outcome is kept as the names of its rows, and told again from them."""

    keep: Callable[[T], Mapping[str, Any]]
    tell: Callable[[App, Mapping[str, Any]], Awaitable[T]]


async def once(
    app: App,
    actor: Actor,
    customer_id: str,
    mutation: str,
    key: str | None,
    wish: Mapping[str, Any],
    memory: Memory[T],
    run: Callable[[], Awaitable[T]],
) -> T:
    """Run the step, or answer as the first run under this key did, read again from the rows.

    A run that did not get through is taken up again as long as its payment has not ended. A step that was refused is
    forgotten, for it has begun nothing, unless it goes on without its request; one that failed may be repeated at once.
    Raises IDEMPOTENCY_CONFLICT for other input, PAYMENT_IN_PROGRESS when the first run outlasts this request. Without a
    key the step is simply run.
    """
    if key is None:
        return await run()
    if not 1 <= len(key) <= _MAX_KEY:
        raise UserProblem(ErrorCode.INVALID, f"idempotencyKey has 1 to {_MAX_KEY} characters.", ["idempotencyKey"])
    scope = scope_of(actor, customer_id, mutation, key)
    # What is left out counts for nothing, so that an input may get new fields.
    given = {name: value for name, value in wish.items() if value is not None and name not in _NOT_INPUT}
    wanted = _digest(given)
    deadline = asyncio.get_running_loop().time() + app.gateway_budget.total_seconds()
    while not await _begin(app, scope, wanted):
        answer = await _first_answer(app, scope, deadline)
        if answer is not None:
            return await memory.tell(app, answer)
    try:
        outcome = await repeated(run)
    except UserProblem as problem:
        answer = await _end_without_answer(app, scope, goes_on=problem.code is ErrorCode.PAYMENT_OUTCOME_UNKNOWN)
        if answer is None:
            raise
        return await memory.tell(app, answer)
    except Exception:
        with suppress(Exception):  # The database may be what is in trouble: then the lease runs out.
            await _end_without_answer(app, scope, goes_on=True)
        raise
    await _finish(app, scope, memory.keep(outcome))
    return outcome


async def forget_expired_keys(app: App) -> int:
    """One pass: what was kept for 30 days is deleted, a batch at a time; how many records."""
    return await app.database.transact(delete_expired, app.machine_now(), _FORGOTTEN_AT_ONCE)


async def answer_of(app: App, actor: Actor, customer_id: str, mutation: str, key: str, memory: Memory[T]) -> T | None:
    """What the first run under this key answered, read again from the rows; None while there is no answer."""
    async with app.database.read() as session:
        record = await session.get(IdempotencyRecord, scope_of(actor, customer_id, mutation, key))
    return await memory.tell(app, record.answer) if record is not None and record.answer is not None else None


async def answer_with(
    session: AsyncSession, actor: Actor, customer_id: str, mutation: str, key: str | None, answer: Mapping[str, Any]
) -> None:
    """Keep the answer in the transaction that carries the request out, where that is a single one.

    Who dies right after it has answered: a repetition is told of it, and not that nothing is left to be done.
    """
    record = await idempotency_record(session, scope_of(actor, customer_id, mutation, key)) if key else None
    if record is not None:
        record.leased_until, record.answer = None, dict(answer)


async def rows_of(
    session: AsyncSession,
    actor: Actor,
    customer_id: str,
    mutation: str,
    key: str | None,
    *,
    subscription_id: str,
    payment_id: str | None,
) -> None:
    """Keep what a run has just written, in its own transaction: who dies afterwards is answered by those rows.

    A successor goes on with the payment; once others have ended it, it is told of its own subscription, and not that
    there is one already.
    """
    record = await idempotency_record(session, scope_of(actor, customer_id, mutation, key)) if key else None
    if record is not None:
        open_end = {"code": ErrorCode.PAYMENT_IN_PROGRESS.value, "message": "", "field": None}
        record.answer = {
            "subscription": subscription_id,
            "payment": payment_id,
            "problems": [open_end] if payment_id else [],
        }


def scope_of(actor: Actor, customer_id: str, mutation: str, key: str) -> str:
    """Whose key it is, in 64 characters: another caller's, customer's or mutation's equal key is another one."""
    return _digest([str(actor), customer_id, mutation, key])


async def _begin(app: App, scope: str, wanted: str) -> bool:
    """Whether this request is the one to run: the first, or the successor of one that died or did not get through."""
    # Keys are about requests, not money: the customer's own present, which may be a test clock's, does not age them.
    now = machine_now = app.machine_now()
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
                raise key_reused()
            is_free = record.leased_until is None or record.leased_until <= machine_now
            if is_free and (record.answer is None or await _goes_on(session, record.answer)):
                record.leased_until = machine_now + LEASE
                return True
            if is_free:
                record.leased_until = None  # whoever died left rows that answer for it
            return False
    except IntegrityError as error:
        if not is_unique_violation(error):
            raise
        return await _begin(app, scope, wanted)


_NOT_THROUGH = frozenset(
    (
        ErrorCode.GATEWAY_UNAVAILABLE,
        ErrorCode.PAYMENT_IN_PROGRESS,
        ErrorCode.PAYMENT_OUTCOME_UNKNOWN,
        ErrorCode.TOO_MANY_ATTEMPTS,
    )
)
# These are read again from the rows: they may have been overcome since, and they carry rows themselves.
_TOLD_BY_ROWS = _NOT_THROUGH | {ErrorCode.CARD_DECLINED, ErrorCode.PAYMENT_ACTION_REQUIRED}


async def _goes_on(session: AsyncSession, answer: Mapping[str, Any]) -> bool:
    """Whether the run that answered this did not get through, and its payment has not ended in another way since."""
    if not any(ErrorCode(problem["code"]) in _NOT_THROUGH for problem in answer.get("problems", ())):
        return False
    payment = await payment_by_id(session, answer["payment"]) if answer["payment"] else None
    return payment is None or payment.status not in PAYMENT.final


async def _first_answer(app: App, scope: str, deadline: float) -> Mapping[str, Any] | None:
    """What the present run answers; None when it has left the key to the next one."""
    loop = asyncio.get_running_loop()
    while loop.time() < deadline:
        async with app.database.read() as session:
            record = await session.get(IdempotencyRecord, scope)
        if record is None or record.leased_until is None:
            return record.answer if record is not None else None
        if record.leased_until <= app.machine_now():
            return None
        await asyncio.sleep(0.05)
    raise UserProblem(ErrorCode.PAYMENT_IN_PROGRESS, "The first request with this key is still at work; ask shortly.")


async def _finish(app: App, scope: str, answer: Mapping[str, Any]) -> None:
    async with app.database.write() as session:
        record = await idempotency_record(session, scope)
        if record is not None:
            record.leased_until = None
            record.answer = dict(answer)


async def _end_without_answer(app: App, scope: str, *, goes_on: bool) -> Mapping[str, Any] | None:
    """The run has raised: what an earlier one has answered since, whose request had been left before it was done.

    Else the key is free, and of a run that goes on only for the same input.
    """
    async with app.database.write() as session:
        record = await idempotency_record(session, scope)
        if record is None or record.leased_until is None:
            return record.answer if record is not None else None
        if goes_on:
            record.leased_until = None
        else:
            await session.delete(record)
        return None


def _digest(value: object) -> str:
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS, default=str)).hexdigest()


def _kept(outcome: PaymentOutcome) -> Mapping[str, Any]:
    return {
        "subscription": outcome.subscription.id if outcome.subscription else None,
        "payment": outcome.payment.id if outcome.payment else None,
        "problems": [{"code": p.code.value, "message": p.message, "field": p.field} for p in outcome.problems],
    }


async def _told_again(app: App, answer: Mapping[str, Any]) -> PaymentOutcome:
    snapshot = await live_snapshot(app, answer["payment"]) if answer["payment"] else None
    problems = [
        UserProblem(ErrorCode(problem["code"]), problem["message"], problem["field"])
        for problem in answer["problems"]
        if ErrorCode(problem["code"]) not in _TOLD_BY_ROWS
    ]
    return await payment_outcome(app, answer["subscription"], answer["payment"], snapshot, problems)


PAYMENT_OUTCOMES = Memory(_kept, _told_again)
