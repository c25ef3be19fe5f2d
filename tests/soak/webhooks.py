"""Webhooks at a steady rate while no worker runs: how soon each is stored and answered.

The server is a process of its own; deliveries are signed here and sent over real HTTP at their appointed instants, late
answers or not, so that a server that cannot follow is seen by its waiting times. In the end the rows are counted.

    python -m tests.soak.webhooks --rate 500 --seconds 20 --database sqlite
"""

import argparse
import asyncio
import hashlib
import hmac
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import orjson
from sqlmodel import func, select

from clocks import SystemClock
from models.database import Database
from models.inbox import GatewayEvent
from settings import ROOT, SANDBOX_WEBHOOK_SECRET
from tests.soak.surroundings import database
from tests.support.processes import free_port, running

PROMISED_MS = 200.0
_CONNECTIONS = 64
_WARM_UP = 50


@dataclass
class Acknowledged:
    """Milliseconds of each answer, from the instant at which it was to be sent."""

    waits: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    lost: int = 0
    seconds: float = 0.0
    stored: int = 0

    def percentile(self, share: float) -> float:
        ordered = sorted(self.waits)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


async def send_steadily(address: str, *, rate: int, seconds: float) -> Acknowledged:
    """Over connections of its own: a client library's pool would be measured along with the server."""
    seen, warm = Acknowledged(), Acknowledged()
    due: asyncio.Queue[tuple[int, float]] = asyncio.Queue()
    host, _, port = address.removeprefix("http://").partition(":")
    connections = [await asyncio.open_connection(host, int(port)) for _ in range(_CONNECTIONS)]
    for number in range(_WARM_UP):
        await _deliver(*connections[0], warm, -number - 1, time.monotonic())
    senders = [asyncio.create_task(_send(due, *each, seen)) for each in connections]
    began = time.monotonic()
    for number in range(int(rate * seconds)):
        at = began + number / rate
        if (early := at - time.monotonic()) > 0:
            await asyncio.sleep(early)
        due.put_nowait((number, at))
    await due.join()
    seen.seconds = time.monotonic() - began
    for sender, (_, writer) in zip(senders, connections, strict=True):
        sender.cancel()
        writer.close()
    return seen


async def _send(
    due: "asyncio.Queue[tuple[int, float]]",
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    seen: Acknowledged,
) -> None:
    while True:
        number, at = await due.get()
        try:
            await _deliver(reader, writer, seen, number, at)
        except (OSError, EOFError):
            seen.lost += 1
        finally:
            due.task_done()


async def _deliver(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: Acknowledged, number: int, at: float
) -> None:
    told = {"id": f"pi_steady_{number}", "object": "payment_intent", "metadata": {"a": "b" * 2000}}
    body = orjson.dumps(
        {
            "id": f"evt_steady_{number}",
            "object": "event",
            "created": 1_769_851_800,
            "livemode": False,
            "type": "payment_intent.succeeded",
            "data": {"object": told},
        }
    )
    second = int(SystemClock().now().timestamp())
    digest = hmac.new(SANDBOX_WEBHOOK_SECRET.encode(), f"{second}.".encode() + body, hashlib.sha256).hexdigest()
    head = (
        "POST /webhooks/stripe HTTP/1.1\r\nHost: perennial\r\nContent-Type: application/json\r\n"
        f"Stripe-Signature: t={second},v1={digest}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    answer = await reader.readuntil(b"\r\n\r\n")
    length = next(line for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    await reader.readexactly(int(length.partition(b":")[2]))
    seen.statuses[int(answer.split(b" ", 2)[1])] += 1
    seen.waits.append((time.monotonic() - at) * 1000)


def measure(url: str, folder: Path, *, rate: int, seconds: float) -> Acknowledged:
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    settings = {"PERENNIAL_PORT": str(port), "PERENNIAL_DATABASE_URL": url, "PERENNIAL_WORKER": "off"}
    with running([str(ROOT / "cli.py"), "serve"], f"{address}/health/ready", folder, settings):
        seen = asyncio.run(send_steadily(address, rate=rate, seconds=seconds))
    seen.stored = asyncio.run(_stored(url)) - _WARM_UP
    return seen


async def _stored(url: str) -> int:
    books = Database(url)
    try:
        async with books.read() as session:
            return (await session.exec(select(func.count()).select_from(GatewayEvent))).one()
    finally:
        await books.close()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.webhooks", description=__doc__)
    parser.add_argument("--rate", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    asked = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="perennial-soak-")))
        url = stack.enter_context(database(asked.database, folder)).url
        seen = measure(url, folder, rate=asked.rate, seconds=asked.seconds)
    sent, p99 = int(asked.rate * asked.seconds), seen.percentile(0.99)
    sys.stdout.write(
        f"{asked.database}: {sent} sent at {asked.rate} a second, answered at {sent / seen.seconds:.0f} a second: "
        f"p50 {seen.percentile(0.5):.0f} ms, p99 {p99:.0f} ms, statuses {dict(seen.statuses)}, {seen.lost} unanswered, "
        f"{seen.stored} stored\n"
    )
    return 0 if p99 < PROMISED_MS and seen.stored == sent == seen.statuses[200] else 1


if __name__ == "__main__":
    sys.exit(main())
