"""One step, killed at every commit and gateway call, and what must be true after somebody else has gone on."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from services.app import App
from tests.services.conftest import Fresh
from tests.support.house import House, open_house
from tests.support.kills import EVER, Points, deadly_points, in_child, killed, mortal

Step = Callable[[App, House], Awaitable[Any]]
"""What is killed; it acts through the app that it is given."""

Check = Callable[[House], Awaitable[None]]
"""What prepares the state, or goes on afterwards and holds what came of it."""


def killed_everywhere(
    fresh: Fresh, prepare: Check, step: Step, recover: Check, *, at: timedelta, least: int = 4
) -> None:
    """Kill the step at each of its points, `at` after the start of the prepared state, and recover a minute later.

    `least`: how many points it has at the least, so that a step that does nothing any more is noticed.
    """
    prepared = fresh()
    asyncio.run(_in_house(prepared, timedelta(0), prepare))
    points = in_child(_dying(fresh(prepared), step, at), EVER)
    assert points is not None
    assert points >= least, "the step has lost its points"
    for deadly in deadly_points(points):
        url = fresh(prepared)
        killed(_dying(url, step, at), deadly, url)
        asyncio.run(_in_house(url, at + timedelta(seconds=60), recover))


def _dying(url: str, step: Step, at: timedelta) -> Callable[[Points], Awaitable[None]]:
    async def work(points: Points) -> None:
        async with open_house(url, demo=False) as house:
            house.pass_time(at)
            await step(mortal(house.app, url, points), house)

    return work


async def _in_house(url: str, at: timedelta, act: Check) -> None:
    async with open_house(url, demo=False) as house:
        house.pass_time(at)
        await act(house)
