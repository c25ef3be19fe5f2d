"""What clients tell of usage, and what they are answered."""

from datetime import datetime
from decimal import Decimal

import strawberry

from schema.fields import described, optional
from schema.lookups import CustomerLookup
from schema.payloads import ERRORS
from schema.user_errors import UserError
from services.usage.recording import NewUsage, Recorded


@strawberry.input(description="One thing that was used. Name the subscription, or the customer if just one counts it.")
class UsageEventInput:
    subscription_id: strawberry.ID | None = optional("The subscription.")
    customer: CustomerLookup | None = optional(
        "The customer, whose one subscription measures the feature or, where none does, allows it."
    )
    feature_code: str = described("What was used.")
    quantity: Decimal = described("How much of it; not negative, at most 12 decimals.")
    unique_value: str | None = optional(
        "What `UNIQUE_COUNT` tells apart, such as a user's id; required there. At most 255 characters."
    )
    occurred_at: datetime | None = optional(
        "When; now unless given. Within the subscription's life, at most 35 days ago, not to come."
    )
    idempotency_key: str = described("The event's own key, at most 255 characters: under it there is one event.")

    def event(self) -> NewUsage:
        return NewUsage(
            feature_code=self.feature_code,
            quantity=self.quantity,
            idempotency_key=self.idempotency_key,
            subscription_id=self.subscription_id,
            customer=self.customer.given() if self.customer is not None else None,
            occurred_at=self.occurred_at,
            unique_value=self.unique_value,
        )


@strawberry.type(description="The answer to `recordUsage`.")
class UsagePayload:
    accepted: int = described("How many events were recorded now.")
    duplicates: int = described("How many had been recorded before, under the same keys; they count once.")
    user_errors: list[UserError] = described(
        ERRORS + ' Each names its event: `["events", "3", "occurredAt"]`; all others are recorded.'
    )

    @classmethod
    def of(cls, recorded: Recorded, errors: list[UserError]) -> "UsagePayload":
        return cls(accepted=recorded.accepted, duplicates=recorded.duplicates, user_errors=errors)
