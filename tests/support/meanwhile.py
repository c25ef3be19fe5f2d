"""Something that happens at a chosen moment of a step: around one of its gateway calls, or as it waits for a lock."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from sqlmodel import text
from sqlmodel.ext.asyncio.session import AsyncSession

from services.app import App
from tests.support.waiting import until

Act = Callable[[], Awaitable[Any]]


class _Watched:
    """The gateway; `act` happens once, around the first call of `name`."""

    def __init__(self, gateway: Any, name: str, *, before: Act | None, after: Act | None) -> None:
        self._gateway, self._name = gateway, name
        self._before, self._after = before, after

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._gateway, name)
        if name != self._name or not asyncio.iscoroutinefunction(value):
            return value

        async def call(*args: Any, **kwargs: Any) -> Any:
            before, after, self._before, self._after = self._before, self._after, None, None
            if before is not None:
                await before()
            try:
                return await value(*args, **kwargs)
            finally:
                if after is not None:
                    await after()

        return call


def just_before(app: App, call: str, act: Act) -> App:
    """The same application, in which the act happens right before its first gateway call of that name."""
    return replace(app, gateway=_Watched(app.gateway, call, before=act, after=None))


def just_after(app: App, call: str, act: Act) -> App:
    """The same application, in which the act happens right after its first such call, answered or not."""
    return replace(app, gateway=_Watched(app.gateway, call, before=None, after=act))


class _Interrupted:
    """The database; `act` happens once, before or after its first writing transaction."""

    def __init__(self, database: Any, *, before: Act | None, after: Act | None) -> None:
        self._database = database
        self._before, self._after = before, after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncSession]:
        before, after, self._before, self._after = self._before, self._after, None, None
        if before is not None:
            await before()
        async with self._database.write() as session:
            yield session
        if after is not None:
            await after()


def before_writing(app: App, act: Act) -> App:
    """The same application, in which the act happens between what it has read and its first transaction."""
    database: Any = _Interrupted(app.database, before=act, after=None)
    return replace(app, database=database)


def after_commit(app: App, act: Act) -> App:
    """The same application, in which the act happens right after its first commit."""
    database: Any = _Interrupted(app.database, before=None, after=act)
    return replace(app, database=database)


_WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@asynccontextmanager
async def held(app: App, rows: str) -> AsyncIterator[Callable[[int], Awaitable[None]]]:
    """On PostgreSQL, rows that a statement has locked until the block ends; what is yielded waits for so many waiters.

    They go on in the order in which they came.
    """

    async def are_waiting(number: int) -> bool:
        async with app.database.read() as watching:
            return (await (await watching.connection()).execute(text(_WAITING))).scalar_one() == number

    async with app.database.write() as session:
        await (await session.connection()).execute(text(rows))
        yield lambda number: until(lambda: are_waiting(number))


async def one_after_the_other(app: App, rows: str, *acts: Act) -> list[Any]:
    """On PostgreSQL: each act begins while the rows are locked, and goes on once the one before has let go of them."""
    async with held(app, rows) as waiting:
        tasks: list[asyncio.Task[Any]] = []
        for act in acts:
            tasks.append(asyncio.ensure_future(act()))
            await waiting(len(tasks))
    return list(await asyncio.gather(*tasks))
