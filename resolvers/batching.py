"""How an edge's questions become one statement: rows by a key, rows of parents, pages and counts of lists.

Owns: the shapes of batches, each in a short read session of its own. Does not own: which edges there are.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from aiodataloader import DataLoader
from sqlmodel import SQLModel
from sqlmodel.ext.asyncio.session import AsyncSession

from models.batches import Listing, Page, Span, Where, counts_of, pages_of
from models.database import Database
from models.lists import by_ids

K = TypeVar("K")
R = TypeVar("R", bound=SQLModel)
V = TypeVar("V")

Rows = Callable[[AsyncSession, Sequence[str]], Awaitable[Sequence[R]]]


class Loader(DataLoader[K, V]):
    """Fields that ask for the same share one answer, and one of them that is given up does not take it from the rest.

    An error in a field that cannot be null ends the fields beside it; without the shield it would end whoever else in
    the document waits for what they have asked for, and the request would go without an answer.
    """

    def load(self, key: K) -> "asyncio.Future[V]":
        return asyncio.shield(super().load(key))


class Batching:
    """What the loaders of one request are made with."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._pages: dict[tuple[str, str], DataLoader[Any, Any]] = {}
        self._counts: dict[tuple[str, str], DataLoader[Any, Any]] = {}

    async def count(self, listing: Listing[Any], parent: str, parent_id: str, where: Where) -> int:
        """How long one parent's list is in all."""
        loader = self._counts.get((listing.name, parent))
        if loader is None:

            async def counts(session: AsyncSession, ids: Sequence[str], where: Where) -> dict[str, int]:
                return await counts_of(session, listing, parent, ids, where)

            loader = self._counts[listing.name, parent] = self._alike(counts)
        return await loader.load((parent_id, where))

    async def listed(self, listing: Listing[R], parent: str, parent_id: str, where: Where, span: Span) -> Page[R]:
        """Part of one parent's list; `parent` is the column that names it."""
        loader = self._pages.get((listing.name, parent))
        if loader is None:

            async def pages(session: AsyncSession, ids: Sequence[str], wish: tuple[Where, Span]) -> dict[str, Page[R]]:
                return await pages_of(session, listing, parent, ids, *wish)

            loader = self._pages[listing.name, parent] = self._alike(pages)
        return await loader.load((parent_id, (where, span)))

    def _one(self, row: type[R], *, key: str = "id") -> DataLoader[Any, R | None]:
        """The row whose `key` is the one asked for, or None."""

        async def batch(wanted: list[Any]) -> list[R | None]:
            async with self.database.read() as session:
                rows = await by_ids(session, row, wanted, key=getattr(row, key))
            found = {getattr(each, key): each for each in rows}
            return [found.get(each) for each in wanted]

        return Loader(batch)

    def _many(self, rows: Rows[R], parent: str) -> DataLoader[str, Sequence[R]]:
        """All rows of the parent asked for, in the order of the query."""

        async def batch(wanted: list[str]) -> list[Sequence[R]]:
            found: dict[str, list[R]] = {each: [] for each in wanted}
            async with self.database.read() as session:
                for row in await rows(session, wanted):
                    found[getattr(row, parent)].append(row)
            return [found[each] for each in wanted]

        return Loader(batch)

    def _each(
        self, read: Callable[[AsyncSession, Sequence[str]], Awaitable[Mapping[str, V]]], *, missing: V
    ) -> DataLoader[str, V]:
        """What `read` finds for the one asked for; `missing` for those that it leaves out."""

        async def batch(wanted: list[str]) -> list[V]:
            async with self.database.read() as session:
                found = await read(session, wanted)
            return [found.get(each, missing) for each in wanted]

        return Loader(batch)

    def _by(self, key: str, row: type[R]) -> Rows[R]:
        async def rows(session: AsyncSession, ids: Sequence[str]) -> Sequence[R]:
            return await by_ids(session, row, ids, key=getattr(row, key))

        return rows

    def _alike(
        self, read: Callable[[AsyncSession, Sequence[str], Any], Awaitable[dict[str, Any]]]
    ) -> DataLoader[tuple[str, Any], Any]:
        """Keys are (parent, wish): one statement for all parents with the same wish."""

        async def batch(wanted: list[tuple[str, Any]]) -> list[Any]:
            parents: dict[Any, list[str]] = {}
            for parent, wish in wanted:
                parents.setdefault(wish, []).append(parent)
            async with self.database.read() as session:
                found = {wish: await read(session, ids, wish) for wish, ids in parents.items()}
            return [found[wish][parent] for parent, wish in wanted]

        return Loader(batch)
