"""A worker told to stop finishes the step under way and begins no other."""

import asyncio

import pytest

import worker
from services.app import App
from tests.support.house import House
from worker import Worker


async def test_the_step_under_way_is_the_last_one(small_house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    stop, done = asyncio.Event(), list[str]()

    async def told_meanwhile(app: App) -> int:
        stop.set()
        await asyncio.sleep(0)
        done.append("finished")
        return 1  # there is more to do

    async def next_step(app: App) -> int:
        done.append("begun")
        return 0

    monkeypatch.setattr(worker, "PASS", {"first": told_meanwhile, "second": next_step})
    await asyncio.wait_for(Worker(small_house.app).run(stop), 60)
    assert done == ["finished"]
