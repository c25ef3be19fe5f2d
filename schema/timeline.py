"""What happened to a subscription: each change of its status, and all else that is told of it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import strawberry
from strawberry.scalars import JSON

from billing.events import event_of_change
from billing.lifecycle import SUBSCRIPTION, SubscriptionStatus
from models.events import BillingEvent
from models.operation_lists import BILLING_EVENTS
from models.subscriptions import Change
from schema.connections import Connection, below
from schema.fields import Info, described

ACTOR = "Who brought it about: customer, support, admin, service, webhook or worker."
# What stands in a field of its own.
_TOLD_APART = frozenset(("cause", "actor"))


@strawberry.type(description="One change of a subscription's status.")
class StatusChange:
    from_status: SubscriptionStatus | None = described("The status before; null for the first one.", name="from")
    to_status: SubscriptionStatus = described("The status after.", name="to")
    at: datetime = described("When.")
    cause: str = described("What brought it about: an operation or an event.")
    full_actor: strawberry.Private[str]

    @classmethod
    def of(cls, row: Change) -> "StatusChange":
        return cls(
            from_status=SubscriptionStatus(row.from_status) if row.from_status is not None else None,
            to_status=SubscriptionStatus(row.to_status),
            at=row.at,
            cause=row.cause,
            full_actor=row.actor,
        )

    @strawberry.field(description=ACTOR)
    def actor(self, info: Info) -> str:
        return info.context.told_actor(self.full_actor)


@strawberry.type(description="One thing that happened to a subscription.")
class TimelineEntry:
    type: str = described(
        "What: subscription. and created, started, trial_started, trial_will_end, activated, renewed, past_due, "
        "recovered, paused, resumed, unpaid, canceled, expired; change_, pause_ and cancel_scheduled and _unscheduled; "
        "plan_changed; updated; coupon_applied, _used_up and _removed; collection_ended. More may come."
    )
    at: datetime = described("When.")
    from_status: SubscriptionStatus | None = described(
        "The status before; null for the first one, and for what is no change of status.", name="from"
    )
    to_status: SubscriptionStatus | None = described(
        "The status after; null for what is no change of status.", name="to"
    )
    cause: str = described("What brought it about: an operation or an event.")
    details: JSON = described("What else is to be told of it, by its type: `plan`, `items`, `coupon`, `at`, `until`.")
    full_actor: strawberry.Private[str]

    @classmethod
    def of(cls, row: BillingEvent) -> "TimelineEntry":
        told, before, after = dict(row.payload), None, None
        if _is_transition(row.type, told):
            before, after = told.pop("from"), told.pop("to")
        return cls(
            type=row.type,
            at=row.at,
            from_status=SubscriptionStatus(before) if before is not None else None,
            to_status=SubscriptionStatus(after) if after is not None else None,
            cause=told["cause"],
            details=JSON({name: value for name, value in told.items() if name not in _TOLD_APART}),
            full_actor=told["actor"],
        )

    @strawberry.field(description=ACTOR)
    def actor(self, info: Info) -> str:
        return info.context.told_actor(self.full_actor)


def _is_transition(type: str, payload: Mapping[str, Any]) -> bool:
    return "to" in payload and type == event_of_change(SUBSCRIPTION.name, payload["from"], payload["to"])


async def timeline_of(
    info: Info, subscription_id: str, first: int | None, after: str | None
) -> Connection[TimelineEntry]:
    return await below(info, BILLING_EVENTS, "subject_id", subscription_id, TimelineEntry.of, first=first, after=after)
