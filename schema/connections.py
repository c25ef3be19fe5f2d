"""Relay connections over keyset pages: opaque cursors that are checked, sizes that are bounded."""

import base64
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar

import orjson
import strawberry

from models.batches import EVERYTHING, Key, Listing, Page, Span, Where
from resolvers.owned import OwnedList
from schema.arguments import refuse_arguments
from schema.fields import Info, argument, described

N = TypeVar("N")

DEFAULT_PAGE = 25
MAX_PAGE = 100
MAX_CURSOR_LENGTH = 400
DEEPEST_ROW = 100_000
"""How far page numbers reach; a cursor costs the same however deep it points."""

First = Annotated[int | None, argument("The first so many after `after`: 1 to 100, 25 unless said.")]
After = Annotated[str | None, argument("Only what follows this cursor.")]
Last = Annotated[int | None, argument("The last so many before `before`: 1 to 100. Not together with `first`.")]
Before = Annotated[str | None, argument("Only what precedes this cursor, up to it: by itself, the last 25 before it.")]
PageNumber = Annotated[
    int | None, argument("The page with this number instead, from 1 on; not together with cursors, `first` or `last`.")
]
PageSize = Annotated[int | None, argument("With `page`: how many entries a page has, 1 to 100, 25 unless said.")]


@strawberry.type(description="Where a page lies in its list.")
class PageInfo:
    has_next_page: bool = described("Whether more follows; ask for it with `after: endCursor`.")
    has_previous_page: bool = described("Whether more precedes; ask for it with `before: startCursor`.")
    start_cursor: str | None = described("The first entry's cursor; null on an empty page.")
    end_cursor: str | None = described("The last entry's cursor; null on an empty page.")
    page_row_count: int = described("How many entries this page has.")
    page_number: int | None = described("The page's number; null unless it was asked for by `page`.")
    size: strawberry.Private[int]
    counter: strawberry.Private[Callable[[], Awaitable[int]]]

    @strawberry.field(description="How many entries the whole list has; null unless the page was asked for by `page`.")
    async def total_row_count(self) -> int | None:
        return await self.counter() if self.page_number is not None else None

    @strawberry.field(description="How many pages the whole list has; null unless the page was asked for by `page`.")
    async def page_count(self) -> int | None:
        return -(-await self.counter() // self.size) if self.page_number is not None else None


@strawberry.type(description="An entry of a list and its place.")
class Edge(Generic[N]):
    cursor: str = described("This entry's place, for `after` and `before`. Opaque.")
    node: N = described("The entry.")


@strawberry.type(description="One page of a list.")
class Connection(Generic[N]):
    edges: list[Edge[N]] = described("The page's entries with their cursors.")
    nodes: list[N] = described("The page's entries alone.")
    page_info: PageInfo = described("Where this page lies.")
    counter: strawberry.Private[Callable[[], Awaitable[int]]]

    @strawberry.field(description="How many entries the whole list has; counted only when asked for.")
    async def total_count(self) -> int:
        return await self.counter()


def span(
    info: Info,
    listing: Listing[Any],
    *,
    first: int | None = None,
    after: str | None = None,
    last: int | None = None,
    before: str | None = None,
    page: int | None = None,
    page_size: int | None = None,
) -> Span:
    """The part of `listing` that the arguments ask for. BAD_USER_INPUT when they make no sense."""
    if first is not None and last is not None:
        raise refuse_arguments(info, "first, last: give one of them.", "first", "last")
    for name, size in (("first", first), ("last", last), ("pageSize", page_size)):
        if size is not None and not 1 <= size <= MAX_PAGE:
            raise refuse_arguments(info, f"{name}: expected 1 to {MAX_PAGE}.", name)
    if page is not None or page_size is not None:
        return _numbered(info, page, page_size, mixed=any(each is not None for each in (first, after, last, before)))
    # Whoever names nothing but where the page shall end wants the page before, not the first one.
    backwards = last is not None or (before is not None and after is None and first is None)
    return Span(
        limit=first or last or DEFAULT_PAGE,
        after=_place(info, listing, "after", after),
        before=_place(info, listing, "before", before),
        backwards=backwards,
    )


async def below(
    info: Info,
    listing: Listing[Any],
    parent: str,
    parent_id: str,
    of: Callable[[Any], N],
    *,
    where: Where = EVERYTHING,
    first: int | None = None,
    after: str | None = None,
) -> Connection[N]:
    """Part of the list of one parent, which the column `parent` names; batched with those of its like."""
    loaders, part = info.context.loaders, span(info, listing, first=first, after=after)

    async def count() -> int:
        return await loaders.count(listing, parent, parent_id, where)

    return connection(listing, part, await loaders.listed(listing, parent, parent_id, where, part), of, count)


async def whole(rows: OwnedList, part: Span, of: Callable[[Any], N]) -> Connection[N]:
    """Part of a root list."""
    return connection(rows.listing, part, await rows.page(part), of, rows.count)


def _numbered(info: Info, page: int | None, page_size: int | None, *, mixed: bool) -> Span:
    if mixed:
        raise refuse_arguments(info, "page: give a page's number or cursors, not both.", "page")
    size, number = page_size or DEFAULT_PAGE, 1 if page is None else page
    if not 1 <= number <= DEEPEST_ROW // size:
        message = f"page: expected 1 to {DEEPEST_ROW // size} with pages of {size}; further down use cursors."
        raise refuse_arguments(info, message, "page")
    return Span(limit=size, offset=(number - 1) * size)


def connection(
    listing: Listing[Any], part: Span, page: Page[Any], of: Callable[[Any], N], count: Callable[[], Awaitable[int]]
) -> Connection[N]:
    """The `part` of the list as clients see it; `of` makes a row's GraphQL type."""
    nodes = [of(row) for row in page.rows]
    cursors = [cursor(listing, place) for place in page.places]
    return Connection(
        edges=[Edge(cursor=place, node=node) for place, node in zip(cursors, nodes, strict=True)],
        nodes=nodes,
        page_info=PageInfo(
            has_next_page=page.has_next,
            has_previous_page=page.has_previous,
            start_cursor=cursors[0] if cursors else None,
            end_cursor=cursors[-1] if cursors else None,
            page_row_count=len(nodes),
            page_number=None if part.offset is None else part.offset // part.limit + 1,
            size=part.limit,
            counter=count,
        ),
        counter=count,
    )


def cursor(listing: Listing[Any], place: tuple[Any, ...]) -> str:
    """A place in `listing`, as an opaque word."""
    keys = [key.isoformat() if isinstance(key, datetime) else key for key in place]
    return base64.urlsafe_b64encode(orjson.dumps([listing.name, *keys])).rstrip(b"=").decode()


def _place(info: Info, listing: Listing[Any], name: str, text: str | None) -> tuple[Any, ...] | None:
    """The keys in a cursor that was made for this very list."""
    if text is None:
        return None
    if len(text) <= MAX_CURSOR_LENGTH:
        try:
            padded = text.encode("ascii") + b"=" * (-len(text) % 4)
            kind, *values = orjson.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
            if kind == listing.name and len(values) == len(listing.keys):
                return tuple(_value(key, value) for key, value in zip(listing.keys, values, strict=True))
        except (ValueError, TypeError, OverflowError):
            pass
    message = f"{name}: this is no cursor of this list; use endCursor or startCursor of its pageInfo."
    raise refuse_arguments(info, message, name)


def _value(key: Key, value: Any) -> Any:
    """A cursor comes from outside: only what the column can be compared with passes."""
    if key.type is datetime:
        instant = datetime.fromisoformat(value)
        if instant.tzinfo is None:
            raise ValueError("an instant without an offset")
        return instant.astimezone(UTC)
    if type(value) is not key.type or (key.type is int and abs(value) > key.largest):
        raise TypeError(f"expected {key.type.__name__}")
    if key.type is str and "\0" in value:
        raise ValueError("no id holds this")
    return value
