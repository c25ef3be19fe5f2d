"""The only place that picks concrete parts: database, gateway, clocks.

Owns: what Settings mean in objects, and their beginning and end. Does not own: HTTP, GraphQL, the worker's order.
May import: everything below the entry points.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

import httpx
import stripe
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp
from stripe._base_address import BaseAddresses

from clocks import Clock, SystemClock
from gateways.browser import SandboxBrowser
from gateways.https import HttpsMessenger, Resolve
from gateways.port import PaymentGateway
from gateways.sandbox import InProcessTransport, Sandbox
from gateways.stripe import CALL_SECONDS, NETWORK_RETRIES, StripeGateway
from gateways.targets import Rules, network_of
from models.database import Database
from services.app import App
from services.shielding import drain
from settings import SANDBOX_WEBHOOK_SECRET, Settings

GATEWAY_BUDGET = timedelta(seconds=8)
_DRAIN_SECONDS = 25.0


@dataclass(frozen=True)
class Installation:
    """One process' parts. `sandbox` is None when a real gateway is used."""

    settings: Settings
    app: App
    sandbox: Sandbox | None
    close_pages: Callable[[], Awaitable[None]]

    async def start(self) -> None:
        """Make ready what must exist before the first request. The schema of our own tables is migrate's."""
        if self.sandbox is not None:
            await self.sandbox.start()
            await self.sandbox.ensure_webhook_endpoint(
                f"{self.settings.own_address}/webhooks/stripe", SANDBOX_WEBHOOK_SECRET
            )

    async def close(self) -> None:
        """End in the reverse order; steps that reach the gateway finish first."""
        await drain(_DRAIN_SECONDS)
        await self.app.gateway.close()
        await self.app.messenger.close()
        await self.close_pages()
        if self.sandbox is not None:
            await self.sandbox.close()
        await self.app.database.close()


GatewayWrapper = Callable[[PaymentGateway], PaymentGateway]
Sleep = Callable[[float], Awaitable[None]]


def build(
    settings: Settings,
    *,
    clock: Clock | None = None,
    security_clock: Clock | None = None,
    webhook_transport: httpx.AsyncBaseTransport | None = None,
    wrap_gateway: GatewayWrapper = lambda gateway: gateway,
    retry_sleep: Sleep = asyncio.sleep,
    resolve: Resolve | None = None,
) -> Installation:
    """The parts that the settings ask for. Tests give their own clocks and deliver webhooks over ASGI.

    `wrap_gateway` stands between the steps and the real gateway, to observe or to break off calls; `retry_sleep` is the
    SDK's wait (seconds) before it asks the sandbox again; `resolve` finds the addresses of endpoints' hosts.
    """
    stripe.enable_telemetry = False
    clock, security_clock = clock or SystemClock(), security_clock or SystemClock()
    sandbox: Sandbox | None = None
    if settings.uses_sandbox:
        sandbox = Sandbox(
            database_url=settings.sandbox_database_url or settings.database_url,
            clock=clock.now,
            system_clock=security_clock.now,
            public_url=f"{settings.own_address}/sandbox/stripe",
            webhook_transport=webhook_transport,
        )
    gateway, close_pages, browser = _gateway(settings, sandbox, retry_sleep)
    app = App(
        database=Database(settings.database_url),
        gateway=wrap_gateway(gateway),
        clock=clock,
        security_clock=security_clock,
        timezone=settings.timezone,
        grace=timedelta(days=settings.grace_period_days),
        gateway_budget=GATEWAY_BUDGET,
        api_key_key=settings.key_for("api keys"),
        quote_key=settings.key_for("quotes"),
        account_country=settings.account_country,
        endpoint_key=settings.key_for("webhook endpoints"),
        messenger=HttpsMessenger(_rules(settings), resolve=resolve),
        support_refund_cap=settings.support_refund_cap,
        browser=browser,
        reconcile_every=timedelta(minutes=settings.reconcile_minutes) if settings.reconcile_minutes else None,
    )
    return Installation(settings, app, sandbox, close_pages)


def _rules(settings: Settings) -> Rules:
    return Rules(
        private=[network_of(each) for each in settings.webhook_private_targets],
        plain_loopback=settings.is_development,
    )


def _gateway(
    settings: Settings, sandbox: Sandbox | None, retry_sleep: Sleep
) -> tuple[StripeGateway, Callable[[], Awaitable[None]], SandboxBrowser | None]:
    http = InProcessTransport(sandbox.app, sleep=retry_sleep) if sandbox else stripe.HTTPXClient(timeout=CALL_SECONDS)
    base: BaseAddresses = {"api": settings.stripe_api_base} if settings.stripe_api_base else {}

    def client(key: str) -> stripe.StripeClient:
        return stripe.StripeClient(key, http_client=http, max_network_retries=NETWORK_RETRIES, base_addresses=base)

    gateway = StripeGateway(
        client(settings.gateway_secret_key),
        platform="sandbox" if sandbox else "stripe",
        publishable_key=settings.gateway_publishable_key,
        webhook_secrets=settings.webhook_secrets,
        livemode=settings.livemode,
        close=http.close_async,
    )
    if sandbox is None:
        return gateway, _nothing, None
    pages = httpx.AsyncClient(transport=httpx.ASGITransport(_mounted(sandbox.app)))
    browser = SandboxBrowser(client(settings.gateway_publishable_key), pages)
    return gateway, pages.aclose, browser


def _mounted(app: ASGIApp) -> ASGIApp:

    return Starlette(routes=[Mount("/sandbox/stripe", app)])


async def _nothing() -> None:
    """A real gateway has no pages of ours."""
