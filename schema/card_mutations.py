"""Changing saved cards."""

from typing import Annotated

import strawberry

from billing.errors import UserProblem
from schema.card_inputs import DetachPaymentMethodInput, UpdatePaymentMethodInput
from schema.cards import PaymentMethod
from schema.customers import Customer
from schema.fields import Info
from schema.inputs import AttachPaymentMethodInput, CreateSetupIntentInput, SetDefaultPaymentMethodInput
from schema.intents import SetupIntent
from schema.payloads import DefaultPaymentMethodPayload, PaymentMethodPayload, SetupIntentPayload
from schema.steps import INPUT, done
from schema.subscriptions import PlanSubscription
from schema.user_errors import refusals
from services.wallet import card_changes, cards


@strawberry.type(description="Saved cards.")
class CardMutations:
    @strawberry.mutation(
        description="Begin to save a card without a charge: confirm it in the browser with the client secret, then the "
        "card is among `paymentMethods`."
    )
    async def create_setup_intent(
        self, info: Info, input: Annotated[CreateSetupIntentInput | None, INPUT] = None
    ) -> SetupIntentPayload:
        wish = input or CreateSetupIntentInput()
        try:
            wish.check()
            view = await done(
                info,
                cards.create_setup_intent(
                    info.context.app,
                    info.context.actor,
                    usage=wish.usage,
                    return_url=wish.return_url,
                    error_url=wish.error_url,
                    method_types=wish.payment_method_types,
                    customer_id=wish.customer_id,
                    idempotency_key=wish.idempotency_key,
                ),
            )
        except UserProblem as problem:
            return SetupIntentPayload(setup_intent=None, user_errors=refusals([problem]))
        return SetupIntentPayload(setup_intent=SetupIntent.of(view, started=True), user_errors=[])

    @strawberry.mutation(description="Keep a card that the browser has given to the gateway.")
    async def attach_payment_method(
        self, info: Info, input: Annotated[AttachPaymentMethodInput, INPUT]
    ) -> PaymentMethodPayload:
        try:
            input.check()
            row = await done(
                info,
                cards.attach_payment_method(
                    info.context.app,
                    info.context.actor,
                    reference=input.payment_method_id,
                    make_default=input.make_default,
                    customer_id=input.customer_id,
                ),
            )
        except UserProblem as problem:
            return PaymentMethodPayload(payment_method=None, user_errors=refusals([problem]))
        return PaymentMethodPayload(payment_method=PaymentMethod.of(row), user_errors=[])

    @strawberry.mutation(description="Choose the saved card that pays for what has no card of its own.")
    async def set_default_payment_method(
        self, info: Info, input: Annotated[SetDefaultPaymentMethodInput, INPUT]
    ) -> DefaultPaymentMethodPayload:
        try:
            input.check()
            outcome = await done(
                info,
                cards.set_default_payment_method(
                    info.context.app,
                    info.context.actor,
                    payment_method_id=input.payment_method_id,
                    customer_id=input.customer_id,
                    apply_to_subscriptions=input.apply_to_subscriptions,
                ),
            )
        except UserProblem as problem:
            return DefaultPaymentMethodPayload(
                customer=None, payment_method=None, updated_subscriptions=[], user_errors=refusals([problem])
            )
        return DefaultPaymentMethodPayload(
            customer=Customer.of(outcome.customer),
            payment_method=PaymentMethod.of(outcome.payment_method),
            updated_subscriptions=[PlanSubscription.of(row) for row in outcome.updated_subscriptions],
            user_errors=[],
        )

    @strawberry.mutation(description="Change what a saved card says: its holder, its expiry, its address.")
    async def update_payment_method(
        self, info: Info, input: Annotated[UpdatePaymentMethodInput, INPUT]
    ) -> PaymentMethodPayload:
        try:
            step = card_changes.update_payment_method(
                info.context.app,
                info.context.actor,
                payment_method_id=input.payment_method_id,
                details=input.details(),
                expected_version=input.expected_version,
            )
            row = await done(info, step)
        except UserProblem as problem:
            return PaymentMethodPayload(payment_method=None, user_errors=refusals([problem]))
        return PaymentMethodPayload(payment_method=PaymentMethod.of(row), user_errors=[])

    @strawberry.mutation(
        description="Take a saved card away, at the gateway too. What it was to pay is paid by the default card, what "
        "is past due at once; the last card stays as long as a subscription goes on. Repeating it changes nothing."
    )
    async def detach_payment_method(
        self, info: Info, input: Annotated[DetachPaymentMethodInput, INPUT]
    ) -> PaymentMethodPayload:
        try:
            input.check()
            step = card_changes.detach_payment_method(
                info.context.app, info.context.actor, payment_method_id=input.payment_method_id
            )
            row = await done(info, step)
        except UserProblem as problem:
            return PaymentMethodPayload(payment_method=None, user_errors=refusals([problem]))
        return PaymentMethodPayload(payment_method=PaymentMethod.of(row), user_errors=[])
