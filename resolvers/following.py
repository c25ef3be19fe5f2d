"""Following something: its present state first, and again whenever it is another.

Owns: when to read again.
Does not own: what is read (the caller's own function) and what wakes (services.events.hearing).

Nothing is kept for a slow reader: while one state is being told no other is read, and those between are passed over.
Events alone are told one by one. While the database is away nothing is told, and nobody is let go. What is told counts
towards what its caller may ask for in a minute: beyond that it comes later.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from models.batches import Page, Span
from models.events import BillingEvent, EventsWhere, last_position
from models.operation_lists import EVENT_STREAM
from models.setbacks import setback_of
from resolvers import owned
from resolvers.context import RequestContext
from services.events.hearing import POLL_SECONDS

T = TypeVar("T")

# Some changes are nobody's event: a payment that is being processed, a grace period that is over.
LOOK_AGAIN_SECONDS = 15.0
_PAGE = 100


@dataclass(frozen=True, slots=True)
class Present(Generic[T]):
    """How something is now: told when `version` is another than was told last, unless there is nothing to tell yet.

    `customer_id` is whose it is, None before that user is a customer.
    """

    customer_id: str | None
    value: T | None
    version: Any = None


async def follow(context: RequestContext, read: Callable[[], Awaitable[Present[T]]]) -> AsyncIterator[T]:
    """What `read` finds now, then each other state. It ends with the exception that `read` raises."""
    told: Any = None
    async with context.app.hearing.listening() as ear:
        while True:
            present = await _patiently(context, read)
            if ear.customer_id != present.customer_id:
                ear.customer_id = present.customer_id
                continue  # what happened before the ear knew whom to hear of was not heard
            if present.value is not None and present.version != told:
                told = present.version
                yield present.value
                await context.pay_for_a_result()
            await ear.wait(POLL_SECONDS if present.customer_id is None else LOOK_AGAIN_SECONDS)


async def follow_events(
    context: RequestContext, where: EventsWhere, after: tuple[int, ...] | None
) -> AsyncIterator[BillingEvent]:
    """Every event after that place; without one, those that become readable from now on."""
    async with context.app.hearing.listening(everything=True) as ear:
        if after is None:
            after = (await _patiently(context, partial(_last_position, context)),)
        while True:
            page = await _patiently(context, partial(_page_after, context, where, after))
            for row, place in zip(page.rows, page.places, strict=True):
                context.forget()
                yield row
                after = place
                await context.pay_for_a_result()
            if not page.has_next:
                await ear.wait(LOOK_AGAIN_SECONDS)


async def _last_position(context: RequestContext) -> int:
    async with context.app.database.read() as session:
        return await last_position(session)


async def _page_after(context: RequestContext, where: EventsWhere, place: tuple[int, ...]) -> Page[BillingEvent]:
    return await owned.public(context, EVENT_STREAM, where).page(Span(limit=_PAGE, after=place))


async def _patiently(context: RequestContext, read: Callable[[], Awaitable[T]]) -> T:
    """What there is now, once the database answers: an error would be the end of what is followed."""
    while True:
        context.forget()
        try:
            return await read()
        except Exception as error:
            if setback_of(error) is None:
                raise
        await asyncio.sleep(POLL_SECONDS)
