"""What clients may ask for about what a subscription consists of."""

from datetime import datetime

import strawberry

from billing.errors import ErrorCode, UserProblem
from billing.proration import ProrationBehavior
from schema.enums import EffectiveAt
from schema.fields import described, optional
from schema.inputs import QUOTED, at_most
from schema.scalars import URL, CurrencyCode
from services.amendments.plan_changes import ChangePlanWish


@strawberry.input(
    description="Which plan takes the place of a subscription's own. Name it by `planId` or by `planCode`. Its "
    "quantity and its other items stay; `updateSubscription` changes those."
)
class ChangePlanInput:
    subscription_id: strawberry.ID = described("The subscription.")
    plan_id: strawberry.ID | None = optional("The plan, by id. Customers choose among those on sale.")
    plan_code: str | None = optional("The plan, by code.")
    currency_code: CurrencyCode | None = optional("The subscription's own, which never changes; any other is refused.")
    effective_at: EffectiveAt = strawberry.field(
        description="At once, when the period ends (without proration), or at `date`.", default=EffectiveAt.PERIOD_END
    )
    date: datetime | None = optional("For AT_DATE: an instant to come.")
    proration: ProrationBehavior | None = optional(
        "What is done about money within the period; PRORATE_NOW unless given. Not for PERIOD_END. NONE is for staff "
        "and API keys only."
    )
    return_url: URL | None = optional("Where the bank sends the customer after a challenge.")
    expected_version: int | None = optional("Only if the subscription is still at this version.")
    quote_token: str | None = optional(QUOTED)
    idempotency_key: str | None = optional(
        "The same key with the same input gives the first answer again, for 30 days; at most 255 characters."
    )

    def wish(self) -> ChangePlanWish:
        at_most(255, idempotency_key=self.idempotency_key)
        if (self.plan_id is None) is (self.plan_code is None):
            raise UserProblem(ErrorCode.REQUIRED, "Name the plan: give either planId or planCode.", ["planId"])
        if self.effective_at is EffectiveAt.AT_DATE and self.date is None:
            raise UserProblem(ErrorCode.REQUIRED, "Give the date at which it shall change.", ["date"])
        if self.effective_at is not EffectiveAt.AT_DATE and self.date is not None:
            raise UserProblem(ErrorCode.INVALID, "A date goes with effectiveAt: AT_DATE only.", ["date"])
        return ChangePlanWish(
            subscription_id=self.subscription_id,
            plan_id=self.plan_id,
            plan_code=self.plan_code,
            currency=self.currency_code,
            is_now=self.effective_at is EffectiveAt.NOW,
            date=self.date,
            proration=self.proration,
            return_url=self.return_url,
            expected_version=self.expected_version,
            quote_token=self.quote_token,
            idempotency_key=self.idempotency_key,
        )


@strawberry.input(description="Whose planned change to take back.")
class CancelScheduledChangeInput:
    subscription_id: strawberry.ID = described("The subscription.")
    expected_version: int | None = optional("Only if the subscription is still at this version.")
