"""What narrows lists of subscriptions, invoices and payments."""

import strawberry

from billing.lifecycle import InvoiceStatus, SubscriptionStatus
from billing.returning import PaymentStanding
from models.billing_lists import InvoicesWhere, PaymentsWhere, SubscriptionsWhere
from resolvers.standing import PaymentConfirmation, statuses
from schema.fields import optional


@strawberry.input(description="Which subscriptions.")
class SubscriptionFilter:
    status: list[SubscriptionStatus] | None = optional("In any of these statuses.")

    def where(self) -> SubscriptionsWhere:
        return SubscriptionsWhere(status=None if self.status is None else frozenset(self.status))


@strawberry.input(description="Which invoices.")
class InvoiceFilter:
    status: list[InvoiceStatus] | None = optional("In any of these statuses.")
    subscription_id: strawberry.ID | None = optional("Of this subscription.")

    def where(self) -> InvoicesWhere:
        return InvoicesWhere(
            subscription_id=self.subscription_id,
            status=None if self.status is None else frozenset(self.status),
        )


@strawberry.input(description="Which payments.")
class PaymentFilter:
    owner_id: strawberry.ID | None = optional("Of this user of the application. Customers may only name themselves.")
    order_id: strawberry.ID | None = optional("Of this invoice.")
    gateway_payment_id: str | None = optional("With this id at the gateway.")
    status: list[PaymentStanding] | None = optional("In any of these statuses.")
    status_literal: list[PaymentConfirmation] | None = optional("That read as any of these.")

    def where(self) -> PaymentsWhere:
        return PaymentsWhere(
            owner_user_id=self.owner_id,
            order_id=self.order_id,
            gateway_payment_id=self.gateway_payment_id,
            status=None if self.status_literal is None else statuses(self.status_literal),
            standing=None if self.status is None else frozenset(self.status),
        )
