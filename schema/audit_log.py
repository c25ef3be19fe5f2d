"""Who changed what, for administrators."""

from datetime import datetime
from typing import Annotated, Any

import strawberry
from strawberry.scalars import JSON
from strawberry.utils.str_converters import to_camel_case

from models.audit_log import AuditEntry as Row
from models.operation_lists import AUDIT_LOG, AuditLogWhere
from resolvers import owned
from resolvers.identity import Role
from schema.connections import After, Before, Connection, First, Last, span, whole
from schema.fields import Info, argument, described
from schema.interfaces import Node
from schema.periods import DateTimeRange, between

VALUES = "By field: its value in words of this API, or `[masked]` for what is secret or about a person."


@strawberry.type(
    description="One record changed by somebody's mutation, in one step. Never changed itself. What time or the "
    "gateway does is told by `timeline`, `statusHistory` and `gatewayEvents` instead."
)
class AuditEntry(Node):
    at: datetime = described("When the mutation began, by the machine's clock.")
    actor: str = described("Who did it: the user's id, or the API key's.")
    actor_role: Role | None = described("As what they did it; null for the command line.")
    action: str = described("What they did: the mutation's name.")
    kind: str = described("What was changed: `plans`, or `plan_entitlements` for a part of one.")
    subject_id: strawberry.ID = described("The id of the record, or of the one that it is a part of.")
    before: JSON | None = described(f"What was there of what changed; null when the record is new. {VALUES}")
    after: JSON | None = described(f"What is there instead; null when it is gone. {VALUES}")
    request_id: str | None = described("The request's id, as `extensions.requestId`, logs and masked errors tell it.")

    @classmethod
    def of(cls, row: Row) -> "AuditEntry":
        return cls(
            id=strawberry.ID(row.id),
            at=row.at,
            actor=row.actor,
            actor_role=Role(row.actor_role) if row.actor_role is not None else None,
            action=row.action,
            kind=row.kind,
            subject_id=strawberry.ID(row.subject_id),
            before=_values(row.before),
            after=_values(row.after),
            request_id=row.request_id,
        )

    @strawberry.field(description="The record as it is now; null if it has no type of its own here.")
    async def subject(self, info: Info) -> Node | None:
        from schema.nodes import find_node  # which finds entries of the log too

        return await find_node(info.context, self.subject_id)


def _values(columns: dict[str, Any] | None) -> JSON | None:
    if columns is None:
        return None
    return JSON({"metadata" if name == "meta" else to_camel_case(name): each for name, each in columns.items()})


@strawberry.type(description="Who changed what.")
class AuditQueries:
    @strawberry.field(description="What callers have changed, newest first.")
    async def audit_log(
        self,
        info: Info,
        subject_id: Annotated[strawberry.ID | None, argument("Of this record and its parts.")] = None,
        actor: Annotated[str | None, argument("By this user or API key: their id.")] = None,
        action: Annotated[str | None, argument("By this mutation: `createPlan`.")] = None,
        at: Annotated[DateTimeRange | None, argument("Begun in this span of time.")] = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Connection[AuditEntry]:
        part = span(info, AUDIT_LOG, first=first, after=after, last=last, before=before)
        where = AuditLogWhere(subject_id, actor, action, between(at))
        return await whole(owned.public(info.context, AUDIT_LOG, where), part, AuditEntry.of)
