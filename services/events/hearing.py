"""Hearing of changes: whoever follows something is woken when an event about its customer became readable.

Owns: who is woken, and when. Does not own: what they then read and whether they tell of it (resolvers.following).

Being woken is a hint. One reader for each process looks which events became readable: at once when this process made
them so, when PostgreSQL passes on the word of another, and on a timer in any case. It looks while somebody follows.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import structlog

from models.database import Database
from models.events import last_position, readable_after
from models.listening import LOST, told_by_others

log = structlog.get_logger(__name__)

POLL_SECONDS = 1.0
_POLL_SECONDS_WHEN_TOLD = 10.0
_BATCH = 1_000


class Ear:
    """One follower's. It hears of `customer_id`, of nobody while that is None, or of `everything`."""

    def __init__(self, *, everything: bool = False) -> None:
        self.customer_id: str | None = None
        self.everything = everything
        self._woken = asyncio.Event()

    def wake(self) -> None:
        self._woken.set()

    async def wait(self, seconds: float) -> None:
        """Until something was heard since the last wait, and for `seconds` at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        self._woken.clear()


class Hearing:
    """One process' ears. `listen_url` leads to PostgreSQL directly; None: the timer alone tells of other processes."""

    def __init__(self, database: Database, listen_url: str | None = None) -> None:
        self._database = database
        self._listen_url = listen_url
        self._ears: set[Ear] = set()
        self._hinted = asyncio.Event()
        self._is_told = False
        self._ready = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def hint(self) -> None:
        """Events became readable, or may have."""
        self._hinted.set()

    @asynccontextmanager
    async def listening(self, *, everything: bool = False) -> AsyncGenerator[Ear]:
        """An ear that hears of whatever becomes readable from now on."""
        ear = Ear(everything=everything)
        self._ears.add(ear)
        try:
            if not self._tasks:
                self._begin()
            await self._ready.wait()
            yield ear
        finally:
            self._ears.discard(ear)
            if not self._ears:
                self._stop()

    async def close(self) -> None:
        tasks = self._stop()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self) -> None:
        self._ready, self._hinted, self._is_told = asyncio.Event(), asyncio.Event(), False
        self._tasks = [asyncio.create_task(self._look(self._ready))]
        if self._listen_url is not None:
            self._tasks.append(asyncio.create_task(self._be_told(self._listen_url)))

    def _stop(self) -> list[asyncio.Task[None]]:
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        return tasks

    async def _look(self, ready: asyncio.Event) -> None:
        """The position from which it looks is read before anybody may read what there is: so nothing lies between."""
        position: int | None = None
        while True:
            try:
                if position is None:
                    async with self._database.read() as session:
                        position = await last_position(session)
                    ready.set()
                else:
                    position = await self._wake_after(position)
            except LOST:
                log.warning("looking_for_events_failed", exc_info=True)
            with suppress(TimeoutError):
                async with asyncio.timeout(_POLL_SECONDS_WHEN_TOLD if self._is_told else POLL_SECONDS):
                    await self._hinted.wait()
            self._hinted.clear()

    async def _wake_after(self, position: int) -> int:
        """Wake those whom events after `position` concern; the last position there is."""
        while True:
            async with self._database.read() as session:
                found = await readable_after(session, position, limit=_BATCH)
            concerned = {customer_id for _, customer_id in found if customer_id is not None}
            for ear in self._ears:
                if (ear.everything and found) or ear.customer_id in concerned:
                    ear.wake()
            position = found[-1][0] if found else position
            if len(found) < _BATCH:
                return position

    async def _be_told(self, url: str) -> None:
        """While nobody can tell, the timer is quick."""
        while True:
            try:
                async with told_by_others(url, self.hint) as lost:
                    self._is_told = True
                    self.hint()  # of what was told before
                    await lost.wait()
            except LOST:
                log.warning("listening_failed", exc_info=True)
            finally:
                self._is_told = False
            await asyncio.sleep(POLL_SECONDS)
