"""The sandbox itself: its parts put together, and the ASGI application.

Owns: `Sandbox`, and which path goes to which part. Does not own: the parts.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime

import httpx
import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from gateways.sandbox import challenge, errors
from gateways.sandbox.calls import Call
from gateways.sandbox.deliveries import Deliveries, queue_events
from gateways.sandbox.errors import ApiError
from gateways.sandbox.events import add_endpoint
from gateways.sandbox.faults import Fault, Faults
from gateways.sandbox.ids import Ids
from gateways.sandbox.parameter_kinds import decode
from gateways.sandbox.store import Listing, Record, Store, Unit
from gateways.sandbox.wire import CORS, Keys, Wire, authorize


class Sandbox:
    """Stripe on your own machine. `clock` is the billing clock (aware, UTC) that every object and event is dated by;
    `system_clock` signs and paces webhook deliveries. `public_url` is where `app` is reachable, without a trailing
    slash; challenge addresses start with it. Live keys are refused (ValueError)."""

    def __init__(
        self,
        *,
        database_url: str,
        clock: Callable[[], datetime],
        system_clock: Callable[[], datetime],
        public_url: str,
        secret_key: str = "sk_test_sandbox",  # noqa: S107 (the sandbox's public constant)
        publishable_key: str = "pk_test_sandbox",
        id_seed: int | None = None,
        webhook_transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        if "_live_" in secret_key + publishable_key:
            raise ValueError("a sandbox takes no live key")
        self.faults = Faults()
        self._clock, self._system_clock = clock, system_clock
        self._public_url = public_url.rstrip("/")
        self._store = Store(database_url)
        self._seed, self._ids = id_seed, Ids(id_seed)
        self._keys = Keys(secret_key, publishable_key)
        self._deliveries = Deliveries(self._store, system_clock, self.faults, webhook_transport)
        self._wire = Wire(
            store=self._store,
            keys=self._keys,
            faults=self.faults,
            ids=lambda: self._ids,
            clock=clock,
            system_clock=system_clock,
            public_url=self._public_url,
            on_events=self._deliveries.wake,
        )
        self.app = self._app

    async def start(self) -> None:
        """Create what is missing in the database. A seed continues where an earlier run with it left off."""
        await self._store.start()
        if self._seed is not None and (last := await self._store.last_seq()):
            self._ids = Ids(f"{self._seed}:{last}")

    async def close(self) -> None:
        await self._deliveries.close()
        await self._store.close()

    async def ensure_webhook_endpoint(self, url: str, secret: str) -> None:
        """Send every event from now on to `url`, signed with `secret`. Saying it again changes nothing; saying it
        with another secret changes the secret."""

        async def work(unit: Unit) -> None:
            known = await unit.find_all(Listing("webhook_endpoint", limit=100, lookup=url))
            if not known:
                add_endpoint(self._call(unit), url, ["*"], secret)
            elif known[0].private["secret"] != secret:
                known[0].private["secret"] = secret
                unit.change(known[0])

        await self._store.write(work)

    async def deliver_due(self) -> int:
        """Try every webhook delivery that is due by the system clock, once; the number of attempts made."""
        return await self._deliveries.deliver_due()

    async def run_deliveries(self, stop: asyncio.Event) -> None:
        """Deliver until `stop` is set, at once when something happens."""
        await self._deliveries.run(stop)

    def _call(self, unit: Unit) -> Call:
        """What Stripe does of its own accord: no request, no idempotency key."""
        return Call(unit, self._ids, self._clock(), self._public_url)

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        path = request.url.path.removeprefix(scope.get("root_path", "").rstrip("/"))
        steps = path.strip("/").split("/")
        if steps[0] == "v1":
            response = await self._wire.answer(request, steps[1:])
        elif steps[0] == "challenge" and len(steps) == 3:
            response = await self._challenge(request, steps[1], steps[2])
        elif steps == ["sandbox", "faults"]:
            response = await self._arm(request)
        else:
            response = _plain(errors.unrecognized_url(request.method, path))
        await response(scope, receive, send)

    async def _challenge(self, request: Request, identity: str, token: str) -> Response:
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=CORS)
        if request.method == "POST":
            return await self._answer_challenge(request, identity, token)
        intent = await self._store.read(lambda unit: challenge.find_challenged(unit, identity, token))
        if intent is None:
            return challenge.missing_page()
        return challenge.page(intent.body, waiting=challenge.waits(intent, token))

    async def _answer_challenge(self, request: Request, identity: str, token: str) -> Response:
        if (outcome := await challenge.read_outcome(request)) is None:
            return challenge.bad_outcome()

        async def work(unit: Unit) -> Record | None:
            intent = await challenge.find_challenged(unit, identity, token)
            if intent is not None:
                call = self._call(unit)
                await challenge.settle(call, intent, token, outcome)
                await queue_events(unit, call.events, self.faults, self._system_clock())
            return intent

        intent = await self._store.write(work)
        self._deliveries.wake()
        if intent is None:
            return challenge.missing_page()
        return challenge.after_answer(request, intent.body, intent.private.get("answered", {}))

    async def _arm(self, request: Request) -> Response:
        """POST arms a fault (kind, and count or rate with seed, and path_contains); DELETE clears all."""
        try:
            if authorize(request.headers, None, self._keys):
                raise errors.secret_key_required()
            if request.method == "DELETE":
                self.faults.clear()
                return JSONResponse({"armed": False})
            if request.method != "POST":
                raise errors.unrecognized_url(request.method, request.url.path)
            return JSONResponse(self._arm_as_told(await _told(request)))
        except ApiError as refusal:
            return _plain(refusal)

    def _arm_as_told(self, told: dict[str, object]) -> dict[str, object]:
        try:
            kind = Fault(str(told.get("kind", "")))
            path = str(told["path_contains"]) if told.get("path_contains") else None
            if "rate" in told:
                rate, seed = float(str(told["rate"])), int(str(told.get("seed", 0)))
                self.faults.at_rate(kind, rate, seed, path_contains=path)
            else:
                self.faults.arm(kind, count=int(str(told.get("count", 1))), path_contains=path)
        except ValueError as problem:
            raise errors.invalid(str(problem), "kind") from None
        return {"armed": True, "kind": kind.value}


async def _told(request: Request) -> dict[str, object]:
    body = await request.body()
    if "json" not in request.headers.get("content-type", ""):
        return {**decode(body.decode(errors="replace"))}
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        told = None
    if not isinstance(told, dict):
        raise errors.invalid("Send a JSON object or a form.", None)
    return told


def _plain(refusal: ApiError) -> Response:
    return JSONResponse(refusal.body, status_code=refusal.status, headers=refusal.headers)
