"""Writing down what was agreed on and paid elsewhere."""

from typing import Annotated

import strawberry

from billing.errors import UserProblem
from schema.fields import Info, argument
from schema.invoices import Invoice
from schema.manual_inputs import (
    CreateManualSubscriptionInput,
    RecordManualPaymentInput,
    RenewManualSubscriptionInput,
)
from schema.payloads import PaymentPayload, SubscriptionPayload
from schema.steps import INPUT, done
from schema.subscriptions import PlanSubscription
from schema.user_errors import refusals
from services.payments.offline import record_manual_payment
from services.people.registering import found_or_made_customer
from services.subscriptions import manual, manual_renewals


@strawberry.type(description="What no gateway knows of.")
class ManualMutations:
    @strawberry.mutation(
        description="Write down a subscription that was agreed on and paid elsewhere, with its invoice, its payment "
        "and its credits. It ends with its period unless `renewManualSubscription` lets it go on."
    )
    async def create_manual_subscription(
        self, info: Info, input: Annotated[CreateManualSubscriptionInput, INPUT]
    ) -> SubscriptionPayload:
        app, actor = info.context.app, info.context.actor
        try:
            order = input.order()
            customer = await done(info, found_or_made_customer(app, input.known_as()))
            step = manual.create_manual_subscription(app, actor, customer, order, idempotency_key=input.idempotency_key)
            return _told(await done(info, step))
        except UserProblem as problem:
            return _refused(problem)

    @strawberry.mutation(
        description="Let a manual subscription go on after its end: the time that follows is invoiced, the payment of "
        "it recorded, and its credits are granted anew."
    )
    async def renew_manual_subscription(
        self, info: Info, input: Annotated[RenewManualSubscriptionInput, INPUT]
    ) -> SubscriptionPayload:
        try:
            step = manual_renewals.renew_manual_subscription(
                info.context.app, info.context.actor, input.renewal(), idempotency_key=input.idempotency_key
            )
            return _told(await done(info, step))
        except UserProblem as problem:
            return _refused(problem)

    @strawberry.mutation(
        description="Take a manual subscription back: it ends at once, and what is unpaid of it is voided. It can "
        "still be read. Repeating it changes nothing."
    )
    async def delete_manual_subscription(
        self,
        info: Info,
        id: Annotated[strawberry.ID, argument("The subscription.")],
        expected_version: Annotated[int | None, argument("Only if it is still at this version.")] = None,
    ) -> SubscriptionPayload:
        step = manual.delete_manual_subscription(
            info.context.app, info.context.actor, subscription_id=id, expected_version=expected_version
        )
        try:
            row = await done(info, step)
        except UserProblem as problem:
            return _refused(problem)
        return SubscriptionPayload(subscription=PlanSubscription.of(row), invoice=None, user_errors=[])

    @strawberry.mutation(
        description="Record what came for an open invoice by other ways than the gateway's: a part, all, or more, "
        "which goes to the customer's balance. One that was written off may be paid so, too. An invoice that a card "
        "could still pay is recorded in one piece; if the card turns out to have paid it, that wins."
    )
    async def record_manual_payment(
        self, info: Info, input: Annotated[RecordManualPaymentInput, INPUT]
    ) -> PaymentPayload:
        context = info.context
        try:
            step = record_manual_payment(
                context.app,
                context.actor,
                invoice_id=input.invoice_id,
                record=input.record(),
                idempotency_key=input.idempotency_key,
            )
            row = await done(info, step)
        except UserProblem as problem:
            return PaymentPayload.refused(problem)
        return await PaymentPayload.of(info, row)


def _told(recorded: manual.Recorded) -> SubscriptionPayload:
    return SubscriptionPayload(
        subscription=PlanSubscription.of(recorded.subscription), invoice=Invoice.of(recorded.invoice), user_errors=[]
    )


def _refused(problem: UserProblem) -> SubscriptionPayload:
    return SubscriptionPayload(subscription=None, invoice=None, user_errors=refusals([problem]))
