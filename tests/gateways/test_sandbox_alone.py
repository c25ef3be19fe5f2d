"""The sandbox as a process of its own, over real sockets: `python -m gateways.sandbox`."""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import stripe

# The SDK hands httpx its form in a way httpx has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
ROOT = Path(__file__).resolve().parents[2]
ASKED = {"amount": 900, "currency": "usd", "payment_method": "pm_card_visa", "confirm": True}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass
class Alone:
    url: str
    client: stripe.StripeClient
    hooks: asyncio.Queue[bytes]

    async def arm(self, **told: object) -> None:
        async with httpx.AsyncClient(base_url=self.url) as wire:
            armed = await wire.post("/sandbox/faults", json=told, headers={"Authorization": "Bearer sk_test_sandbox"})
        assert armed.status_code == 200


async def answer_hook(hooks: asyncio.Queue[bytes], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    hooks.put_nowait(head + await reader.readexactly(int(length.partition(b":")[2])))
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    await writer.drain()
    writer.close()


@pytest.fixture
async def alone(tmp_path: Path) -> AsyncIterator[Alone]:
    hooks: asyncio.Queue[bytes] = asyncio.Queue()
    receiver = await asyncio.start_server(lambda *ends: answer_hook(hooks, *ends), "127.0.0.1", 0)
    hook_port, port = receiver.sockets[0].getsockname()[1], free_port()
    told = ["--port", str(port), "--database", f"sqlite:///{tmp_path}/alone.db", "--seed", "1"]
    told += ["--webhook-url", f"http://127.0.0.1:{hook_port}/hooks", "--webhook-secret", "whsec_alone"]
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "gateways.sandbox", *told, cwd=ROOT)
    url = f"http://127.0.0.1:{port}"
    http = stripe.HTTPXClient(timeout=10)
    client = stripe.StripeClient("sk_test_sandbox", base_addresses={"api": url}, http_client=http)
    try:
        async with asyncio.timeout(20), httpx.AsyncClient() as wire:
            while True:
                try:
                    await wire.get(url)
                    break
                except httpx.ConnectError:
                    await asyncio.sleep(0.05)
        yield Alone(url, client, hooks)
    finally:
        process.terminate()
        await process.wait()
        await http.close_async()
        receiver.close()
        await receiver.wait_closed()


async def test_the_official_sdk_pays_over_a_socket_and_the_webhook_arrives(alone) -> None:
    intent = await alone.client.v1.payment_intents.create_async(ASKED)
    assert intent.status == "succeeded"
    async with asyncio.timeout(10):
        requests = [await alone.hooks.get() for _ in range(3)]
    types = []
    for request in requests:
        head, _, payload = request.partition(b"\r\n\r\n")
        header = next(line for line in head.decode().split("\r\n") if line.lower().startswith("stripe-signature:"))
        event = alone.client.construct_event(payload, header.partition(": ")[2], "whsec_alone")
        types.append(event.type)
    assert types == ["payment_intent.created", "charge.succeeded", "payment_intent.succeeded"]


async def test_a_person_answers_the_challenge_at_its_public_address(alone) -> None:
    asked = {**ASKED, "payment_method": "pm_card_threeDSecure2Required", "return_url": f"{alone.url}/back"}
    intent = await alone.client.v1.payment_intents.create_async(asked)
    url = intent.next_action.redirect_to_url.url
    assert url.startswith(f"{alone.url}/challenge/{intent.id}/")
    async with httpx.AsyncClient() as wire:
        assert "9.00 USD" in (await wire.get(url)).text
        assert (await wire.post(url, data={"outcome": "succeeded"})).status_code == 303
    assert (await alone.client.v1.payment_intents.retrieve_async(intent.id)).status == "succeeded"


@pytest.mark.parametrize(
    ("kind", "charged"), [("timeout_before", 0), ("reset_before", 0), ("timeout_after", 1), ("reset_after", 1)]
)
async def test_a_lost_answer_is_a_connection_closed_without_one(alone, kind, charged) -> None:
    await alone.arm(kind=kind)
    with pytest.raises(stripe.APIConnectionError):
        await alone.client.v1.payment_intents.create_async(ASKED, {"idempotency_key": "k"})
    assert len((await alone.client.v1.charges.list_async()).data) == charged
    await alone.arm(kind=kind)
    async with httpx.AsyncClient(base_url=alone.url) as wire:
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            await wire.get("/v1/customers", headers={"Authorization": "Bearer sk_test_sandbox"})
    intent = await alone.client.v1.payment_intents.create_async(ASKED, {"idempotency_key": "k"})
    assert intent.status == "succeeded"
    assert len((await alone.client.v1.charges.list_async()).data) == 1
