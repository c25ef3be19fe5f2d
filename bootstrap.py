"""The only place that picks concrete parts: database, gateway, clocks.

Owns: what Settings mean in objects, and their beginning and end. Does not own: HTTP, GraphQL, the worker's order.
May import: everything below the entry points.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import NamedTemporaryFile

import httpx
import stripe
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp
from stripe._base_address import BaseAddresses

from billing import pacing
from billing.breaking import Breaker
from clocks import Clock, SystemClock
from documents.typesetting import is_installed
from gateways.breaking import breaking
from gateways.browser import SandboxBrowser
from gateways.https import HttpsMessenger, Resolve
from gateways.measured import measured
from gateways.paced import Sleep, paced
from gateways.port import PaymentGateway
from gateways.sandbox import InProcessTransport, Sandbox
from gateways.stripe import CALL_SECONDS, NETWORK_RETRIES, StripeGateway
from gateways.targets import Rules, network_of
from models.database import Database, Limits
from models.pacing import SharedPace
from resolvers.document_links import DocumentLinks
from resolvers.entitlement_tokens import EntitlementKeys, UnusableEntitlementKey, new_key
from services.app import App
from services.events.hearing import Hearing
from services.shielding import drain
from settings import ROOT, SANDBOX_WEBHOOK_SECRET, Pooler, Settings, SettingsError
from tracing import begin_tracing, flush_spans

GATEWAY_BUDGET = timedelta(seconds=8)
_DRAIN_SECONDS = 25.0
_OWN_KEY = ROOT / "var" / "entitlement-key.pem"


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
        await self.app.hearing.close()
        await drain(_DRAIN_SECONDS)
        await self.app.gateway.close()
        await self.app.messenger.close()
        await self.close_pages()
        if self.sandbox is not None:
            await self.sandbox.close()
        await self.app.database.close()
        await asyncio.to_thread(flush_spans)


GatewayWrapper = Callable[[PaymentGateway], PaymentGateway]


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
    wait (seconds) before the sandbox is asked again or in its turn; `resolve` finds the addresses of endpoints' hosts.
    """
    stripe.enable_telemetry = False
    pace_now = security_clock.now if security_clock else None  # the database's own time unless one is given
    begin_tracing()
    clock, security_clock = clock or SystemClock(), security_clock or SystemClock()
    sandbox: Sandbox | None = None
    if settings.uses_sandbox:
        sandbox = Sandbox(
            database_url=settings.sandbox_database_url or settings.database_url,
            clock=clock.now,
            system_clock=security_clock.now,
            public_url=f"{settings.public_address}/sandbox/stripe",
            webhook_transport=webhook_transport,
        )
    gateway, close_pages, browser = _gateway(settings, sandbox, retry_sleep)
    database, breaker = Database(settings.database_url, _limits(settings)), Breaker()
    guarded = breaking(measured(gateway), breaker, security_clock)
    if settings.account_calls_per_second:
        limits = pacing.Limits(settings.account_calls_per_second, settings.gateway_endpoint_calls_per_second)
        guarded = paced(guarded, SharedPace(database, limits, pace_now), sleep=retry_sleep)
    app = App(
        database=database,
        gateway=wrap_gateway(guarded),
        breaker=breaker,
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
        hearing=Hearing(database, settings.database_listen_url),
        checkout_key=settings.key_for("checkout links"),
        support_refund_cap=settings.support_refund_cap,
        browser=browser,
        reconcile_every=timedelta(minutes=settings.reconcile_minutes) if settings.reconcile_minutes else None,
    )
    return Installation(settings, app, sandbox, close_pages)


def _limits(settings: Settings) -> Limits:
    return Limits(
        size=settings.database_pool_size,
        overflow=settings.database_pool_overflow,
        statement_seconds=settings.database_statement_seconds,
        by_transaction=settings.database_pooler is Pooler.TRANSACTION,
    )


def _rules(settings: Settings) -> Rules:
    return Rules(
        private=[network_of(each) for each in settings.webhook_private_targets],
        plain_loopback=settings.is_development,
    )


def entitlement_keys(settings: Settings) -> EntitlementKeys:
    """The keys of entitlement tokens; where none is set, which production refuses, one is made and kept under var/."""
    given = settings.entitlement_key
    try:
        return EntitlementKeys(given.get_secret_value() if given else _kept_key(_OWN_KEY), settings.public_address)
    except UnusableEntitlementKey as problem:
        raise SettingsError(
            f"PERENNIAL_ENTITLEMENT_KEY: {problem}; make one with "
            "`openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`"
        ) from None
    except OSError as problem:
        raise SettingsError(f"PERENNIAL_ENTITLEMENT_KEY: set one, for none can be made and kept ({problem})") from None


def document_links(settings: Settings) -> DocumentLinks | None:
    """None where the extra that makes documents is not installed."""
    return DocumentLinks(settings.public_address, settings.key_for("documents")) if is_installed() else None


def _kept_key(path: Path) -> str:
    """The key in that file. Of several processes that make it at once the first wins, and nobody reads half a key."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile("w", dir=path.parent) as made:  # readable to its owner only, and so is its link
            made.write(new_key())
            made.flush()
            with suppress(FileExistsError):
                path.hardlink_to(made.name)
    return path.read_text()


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
