"""What clients may ask for about a subscription that pauses or goes on."""

from datetime import datetime

import strawberry

from billing.errors import ErrorCode, UserProblem
from schema.enums import EffectiveAt
from schema.fields import described, optional
from schema.inputs import QUOTED, at_most
from services.subscriptions.pausing import PauseWish, ResumeWish

_KEY = "The same key with the same input gives the first answer again, for 30 days; at most 255 characters."
_VERSION = "Only if the subscription is still at this version."


@strawberry.input(description="Which subscription to pause, from when until when.")
class PauseSubscriptionInput:
    subscription_id: strawberry.ID = described("The subscription.")
    effective_at: EffectiveAt = strawberry.field(
        description="NOW, or PERIOD_END: access is kept until then, and nothing is billed.", default=EffectiveAt.NOW
    )
    until: datetime | None = optional("When it goes on by itself; it waits for `resumeSubscription` unless given.")
    expected_version: int | None = optional(_VERSION)
    quote_token: str | None = optional(QUOTED)
    idempotency_key: str | None = optional(_KEY)

    def wish(self) -> PauseWish:
        at_most(255, idempotency_key=self.idempotency_key)
        if self.effective_at is EffectiveAt.AT_DATE:
            raise UserProblem(ErrorCode.INVALID, "A pause begins NOW or at PERIOD_END.", ["effectiveAt"])
        return PauseWish(
            subscription_id=self.subscription_id,
            at_period_end=self.effective_at is EffectiveAt.PERIOD_END,
            until=self.until,
            expected_version=self.expected_version,
            quote_token=self.quote_token,
            idempotency_key=self.idempotency_key,
        )


@strawberry.input(description="Which subscription shall go on.")
class ResumeSubscriptionInput:
    subscription_id: strawberry.ID = described("The subscription.")
    expected_version: int | None = optional(_VERSION)
    quote_token: str | None = optional(QUOTED)
    idempotency_key: str | None = optional(_KEY)

    def wish(self) -> ResumeWish:
        at_most(255, idempotency_key=self.idempotency_key)
        return ResumeWish(self.subscription_id, self.expected_version, self.quote_token, self.idempotency_key)
