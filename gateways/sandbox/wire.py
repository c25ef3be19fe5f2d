"""The wire: what happens to every request before and after its handler.

Owns: keys and versions, decoding, idempotency, faults, headers, CORS, answers. Does not own: what an operation does
(routes.py and the handlers) or what is stored (store.py).
"""

import asyncio
import base64
import binascii
import hashlib
import hmac
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive

from gateways.sandbox import errors
from gateways.sandbox.calls import Answer, Body, Call
from gateways.sandbox.deliveries import queue_events
from gateways.sandbox.duties import KEYS_KEPT, carry_out
from gateways.sandbox.errors import ApiError
from gateways.sandbox.expansion import expand
from gateways.sandbox.faults import AFTER, BEFORE, AnswerLost, Fault, Faults
from gateways.sandbox.ids import Ids
from gateways.sandbox.intents import browser_view
from gateways.sandbox.limits import RateLimits
from gateways.sandbox.parameter_kinds import decode
from gateways.sandbox.routes import Operation, find_operation, writes
from gateways.sandbox.shapes import API_VERSION
from gateways.sandbox.store import Store, StoredAnswer, Unit

logger = logging.getLogger(__name__)

LONGEST_KEY = 255
LARGEST_BODY = 1_000_000
LOSES_ANSWERS = "perennial.sandbox.loses_answers"
CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, POST, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "*, Authorization",
    "Access-Control-Expose-Headers": "Request-Id, Stripe-Version, Idempotent-Replayed, Original-Request",
    "Access-Control-Max-Age": "300",
}
_VERSION = re.compile(r"\d{4}-\d{2}-\d{2}(\.[a-z]+)?")


@dataclass(frozen=True)
class Keys:
    secret: str
    publishable: str


def authorize(headers: Mapping[str, str], in_body: Any, keys: Keys) -> bool:
    """Whether the caller holds the publishable key only; refuses who holds neither. Stripe.js sends its key in the
    body."""
    key = _api_key(headers) or (in_body if isinstance(in_body, str) else None)
    if not key:
        raise errors.no_api_key()
    if key.startswith(("sk_live_", "rk_live_", "pk_live_")):
        raise errors.live_key_refused()
    if hmac.compare_digest(key.encode(), keys.publishable.encode()):
        return True
    if hmac.compare_digest(key.encode(), keys.secret.encode()):
        return False
    raise errors.invalid_api_key(key)


@dataclass(frozen=True)
class Asked:
    """One request, read: `path` are the ids in it."""

    method: str
    url: str
    operation: Operation
    path: tuple[str, ...]
    params: Body
    publishable: bool
    key: str | None
    request_id: str

    @property
    def kind(self) -> str:
        """The path without its ids: calls of one kind share a limit."""
        return "/".join("*" if step in self.path else step for step in self.url.split("/"))

    @property
    def fingerprint(self) -> str:
        told = orjson.dumps([self.method, self.url, self.params, self.publishable], option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(told).hexdigest()


@dataclass(frozen=True)
class Reply:
    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


class Wire:
    """Carries out API requests against a store. `on_events` is called when deliveries were queued."""

    def __init__(
        self,
        *,
        store: Store,
        keys: Keys,
        faults: Faults,
        limits: RateLimits,
        ids: Callable[[], Ids],
        clock: Callable[[], datetime],
        system_clock: Callable[[], datetime],
        public_url: str,
        on_events: Callable[[], None],
    ) -> None:
        self._store, self._keys, self._faults, self._ids = store, keys, faults, ids
        self._limits = limits
        self._clock, self._system_clock = clock, system_clock
        self._public_url, self._on_events = public_url, on_events
        self._keys_in_flight: set[str] = set()

    async def answer(self, request: Request, steps: list[str]) -> Response:
        """Any request under /v1; `steps` is the path after it."""
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=CORS)
        request_id = self._ids().new("request")
        headers = {"Request-Id": request_id, "Stripe-Version": API_VERSION}
        try:
            headers["Stripe-Version"] = _version(request.headers)
            asked = await self._read(request, steps, request_id)
            if asked.key is not None:
                headers |= {"Idempotency-Key": asked.key, "Original-Request": request_id}
            reply = await self._guarded(asked, request.url.path)
        except ApiError as refusal:
            reply = _refused(refusal)
        except _Lost as lost:
            await _hang_up(request, lost.fault)
            reply = Reply(500, b"")
        except Exception:  # a fault of the sandbox itself, told as Stripe would tell one of its own
            logger.exception("request %s failed", request_id)
            reply = _refused(errors.api_error())
        return Response(
            reply.body,
            status_code=reply.status,
            media_type="application/json",
            headers={**headers, **CORS, "Cache-Control": "no-cache, no-store", **reply.headers},
        )

    async def _read(self, request: Request, steps: list[str], request_id: str) -> Asked:
        method, body = request.method, await _body(request)
        operation, path = find_operation(method, steps)
        query = decode(request.url.query)
        form = decode(body) if method == "POST" else {}
        publishable = authorize(request.headers, {**query, **form}.get("key"), self._keys)
        if operation is None:
            raise errors.unrecognized_url(method, request.url.path)
        kinds = operation.browser if publishable else operation.params
        if kinds is None:
            raise errors.secret_key_required()
        key = _idempotency_key(request.headers) if method == "POST" else None
        params = kinds.read_request({**query, **form})
        return Asked(method, "/".join(steps), operation, path, params, publishable, key, request_id)

    async def _guarded(self, asked: Asked, path: str) -> Reply:
        """Faults around the execution, and one request at a time per idempotency key."""
        if asked.key is not None:
            if asked.key in self._keys_in_flight:
                raise errors.key_in_use(asked.key)
            self._keys_in_flight.add(asked.key)
        try:
            self._limits.count(f"{asked.method} {asked.kind}")
            await self._strike_before(self._faults.take(path, *BEFORE), asked)
            after = self._faults.take(path, *AFTER)
            forgotten = asked.key is not None and self._faults.take(path, Fault.KEYS_FORGOTTEN) is not None
            reply = await self._carried_out(asked, after, key_forgotten=forgotten)
            if after is not None and after != Fault.ERROR_500_AFTER:
                raise _Lost(after)
            return reply
        finally:
            if asked.key is not None:
                self._keys_in_flight.discard(asked.key)

    async def _strike_before(self, fault: Fault | None, asked: Asked) -> None:
        match fault:
            case Fault.SLOW:
                await asyncio.sleep(self._faults.slow_seconds)
            case Fault.TIMEOUT_BEFORE | Fault.RESET_BEFORE:
                raise _Lost(fault)
            case Fault.CONFLICT_409:
                raise errors.key_in_use(asked.key or "")
            case Fault.LOCK_TIMEOUT_429:
                raise errors.lock_timeout()
            case Fault.RATE_LIMIT_429:
                raise errors.rate_limited()
            case Fault.ERROR_500_BEFORE:
                raise errors.api_error()
            case _:
                pass

    async def look(self) -> None:
        """Do what is due by the billing clock: at every request, and before webhooks are delivered."""
        if await self._store.read(self._anything_due):
            await self._catch_up()

    async def _anything_due(self, unit: Unit) -> bool:
        return await unit.anything_due(int(self._clock().timestamp()))

    async def _catch_up(self) -> None:
        async def work(unit: Unit) -> bool:
            call = Call(unit, self._ids(), self._clock(), self._public_url)
            await carry_out(call)
            await queue_events(unit, call.events, self._faults, self._system_clock())
            return bool(call.events)

        if await self._store.write(work):
            self._on_events()

    async def _carried_out(self, asked: Asked, after: Fault | None, *, key_forgotten: bool) -> Reply:
        async def work(unit: Unit) -> tuple[Reply, bool] | None:
            if await self._anything_due(unit):
                return None
            return await self._execute(unit, asked, after, key_forgotten=key_forgotten)

        transaction = self._store.write if writes(asked.method, asked.path) else self._store.read
        while (done := await transaction(work)) is None:
            await self._catch_up()
        reply, announced = done
        if announced:
            self._on_events()
        return reply

    async def _execute(
        self, unit: Unit, asked: Asked, after: Fault | None, *, key_forgotten: bool
    ) -> tuple[Reply, bool]:
        """The reply, and whether events were announced."""
        now = self._clock()
        blank = StoredAnswer(asked.fingerprint, asked.request_id, int(now.timestamp()), 0, "")
        if asked.key is not None and (kept := await unit.claim_key(asked.key, blank)):
            fresh = blank.created - kept.created < KEYS_KEPT.total_seconds()
            if fresh and not key_forgotten:
                return _replayed(kept, asked), False
        call = Call(
            unit,
            self._ids(),
            now,
            self._public_url,
            dict(asked.params),
            asked.path,
            asked.request_id,
            asked.key,
            asked.publishable,
        )
        try:
            answer = await asked.operation.handler(call)
            status, body = (answer.status, answer.body) if isinstance(answer, Answer) else (200, answer)
            if status == 200:
                body = await expand(unit, body, asked.params.get("expand", []))
        except ApiError as refusal:
            if asked.publishable:
                refusal.body = browser_view(refusal.body)
            if asked.key is None or not refusal.executed:
                raise
            unit.discard()
            call.events.clear()
            status, body = refusal.status, refusal.body
        if asked.publishable:
            body = browser_view(body)
        if after == Fault.ERROR_500_AFTER:
            status, body = 500, errors.api_error().body
        await queue_events(unit, call.events, self._faults, self._system_clock())
        reply = Reply(status, orjson.dumps(body))
        if asked.key is not None:
            answered = StoredAnswer(blank.fingerprint, blank.request_id, blank.created, status, reply.body.decode())
            await unit.keep_answer(asked.key, answered)
        return reply, bool(call.events)


class _Lost(Exception):
    """The answer is not to reach the caller."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.value)
        self.fault = fault


def _refused(refusal: ApiError) -> Reply:
    return Reply(refusal.status, orjson.dumps(refusal.body), refusal.headers)


def _replayed(kept: StoredAnswer, asked: Asked) -> Reply:
    if kept.fingerprint != asked.fingerprint:
        raise errors.key_reused(asked.key or "")
    headers = {"Idempotent-Replayed": "true", "Original-Request": kept.request_id}
    return Reply(kept.status, kept.body.encode(), headers)


def _version(headers: Mapping[str, str]) -> str:
    """The version asked for is echoed; there is one rendering only, whatever is asked."""
    asked = headers.get("stripe-version", API_VERSION)
    if not _VERSION.fullmatch(asked):
        raise ApiError(400, f"Invalid Stripe API version: {asked[:40]}")
    return asked


def _api_key(headers: Mapping[str, str]) -> str | None:
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(credentials, validate=True).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            return None
    return None


def _idempotency_key(headers: Mapping[str, str]) -> str | None:
    key = headers.get("idempotency-key")
    if key is not None and not 0 < len(key) <= LONGEST_KEY:
        message = f"Idempotency keys must be between 1 and {LONGEST_KEY} characters long."
        raise ApiError(400, message, kind="idempotency_error")
    return key


async def _body(request: Request) -> str:
    body = await request.body()
    if len(body) > LARGEST_BODY:
        raise ApiError(400, "The request is too large.")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if body and request.method == "POST" and kind != "application/x-www-form-urlencoded":
        message = "Invalid request (check that your POST content type is application/x-www-form-urlencoded)."
        raise ApiError(400, message)
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise ApiError(400, "Invalid request: the body is not UTF-8.") from None


async def _hang_up(request: Request, fault: Fault) -> None:
    """End the connection without an answer. In process there is none to end: the transport is told by exception.

    ASGI has no word for this; uvicorn's request cycle, reached through `receive`, holds the socket.
    """
    if LOSES_ANSWERS in request.scope.get("extensions", {}):
        raise AnswerLost(fault)
    receive: Receive = request.receive
    transport = getattr(getattr(receive, "__self__", None), "transport", None)
    if transport is None:
        raise AnswerLost(fault)
    if fault in (Fault.RESET_BEFORE, Fault.RESET_AFTER):
        transport.abort()
    else:
        transport.close()
    while (await receive())["type"] != "http.disconnect":
        pass
