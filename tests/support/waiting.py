"""Waiting for what tells nobody that it has come about."""

import asyncio
from collections.abc import Callable
from inspect import isawaitable
from typing import Any

PATIENCE_SECONDS = 60
"""What anything has by the wall clock: the machine may have much else to do, and what is slow is not told here."""


async def until(holds: Callable[[], Any]) -> None:
    """Until that which is asked, or awaited, is true. TimeoutError when it never is."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (await seen if isawaitable(seen := holds()) else seen):  # noqa: ASYNC110 (nobody tells)
            await asyncio.sleep(0.01)
