"""The collecting of invoices, try by try."""

from datetime import datetime

import strawberry
from strawberry.scalars import JSON

from billing.confirming import CONFIRMATIONS, PaymentConfirmation
from billing.lifecycle import AttemptOutcome, PaymentStatus
from billing.money import Money as Amount
from billing.returning import PaymentStanding
from models.payments import MANUAL, problem_of
from models.payments import ChargeAttempt as AttemptRow
from models.payments import Payment as PaymentRow
from schema import cards, customers, intents, invoices, subscriptions
from schema.actions import GatewayError
from schema.enums import ChargeTrigger, GatewayPlatform
from schema.fields import (
    CustomerRef,
    Info,
    InvoiceRef,
    PaymentIntentRef,
    PaymentMethodRef,
    PlanSubscriptionRef,
    described,
)
from schema.interfaces import Node, Record, record_fields
from schema.money import Money
from schema.returns import Dispute, Refund
from schema.scalars import URL, BigInt


@strawberry.type(description="One try at charging a card.")
class ChargeAttempt(Node):
    sequence: int = described("1 for the first try of its payment.")
    trigger: ChargeTrigger = described("What set it off.")
    outcome: AttemptOutcome = described("How it ended.")
    error: GatewayError | None = described("Why the card was refused, if it was.")
    started_at: datetime = described("When it began.")
    finished_at: datetime | None = described("When it was answered; null while it is not.")
    idempotency_key: str | None = described("The key under which the gateway was asked. For staff.")
    payment_method_id: strawberry.Private[str | None]

    @classmethod
    def of(cls, row: AttemptRow) -> "ChargeAttempt":
        return cls(
            id=strawberry.ID(row.id),
            sequence=row.sequence,
            trigger=ChargeTrigger(row.trigger),
            outcome=row.outcome,
            error=GatewayError.of(problem_of(row)),
            started_at=row.started_at,
            finished_at=row.finished_at,
            idempotency_key=row.idempotency_key,
            payment_method_id=row.payment_method_id,
        )

    @strawberry.field(description="The saved card that was tried; null if it was not kept.")
    async def payment_method(self, info: Info) -> PaymentMethodRef | None:
        return await cards.payment_method_of(info, self.payment_method_id)


@strawberry.type(description="The collecting of one invoice, over all its tries.")
class Payment(Node, Record):
    number: BigInt = described("Counts up over all payments.")
    order_id: strawberry.ID = described(
        "The id of the order that it pays: the invoice. Look-ups and filters by order take its subscription's id too."
    )
    platform: GatewayPlatform = described("The gateway that collects it.")
    status: PaymentStanding = described("Where it stands.")
    status_literal: PaymentConfirmation = described("The same in four words.")
    success: bool = described("Whether it is paid.")
    paid_out_of_band: bool = described("Whether it came by other ways than a gateway's, and was recorded by hand.")
    amount: Money = described("What is to be collected in all.")
    amount_paid: Money = described("What has been collected.")
    amount_due: Money = described("What is still to be collected.")
    amount_refunded: Money = described("What was given back of what had been collected.")
    error: GatewayError | None = described("Why the last card was refused, if it was.")
    next_retry_at: datetime | None = described(
        "When the card is tried again by itself; null if it is not before the customer does something."
    )
    redirect_url: URL | None = described(
        "Where the customer is sent after a challenge, or as it was recorded; null if nobody said."
    )
    metadata: JSON = described("The merchant's own notes on a payment that was recorded by hand; else empty.")
    row: strawberry.Private[PaymentRow]

    @classmethod
    def of(cls, row: PaymentRow) -> "Payment":
        paid = Amount(row.amount_paid_minor, row.currency)
        return cls(
            **record_fields(row),
            metadata=JSON(row.meta),
            number=BigInt(row.number or 0),
            order_id=strawberry.ID(row.invoice_id),
            platform=GatewayPlatform(row.platform),
            status=row.standing,
            status_literal=CONFIRMATIONS[row.status],
            success=row.status is PaymentStatus.SUCCEEDED,
            paid_out_of_band=row.platform == MANUAL,
            amount=Money.of(row.amount),
            amount_paid=Money.of(paid),
            amount_due=Money.of(row.amount - paid),
            amount_refunded=Money.of(Amount(row.amount_refunded_minor, row.currency)),
            error=GatewayError.of(problem_of(row)),
            next_retry_at=row.collect_at,
            redirect_url=URL(row.return_url) if row.return_url is not None else None,
            row=row,
        )

    @strawberry.field(description="Who pays.")
    async def customer(self, info: Info) -> CustomerRef:
        return await customers.customer_of(info, self.row.customer_id)

    @strawberry.field(description="The subscription that it is for.")
    async def subscription(self, info: Info) -> PlanSubscriptionRef | None:
        return await subscriptions.subscription_of(info, self.row.subscription_id)

    @strawberry.field(description="The invoice that it pays.")
    async def invoice(self, info: Info) -> InvoiceRef | None:
        row = await info.context.loaders.invoice.load(self.row.invoice_id)
        return invoices.Invoice.of(row) if row is not None else None

    @strawberry.field(description="The card tried last, or that paid; null if none was, or if it was not kept.")
    async def payment_method(self, info: Info) -> PaymentMethodRef | None:
        return await cards.payment_method_of(info, self.row.payment_method_id)

    @strawberry.field(
        description="The gateway's id of its intent; null until the gateway has answered. Of one that was recorded by "
        "hand, the merchant's own reference."
    )
    async def gateway_payment_id(self, info: Info) -> str | None:
        if self.row.platform == MANUAL:
            return self.row.reference
        intent = await info.context.loaders.newest_intent(self.row.id)
        return intent.gateway_ref if intent is not None else None

    @strawberry.field(
        description="What the gateway calls the state of its intent, such as `requires_action`; null until it has "
        "answered. Of one that was recorded by hand, what was recorded."
    )
    async def gateway_status(self, info: Info) -> str | None:
        if self.row.platform == MANUAL:
            return self.row.gateway_status
        intent = await info.context.loaders.newest_intent(self.row.id)
        return intent.status.value if intent is not None else None

    @strawberry.field(description="What it is for, for people to read.")
    async def description(self, info: Info) -> str | None:
        invoice = await info.context.loaders.invoice.load(self.row.invoice_id)
        subscription = await info.context.loaders.subscription.load(self.row.subscription_id)
        plan = await info.context.loaders.plan.load(subscription.plan_id) if subscription is not None else None
        if invoice is None or subscription is None or plan is None:
            return None
        return f"{subscription.name or plan.name}, invoice {invoice.number}"

    @strawberry.field(description="Its intent at the gateway as last seen; without the client secret.")
    async def intent(self, info: Info) -> PaymentIntentRef | None:
        return await intents.intent_of_payment(info, self.row)

    @strawberry.field(description="What was given back of it, the oldest refund first.")
    async def refunds(self, info: Info) -> list[Refund]:
        return [Refund.of(row) for row in await info.context.loaders.refunds_of_payment.load(self.row.id)]

    @strawberry.field(description="The bank's objections to it, the oldest first.")
    async def disputes(self, info: Info) -> list[Dispute]:
        return [Dispute.of(row) for row in await info.context.loaders.disputes_of_payment.load(self.row.id)]

    @strawberry.field(description="Every try, the first one first.")
    async def attempts(self, info: Info) -> list[ChargeAttempt]:
        return [ChargeAttempt.of(row) for row in await info.context.loaders.attempts_of_payment.load(self.row.id)]
