"""A sandbox as a process of its own, the official SDK before it over a socket, and a listener for its webhooks."""

import asyncio
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import stripe

from settings import ROOT
from tests.support.processes import free_port

SECRET = "whsec_alone"
PATIENCE = 60  # for whether it happens at all


@dataclass
class Alone:
    url: str
    client: stripe.StripeClient
    hooks: asyncio.Queue[bytes]
    database: Path

    async def next_event(self) -> stripe.Event:
        """The next webhook, read with the secret it must have been signed with."""
        head, _, payload = (await self.hooks.get()).partition(b"\r\n\r\n")
        header = next(line for line in head.decode().split("\r\n") if line.lower().startswith("stripe-signature:"))
        return self.client.construct_event(payload, header.partition(": ")[2], SECRET)

    async def arm(self, **told: object) -> None:
        async with httpx.AsyncClient(base_url=self.url, timeout=PATIENCE) as wire:
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
    told += ["--webhook-url", f"http://127.0.0.1:{hook_port}/hooks", "--webhook-secret", SECRET]
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "gateways.sandbox", *told, cwd=ROOT)
    url = f"http://127.0.0.1:{port}"
    http = stripe.HTTPXClient(timeout=PATIENCE)
    client = stripe.StripeClient("sk_test_sandbox", base_addresses={"api": url}, http_client=http)
    try:
        async with asyncio.timeout(PATIENCE), httpx.AsyncClient() as wire:
            while True:
                try:
                    await wire.get(url)
                    break
                except httpx.TransportError:
                    await asyncio.sleep(0.05)
        yield Alone(url, client, hooks, tmp_path / "alone.db")
    finally:
        process.terminate()
        await process.wait()
        await http.close_async()
        receiver.close()
        await receiver.wait_closed()
