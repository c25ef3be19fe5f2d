"""Lists of subscriptions: what narrows them, and their order."""

from datetime import datetime
from enum import StrEnum

import strawberry

from billing.confirming import PaymentConfirmation
from billing.lifecycle import SubscriptionStatus
from models.batches import Key, Listing, rank_key
from models.billing_lists import SUBSCRIPTIONS, SubscriptionsWhere
from models.standing import BY_CONFIRMATION, by_next_billing
from models.subscriptions import Subscription, SubscriptionOrigin
from schema.arguments import product_id_of, searched
from schema.enums import publish
from schema.fields import Info, described, optional
from schema.periods import DateTimeRange, between
from schema.sorting import SortDirection


@strawberry.input(description="Which subscriptions: those that all of it is true of.")
class SubscriptionFilter:
    status: list[SubscriptionStatus] | None = optional("In any of these statuses.")
    user_id: strawberry.ID | None = optional("Of this user of the application. Customers may only name themselves.")
    customer_id: strawberry.ID | None = optional("Of this customer. Customers may only name themselves.")
    payment_confirmation: list[PaymentConfirmation] | None = optional("Whose payment reads as any of these.")
    external_id: str | None = optional("With this id of the merchant's own.")
    subscription_id: strawberry.ID | None = optional("With this id, ours or the merchant's own.")
    origin: list[SubscriptionOrigin] | None = optional("That came to be in any of these ways.")
    plan_id: strawberry.ID | None = optional("With anything of this plan.")
    product_code: str | None = optional("With anything of this product, by its code or an alias.")
    next_billing_at: DateTimeRange | None = optional("That renew then.")
    created_at: DateTimeRange | None = optional("That came into being then.")
    search: str | None = optional(
        "Text in the name or the merchant's id of the subscription, or in the name, email address or ids of its "
        "customer, whatever its case; at most 100 characters."
    )
    include_archived: bool = strawberry.field(
        description="Those that `deleteManualSubscription` took back too. For staff and API keys.", default=False
    )

    async def where(self, info: Info) -> SubscriptionsWhere:
        return SubscriptionsWhere(
            customer_id=self.customer_id,
            user_id=self.user_id,
            product_id=await product_id_of(info, self.product_code),
            plan_id=self.plan_id,
            status=None if self.status is None else frozenset(self.status),
            confirmation=None if self.payment_confirmation is None else frozenset(self.payment_confirmation),
            origin=None if self.origin is None else frozenset(self.origin),
            external_id=self.external_id,
            id_or_external_id=self.subscription_id,
            next_billing_at=between(self.next_billing_at),
            created_at=between(self.created_at),
            search=searched(info, self.search),
            include_archived=self.include_archived,
        )


class SubscriptionSortField(StrEnum):
    CREATED_AT = "created_at"
    STATUS = "status"
    NEXT_BILLING_AT = "next_billing_at"
    STATUS_UPDATED_AT = "status_updated_at"
    PAYMENT_CONFIRMATION = "payment_confirmation"


publish(
    SubscriptionSortField,
    "SubscriptionSortField",
    "What subscriptions are put in order by.",
    {
        "CREATED_AT": "When they came into being.",
        "STATUS": "Their status, in the order in which the statuses are listed.",
        "NEXT_BILLING_AT": "When they renew; those that will not come last, whichever direction.",
        "STATUS_UPDATED_AT": "When they came to their status.",
        "PAYMENT_CONFIRMATION": "Whether the money has come, in the order in which the words are listed.",
    },
)


@strawberry.input(description="In which order; among equals by age.")
class SubscriptionSort:
    field: SubscriptionSortField = described("By what.")
    direction: SortDirection = described("Which end comes first.")

    def listing(self) -> Listing[Subscription]:
        descending = self.direction is SortDirection.DESC
        return SUBSCRIPTIONS.sorted_by(self._key(descending=descending), descending=descending)

    def _key(self, *, descending: bool) -> Key:
        match self.field:
            case SubscriptionSortField.STATUS:
                return rank_key("status", SubscriptionStatus)
            case SubscriptionSortField.PAYMENT_CONFIRMATION:
                return BY_CONFIRMATION
            case SubscriptionSortField.NEXT_BILLING_AT:
                return by_next_billing(descending=descending)
            case _:
                return Key(self.field.value, datetime)
