"""What narrows lists of invoices and payments."""

from typing import Any

import strawberry

from billing.confirming import PaymentConfirmation, statuses
from billing.lifecycle import InvoiceStatus
from billing.returning import PaymentStanding
from models.billing_lists import InvoicesWhere, PaymentsWhere
from schema.fields import optional
from schema.periods import DateTimeRange, between
from schema.scalars import URL, BigInt


@strawberry.input(description="Which invoices: those that all of it is true of.")
class InvoiceFilter:
    status: list[InvoiceStatus] | None = optional("In any of these statuses.")
    subscription_id: strawberry.ID | None = optional("Of this subscription.")
    due_at: DateTimeRange | None = optional("Sent ones that must be paid then.")
    created_at: DateTimeRange | None = optional("That came into being then.")

    def where(self) -> InvoicesWhere:
        return InvoicesWhere(
            subscription_id=self.subscription_id,
            status=None if self.status is None else frozenset(self.status),
            due_at=between(self.due_at),
            created_at=between(self.created_at),
        )


@strawberry.input(description="Which payments: those that all of it is true of.")
class PaymentFilter:
    owner_id: strawberry.ID | None = optional("Of this user of the application. Customers may only name themselves.")
    order_id: strawberry.ID | None = optional("Of this order: an invoice, or a subscription with all its invoices.")
    gateway_payment_id: str | None = optional("With this id at the gateway, or recorded under this reference.")
    gateway_status: str | None = optional("Whose gateway, or record, says just this, such as `requires_action`.")
    status: list[PaymentStanding] | None = optional("In any of these statuses.")
    status_literal: list[PaymentConfirmation] | None = optional("That read as any of these.")
    redirect_url: URL | None = optional("Whose customer is sent to this address after a challenge.")
    created_at: DateTimeRange | None = optional("That came into being then.")
    include_archived: bool = strawberry.field(
        description="Records that were deleted too. For staff and API keys.", default=False
    )

    def where(self) -> PaymentsWhere:
        return PaymentsWhere(
            owner_user_id=self.owner_id,
            order_id=self.order_id,
            gateway_payment_id=self.gateway_payment_id,
            gateway_status=self.gateway_status,
            status=None if self.status_literal is None else statuses(self.status_literal),
            standing=None if self.status is None else frozenset(self.status),
            redirect_url=self.redirect_url,
            created_at=between(self.created_at),
            include_archived=self.include_archived,
        )


@strawberry.input(one_of=True, description="Which payment: exactly one of these.")
class PaymentLookup:
    id: strawberry.ID | None = strawberry.field(description="The payment's id.", default=strawberry.UNSET)
    order_id: strawberry.ID | None = strawberry.field(
        description="The latest one of this order: of an invoice, or of a subscription.", default=strawberry.UNSET
    )
    gateway_payment_id: str | None = strawberry.field(
        description="Its id at the gateway, or the reference that it was recorded under; the newest if there are "
        "several.",
        default=strawberry.UNSET,
    )
    number: BigInt | None = strawberry.field(description="Its number among all payments.", default=strawberry.UNSET)

    def given(self) -> dict[str, Any]:
        """The one that was given, by its name."""
        names = ("id", "order_id", "gateway_payment_id", "number")
        return {name: getattr(self, name) for name in names if getattr(self, name) not in (None, strawberry.UNSET)}
