"""Keyset pages and counts of lists, for one parent or for many in one statement.

Owns: how a list is ordered, cut and counted. Does not own: which lists there are (the `*_lists` modules beside it), who
may see them (resolvers).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy import ColumnElement, String, and_, case, or_, type_coerce
from sqlalchemy.orm import aliased
from sqlmodel import SQLModel, col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

R = TypeVar("R", bound=SQLModel)


@dataclass(frozen=True, slots=True)
class Key:
    """What orders a list: a column, or what `of` works out from the row's class. `largest` bounds its integers."""

    name: str
    type: type
    largest: int = 2**31 - 1
    of: Callable[[Any], ColumnElement[Any]] | None = None

    def column(self, row: Any) -> ColumnElement[Any]:
        return self.of(row) if self.of is not None else getattr(row, self.name)


def rank_key(name: str, enum: type[StrEnum]) -> Key:
    """Order by where an enum declares the value, not by its spelling."""
    return Key(name, int, of=lambda row: ranked(type_coerce(getattr(row, name), String), enum))


def ranked(text: ColumnElement[str], enum: type[StrEnum]) -> ColumnElement[int]:
    """Where the enum declares the text that is worked out."""
    return case({str(member): n for n, member in enumerate(enum)}, value=text)


@dataclass(frozen=True, slots=True)
class Listing(Generic[R]):
    """A list in a fixed order: by `keys`, none of which is ever null and the last of which is unique."""

    name: str
    row: type[R]
    keys: tuple[Key, ...]
    descending: bool

    def sorted_by(self, key: Key, *, descending: bool) -> "Listing[R]":
        """The same list in another order; cursors of one order are none of another."""
        order = "falling" if descending else "rising"
        return replace(self, name=f"{self.name}/{key.name}/{order}", keys=(key, self.keys[-1]), descending=descending)


@dataclass(frozen=True, slots=True)
class Span:
    """Which part of a list: up to `limit` rows strictly between two places, the last ones if `backwards`.

    Or, where a list is paged by number, those after the first `offset`.
    """

    limit: int
    after: tuple[Any, ...] | None = None
    before: tuple[Any, ...] | None = None
    backwards: bool = False
    offset: int | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[R]):
    """Up to `limit` rows, the place of each in its list, and whether there are more in each direction."""

    rows: Sequence[R]
    has_next: bool
    has_previous: bool
    places: Sequence[tuple[Any, ...]] = ()


class Where(Protocol):
    """What narrows a list; hashable, so that equal wishes share one statement."""

    def conditions(self) -> list[ColumnElement[bool]]: ...


@dataclass(frozen=True, slots=True)
class Everything:
    def conditions(self) -> list[ColumnElement[bool]]:
        return []


EVERYTHING = Everything()


@dataclass(frozen=True, slots=True)
class Between:
    """Instants from `start` on and before `end`; an open side is None."""

    start: datetime | None = None
    end: datetime | None = None

    def conditions(self, column: Any) -> list[ColumnElement[bool]]:
        found: list[ColumnElement[bool]] = []
        if self.start is not None:
            found.append(column >= self.start)
        if self.end is not None:
            found.append(column < self.end)
        return found


ANYTIME = Between()


async def page_of(session: AsyncSession, listing: Listing[R], where: Where, span: Span) -> Page[R]:
    """One part of a whole list."""
    query = (
        select(listing.row, *_places(listing))  # pyright: ignore[reportCallIssue, reportArgumentType]
        .where(*where.conditions(), *_within(listing, span))
        .order_by(*_order(listing, span))
        .limit(span.limit + 1)
        .offset(span.offset)
    )
    return _page((await session.exec(query)).all(), span)


async def pages_of(
    session: AsyncSession, listing: Listing[R], parent: str, parents: Sequence[str], where: Where, span: Span
) -> dict[str, Page[R]]:
    """The same part of each parent's own list, by parent; `parent` is the column that names it."""
    if len(parents) == 1:
        only = _Of(listing, parent, parents[0], where)
        return {parents[0]: await page_of(session, listing, only, span)}
    owner = getattr(listing.row, parent)
    numbered = (
        select(  # pyright: ignore[reportCallIssue] (an entity and columns)
            listing.row,  # pyright: ignore[reportArgumentType]
            *_places(listing),
            func.row_number().over(partition_by=owner, order_by=_order(listing, span)).label("nth"),
        )
        .where(col(owner).in_(parents), *where.conditions(), *_within(listing, span))
        .subquery()
    )
    row = aliased(listing.row, numbered)
    query = (
        select(row, *(numbered.c[f"key_{n}"] for n in range(len(listing.keys))))  # pyright: ignore[reportCallIssue, reportArgumentType]
        .where(numbered.c.nth <= span.limit + 1)
        .order_by(getattr(row, parent), numbered.c.nth)
    )
    found: dict[str, list[Any]] = {each: [] for each in parents}
    for each in (await session.exec(query)).all():
        found[getattr(each[0], parent)].append(each)
    return {each: _page(rows, span) for each, rows in found.items()}


async def count_of(session: AsyncSession, listing: Listing[Any], where: Where) -> int:
    """How many rows the whole list has."""
    query = select(func.count()).select_from(listing.row).where(*where.conditions())
    return (await session.exec(query)).one()


async def counts_of(
    session: AsyncSession, listing: Listing[Any], parent: str, parents: Sequence[str], where: Where
) -> dict[str, int]:
    """How many rows each parent's list has in all."""
    owner = col(getattr(listing.row, parent))
    query = (
        select(owner, func.count())  # pyright: ignore[reportCallIssue, reportArgumentType]
        .where(owner.in_(parents), *where.conditions())
        .group_by(owner)
    )
    counted: dict[str, int] = dict((await session.exec(query)).all())
    return {each: counted.get(each, 0) for each in parents}


@dataclass(frozen=True, slots=True)
class _Of:
    """One parent's own list."""

    listing: Listing[Any]
    parent: str
    value: str
    where: Where

    def conditions(self) -> list[ColumnElement[bool]]:
        return [col(getattr(self.listing.row, self.parent)) == self.value, *self.where.conditions()]


def _within(listing: Listing[Any], span: Span) -> list[ColumnElement[bool]]:
    bounds = []
    if span.after is not None:
        bounds.append(_beyond(listing, span.after, greater=not listing.descending))
    if span.before is not None:
        bounds.append(_beyond(listing, span.before, greater=listing.descending))
    return bounds


def _beyond(listing: Listing[Any], place: tuple[Any, ...], *, greater: bool) -> ColumnElement[bool]:
    """Lexicographic: the first key differs, or it is equal and the next one does."""
    columns = [key.column(listing.row) for key in listing.keys]
    alternatives = []
    for n, (column, value) in enumerate(zip(columns, place, strict=True)):
        equal = [columns[i] == place[i] for i in range(n)]
        alternatives.append(and_(*equal, column > value if greater else column < value))
    return or_(*alternatives)


def _places(listing: Listing[Any]) -> list[Any]:
    """What a row's place is made of, read beside the row."""
    return [key.column(listing.row).label(f"key_{n}") for n, key in enumerate(listing.keys)]


def _order(listing: Listing[Any], span: Span) -> list[Any]:
    falling = listing.descending != span.backwards
    columns = [key.column(listing.row) for key in listing.keys]
    return [column.desc() if falling else column.asc() for column in columns]


def _page(found: Sequence[Any], span: Span) -> Page[Any]:
    """`found` holds a row and its place each, one more than asked for if there is one."""
    more, kept = len(found) > span.limit, found[: span.limit]
    if span.backwards:
        kept = kept[::-1]
    rows, places = [each[0] for each in kept], [tuple(each[1:]) for each in kept]
    if span.backwards:
        return Page(rows, span.before is not None, more, places)
    return Page(rows, more, span.after is not None or bool(span.offset), places)
