"""What the sandbox's tests share: a sandbox on each database, the official SDK before it, a receiver of webhooks."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
import stripe

from clocks import ManualClock
from gateways.sandbox import InProcessTransport, Sandbox
from tests.support.databases import database_on

BILLING_START = datetime(2027, 1, 31, 10, 0, tzinfo=UTC)
SYSTEM_START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
SECRET = "whsec_for_tests"
ENDPOINT = "http://shop.test/webhooks"


async def no_wait(_seconds: float) -> None:
    """The SDK's own back-off, not waited for."""


@dataclass
class Receiver:
    """A shop's webhook endpoint: keeps what it was sent, answers what it is told to. It refuses the next `refuses`."""

    status: int = 200
    refuses: int = 0
    requests: list[httpx.Request] = field(default_factory=list)
    reached: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope, receive, send) -> None:
        message = await receive()
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        request = httpx.Request("POST", ENDPOINT, headers=headers, content=message["body"])
        self.requests.append(request)
        self.reached.set()
        status, self.refuses = (503, self.refuses - 1) if self.refuses else (self.status, 0)
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    def events(self) -> list[stripe.Event]:
        client = stripe.StripeClient("sk_test_sandbox")
        return [
            client.construct_event(request.content, request.headers["stripe-signature"], SECRET, tolerance=None)
            for request in self.requests
        ]

    def types(self) -> list[str]:
        return [event.type for event in self.events()]


@dataclass
class Bench:
    """One sandbox and everything a test needs around it."""

    sandbox: Sandbox
    client: stripe.StripeClient
    clock: ManualClock
    system: ManualClock
    receiver: Receiver
    database_url: str

    @property
    def v1(self):
        return self.client.v1

    def raw(self, key: str = "sk_test_sandbox") -> httpx.AsyncClient:
        """The wire itself, without the SDK."""
        transport = httpx.ASGITransport(app=self.sandbox.app)
        return httpx.AsyncClient(
            transport=transport, base_url="http://sandbox.test", headers={"Authorization": f"Bearer {key}"}
        )

    async def saved_card(self, card: str = "pm_card_visa") -> tuple[str, str]:
        """A customer and the card attached to it, by id."""
        customer = await self.v1.customers.create_async({})
        method = await self.v1.payment_methods.attach_async(card, {"customer": customer.id})
        return customer.id, method.id

    async def challenge(self, url: str, outcome: str) -> httpx.Response:
        async with self.raw() as wire:
            return await wire.post(url, data={"outcome": outcome})

    async def event_types(self) -> list[str]:
        """Every event so far, oldest first."""
        page = await self.v1.events.list_async({"limit": 100})
        return [event.type for event in reversed(page.data)]


def make_sandbox(database_url: str, clock: ManualClock, system: ManualClock, receiver: Receiver, **more) -> Sandbox:
    return Sandbox(
        database_url=database_url,
        clock=clock.now,
        system_clock=system.now,
        public_url="http://sandbox.test",
        webhook_transport=httpx.ASGITransport(app=receiver),
        **more,
    )


def make_client(sandbox: Sandbox, key: str = "sk_test_sandbox", retries: int = 0) -> stripe.StripeClient:
    transport = InProcessTransport(sandbox.app, sleep=no_wait)
    return stripe.StripeClient(key, http_client=transport, max_network_retries=retries)


async def open_bench(database_url: str, **more) -> Bench:
    clock, system, receiver = ManualClock(BILLING_START), ManualClock(SYSTEM_START), Receiver()
    sandbox = make_sandbox(database_url, clock, system, receiver, **more)
    await sandbox.start()
    return Bench(sandbox, make_client(sandbox), clock, system, receiver, database_url)


@pytest.fixture(params=["sqlite", "postgresql"])
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    """A fresh sandbox on either database."""
    if request.param == "sqlite":
        made = await open_bench(f"sqlite:///{tmp_path}/sandbox.db")
        yield made
        await made.sandbox.close()
        return
    async with database_on(request.getfixturevalue("postgres")) as url:
        made = await open_bench(url)
        yield made
        await made.sandbox.close()


@pytest.fixture
async def quick(tmp_path: Path) -> AsyncIterator[Bench]:
    """A fresh sandbox on SQLite, for what does not depend on the database."""
    made = await open_bench(f"sqlite:///{tmp_path}/sandbox.db")
    yield made
    await made.sandbox.close()
