"""What an application's back end asks: who is this customer, may this user in."""

import strawberry

from models.subscriptions import Subscription
from schema.entitlements import Entitlements, entitlements_of
from schema.fields import Info, described
from schema.subscriptions import PlanSubscription


@strawberry.input(one_of=True, description="Which customer: exactly one of these.")
class CustomerLookup:
    id: strawberry.ID | None = strawberry.field(description="The customer's id here.", default=strawberry.UNSET)
    user_id: strawberry.ID | None = strawberry.field(
        description="The application's own id of the user.", default=strawberry.UNSET
    )
    external_id: str | None = strawberry.field(
        description="The merchant's own id for the customer.", default=strawberry.UNSET
    )
    gateway_customer_id: str | None = strawberry.field(
        description="The customer's id at the payment gateway.", default=strawberry.UNSET
    )

    def given(self) -> dict[str, str]:
        """The one that was given, by its name."""
        fields = {
            "id": self.id,
            "user_id": self.user_id,
            "external_id": self.external_id,
            "gateway_ref": self.gateway_customer_id,
        }
        return {name: value for name, value in fields.items() if isinstance(value, str)}


@strawberry.type(description="Whether a user has access now, and by what.")
class SubscriptionStatusCheck:
    user_id: strawberry.ID = described("The user that was asked about.")
    is_active: bool = described("Whether any subscription gives access now. The field to open or close a door by.")
    subscriptions: list[PlanSubscription] = described("The subscriptions that have not ended, newest first.")
    rows: strawberry.Private[list[Subscription]]

    @classmethod
    async def of(cls, info: Info, user_id: str, rows: list[Subscription]) -> "SubscriptionStatusCheck":
        found = [PlanSubscription.of(row) for row in rows]
        return cls(
            user_id=strawberry.ID(user_id),
            is_active=any([await each.gives_access(info) for each in found]),
            subscriptions=found,
            rows=rows,
        )

    @strawberry.field(description="What the user may do now.")
    async def entitlements(self, info: Info) -> Entitlements:
        return await entitlements_of(info, self.user_id, self.rows)
