"""Deliveries on their way into the inbox: what arrives while others are being written is written together, next.

A commit waits for the disk whatever it holds; one for each delivery is what limits how many can be acknowledged.
"""

import asyncio
from collections.abc import Sequence

from models.database import Database
from models.inbox import GatewayEvent, insert_unknown

_MOST_AT_ONCE = 100

_Wait = tuple[GatewayEvent, "asyncio.Future[bool]"]


class Intake:
    """One for the process. An event is committed before its sender hears of it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[_Wait] = []
        self._writing: asyncio.Task[None] | None = None

    async def store(self, event: GatewayEvent) -> bool:
        """Whether it was unknown until now; raises what the database raised."""
        stored: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((event, stored))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_all())
        return await stored

    async def _write_all(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:_MOST_AT_ONCE], self._waiting[_MOST_AT_ONCE:]
            await self._write(batch)

    async def _write(self, batch: Sequence[_Wait]) -> None:
        try:
            async with self._database.write() as session:
                unknown = await insert_unknown(session, [event for event, _ in batch])
        except Exception as error:
            if len(batch) == 1:
                _, stored = batch[0]
                if not stored.done():
                    stored.set_exception(error)
                return
            for each in batch:  # a row that cannot be written takes none of the others with it
                await self._write([each])
            return
        for event, stored in batch:
            if not stored.done():  # its sender may have gone meanwhile
                stored.set_result(event.id in unknown)
