"""What happened, for the application's own side to follow: one stream that is read on from wherever one was."""

from datetime import datetime
from typing import Annotated

import strawberry
from strawberry.scalars import JSON

from billing.errors import UserProblem
from billing.events import types_named
from models.base import is_id
from models.events import BillingEvent as Row
from models.events import EventsWhere
from models.operation_lists import EVENT_STREAM
from resolvers import owned
from schema.arguments import refuse_arguments
from schema.connections import After, Connection, cursor, span, whole
from schema.fields import Info, argument, described
from schema.interfaces import Node
from schema.invoices import Invoice
from schema.payments import Payment
from schema.returns import Refund
from schema.subscriptions import PlanSubscription
from services.events.bodies import data_of
from services.events.endpoints import refuse_unknown_types

NAMES = "Types such as `invoice.paid`, all of one kind as `invoice.*`, or `*` for all"

_SUBJECTS = {
    "subscription": PlanSubscription.of,
    "invoice": Invoice.of,
    "payment": Payment.of,
    "refund": Refund.of,
}


@strawberry.type(description="One thing that happened. It never changes.")
class BillingEvent(Node):
    cursor: str = described("Its place among all events, whatever was asked for: read on from it with `after`.")
    type: str = described("What happened: `subscription.created`. The list is in docs/webhooks.md.")
    at: datetime = described("When, in billing time.")
    payload: JSON = described(
        "What is told of it, as it was when the event became readable: what endpoints get as `data`."
    )
    subject_id: strawberry.Private[str]

    @classmethod
    def of(cls, row: Row) -> "BillingEvent":
        return cls(
            id=strawberry.ID(row.id),
            cursor=cursor(EVENT_STREAM, (row.position,)),
            type=row.type,
            at=row.at,
            payload=JSON(data_of(row)),
            subject_id=row.subject_id,
        )

    @strawberry.field(description="What it happened to, as it is now; null for what is no object of this API.")
    async def subject(self, info: Info) -> Node | None:
        for kind, of in _SUBJECTS.items():
            if is_id(kind, self.subject_id):
                row = await getattr(info.context.loaders, kind).load(self.subject_id)
                return of(row) if row is not None else None
        return None


@strawberry.type(description="What happened.")
class EventQueries:
    @strawberry.field(
        description="What happened, in the order in which it became readable. Keep the last `cursor` and ask for what "
        "follows it: nothing is left out and nothing comes twice, however often and late you ask."
    )
    async def billing_events(
        self,
        info: Info,
        after: After = None,
        types: Annotated[list[str] | None, argument(f"{NAMES}; everything unless given.")] = None,
        first: Annotated[int, argument("How many: 1 to 100.")] = 100,
    ) -> Connection[BillingEvent]:
        where = events_of(info, types)
        part = span(info, EVENT_STREAM, first=first, after=after)
        return await whole(owned.public(info.context, EVENT_STREAM, where), part, BillingEvent.of)


def events_of(info: Info, types: list[str] | None) -> EventsWhere:
    """Events of the types that were given, of all with None. BAD_USER_INPUT for one that there is not."""
    if types is None:
        return EventsWhere()
    try:
        refuse_unknown_types(types, "types")
    except UserProblem as problem:
        raise refuse_arguments(info, f"types: {problem.message}", "types") from None
    return EventsWhere(types_named(types))
