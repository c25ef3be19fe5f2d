"""What clients may ask for about a subscription that exists."""

from datetime import datetime

import strawberry
from strawberry.scalars import JSON

from billing.proration import ProrationBehavior
from schema.fields import described, optional
from schema.given import METADATA, notes, references
from schema.inputs import QUOTED, at_most, within
from schema.item_inputs import SubscribeItemInput
from schema.scalars import URL
from services.amendments.amending import UpdateWish

_KEY = "The same key with the same input gives the first answer again, for 30 days; at most 255 characters."


@strawberry.input(description="What to change of a subscription; what is left out stays as it is.")
class UpdateSubscriptionInput:
    subscription_id: strawberry.ID = described("The subscription.")
    name: str | None = optional("Its name, at most 250 characters; an empty one takes the name away.")
    metadata: JSON | None = optional(f"In the place of the present ones: {METADATA}")
    auto_renew: bool | None = optional(
        "Whether it renews when its period ends; false lets it end then, as `cancelSubscription` at PERIOD_END does."
    )
    billing_day: int | None = optional(
        "The day of the month on which periods begin from now on, 1 to 31 (in short months the last one). The next "
        "period is a stub up to it, prorated."
    )
    ends_at: datetime | None = optional(
        "When its term ends; the last period is prorated up to it. Staff and API keys only."
    )
    trial_end: datetime | None = optional(
        "When its trial ends and the first period begins; what is past means now. Staff and API keys only."
    )
    days_until_due: int | None = optional(
        "With SEND_INVOICE: after how many days an invoice must be paid, 1 to 365. Staff and API keys only."
    )
    items: list[SubscribeItemInput] | None = optional(
        "All that it shall consist of from now on, at most 20 items, the one of its own plan first. A plan that it "
        "has already stays at the price that it has; what is not named is taken out."
    )
    proration: ProrationBehavior | None = optional(
        "With items: what is done about money within the period; PRORATE_NOW unless given. NONE is for staff and API "
        "keys only."
    )
    return_url: URL | None = optional("With items: where the bank sends the customer after a challenge.")
    expected_version: int | None = optional("Only if the subscription is still at this version.")
    quote_token: str | None = optional(QUOTED)
    idempotency_key: str | None = optional(_KEY)

    def wish(self) -> UpdateWish:
        at_most(250, name=self.name)
        at_most(255, idempotency_key=self.idempotency_key)
        within(1, 31, billing_day=self.billing_day)
        within(1, 365, days_until_due=self.days_until_due)
        return UpdateWish(
            subscription_id=self.subscription_id,
            name=self.name,
            metadata=None if self.metadata is None else notes(self.metadata),
            auto_renew=self.auto_renew,
            billing_day=self.billing_day,
            ends_at=self.ends_at,
            trial_end=self.trial_end,
            days_until_due=self.days_until_due,
            items=None if self.items is None else [item.wish() for item in self.items],
            proration=self.proration,
            return_url=self.return_url,
            expected_version=self.expected_version,
            quote_token=self.quote_token,
            idempotency_key=self.idempotency_key,
        )


@strawberry.input(description="Which subscription shall go on after all.")
class UncancelSubscriptionInput:
    subscription_id: strawberry.ID = described("The subscription.")
    expected_version: int | None = optional("Only if the subscription is still at this version.")


@strawberry.input(description="Which subscription to pay, and with which saved card.")
class StartSubscriptionPaymentInput:
    subscription_id: strawberry.ID = described("The subscription; its oldest open invoice is paid.")
    payment_method_id: strawberry.ID = described("A saved card, by our id or the gateway's.")
    return_url: URL | None = optional("Where the bank sends the customer after a challenge.")
    error_url: URL | None = optional(
        "Where the application sends the customer after a challenge that failed; told again in `NextAction.errorUrl`."
    )
    idempotency_key: str | None = optional(_KEY)

    def check(self) -> None:
        references(paymentMethodId=self.payment_method_id)
        at_most(255, idempotency_key=self.idempotency_key)


@strawberry.input(description="Which open invoice to try again.")
class RetryPaymentInput:
    invoice_id: strawberry.ID = described("The oldest open invoice of its subscription.")
    payment_method_id: strawberry.ID | None = optional(
        "A saved card, by our id or the gateway's; the one that the subscription is paid by unless given."
    )
    quote_token: str | None = optional(QUOTED)
    idempotency_key: str | None = optional(_KEY)

    def check(self) -> None:
        references(paymentMethodId=self.payment_method_id)
        at_most(255, idempotency_key=self.idempotency_key)
