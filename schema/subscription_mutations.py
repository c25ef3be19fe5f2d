"""Changing and paying a subscription that exists."""

from typing import Annotated

import strawberry

from billing.errors import UserProblem
from schema.card_inputs import UpdateSubscriptionPaymentMethodInput
from schema.fields import Info
from schema.invoices import Invoice
from schema.payloads import SubscriptionPayload, SubscriptionPaymentPayload
from schema.steps import INPUT, done
from schema.subscription_inputs import (
    RetryPaymentInput,
    StartSubscriptionPaymentInput,
    UncancelSubscriptionInput,
    UpdateSubscriptionInput,
)
from schema.subscriptions import PlanSubscription
from schema.user_errors import refusals
from services.amendments import amending
from services.payments import paying_again
from services.wallet import card_changes


@strawberry.type(description="Subscriptions that exist.")
class SubscriptionMutations:
    @strawberry.mutation(
        description="Pay a subscription's oldest open invoice with a saved card while the customer is present: the "
        "first one, or a renewal that was refused. At most five tries an hour."
    )
    async def start_subscription_payment(
        self, info: Info, input: Annotated[StartSubscriptionPaymentInput, INPUT]
    ) -> SubscriptionPaymentPayload:
        try:
            input.check()
            step = paying_again.start_subscription_payment(
                info.context.app,
                info.context.actor,
                subscription_id=input.subscription_id,
                payment_method_id=input.payment_method_id,
                return_url=input.return_url,
                error_url=input.error_url,
                idempotency_key=input.idempotency_key,
            )
            outcome = await done(info, step)
        except UserProblem as problem:
            return SubscriptionPaymentPayload.refused(problem)
        return await SubscriptionPaymentPayload.of(info, outcome, started=True)

    @strawberry.mutation(
        description="Try an open invoice again while the customer is present. What the bank asks the customer about is "
        "carried on, never charged beside it. At most five tries an hour."
    )
    async def retry_payment(self, info: Info, input: Annotated[RetryPaymentInput, INPUT]) -> SubscriptionPaymentPayload:
        try:
            input.check()
            step = paying_again.retry_payment(
                info.context.app,
                info.context.actor,
                invoice_id=input.invoice_id,
                payment_method_id=input.payment_method_id,
                quote_token=input.quote_token,
                idempotency_key=input.idempotency_key,
            )
            outcome = await done(info, step)
        except UserProblem as problem:
            return SubscriptionPaymentPayload.refused(problem)
        return await SubscriptionPaymentPayload.of(info, outcome, started=True)

    @strawberry.mutation(
        description="Pay one subscription with a card of its own from now on; `setDefaultPaymentMethod` takes it back."
    )
    async def update_subscription_payment_method(
        self, info: Info, input: Annotated[UpdateSubscriptionPaymentMethodInput, INPUT]
    ) -> SubscriptionPayload:
        try:
            input.check()
            step = card_changes.update_subscription_payment_method(
                info.context.app,
                info.context.actor,
                subscription_id=input.subscription_id,
                payment_method_id=input.payment_method_id,
                card_token=input.card_token,
                retry_open_invoice=input.retry_open_invoice,
                expected_version=input.expected_version,
                idempotency_key=input.idempotency_key,
            )
            change = await done(info, step)
        except UserProblem as problem:
            return SubscriptionPayload(subscription=None, invoice=None, user_errors=refusals([problem]))
        return SubscriptionPayload(
            subscription=PlanSubscription.of(change.subscription),
            invoice=Invoice.of(change.invoice) if change.invoice is not None else None,
            user_errors=[],
        )

    @strawberry.mutation(
        description="Change a subscription: its name and notes, whether it renews, its dates, what it consists of. All "
        "of it or nothing. A change of items is at once, and what it costs is collected as by `changePlan`."
    )
    async def update_subscription(
        self, info: Info, input: Annotated[UpdateSubscriptionInput, INPUT]
    ) -> SubscriptionPayload:
        try:
            step = amending.update_subscription(info.context.app, info.context.actor, input.wish())
            outcome = await done(info, step)
        except UserProblem as problem:
            return SubscriptionPayload.refused(problem)
        return await SubscriptionPayload.of_change(info, outcome)

    @strawberry.mutation(
        description="Let a subscription go on that would end with its period or at a date. Repeating it changes "
        "nothing; what has ended stays ended."
    )
    async def uncancel_subscription(
        self, info: Info, input: Annotated[UncancelSubscriptionInput, INPUT]
    ) -> SubscriptionPayload:
        try:
            step = amending.uncancel_subscription(
                info.context.app,
                info.context.actor,
                subscription_id=input.subscription_id,
                expected_version=input.expected_version,
            )
            row = await done(info, step)
        except UserProblem as problem:
            return SubscriptionPayload(subscription=None, invoice=None, user_errors=refusals([problem]))
        return SubscriptionPayload(subscription=PlanSubscription.of(row), invoice=None, user_errors=[])
