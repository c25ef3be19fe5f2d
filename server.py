"""The ASGI entry: which path goes where, and what lives as long as the process.

Owns: routes, start and end. Does not own: what holds for every request (guard), GraphQL (schema), steps (services).
May import: bootstrap and everything below it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from functools import lru_cache
from typing import Any

import orjson
import structlog
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from bootstrap import Installation, document_links, entitlement_keys
from documents.serving import Documents
from draining import told_at_the_signal
from gateways.port import WebhookRefused
from guard import Guard
from logs import current_request
from marks import mark
from pages.checkout import ASSETS, CheckoutPages
from probes import Probes
from rates import Allowance, Buckets, Peers, Rates
from resolvers.callers import Callers, key_holder
from resolvers.context import RequestContext
from resolvers.identity import Identity, Role, TokenVerifier, issue_development_token
from resolvers.loaders import Loaders
from schema.build import build_schema
from schema.transport import GraphQLApp
from services.inbox.intake import Intake
from services.inbox.webhooks import receive
from settings import ROOT, WorkerMode
from tracing import span
from worker import Worker

log = structlog.get_logger(__name__)

EXPLORER = ROOT / "explorer" / "dist"
_STOP_SECONDS = 20.0
_TOKEN_LIFETIME = timedelta(hours=12)
_DEMO_IDENTITIES = (
    ("demo-card", "Demo customer (Visa saved)", Role.CUSTOMER),
    ("demo-new", "New customer (no card)", Role.CUSTOMER),
    ("demo-decline", "Customer whose card declines", Role.CUSTOMER),
    ("demo-admin", "Administrator", Role.ADMIN),
)
_NOT_BUILT = (EXPLORER.parent / "not-built.html").read_text()


Beside = Callable[[asyncio.Event], Coroutine[Any, Any, None]]

_schema_once = lru_cache(build_schema)


def create_app(installation: Installation) -> Guard:
    """The whole server behind its guard. Its lifespan starts and closes the installation."""
    rates = rates_of(installation)
    front = _Front(installation, rates)
    routes = [
        Route("/graphql", front.graphql),
        WebSocketRoute("/graphql", front.graphql),
        Route("/webhooks/stripe", front.webhook, methods=["POST"]),
        Route("/payment-methods/{code}.svg", front.mark),
        Route("/.well-known/jwks.json", front.key_set),
        Mount("/checkout/assets", StaticFiles(directory=ASSETS)),
        Route("/checkout/{token}", front.checkout.page, methods=["GET", "POST"]),
        Route("/checkout/{token}/return", front.checkout.returned),
        Route("/checkout/{token}/done", front.checkout.done),
        Route("/documents/{kind}/{name}.pdf", front.document),
        *Probes(installation.app, installation.settings).routes(),
    ]
    if installation.sandbox is not None:
        routes.append(Mount("/sandbox/stripe", installation.sandbox.app))
    if installation.settings.serves_explorer:
        routes += [
            Route("/", front.explorer),
            Route("/explorer/config.json", front.explorer_config),
            Mount("/explorer", _ExplorerFiles(directory=EXPLORER, check_dir=False)),
        ]
    inner = Starlette(routes=routes, lifespan=front.lifespan)
    return Guard(inner, settings=installation.settings, rates=rates, clock=installation.app.security_clock)


def create_worker_app(installation: Installation) -> ASGIApp:
    """A worker with a port of its own, which answers only those who watch it."""
    app, settings = installation.app, installation.settings
    routes = Probes(app, settings).routes()
    inner = Starlette(routes=routes, lifespan=lambda _app: _alive(installation, [Worker(app).run]))
    return Guard(inner, settings=settings, rates=rates_of(installation), clock=app.security_clock)


@asynccontextmanager
async def _alive(installation: Installation, beside: Sequence[Beside]) -> AsyncIterator[None]:
    """What runs beside the requests is told to stop at the end, and waited for."""
    await installation.start()
    stop = asyncio.Event()
    tasks = [asyncio.create_task(run(stop)) for run in beside]
    try:
        yield
    finally:
        stop.set()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=_STOP_SECONDS)
            for task in late:
                task.cancel()
        await installation.close()


def rates_of(installation: Installation) -> Rates:
    """Full buckets for this process, by the security clock."""
    settings, now = installation.settings, installation.app.machine_now
    return Rates(
        callers=Buckets(settings.rate_caller_per_minute, now),
        addresses=Buckets(settings.rate_address_per_minute, now),
        failures=Buckets(settings.rate_failures_per_minute, now),
        peers=Peers(settings.trusted_proxies),
    )


class _ExplorerFiles(StaticFiles):
    """Without Node there are none, and to have been built is no condition for serving the rest."""

    async def check_config(self) -> None:
        """What is not there is not found."""


class _Front:
    """The handlers, and the tasks beside them."""

    def __init__(self, installation: Installation, rates: Rates) -> None:
        settings, app = installation.settings, installation.app
        self._installation, self._settings, self._app = installation, settings, app
        self._entitlement_keys = entitlement_keys(settings)
        self._document_links = document_links(settings)
        self.checkout = CheckoutPages(app, settings.public_address, settings.gateway_publishable_key)
        self.document = Documents(app.database, self._document_links, app.machine_now).answer
        self._worker = Worker(app)
        self._intake = Intake(app.database)
        self.graphql = GraphQLApp(
            _schema_once(
                sandbox=installation.sandbox is not None,
                introspection=settings.allows_introspection,
                require_user_errors=settings.require_user_errors,
            ),
            callers=Callers(TokenVerifier(settings), app.security_clock, key_holder(app)),
            rates=rates,
            get_context=self._context,
        )

    def lifespan(self, _app: Starlette) -> AbstractAsyncContextManager[None]:
        """Worker and the sandbox's webhook deliveries run beside the requests."""
        beside: list[Beside] = []
        if self._settings.worker is WorkerMode.EMBEDDED:
            beside.append(self._worker.run)
        if self._installation.sandbox is not None:
            beside.append(self._installation.sandbox.run_deliveries)
        return self._serving(beside)

    @asynccontextmanager
    async def _serving(self, beside: Sequence[Beside]) -> AsyncIterator[None]:
        with told_at_the_signal(self.graphql.end_streams):
            async with _alive(self._installation, beside):
                yield

    async def webhook(self, request: Request) -> Response:
        """Verify, store, acknowledge. The work is the worker's."""
        try:
            signature = request.headers.get(self._app.gateway.signature_header)
            with span("webhook", "SERVER", request.headers):
                stored = await receive(self._app, self._intake, await request.body(), signature)
        except WebhookRefused as refusal:
            log.warning("webhook_refused", reason=str(refusal))
            return _json({"error": {"code": "WEBHOOK_REFUSED", "message": str(refusal)}}, 400)
        except (SQLAlchemyError, OSError):
            log.exception("webhook_not_stored")
            return _json({"error": {"code": "UNAVAILABLE", "message": "Not stored; deliver it again."}}, 503)
        if stored is not None:
            self._worker.wake()
        return _json({"received": True, "duplicate": stored is None})

    async def mark(self, request: Request) -> Response:
        """The picture of a way to pay."""
        known = self._app.gateway.method_types.get(request.path_params["code"])
        if known is None:
            return _json({"error": {"code": "NOT_FOUND", "message": "There is no such way to pay."}}, 404)
        return Response(mark(known.name), media_type="image/svg+xml")

    async def key_set(self, _request: Request) -> Response:
        """The public keys that entitlement tokens are checked with."""
        return _json(self._entitlement_keys.key_set)

    async def explorer(self, _request: Request) -> Response:
        page = EXPLORER / "index.html"
        if not await asyncio.to_thread(page.is_file):
            return HTMLResponse(_NOT_BUILT)
        return FileResponse(page, headers={"Cache-Control": "no-cache"})

    async def explorer_config(self, _request: Request) -> Response:
        """What the explorer needs to know; tokens of demo identities in development with the sandbox only."""
        return _json(
            {
                "endpoint": "/graphql",
                "environment": self._settings.environment.value,
                "sandbox": self._installation.sandbox is not None,
                "identities": [
                    {"name": name, "label": label, "token": token}
                    for name, label, token in demo_tokens(self._installation)
                ],
            },
            headers={"Cache-Control": "no-store"},
        )

    def _context(self, _connection: HTTPConnection, identity: Identity, allowance: Allowance) -> RequestContext:
        request = current_request()
        return RequestContext(
            app=self._app,
            identity=identity,
            loaders=Loaders(self._app.database),
            settings=self._settings,
            entitlement_keys=self._entitlement_keys,
            document_links=self._document_links,
            request_id=request.id if request is not None else "",
            allowance=allowance,
        )


def demo_tokens(installation: Installation) -> list[tuple[str, str, str]]:
    """Name, label and a fresh token of each demo identity; none where demo data is not for."""
    settings = installation.settings
    if not settings.is_development or installation.sandbox is None or not settings.jwt_algorithm.startswith("HS"):
        return []
    now = installation.app.security_clock.now()
    return [
        (
            name,
            label,
            issue_development_token(settings, user_id=name, role=role, now=now, lifetime=_TOKEN_LIFETIME),
        )
        for name, label, role in _DEMO_IDENTITIES
    ]


def _json(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(orjson.dumps(body), status, headers, media_type="application/json")
