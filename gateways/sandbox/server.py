"""The sandbox itself: its parts put together, and the ASGI application.

Owns: `Sandbox`, and which path goes to which part. Does not own: the parts.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime

import httpx
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from gateways.sandbox import challenge, controls, errors, payment_methods
from gateways.sandbox.calls import Body, Call
from gateways.sandbox.deliveries import Deliveries, queue_events
from gateways.sandbox.duties import begin
from gateways.sandbox.errors import ApiError
from gateways.sandbox.events import add_endpoint
from gateways.sandbox.faults import Faults
from gateways.sandbox.ids import Ids
from gateways.sandbox.limits import RateLimits
from gateways.sandbox.parameters import REISSUE
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
        self.faults, self.limits = Faults(), RateLimits(system_clock)
        self._clock, self._system_clock = clock, system_clock
        self._public_url = public_url.rstrip("/")
        self._store = Store(database_url)
        self._seed, self._ids = id_seed, Ids(id_seed)
        self._keys = Keys(secret_key, publishable_key)
        self._deliveries = Deliveries(self._store, system_clock, self.faults, webhook_transport, self._look)
        self._wire = Wire(
            store=self._store,
            keys=self._keys,
            faults=self.faults,
            limits=self.limits,
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
        await self._store.write(lambda unit: begin(unit, int(self._clock().timestamp())))
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
        """Do what is due by the billing clock, then try every webhook delivery that is due by the system clock, once;
        the number of attempts made."""
        return await self._deliveries.deliver_due()

    async def run_deliveries(self, stop: asyncio.Event) -> None:
        """Deliver until `stop` is set, at once when something happens."""
        await self._deliveries.run(stop)

    async def _look(self) -> None:
        await self._wire.look()

    def _call(self, unit: Unit, params: Body | None = None, path: tuple[str, ...] = ()) -> Call:
        """What Stripe does of its own accord: no request, no idempotency key."""
        return Call(unit, self._ids, self._clock(), self._public_url, params or {}, path)

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
        elif steps[0] == "sandbox" and len(steps) in (2, 3):
            response = await self._lever(request, steps[1], steps[2] if len(steps) == 3 else None)
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

        await self._look()
        intent = await self._store.write(work)
        self._deliveries.wake()
        if intent is None:
            return challenge.missing_page()
        return challenge.after_answer(request, intent.body, intent.private.get("answered", {}))

    async def _lever(self, request: Request, name: str, subject: str | None) -> Response:
        """POST faults arms one, DELETE faults clears all; POST limits sets how many calls a second are taken; POST
        cards/<payment method> sends its holder a new card."""
        try:
            if authorize(request.headers, None, self._keys):
                raise errors.secret_key_required()
            match request.method, name, subject:
                case "POST", "faults", None:
                    return JSONResponse(controls.arm(self.faults, await controls.told(request)))
                case "DELETE", "faults", None:
                    self.faults.clear()
                    return JSONResponse({"armed": False})
                case "POST", "limits", None:
                    return JSONResponse(controls.limit(self.limits, await controls.told(request)))
                case "POST", "cards", str():
                    return JSONResponse(await self._reissue(subject, await controls.told(request)))
                case _:
                    raise errors.unrecognized_url(request.method, request.url.path)
        except ApiError as refusal:
            return _plain(refusal)

    async def _reissue(self, payment_method: str, said: dict[str, object]) -> Body:
        params = REISSUE.read_request({name: str(value) for name, value in said.items()})

        async def work(unit: Unit) -> Body:
            call = self._call(unit, params, (payment_method,))
            body = await payment_methods.reissue(call)
            await queue_events(unit, call.events, self.faults, self._system_clock())
            return body

        await self._look()
        body = await self._store.write(work)
        self._deliveries.wake()
        return body


def _plain(refusal: ApiError) -> Response:
    return JSONResponse(refusal.body, status_code=refusal.status, headers=refusal.headers)
