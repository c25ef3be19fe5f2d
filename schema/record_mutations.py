"""Writing in the payments ledger: records of payments that no gateway of ours makes."""

from collections.abc import Awaitable
from typing import Annotated

import strawberry
from strawberry.scalars import JSON

from billing.confirming import PaymentConfirmation
from billing.errors import ErrorCode, UserProblem
from models.payments import Payment as PaymentRow
from schema.fields import Info, argument, described, optional
from schema.given import METADATA, notes
from schema.money import MoneyInput
from schema.payloads import PaymentPayload
from schema.scalars import URL
from schema.steps import INPUT, done
from services.payments.records import (
    NewRecord,
    RecordChange,
    create_payment_record,
    delete_payment_record,
    update_payment_record,
)


@strawberry.input(description="A payment to write down.")
class CreatePaymentRecordInput:
    order_id: strawberry.ID = described("What it is for: an open invoice, or a subscription with one; then the oldest.")
    gateway_payment_id: str = described(
        "Its id where it is made, 1 to 255 characters; no other record has it. The same again gives the same record."
    )
    gateway_status: str = described("What its state is called where it is made, 1 to 100 characters.")
    status_literal: PaymentConfirmation = described(
        "PAID: the money has come, and is booked as by `recordManualPayment`. Any other only announces it, for "
        "invoices that no card pays: nothing is booked."
    )
    amount: MoneyInput | None = optional("How much; all that the invoice still asks for unless given.")
    redirect_url: URL | None = optional("Where its customer is sent.")
    metadata: JSON | None = optional(METADATA)

    def record(self) -> NewRecord:
        _check_length(255, gatewayPaymentId=self.gateway_payment_id)
        _check_length(100, gatewayStatus=self.gateway_status)
        return NewRecord(
            order_id=self.order_id,
            reference=self.gateway_payment_id,
            gateway_status=self.gateway_status,
            status=self.status_literal,
            amount=None if self.amount is None else self.amount.value("amount"),
            redirect_url=self.redirect_url,
            metadata=notes(self.metadata),
        )


@strawberry.input(description="What a record says from now on; what is left out stays as it is.")
class UpdatePaymentRecordInput:
    payment_id: strawberry.ID = described("The record. What a gateway collects is no record.")
    gateway_payment_id: str | None = optional("Its id where it is made, 1 to 255 characters; no other record has it.")
    gateway_status: str | None = optional("What its state is called where it is made, 1 to 100 characters.")
    status_literal: PaymentConfirmation | None = optional(
        "PAID: the money has come, and is booked. What is PAID or CANCELED stays so."
    )
    redirect_url: URL | None = optional("Where its customer is sent.")
    metadata: JSON | None = optional(METADATA)
    expected_version: int | None = optional("Only if it is still at this version.")

    def change(self) -> RecordChange:
        _check_length(255, gatewayPaymentId=self.gateway_payment_id)
        _check_length(100, gatewayStatus=self.gateway_status)
        return RecordChange(
            payment_id=self.payment_id,
            reference=self.gateway_payment_id,
            gateway_status=self.gateway_status,
            status=self.status_literal,
            redirect_url=self.redirect_url,
            metadata=None if self.metadata is None else notes(self.metadata),
            expected_version=self.expected_version,
        )


def _check_length(most: int, **given: str | None) -> None:
    for name, text in given.items():
        if text is not None and not 1 <= len(text) <= most:
            raise UserProblem(ErrorCode.INVALID, f"{name} has 1 to {most} characters.", [name])


@strawberry.type(description="The ledger of payments that are made elsewhere.")
class RecordMutations:
    @strawberry.mutation(
        description="Write down a payment that no gateway of this server makes. One that is PAID settles its invoice; "
        "a card that could still pay it is stopped first, and if it turns out to have paid, that wins."
    )
    async def create_payment_record(
        self, info: Info, input: Annotated[CreatePaymentRecordInput, INPUT]
    ) -> PaymentPayload:
        try:
            step = create_payment_record(info.context.app, info.context.actor, input.record())
            return await _told(info, step)
        except UserProblem as problem:
            return PaymentPayload.refused(problem)

    @strawberry.mutation(
        description="Say something else of a record: announced money has come, or will not. A payment that a gateway "
        "makes is never edited."
    )
    async def update_payment_record(
        self, info: Info, input: Annotated[UpdatePaymentRecordInput, INPUT]
    ) -> PaymentPayload:
        try:
            step = update_payment_record(info.context.app, info.context.actor, input.change())
            return await _told(info, step)
        except UserProblem as problem:
            return PaymentPayload.refused(problem)

    @strawberry.mutation(
        description="Take a record of which nothing came out of the ledger: `includeArchived` still shows it. What is "
        "PAID stays. Repeating it changes nothing."
    )
    async def delete_payment_record(
        self,
        info: Info,
        id: Annotated[strawberry.ID, argument("The record.")],
        expected_version: Annotated[int | None, argument("Only if it is still at this version.")] = None,
    ) -> PaymentPayload:
        step = delete_payment_record(info.context.app, id, expected_version=expected_version)
        try:
            return await _told(info, step)
        except UserProblem as problem:
            return PaymentPayload.refused(problem)


async def _told(info: Info, step: Awaitable[PaymentRow]) -> PaymentPayload:
    return await PaymentPayload.of(info, await done(info, step))
