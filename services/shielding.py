"""Steps that reach the gateway outlive the request that asked for them."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from services.app import App
from services.problems import outcome_unknown

T = TypeVar("T")

# The loop keeps only weak references to tasks.
_running: set[asyncio.Task[Any]] = set()


async def within_budget(app: App, step: Coroutine[Any, Any, T]) -> T:
    """Run the step shielded from the request's cancellation, for as long as a request may wait.

    Past the budget the step goes on and the caller gets PAYMENT_OUTCOME_UNKNOWN.
    """
    task = asyncio.create_task(step)
    _running.add(task)
    task.add_done_callback(_running.discard)
    done, _ = await asyncio.wait({task}, timeout=app.gateway_budget.total_seconds())
    if not done:
        task.add_done_callback(_retrieve)
        raise outcome_unknown()
    return task.result()


async def drain(seconds: float) -> None:
    """Wait for steps still under way, at a shutdown."""
    if _running:
        await asyncio.wait(set(_running), timeout=seconds)


def _retrieve(task: asyncio.Task[Any]) -> None:
    """Nobody waits for this result any more; its failure has been committed as rows or will be asked for again."""
    if not task.cancelled():
        task.exception()
