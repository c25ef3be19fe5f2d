"""Steps side by side: transactions that many of them make at the same time are made as one.

A step is written for one subject and knows nothing of others. Run in a convoy it finds a database whose transactions
(`Database.transact`, `Database.consult`) leave together: once every step under way waits for one, or the first has
waited for a moment, all that wait for the same work share one transaction, in lockstep. Whatever else a step waits
for, a gateway above all, keeps nobody for longer than that.

A shared transaction that fails is undone for all, and each work is carried out again in one of its own: none ever sees
another's trouble. Only a database that is away is everybody's.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import structlog
from sqlmodel.ext.asyncio.session import AsyncSession

from models.database import Database
from models.lockstep import Postponed, Work, in_lockstep
from models.setbacks import Setback, setback_of

log = structlog.get_logger(__name__)

T = TypeVar("T")

LINGER_SECONDS = 0.1
"""How long who is ready waits for the others."""

_Door = Callable[[], AbstractAsyncContextManager[AsyncSession]]


async def side_by_side(database: Database, steps: Callable[[Database], Iterable[Coroutine[Any, Any, T]]]) -> list[T]:
    """Run the steps at the same time, each with the database that `steps` is given: what they returned.

    The first that raises ends them all.
    """
    return await _Convoy(database).run(steps)


@dataclass(frozen=True, slots=True)
class _Wish:
    """A work that waits for a transaction. `kind` tells which may share one."""

    kind: tuple[str, Callable[..., Any]]
    work: Work
    outcome: "asyncio.Future[Any]"

    def succeed(self, outcome: Any) -> None:
        if not self.outcome.done():  # whoever waited for it may have been stopped
            self.outcome.set_result(outcome)

    def fail(self, trouble: Exception) -> None:
        if not self.outcome.done():
            self.outcome.set_exception(trouble)


class _Convoy:
    """A database to its steps; where it says nothing of its own, it is the one behind it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._doors: dict[str, _Door] = {"write": database.write, "read": database.read}
        self._waiting: list[_Wish] = []
        self._moving = 0  # steps that neither wait for a transaction to leave nor are done
        self._departure: asyncio.TimerHandle | None = None
        self._transactions: set[asyncio.Task[None]] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    async def run(self, steps: Callable[[Database], Iterable[Coroutine[Any, Any, T]]]) -> list[T]:
        found = list(steps(cast(Database, self)))
        self._moving = len(found)
        tasks = [asyncio.create_task(self._to_its_end(step)) for step in found]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            for task in (*tasks, *self._transactions):
                task.cancel()
            await asyncio.gather(*tasks, *self._transactions, return_exceptions=True)

    async def transact(self, work: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
        return await self._together("write", work, args, kwargs)

    async def consult(self, work: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
        return await self._together("read", work, args, kwargs)

    async def _to_its_end(self, step: Coroutine[Any, Any, T]) -> T:
        try:
            return await step
        finally:
            self._rest()

    async def _together(self, door: str, work: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        outcome = asyncio.get_running_loop().create_future()
        self._wait(_Wish((door, work), lambda session: work(session, *args, **kwargs), outcome))
        self._rest()
        return await outcome

    def _wait(self, wish: _Wish) -> None:
        self._waiting.append(wish)
        if self._departure is None:
            self._departure = asyncio.get_running_loop().call_later(LINGER_SECONDS, self._depart)

    def _rest(self) -> None:
        self._moving -= 1
        if self._moving == 0 and self._waiting:
            self._depart()

    def _depart(self) -> None:
        if self._departure is not None:
            self._departure.cancel()
            self._departure = None
        kinds: dict[Any, list[_Wish]] = {}
        for wish in self._waiting:
            kinds.setdefault(wish.kind, []).append(wish)
        self._moving += len(self._waiting)
        self._waiting = []
        for wishes in kinds.values():
            task = asyncio.create_task(self._carry_out(self._doors[wishes[0].kind[0]], wishes))
            self._transactions.add(task)
            task.add_done_callback(self._transactions.discard)

    async def _carry_out(self, door: _Door, wishes: list[_Wish]) -> None:
        if len(wishes) == 1:
            await _alone(door, wishes[0])
            return
        try:
            async with door() as session:
                outcomes = await in_lockstep(session, [wish.work for wish in wishes])
        except Exception as trouble:
            log.info("transaction_undone", works=len(wishes), reason=type(trouble).__name__)
            for wish in wishes:
                if setback_of(trouble) is Setback.AWAY:
                    wish.fail(trouble)  # it would be away for each of them
                else:
                    await _alone(door, wish)
            return
        for wish, outcome in zip(wishes, outcomes, strict=True):
            if isinstance(outcome, Postponed):
                self._wait(wish)
                self._rest()
            else:
                wish.succeed(outcome)


async def _alone(door: _Door, wish: _Wish) -> None:
    try:
        async with door() as session:
            outcome = await wish.work(session)
    except Exception as trouble:
        wish.fail(trouble)
    else:
        wish.succeed(outcome)
