"""Money that went back: what the merchant gave, and what a bank took."""

from datetime import datetime

import strawberry

import schema.return_enums  # noqa: F401 (publishes them before any type names one)
from billing.lifecycle import RefundStatus
from billing.returning import DisputeStatus, RefundOrigin, RefundReason
from models.returns import Dispute as DisputeRow
from models.returns import Refund as RefundRow
from schema import payments
from schema.fields import Info, PaymentRef, described
from schema.interfaces import Node
from schema.money import Money


async def _payment(info: Info, payment_id: str) -> PaymentRef:
    row = await info.context.loaders.payment.load(payment_id)
    if row is None:
        raise LookupError(f"no payment {payment_id}")
    return payments.Payment.of(row)


@strawberry.type(description="Money given back of one payment.")
class Refund(Node):
    gateway_id: str | None = described("The gateway's id of it; null until the gateway has answered.")
    amount: Money = described("How much.")
    reason: RefundReason = described("Why.")
    status: RefundStatus = described("Where it stands.")
    origin: RefundOrigin = described("Where it was made.")
    failure_reason: str | None = described("Why it did not arrive, in the gateway's words; null if it did.")
    created_at: datetime = described("When it was made.")
    updated_at: datetime = described("When it last changed.")
    payment_id: strawberry.Private[str]

    @classmethod
    def of(cls, row: RefundRow) -> "Refund":
        return cls(
            id=strawberry.ID(row.id),
            gateway_id=row.gateway_ref,
            amount=Money.of(row.amount),
            reason=row.reason,
            status=row.status,
            origin=row.origin,
            failure_reason=row.failure_reason,
            created_at=row.created_at,
            updated_at=row.updated_at,
            payment_id=row.payment_id,
        )

    @strawberry.field(description="What it gives back of.")
    async def payment(self, info: Info) -> PaymentRef:
        return await _payment(info, self.payment_id)


@strawberry.type(description="A bank's objection to a payment, in its customer's name.")
class Dispute(Node):
    gateway_id: str = described("The gateway's id of it.")
    amount: Money = described("What the bank objects to.")
    amount_withdrawn: Money = described("What the bank has taken; nothing during an inquiry.")
    amount_reinstated: Money = described("What of that came back.")
    reason: str = described("The gateway's word for the objection, such as fraudulent.")
    status: DisputeStatus = described("Where it stands.")
    created_at: datetime = described("When the bank raised it.")
    updated_at: datetime = described("When it last changed.")
    payment_id: strawberry.Private[str]

    @classmethod
    def of(cls, row: DisputeRow) -> "Dispute":
        return cls(
            id=strawberry.ID(row.id),
            gateway_id=row.gateway_ref,
            amount=Money.of(row.amount),
            amount_withdrawn=Money.of(row.withdrawn),
            amount_reinstated=Money.of(row.reinstated),
            reason=row.reason,
            status=row.status,
            created_at=row.created_at,
            updated_at=row.updated_at,
            payment_id=row.payment_id,
        )

    @strawberry.field(description="What it objects to.")
    async def payment(self, info: Info) -> PaymentRef:
        return await _payment(info, self.payment_id)
