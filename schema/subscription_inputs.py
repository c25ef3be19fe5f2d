"""What clients may ask for about a subscription that exists."""

from collections.abc import Mapping
from typing import Any

import strawberry
from strawberry.scalars import JSON

from billing.errors import ErrorCode, UserProblem
from schema.fields import described, optional
from schema.inputs import at_most
from schema.scalars import URL

_KEY = "The same key with the same input gives the first answer again, for 30 days; at most 255 characters."


@strawberry.input(description="What to change of a subscription; what is left out stays as it is.")
class UpdateSubscriptionInput:
    subscription_id: strawberry.ID = described("The subscription.")
    name: str | None = optional("Its name, at most 250 characters; an empty one takes the name away.")
    metadata: JSON | None = optional("The merchant's own notes instead of the present ones: a JSON object.")
    auto_renew: bool | None = optional(
        "Whether it renews when its period ends; false lets it end then, as `cancelSubscription` at PERIOD_END does."
    )
    expected_version: int | None = optional("Only if the subscription is still at this version.")

    def check(self) -> None:
        at_most(250, name=self.name)

    def notes(self) -> Mapping[str, Any] | None:
        if self.metadata is not None and not isinstance(self.metadata, dict):
            raise UserProblem(ErrorCode.INVALID, "Give metadata as a JSON object.", ["metadata"])
        return self.metadata


@strawberry.input(description="Which subscription shall go on after all.")
class UncancelSubscriptionInput:
    subscription_id: strawberry.ID = described("The subscription.")
    expected_version: int | None = optional("Only if the subscription is still at this version.")


@strawberry.input(description="Which subscription to pay, and with which saved card.")
class StartSubscriptionPaymentInput:
    subscription_id: strawberry.ID = described("The subscription; its oldest open invoice is paid.")
    payment_method_id: strawberry.ID = described("A saved card, by our id or the gateway's.")
    return_url: URL | None = optional("Where the bank sends the customer after a challenge.")
    idempotency_key: str | None = optional(_KEY)

    def check(self) -> None:
        at_most(255, idempotency_key=self.idempotency_key)


@strawberry.input(description="Which open invoice to try again.")
class RetryPaymentInput:
    invoice_id: strawberry.ID = described("The oldest open invoice of its subscription.")
    payment_method_id: strawberry.ID | None = optional(
        "A saved card, by our id or the gateway's; the one that the subscription is paid by unless given."
    )
    idempotency_key: str | None = optional(_KEY)

    def check(self) -> None:
        at_most(255, idempotency_key=self.idempotency_key)
