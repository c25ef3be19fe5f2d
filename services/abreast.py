"""Claimed rows worked on side by side: each by its own step, which is written for one.

Transactions that the steps make at the same time are made as one, and gateway calls wait for nobody's but their own
answer: see `models.convoys`.
"""

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from models.convoys import side_by_side
from models.database import Database
from services.app import App

T = TypeVar("T")

ABREAST = 32
"""How many rows a worker claims at once, and so how many of its gateway calls are under way, or wait for their turn, at
the most. Twice as many would write hardly faster, and with several workers wait longer than a turn is waited for."""


async def abreast(
    app: App, claimed: Mapping[str, int], step: Callable[[App, str, int], Coroutine[Any, Any, T]]
) -> list[T]:
    """Take the step (app, key, fence) for each row claimed: what came of them, in their order."""

    def steps(database: Database) -> list[Coroutine[Any, Any, T]]:
        together = replace(app, database=database)
        return [step(together, key, fence) for key, fence in claimed.items()]

    return await side_by_side(app.database, steps)
