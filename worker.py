"""The worker: everything that is due, in the order that keeps money safe.

Owns: the order and the pace. Does not own: the steps (services). Any number of workers may run; rows are leased.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from time import perf_counter

import structlog

from gateways.port import in_turn
from gauges import FAILED_PASSES, PASSES, WORKED_ROWS
from services.app import App
from services.books.reconciling import reconcile_when_due
from services.events.delivering import Lanes
from services.events.publishing import publish_events
from services.idempotency import forget_expired_keys
from services.inbox.webhooks import drain_inbox
from services.payments.resolving import resolve_due_payments
from services.people.telling import tell_gateway_of_customers
from services.reaching import gateway_answers
from services.refunds.giving_back import work_on_due_refunds
from services.runs.due_work import BILLING_STEPS
from services.runs.moving_time import work_on_test_clocks
from tracing import worker_step

log = structlog.get_logger(__name__)

# Unknown outcomes first: nothing else may be decided about a payment that may have happened.
PASS: Mapping[str, Callable[[App], Awaitable[int]]] = {
    "resolved": resolve_due_payments,
    "refunded": work_on_due_refunds,
    "inbox": drain_inbox,
    "told": tell_gateway_of_customers,
    "reconciled": reconcile_when_due,
    **{name: step.run for name, step in BILLING_STEPS.items()},
    "advanced": work_on_test_clocks,
    "published": publish_events,
    "forgotten": forget_expired_keys,
}
# Invoices are issued and told of whether or not they can be collected.
_WITHOUT_GATEWAY = frozenset(("happened", "published", "forgotten"))
_IDLE_SECONDS = 1.0
_MAX_ROUNDS = 20_000


class Worker:
    """Runs passes until told to stop; `wake` shortens the wait after a webhook.

    What is due for merchants' endpoints is sent beside the passes, which never wait for it.
    """

    def __init__(self, app: App) -> None:
        self._app = app
        self._woken = asyncio.Event()
        self._lanes = Lanes(app)

    def wake(self) -> None:
        self._woken.set()

    async def once(self) -> Mapping[str, int]:
        """Passes until nothing is due (bounded), and everything sent: how many rows each step worked on."""
        worked = await self._passes()
        return {**worked, "delivered": await self._lanes.drained()}

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set. A pass that fails is logged and tried again."""
        while not stop.is_set():
            self._woken.clear()
            try:
                await self._passes(stop)
            except Exception:
                FAILED_PASSES.inc()
                log.exception("worker_pass_failed")
            await self._wait(stop)
        await self._lanes.close()

    async def _passes(self, stop: asyncio.Event | None = None) -> Mapping[str, int]:
        """Told to stop, it finishes the step that it is at and begins no other."""
        worked = dict.fromkeys(PASS, 0)
        with in_turn():
            for _ in range(_MAX_ROUNDS):
                counts = await self._pass(stop)
                for name, count in counts.items():
                    worked[name] += count
                    WORKED_ROWS.labels(name).inc(count)
                if not any(counts.values()):
                    break
        return worked

    async def _pass(self, stop: asyncio.Event | None) -> Mapping[str, int]:
        began, counts = perf_counter(), dict[str, int]()
        for name in await self._steps():
            if stop is not None and stop.is_set():
                return counts
            counts[name] = await self._step(name)
        await self._lanes.open()
        PASSES.observe(perf_counter() - began)
        return counts

    async def _steps(self) -> Iterable[str]:
        """What can be done now: rows are not claimed for a gateway that is away."""
        return PASS if await gateway_answers(self._app) else [name for name in PASS if name in _WITHOUT_GATEWAY]

    async def _step(self, name: str) -> int:
        with worker_step(name) as traced:
            rows = await PASS[name](self._app)
            traced.ended(rows=rows)
            return rows

    async def _wait(self, stop: asyncio.Event) -> None:
        waits = [asyncio.create_task(self._woken.wait()), asyncio.create_task(stop.wait())]
        try:
            await asyncio.wait(waits, timeout=_IDLE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
