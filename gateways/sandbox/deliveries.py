"""Webhooks: events signed and sent to every endpoint that wants them, again and again until one answers 2xx.

Owns: queueing, signatures, attempts and their back-off. Waiting is real: due times are of the system clock, as are
signatures; the event bodies carry the billing clock. Does not own: the events themselves.
"""

import asyncio
import hashlib
import hmac
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime

import httpx
import orjson

from gateways.sandbox.events import subscribed
from gateways.sandbox.faults import Fault, Faults
from gateways.sandbox.store import Delivery, Record, Store, Unit

logger = logging.getLogger(__name__)

# How long to wait after each failed attempt; after the last one the delivery is abandoned.
BACK_OFF_SECONDS = (2, 10, 60, 600, 3600, 6 * 3600, 24 * 3600, 24 * 3600)
ATTEMPT_TIMEOUT_SECONDS = 10.0
LEASE_MS = 60_000
BATCH = 50
LONGEST_NAP_SECONDS = 1.0


async def queue_events(unit: Unit, events: list[Record], faults: Faults, system_now: datetime) -> None:
    """Queue each event to every endpoint that wants it, and say so in `pending_webhooks`."""
    if not events:
        return
    endpoints = await unit.endpoints()
    now_ms = _ms(system_now)
    rows: list[dict[str, str | int]] = []
    for event in events:
        kind = event.body["type"]
        takers = [endpoint.id for endpoint in endpoints if subscribed(endpoint.body, kind)]
        event.body["pending_webhooks"] = len(takers)
        if not takers or faults.take(kind, Fault.WEBHOOKS_OFF):
            continue
        copies = 2 if faults.take(kind, Fault.WEBHOOKS_TWICE) else 1
        late_ms = int(faults.late_seconds * 1000) if faults.take(kind, Fault.WEBHOOKS_LATE) else 0
        rows += [
            {"event": event.id, "endpoint": taker, "due_ms": now_ms + late_ms}
            for taker in takers
            for _ in range(copies)
        ]
    await unit.queue(rows)


def signature(secret: str, payload: bytes, second: int) -> str:
    """The Stripe-Signature header of this payload, signed at `second` (Unix time)."""
    digest = hmac.new(secret.encode(), f"{second}.".encode() + payload, hashlib.sha256).hexdigest()
    return f"t={second},v1={digest}"


def _ms(instant: datetime) -> int:
    return int(instant.timestamp() * 1000)


class Deliveries:
    """Sends what is queued in a store. Several processes may do so at once: each delivery is leased. `look` is called
    before each pass: time may have brought new events."""

    def __init__(
        self,
        store: Store,
        system_clock: Callable[[], datetime],
        faults: Faults,
        transport: httpx.AsyncBaseTransport | None,
        look: Callable[[], Awaitable[None]],
    ) -> None:
        self._store, self._clock, self._faults = store, system_clock, faults
        self._transport, self._look = transport, look
        self._client: httpx.AsyncClient | None = None
        self._news = asyncio.Event()

    def wake(self) -> None:
        """Something was queued: do not wait for the next look."""
        self._news.set()

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def deliver_due(self) -> int:
        """Try everything that was due when the pass began; the number of attempts made."""
        await self._look()
        began_ms, attempts = _ms(self._clock()), 0
        shuffled = self._faults.take("", Fault.WEBHOOKS_SHUFFLED) is not None
        while batch := await self._store.claim_due(began_ms, LEASE_MS, BATCH):
            if shuffled:
                self._faults.dice.shuffle(batch)
            for delivery in batch:
                await self._attempt(delivery)
                attempts += 1
        return attempts

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until `stop`: at once when events were announced here, soon when another process did."""
        while not stop.is_set():
            self._news.clear()
            try:
                await self.deliver_due()
                due_ms = await self._store.next_due_ms()
            except Exception:  # the database may come back, and what is due will still be
                logger.exception("a pass of webhook deliveries broke off")
                due_ms = None
            waiting = LONGEST_NAP_SECONDS
            if due_ms is not None:
                waiting = min(waiting, max(0.01, (due_ms - _ms(self._clock())) / 1000))
            await self._wait(stop, waiting)

    async def _wait(self, stop: asyncio.Event, seconds: float) -> None:
        waits = [asyncio.create_task(self._news.wait()), asyncio.create_task(stop.wait())]
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    async def _attempt(self, delivery: Delivery) -> None:
        event, endpoint = await self._store.read(lambda unit: _pair(unit, delivery))
        status = None
        if event is not None and endpoint is not None and not endpoint.deleted:
            status = await self._send(event, endpoint)
        elif endpoint is None or endpoint.deleted:
            await self._store.record_attempt(delivery, state="abandoned", due_ms=delivery.due_ms, status=None)
            return
        now_ms = _ms(self._clock())
        if status is not None and 200 <= status < 300:
            await self._store.record_attempt(delivery, state="delivered", due_ms=now_ms, status=status)
        elif delivery.attempts < len(BACK_OFF_SECONDS):
            due_ms = now_ms + BACK_OFF_SECONDS[delivery.attempts] * 1000
            await self._store.record_attempt(delivery, state="pending", due_ms=due_ms, status=status)
        else:
            await self._store.record_attempt(delivery, state="abandoned", due_ms=now_ms, status=status)

    async def _send(self, event: Record, endpoint: Record) -> int | None:
        """The endpoint's status; None when it did not answer."""
        if self._client is None:
            self._client = httpx.AsyncClient(transport=self._transport, timeout=ATTEMPT_TIMEOUT_SECONDS)
        payload = orjson.dumps(event.body, option=orjson.OPT_INDENT_2)
        second = int(self._clock().timestamp())
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "Stripe/1.0 (Perennial sandbox)",
            "Stripe-Signature": signature(endpoint.private["secret"], payload, second),
        }
        try:
            answer = await self._client.post(endpoint.body["url"], content=payload, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL):
            return None
        return answer.status_code


async def _pair(unit: Unit, delivery: Delivery) -> tuple[Record | None, Record | None]:
    event = await unit.find("event", delivery.event)
    return event, await unit.find("webhook_endpoint", delivery.endpoint)
