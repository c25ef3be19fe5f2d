"""Giving money back, and asking for it no more."""

from typing import Annotated

import strawberry

from billing.errors import UserProblem
from billing.returning import RefundReason
from schema.fields import Info, argument, described, optional
from schema.inputs import QUOTED, at_most
from schema.invoices import Invoice
from schema.money import MoneyInput
from schema.payloads import ERRORS
from schema.payments import Payment
from schema.returns import Refund
from schema.steps import INPUT, done
from schema.subscriptions import PlanSubscription
from schema.user_errors import UserError, refusals
from services.invoices.voiding import void_invoice
from services.refunds.giving_back import RefundWish, refund_payment


@strawberry.input(
    description="What to give back of a payment: an amount, all that is left of some lines, or all that is left."
)
class RefundPaymentInput:
    payment_id: strawberry.ID = described("The payment.")
    amount: MoneyInput | None = optional("How much; at most what is left. All that is left unless given.")
    line_ids: list[strawberry.ID] | None = optional(
        "Of which lines of its invoice; all that is left of those unless `amount` is given too."
    )
    reason: RefundReason = described("Why.")
    end_subscription: bool = strawberry.field(
        description="Whether the subscription ends at once, when the gateway has taken the refund on.", default=False
    )
    quote_token: str | None = optional(QUOTED)
    idempotency_key: str = described(
        "The same key with the same input gives the first answer again and never gives back twice; at most 255 "
        "characters."
    )

    def wish(self) -> RefundWish:
        at_most(255, idempotency_key=self.idempotency_key)
        return RefundWish(
            payment_id=self.payment_id,
            reason=self.reason,
            idempotency_key=self.idempotency_key,
            amount=self.amount.value("amount") if self.amount is not None else None,
            line_ids=self.line_ids,
            ends_subscription=self.end_subscription,
            quote_token=self.quote_token,
        )


@strawberry.type(description="The answer to `refundPayment`.")
class RefundPayload:
    refund: Refund | None = described("The refund, also while the gateway's answer is missing; null when refused.")
    payment: Payment | None = described("The payment as it is now; null when refused.")
    subscription: PlanSubscription | None = described("The subscription that was paid for; null when refused.")
    user_errors: list[UserError] = described(ERRORS)


@strawberry.type(description="The answer to a mutation about an invoice.")
class InvoicePayload:
    invoice: Invoice | None = described("The invoice as it is now; null when refused.")
    user_errors: list[UserError] = described(ERRORS)


@strawberry.type(description="Money that goes back, and invoices that are withdrawn.")
class ReturnMutations:
    @strawberry.mutation(
        description="Give money back to the card that paid. Support may give back so much of one payment as the "
        "server's settings say."
    )
    async def refund_payment(self, info: Info, input: Annotated[RefundPaymentInput, INPUT]) -> RefundPayload:
        try:
            outcome = await done(info, refund_payment(info.context.app, info.context.actor, input.wish()))
        except UserProblem as problem:
            return RefundPayload(refund=None, payment=None, subscription=None, user_errors=refusals([problem]))
        return RefundPayload(
            refund=Refund.of(outcome.refund),
            payment=Payment.of(outcome.payment),
            subscription=PlanSubscription.of(outcome.subscription),
            user_errors=refusals(outcome.problems),
        )

    @strawberry.mutation(
        description="Withdraw an open invoice of which nothing was paid. If its payment turns out to have gone "
        "through, that wins. A subscription that was behind with this invoice alone is active again."
    )
    async def void_invoice(
        self,
        info: Info,
        id: Annotated[strawberry.ID, argument("The invoice's id.")],
        expected_version: Annotated[int | None, argument("Only if the invoice is still at this version.")] = None,
    ) -> InvoicePayload:
        step = void_invoice(info.context.app, info.context.actor, invoice_id=id, expected_version=expected_version)
        try:
            row = await done(info, step)
        except UserProblem as problem:
            return InvoicePayload(invoice=None, user_errors=refusals([problem]))
        return InvoicePayload(invoice=Invoice.of(row), user_errors=[])
