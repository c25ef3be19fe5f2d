"""The port's contract, kept by StripeGateway: against the sandbox in process, and over HTTP as a process of its own."""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import SimpleQueue
from threading import Thread
from typing import Any, ClassVar

import httpx
import pytest
import stripe

from gateways.browser import SandboxBrowser
from tests.gateways.contract import GatewayContract, Outside
from tests.gateways.sandbox_alone import PATIENCE, ROOT, free_port
from tests.gateways.sandbox_fixtures import ENDPOINT, SECRET, Bench, make_client
from tests.gateways.stripe_outside import StripeOutside, stripe_gateway

HOOK_SECRET = "whsec_contract"


class TestInProcess(GatewayContract):
    @pytest.fixture
    async def outside(self, quick: Bench) -> AsyncIterator[Outside]:
        await quick.sandbox.ensure_webhook_endpoint(ENDPOINT, SECRET)

        async def arm(kind: str) -> None:
            quick.sandbox.faults.arm(kind)  # pyright: ignore[reportArgumentType]

        async def sent() -> httpx.Request:
            while not quick.receiver.requests:
                await quick.sandbox.deliver_due()
            return quick.receiver.requests.pop(0)

        async with quick.raw("pk_test_sandbox") as pages:
            browser = SandboxBrowser(make_client(quick.sandbox, "pk_test_sandbox"), pages)
            yield StripeOutside(stripe_gateway(quick.client, SECRET), quick.client, browser, arm, sent)


class Ear(BaseHTTPRequestHandler):
    """Hears webhooks on a thread of its own: the sandbox outlives each test, and goes on sending between them."""

    heard: ClassVar[SimpleQueue[httpx.Request]] = SimpleQueue()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.heard.put(httpx.Request("POST", "http://ear", headers=dict(self.headers), content=body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is written."""


@pytest.fixture(scope="module")
def hooks_port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Ear) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def sandbox_url(tmp_path_factory: pytest.TempPathFactory, hooks_port: int) -> Iterator[str]:
    """A sandbox as a process of its own, for all tests of this module."""
    port = free_port()
    told = ["--port", str(port), "--database", f"sqlite:///{tmp_path_factory.mktemp('contract')}/alone.db"]
    told += ["--webhook-url", f"http://127.0.0.1:{hooks_port}/hooks", "--webhook-secret", HOOK_SECRET]
    with subprocess.Popen([sys.executable, "-m", "gateways.sandbox", *told], cwd=ROOT) as process:
        url, end = f"http://127.0.0.1:{port}", time.monotonic() + PATIENCE
        try:
            while True:
                try:
                    httpx.get(url)
                    break
                except httpx.TransportError:
                    assert process.poll() is None, "the sandbox has ended"
                    assert time.monotonic() < end, "the sandbox does not start"
                    time.sleep(0.05)
            yield url
        finally:
            process.terminate()


# The SDK hands httpx its form in a way httpx has deprecated.
@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
class TestOverHttp(GatewayContract):
    @pytest.fixture
    async def outside(self, sandbox_url: str) -> AsyncIterator[Outside]:
        http = stripe.HTTPXClient(timeout=PATIENCE)

        def client(key: str) -> stripe.StripeClient:
            return stripe.StripeClient(
                key, base_addresses={"api": sandbox_url}, http_client=http, max_network_retries=0
            )

        async def arm(kind: str) -> None:
            headers = {"Authorization": "Bearer sk_test_sandbox"}
            assert (await pages.post(f"{sandbox_url}/sandbox/faults", json={"kind": kind}, headers=headers)).is_success

        async def sent() -> httpx.Request:
            return await asyncio.to_thread(Ear.heard.get, timeout=PATIENCE)

        async with httpx.AsyncClient(timeout=PATIENCE) as pages:
            browser = SandboxBrowser(client("pk_test_sandbox"), pages)
            owner = client("sk_test_sandbox")
            yield StripeOutside(stripe_gateway(owner, HOOK_SECRET), owner, browser, arm, sent)
        await http.close_async()
