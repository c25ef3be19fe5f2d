"""Many works in one session, in lockstep: what they ask the database for at the same point is asked in one statement.

Each work is written for one subject, as if it had the session to itself. It goes on until it needs the database; when
all of them wait, what they wait for is gathered by kind and carried out, a statement a kind, and all go on. Reads that
are declared `for_each`, rows by their primary key, refreshing and flushing are gathered; anything else is carried out
one by one, in the order in which it was asked for. The session itself is never used by two at once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial, wraps
from inspect import iscoroutinefunction
from typing import Any, TypeVar, cast

from sqlalchemy import inspect
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from models.among import among

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

Work = Callable[[AsyncSession], Awaitable[Any]]


class Postponed(Exception):
    """Another work of the same transaction decides about that subject: this one has its turn in the next."""


def for_each(
    read: Callable[[AsyncSession, Sequence[K]], Awaitable[Mapping[K, V]]],
) -> Callable[[AsyncSession, K], Awaitable[V]]:
    """A read written for many keys, asked for one: works in lockstep that ask at the same point share its statement.

    `read` answers for every key it is given.
    """

    @wraps(read)
    async def of_one(session: AsyncSession, key: K) -> V:
        if isinstance(session, _Seat):
            return cast(V, await session.ask(_Gathered(read), key))
        return (await read(session, [key]))[key]

    return of_one


def grouped(keys: Sequence[K], rows: Sequence[V], key: Callable[[V], K | None]) -> Mapping[K, Sequence[V]]:
    """The rows of each key, in their order; none is an empty list."""
    found: dict[K, list[V]] = {each: [] for each in keys}
    for row in rows:
        of = key(row)
        if of is not None:
            found[of].append(row)
    return found


def first_of(keys: Sequence[K], rows: Sequence[V], key: Callable[[V], K | None]) -> Mapping[K, V | None]:
    """The first row of each key, None where there is none."""
    return {each: rows[0] if rows else None for each, rows in grouped(keys, rows, key).items()}


def by_platform(places: Sequence[tuple[str, str]]) -> Mapping[str, Sequence[str]]:
    """The references at each gateway: a statement each, which as good as always is one."""
    found: dict[str, list[str]] = {}
    for platform, ref in places:
        found.setdefault(platform, []).append(ref)
    return found


def claim_subject(session: AsyncSession, subject: str) -> None:
    """From here on the work decides about the subject alone. Raises Postponed when another one of its session does.

    To be called before anything is written, with the lock that keeps other transactions away.
    """
    if isinstance(session, _Seat):
        session.claim(subject)


async def in_lockstep(session: AsyncSession, works: Sequence[Work]) -> Sequence[Any]:
    """Carry the works out in the session: what each returned, or Postponed. Raises what the first that failed raised.

    Nothing of it may be kept then.
    """
    return await _Lockstep(session).run(works)


# What is asked for, by kind: asks of equal kinds are answered together.


@dataclass(frozen=True, slots=True)
class _Gathered:
    """A read declared `for_each`."""

    read: Callable[[AsyncSession, Sequence[Any]], Awaitable[Mapping[Any, Any]]]

    async def answer(self, session: AsyncSession, keys: Sequence[Any]) -> Sequence[Any]:
        found = await self.read(session, list(dict.fromkeys(keys)))
        return [found[key] for key in keys]


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows by their primary key, as `session.get` finds them."""

    entity: type[Any]

    async def answer(self, session: AsyncSession, keys: Sequence[Any]) -> Sequence[Any]:
        mapper, known = inspect(self.entity), session.sync_session.identity_map
        idents = [key if isinstance(key, tuple) else (key,) for key in keys]
        places = [mapper.identity_key_from_primary_key(ident) for ident in idents]
        held = [known.get(place) for place in places]
        missing = dict.fromkeys(ident for ident, row in zip(idents, held, strict=True) if row is None)
        if missing:
            # The session itself holds rows only as long as somebody else does.
            kept = (await session.exec(select(self.entity).where(_is_among(self.entity, list(missing))))).all()
            held = [known.get(place) for place in places]
            del kept
        return held


@dataclass(frozen=True, slots=True)
class _Refreshed:
    """Rows read again, locked if so wished, in the order of their keys: so do all who lock several."""

    entity: type[Any]
    locked: bool

    async def answer(self, session: AsyncSession, rows: Sequence[Any]) -> Sequence[Any]:
        state = inspect(self.entity)
        wanted = {state.primary_key_from_instance(row)[0]: row for row in rows}
        (key,) = state.primary_key
        query = select(self.entity).where(key.in_(list(wanted))).order_by(key)
        query = query.with_for_update() if self.locked else query
        found = (await session.exec(query.execution_options(populate_existing=True))).all()
        if len(found) < len(wanted):
            raise LookupError(f"a row of {state.local_table} is gone")
        return [None] * len(rows)


@dataclass(frozen=True, slots=True)
class _Flushed:
    async def answer(self, session: AsyncSession, keys: Sequence[Any]) -> Sequence[Any]:
        await session.flush()
        return [None] * len(keys)


@dataclass(frozen=True, slots=True, eq=False)
class _Other:
    """Anything else: each its own kind."""

    call: Callable[[], Awaitable[Any]]

    async def answer(self, _session: AsyncSession, _keys: Sequence[Any]) -> Sequence[Any]:
        return [await self.call()]


_Kind = _Gathered | _Rows | _Refreshed | _Flushed | _Other


def _is_among(entity: type[Any], idents: Sequence[tuple[Any, ...]]) -> Any:
    columns = inspect(entity).primary_key
    if len(columns) == 1:
        return columns[0].in_([ident[0] for ident in idents])
    return among(columns, idents)


@dataclass(frozen=True, slots=True)
class _Ask:
    kind: _Kind
    key: Any
    answer: "asyncio.Future[Any]"


class _Lockstep:
    def __init__(self, session: AsyncSession) -> None:
        self.session = session
        self.owners: dict[str, _Seat] = {}
        self._asks: list[_Ask] = []
        self._moving = 0
        self._at_rest = asyncio.Event()

    async def run(self, works: Sequence[Work]) -> Sequence[Any]:
        self._moving = len(works)
        tasks = [asyncio.create_task(self._seated(work)) for work in works]
        try:
            while True:
                await self._at_rest.wait()
                for task in tasks:
                    if task.done():
                        task.result()
                if not self._asks:
                    return [task.result() for task in tasks]
                await self._answer()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def ask(self, kind: _Kind, key: Any) -> Any:
        answer = asyncio.get_running_loop().create_future()
        self._asks.append(_Ask(kind, key, answer))
        self._rest()
        return await answer

    async def _seated(self, work: Work) -> Any:
        try:
            return await work(cast(AsyncSession, _Seat(self)))
        except Postponed as postponed:
            return postponed
        finally:
            self._rest()

    def _rest(self) -> None:
        self._moving -= 1
        if self._moving == 0:
            self._at_rest.set()

    async def _answer(self) -> None:
        """All at once in the end: a work that went on while others' statements run would use the session with them."""
        asks, self._asks = self._asks, []
        self._at_rest.clear()
        kinds: dict[_Kind, list[_Ask]] = {}
        for ask in asks:
            kinds.setdefault(ask.kind, []).append(ask)
        answers = [
            (ask, answer)
            for kind, alike in kinds.items()
            for ask, answer in zip(alike, await kind.answer(self.session, [ask.key for ask in alike]), strict=True)
        ]
        self._moving = len(answers)
        for ask, answer in answers:
            ask.answer.set_result(answer)


class _Seat:
    """One work's view of the session: all that waits for the database is asked for in lockstep."""

    def __init__(self, lockstep: _Lockstep) -> None:
        self._lockstep = lockstep

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._lockstep.session, name)
        return partial(self._alone, found) if iscoroutinefunction(found) else found

    async def ask(self, kind: _Kind, key: Any) -> Any:
        return await self._lockstep.ask(kind, key)

    def claim(self, subject: str) -> None:
        if self._lockstep.owners.setdefault(subject, self) is not self:
            raise Postponed(subject)

    async def get(self, entity: type[Any], ident: Any, **options: Any) -> Any:
        if options:
            return await self._alone(self._lockstep.session.get, entity, ident, **options)
        return await self.ask(_Rows(entity), ident)

    async def get_one(self, entity: type[Any], ident: Any, **options: Any) -> Any:
        row = None if options else await self.get(entity, ident)
        return row if row is not None else await self._alone(self._lockstep.session.get_one, entity, ident, **options)

    async def refresh(self, row: Any, *, with_for_update: bool = False) -> None:
        await self.ask(_Refreshed(type(row), with_for_update), row)

    async def flush(self) -> None:
        await self.ask(_Flushed(), None)

    async def connection(self, *_args: Any, **_kwargs: Any) -> Any:
        raise TypeError("a connection goes past the lockstep: ask the session")

    async def _alone(self, call: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
        return await self.ask(_Other(partial(call, *args, **kwargs)), None)
