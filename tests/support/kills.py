"""Killing a real process at a chosen point: before or after its n-th commit or gateway call.

A point is a moment between two effects. The process is forked, counts the points that it passes, and ends itself with
SIGKILL at the chosen one: nothing is cleaned up, no transaction is rolled back by us, no lease is given back.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from models.database import Database
from services.app import App
from tests.support.databases import left_alone

EVER = 10_000


def deadly_points(points: int) -> range:
    """At which of its points to kill a step: at every third one up to the last, as many as a test run has time for.

    At every one where the environment has PERENNIAL_TEST_EVERY_KILL, as `tests.soak.seams` does.
    """
    return range(points) if "PERENNIAL_TEST_EVERY_KILL" in os.environ else range((points - 1) % 3, points, 3)


@dataclass
class Points:
    """Counts moments; at number `deadly` (from 0) the process dies."""

    deadly: int
    passed: int = 0

    def reach(self) -> None:
        if self.passed == self.deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        self.passed += 1


class MortalGateway:
    """The gateway, with a point before and after every call."""

    def __init__(self, gateway: Any, points: Points) -> None:
        self._gateway, self._points = gateway, points

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._gateway, name)
        if not asyncio.iscoroutinefunction(value):
            return value

        async def call(*args: Any, **kwargs: Any) -> Any:
            self._points.reach()
            answer = await value(*args, **kwargs)
            self._points.reach()
            return answer

        return call


class MortalDatabase(Database):
    """The database, with a point before and after every commit."""

    def __init__(self, url: str, points: Points) -> None:
        super().__init__(url)
        self._points = points

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncSession]:
        async with super().write() as session:
            yield session
            self._points.reach()
        self._points.reach()


def mortal(app: App, database_url: str, points: Points) -> App:
    """The same application, dying at its point."""
    return replace(app, database=MortalDatabase(database_url, points), gateway=MortalGateway(app.gateway, points))


def in_child(work: Callable[[Points], Awaitable[None]], deadly: int) -> int | None:
    """Run the work in a forked process that dies at a point: how many points it passed, or None when it died.

    Raises AssertionError when the child ended in any other way.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        points = Points(deadly)
        try:
            asyncio.run(_bounded(work(points)))
            os.write(writing, str(points.passed).encode())
            os._exit(0)
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(1)
    os.close(writing)
    _, status = os.waitpid(child, 0)
    told = os.read(reading, 20)
    os.close(reading)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        _note_kill()
        return None
    assert os.WIFEXITED(status), f"the child was stopped: {status}"
    assert os.WEXITSTATUS(status) == 0, "the child failed; its traceback stands above"
    return int(told)


def killed(work: Callable[[Points], Awaitable[None]], deadly: int, url: str) -> None:
    """Run the work in a process that dies at that point, and wait until its database has noticed."""
    assert in_child(work, deadly) is None, f"point {deadly} was not reached"
    asyncio.run(left_alone(url))


def _note_kill() -> None:
    """One mark for each in the file that PERENNIAL_TEST_KILLS_FILE names, which several processes may share."""
    if "PERENNIAL_TEST_KILLS_FILE" in os.environ:
        with open(os.environ["PERENNIAL_TEST_KILLS_FILE"], "a") as tally:
            tally.write("x")


async def _bounded(work: Awaitable[None]) -> None:
    async with asyncio.timeout(60):
        await work
