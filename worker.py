"""The worker: everything that is due, in the order that keeps money safe.

Owns: the order and the pace. Does not own: the steps (services). Any number of workers may run; rows are leased.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from time import perf_counter

import structlog

from gateways.port import in_turn
from gauges import FAILED_PASSES, PASSES, WORKED_ROWS
from services.app import App
from services.delivering import Lanes
from services.due_work import BILLING_STEPS
from services.giving_back import work_on_due_refunds
from services.moving_time import work_on_test_clocks
from services.publishing import publish_events
from services.reaching import gateway_answers
from services.reconciling import reconcile_when_due
from services.resolving import resolve_due_payments
from services.telling import tell_gateway_of_customers
from services.webhooks import drain_inbox

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
}
# Invoices are issued and told of whether or not they can be collected.
_WITHOUT_GATEWAY = frozenset(("happened", "published"))
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
                await self._passes()
            except Exception:
                FAILED_PASSES.inc()
                log.exception("worker_pass_failed")
            await self._wait(stop)
        await self._lanes.close()

    async def _passes(self) -> Mapping[str, int]:
        worked = dict.fromkeys(PASS, 0)
        with in_turn():
            await self._rounds(worked)
        return worked

    async def _rounds(self, worked: dict[str, int]) -> None:
        for _ in range(_MAX_ROUNDS):
            began = perf_counter()
            counts = {name: await step(self._app) for name, step in (await self._steps()).items()}
            await self._lanes.open()
            PASSES.observe(perf_counter() - began)
            for name, count in counts.items():
                worked[name] += count
                WORKED_ROWS.labels(name).inc(count)
            if not any(counts.values()):
                break

    async def _steps(self) -> Mapping[str, Callable[[App], Awaitable[int]]]:
        """What can be done now: rows are not claimed for a gateway that is away."""
        if await gateway_answers(self._app):
            return PASS
        return {name: step for name, step in PASS.items() if name in _WITHOUT_GATEWAY}

    async def _wait(self, stop: asyncio.Event) -> None:
        waits = [asyncio.create_task(self._woken.wait()), asyncio.create_task(stop.wait())]
        try:
            await asyncio.wait(waits, timeout=_IDLE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
