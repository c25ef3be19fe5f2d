"""The root of all change: an input becomes a step of services, its outcome a payload. Refusals are data."""

from collections.abc import Awaitable
from datetime import datetime
from typing import Annotated

import strawberry

from billing.errors import UserProblem
from schema.api_keys import ApiKey, ApiKeyPayload, CreateApiKeyInput
from schema.card_mutations import CardMutations
from schema.catalog_mutations import CatalogMutations
from schema.change_mutations import ChangeMutations
from schema.checkout_mutations import CheckoutMutations
from schema.clock_mutations import ClockMutations
from schema.coupon_mutations import CouponMutations
from schema.coupon_upkeep import CouponUpkeepMutations
from schema.credit_mutations import CreditMutations
from schema.customer_mutations import CustomerMutations
from schema.ending_mutations import EndingMutations
from schema.enums import ChallengeOutcome
from schema.feature_mutations import FeatureMutations
from schema.fields import Info, argument
from schema.inputs import (
    RefreshSubscriptionPaymentInput,
    SandboxAnswerChallengeInput,
    SandboxConfirmInput,
    SubscribeInput,
)
from schema.intents import PaymentIntent, SetupIntent
from schema.manual_mutations import ManualMutations
from schema.migration_mutations import MigrationMutations
from schema.payloads import (
    ChallengePayload,
    PaymentIntentPayload,
    SetupIntentPayload,
    SubscribePayload,
    SubscriptionPaymentPayload,
)
from schema.policies import PolicyMutations
from schema.record_mutations import RecordMutations
from schema.return_mutations import ReturnMutations
from schema.run_mutations import RunMutations
from schema.steps import INPUT, done
from schema.subscription_mutations import SubscriptionMutations
from schema.upkeep import GatewayEvent, GatewayEventPayload, ReconciliationPayload, ReconciliationReport
from schema.usage_mutations import UsageMutations
from schema.user_errors import refusals
from schema.webhook_endpoints import EndpointMutations
from services import api_keys, sandbox
from services.books.reconciling import reconcile_payments
from services.inbox.webhooks import replay
from services.payments.resolving import refresh_payment
from services.problems import not_found
from services.subscriptions.subscribing import subscribe


@strawberry.type(description="All that can be changed. Mutations of one document are carried out one after another.")
class Mutation(
    CardMutations,
    CatalogMutations,
    ChangeMutations,
    CheckoutMutations,
    CouponMutations,
    CouponUpkeepMutations,
    CreditMutations,
    CustomerMutations,
    EndingMutations,
    FeatureMutations,
    EndpointMutations,
    ManualMutations,
    MigrationMutations,
    PolicyMutations,
    RecordMutations,
    ReturnMutations,
    RunMutations,
    SubscriptionMutations,
    UsageMutations,
):
    @strawberry.mutation(
        description="Subscribe to a plan. With a saved card the first period is charged at once; without one the "
        "answer carries a client secret that the browser confirms a card with. Repeating it continues what was begun "
        "and never charges twice."
    )
    async def subscribe(self, info: Info, input: Annotated[SubscribeInput, INPUT]) -> SubscribePayload:
        try:
            outcome = await done(info, subscribe(info.context.app, info.context.actor, input.wish()))
        except UserProblem as problem:
            return SubscribePayload.refused(problem)
        return await SubscribePayload.of(info, outcome)

    @strawberry.mutation(
        description="Ask the gateway how a payment stands, after the browser's half or whenever in doubt. Safe to "
        "repeat; it charges nothing."
    )
    async def refresh_subscription_payment(
        self, info: Info, input: Annotated[RefreshSubscriptionPaymentInput, INPUT]
    ) -> SubscriptionPaymentPayload:
        try:
            outcome = await done(
                info,
                refresh_payment(info.context.app, info.context.actor, input.subscription_id, input.payment_id),
            )
        except UserProblem as problem:
            return SubscriptionPaymentPayload.refused(problem)
        return await SubscriptionPaymentPayload.of(info, outcome)

    @strawberry.mutation(description="Make an API key for the application's back end. Its secret is told this once.")
    async def create_api_key(self, info: Info, input: Annotated[CreateApiKeyInput, INPUT]) -> ApiKeyPayload:
        step = api_keys.create_api_key(
            info.context.app,
            info.context.actor,
            name=input.name,
            scopes=input.scopes,
            expires_at=input.expires_at,
        )
        try:
            issued = await done(info, step)
        except UserProblem as problem:
            return ApiKeyPayload(api_key=None, secret=None, user_errors=refusals([problem]))
        return ApiKeyPayload(api_key=ApiKey.of(issued.row), secret=issued.secret, user_errors=[])

    @strawberry.mutation(description="Refuse an API key from now on. Repeating it changes nothing.")
    async def revoke_api_key(
        self, info: Info, id: Annotated[strawberry.ID, argument("The key's id.")]
    ) -> ApiKeyPayload:
        try:
            row = await done(info, api_keys.revoke_api_key(info.context.app, info.context.actor, id))
        except UserProblem as problem:
            return ApiKeyPayload(api_key=None, secret=None, user_errors=refusals([problem]))
        return ApiKeyPayload(api_key=ApiKey.of(row), secret=None, user_errors=[])

    @strawberry.mutation(
        description="Compare payments and cards with the gateway's: everything since an instant, and everything open. "
        "It moves no money. A long pass goes on after the answer: read `reconciliationReport` until `finishedAt`."
    )
    async def reconcile_payments(
        self,
        info: Info,
        since: Annotated[datetime, argument("From when on what was created is compared.")],
        repair: Annotated[
            bool, argument("Whether to apply what the gateway says where that is certain, as a webhook would have.")
        ] = False,
    ) -> ReconciliationPayload:
        step = reconcile_payments(info.context.app, info.context.actor, since=since, repair=repair)
        try:
            view = await done(info, step)
        except UserProblem as problem:
            return ReconciliationPayload(report=None, user_errors=refusals([problem]))
        return ReconciliationPayload(report=ReconciliationReport.of(view), user_errors=[])

    @strawberry.mutation(
        description="Work on a webhook's event again, by reading its object as it is now. Repeating it is harmless."
    )
    async def replay_gateway_event(
        self, info: Info, id: Annotated[strawberry.ID, argument("The event's id.")]
    ) -> GatewayEventPayload:
        try:
            row = await done(info, replay(info.context.app, id))
        except UserProblem as problem:
            return GatewayEventPayload(event=None, user_errors=refusals([problem]))
        return GatewayEventPayload(event=GatewayEvent.of(row), user_errors=[])


@strawberry.type(name="Mutation", description=Mutation.__strawberry_definition__.description)  # pyright: ignore[reportAttributeAccessIssue]
class SandboxMutation(ClockMutations, Mutation):
    """With the sandbox: the browser's half and time too, so that everything can be done in the explorer."""

    @strawberry.mutation(
        description="Sandbox only: type a test card into the payment form. What follows reaches the subscription by "
        "webhook, or at once by `refreshSubscriptionPayment`."
    )
    async def sandbox_confirm_payment_intent(
        self, info: Info, input: Annotated[SandboxConfirmInput, INPUT]
    ) -> PaymentIntentPayload:
        try:
            step = sandbox.confirm_payment_intent(
                info.context.app, client_secret=input.client_secret, card=input.card()
            )
            outcome = await _browsed(info, step)
        except UserProblem as problem:
            return PaymentIntentPayload(payment_intent=None, user_errors=refusals([problem]))
        return PaymentIntentPayload(
            payment_intent=_payment_intent(info, outcome), user_errors=refusals(outcome.problems)
        )

    @strawberry.mutation(description="Sandbox only: type a test card into the form that saves it.")
    async def sandbox_confirm_setup_intent(
        self, info: Info, input: Annotated[SandboxConfirmInput, INPUT]
    ) -> SetupIntentPayload:
        try:
            step = sandbox.confirm_setup_intent(info.context.app, client_secret=input.client_secret, card=input.card())
            outcome = await _browsed(info, step)
        except UserProblem as problem:
            return SetupIntentPayload(setup_intent=None, user_errors=refusals([problem]))
        return SetupIntentPayload(setup_intent=_setup_intent(outcome), user_errors=refusals(outcome.problems))

    @strawberry.mutation(description="Sandbox only: pass or fail the bank's challenge that an intent waits for.")
    async def sandbox_answer_challenge(
        self, info: Info, input: Annotated[SandboxAnswerChallengeInput, INPUT]
    ) -> ChallengePayload:
        try:
            step = sandbox.answer_challenge(
                info.context.app,
                client_secret=input.client_secret,
                succeed=input.outcome is ChallengeOutcome.SUCCEEDED,
            )
            outcome = await _browsed(info, step)
        except UserProblem as problem:
            return ChallengePayload(payment_intent=None, setup_intent=None, user_errors=refusals([problem]))
        return ChallengePayload(
            payment_intent=_payment_intent(info, outcome),
            setup_intent=_setup_intent(outcome),
            user_errors=refusals(outcome.problems),
        )


async def _browsed(info: Info, step: Awaitable[sandbox.BrowserOutcome]) -> sandbox.BrowserOutcome:
    """What the browser did, if this caller may see whose intent it was."""
    outcome = await done(info, step)
    payment, setup = outcome.payment_intent, outcome.setup_intent
    for owner in (payment and payment.payment.customer_id, setup and setup.row.customer_id):
        if owner is not None and not info.context.actor.acts_for_customers and not await info.context.may_see(owner):
            raise not_found("intent", "clientSecret")
    return outcome


def _payment_intent(info: Info, outcome: sandbox.BrowserOutcome) -> PaymentIntent | None:
    view = outcome.payment_intent
    return PaymentIntent.of(view, livemode=info.context.app.gateway.livemode) if view is not None else None


def _setup_intent(outcome: sandbox.BrowserOutcome) -> SetupIntent | None:
    return SetupIntent.of(outcome.setup_intent) if outcome.setup_intent is not None else None
