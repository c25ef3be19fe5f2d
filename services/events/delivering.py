"""Telling merchants' endpoints what happened, beside everything else.

Each endpoint with something due has a few lanes of its own, tasks that send one delivery after another until nothing
more is due for it. A slow endpoint keeps its own lanes waiting and nobody else: not another endpoint, not the worker's
pass. A delivery is leased like any due work: one that died on its way is sent again, under the same message id.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime

import orjson
import structlog

from billing.delivering import GONE, DeliveryStatus, judge
from gateways.outward import NoAnswer, TargetRefused
from models.endpoints import (
    WebhookDelivery,
    WebhookEndpoint,
    endpoints_with_due,
    for_endpoint,
    locked_delivery,
    locked_endpoint,
)
from models.events import BillingEvent
from models.leases import claim_all_due, release
from services.app import WORKER, App
from services.changes import Why
from services.events.bodies import body_of
from services.events.endpoint_secrets import signed_headers
from services.events.endpoints import enable

log = structlog.get_logger(__name__)

LANES = 4
"""How many deliveries of one endpoint are under way at once, in each worker."""
_STOP_SECONDS = 12.0
_USER_AGENT = "Perennial-Webhooks/1"


@dataclass(frozen=True, slots=True)
class _Claimed:
    delivery_id: str
    fence: int
    tries: int
    endpoint: WebhookEndpoint
    event: BillingEvent


@dataclass(frozen=True, slots=True)
class _Answer:
    http_status: int | None
    error: str | None = None


class Lanes:
    """The lanes of one worker."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._lanes: dict[str, set[asyncio.Task[None]]] = {}
        self._is_stopping = False
        self._sent = 0

    async def open(self) -> None:
        """See to it that every endpoint for which something is due has lanes, and come back at once."""
        async with self._app.database.read() as session:
            due = await endpoints_with_due(session, machine_now=self._app.machine_now())
        for endpoint_id, waiting in due:
            lanes = self._lanes.setdefault(endpoint_id, set())
            for _ in range(min(waiting, LANES) - len(lanes)):
                lane = asyncio.create_task(self._run(endpoint_id))
                lanes.add(lane)
                lane.add_done_callback(lanes.discard)

    async def drained(self) -> int:
        """Wait until nothing is under way: how many were sent since this was last asked."""
        while under_way := self._under_way():
            await asyncio.wait(under_way)
        sent, self._sent = self._sent, 0
        return sent

    async def close(self) -> None:
        """Begin nothing more, and wait for what is under way; beyond that it is sent again by somebody else."""
        self._is_stopping = True
        if under_way := self._under_way():
            _, late = await asyncio.wait(under_way, timeout=_STOP_SECONDS)
            for lane in late:
                lane.cancel()

    def _under_way(self) -> set[asyncio.Task[None]]:
        return {lane for lanes in self._lanes.values() for lane in lanes}

    async def _run(self, endpoint_id: str) -> None:
        try:
            while not self._is_stopping:
                claimed = await _claim_next(self._app, endpoint_id)
                if claimed is None:
                    return
                self._sent += 1
                await _deliver(self._app, claimed)
        except Exception:  # What it held is due again when its lease ends.
            log.exception("webhook_lane_failed", endpoint=endpoint_id)


async def _claim_next(app: App, endpoint_id: str) -> _Claimed | None:
    """The lease of what is longest due for that endpoint; None when nothing is."""
    now, which = app.machine_now(), for_endpoint(endpoint_id)
    async with app.database.write() as session:
        claimed = await claim_all_due(session, WebhookDelivery, now=now, machine_now=now, limit=1, only=which)
        for key, fence in claimed.items():
            row = await session.get_one(WebhookDelivery, key)
            endpoint = await session.get_one(WebhookEndpoint, endpoint_id)
            return _Claimed(key, fence, row.tries, endpoint, await session.get_one(BillingEvent, row.event_id))
    return None


async def _deliver(app: App, claimed: _Claimed) -> None:
    if not claimed.endpoint.takes:
        await _close(app, claimed, DeliveryStatus.DEAD_LETTER, _Answer(None, "the endpoint takes nothing"))
        return
    answer = await _send(app, claimed.endpoint, claimed.event)
    heard = answer.http_status
    if heard == GONE and not await _turned_off(app, claimed):
        heard = None  # Said by an address that it has no longer: a failure like any other.
    status, wait = judge(heard, claimed.tries)
    due_at = app.machine_now() + wait if wait is not None else None
    await _close(app, claimed, status, answer, due_at=due_at)
    log.info("webhook_sent", endpoint=claimed.endpoint.id, message=claimed.event.id, status=answer.http_status)


async def _send(app: App, endpoint: WebhookEndpoint, event: BillingEvent) -> _Answer:
    try:
        body = orjson.dumps(body_of(event))
        signed = signed_headers(app, endpoint, event.id, body, app.machine_now())
        headers = {"content-type": "application/json", "user-agent": _USER_AGENT, **signed}
        return _Answer(await app.messenger.post(endpoint.url, body, headers))
    except (TargetRefused, NoAnswer) as problem:
        return _Answer(None, str(problem))
    except Exception:  # Such as a secret sealed under another key: it counts as a try, or it would never end.
        log.exception("webhook_not_sent", endpoint=endpoint.id, message=event.id)
        return _Answer(None, "a fault on our side, told in the log")


async def _close(
    app: App, claimed: _Claimed, status: DeliveryStatus, answer: _Answer, *, due_at: datetime | None = None
) -> None:
    """Write down what came of it, unless somebody else has claimed it since."""
    async with app.database.write() as session:
        row = await locked_delivery(session, claimed.delivery_id)
        if row is None or row.fence != claimed.fence:
            return
        row.status, row.http_status, row.error = status, answer.http_status, answer.error
        release(row, due_at=due_at)


async def _turned_off(app: App, claimed: _Claimed) -> bool:
    """Whether the endpoint still has the address that wants nothing more, ever; then it is told of nothing more."""
    async with app.database.write() as session:
        endpoint = await locked_endpoint(session, claimed.endpoint.id)
        if endpoint is None or endpoint.url != claimed.endpoint.url:
            return False
        if endpoint.is_enabled:
            why = Why("webhook endpoint gone", WORKER, app.machine_now())
            enable(session, endpoint, why, to=False)
            endpoint.touch(why.now)
        return True
