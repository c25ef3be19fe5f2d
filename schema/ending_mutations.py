"""Ending subscriptions, and letting them stand still and go on."""

from collections.abc import Awaitable
from typing import Annotated

import strawberry

from billing.errors import UserProblem
from models.subscriptions import Subscription
from schema.ending_inputs import PauseSubscriptionInput, ResumeSubscriptionInput
from schema.fields import Info
from schema.inputs import CancelSubscriptionInput
from schema.invoices import Invoice
from schema.payloads import SubscriptionPayload
from schema.returns import Refund
from schema.steps import INPUT, done
from schema.subscriptions import PlanSubscription
from schema.user_errors import refusals
from services.ends.canceling import cancel_subscription
from services.subscriptions.pausing import pause_subscription, resume_subscription


@strawberry.type(description="Subscriptions that end, or stand still.")
class EndingMutations:
    @strawberry.mutation(
        description="End a subscription now, when its paid period ends, or at a date. What is unused of the period "
        "goes back to the card that paid if that is wished."
    )
    async def cancel_subscription(
        self, info: Info, input: Annotated[CancelSubscriptionInput, INPUT]
    ) -> SubscriptionPayload:
        try:
            outcome = await done(info, cancel_subscription(info.context.app, info.context.actor, input.wish()))
        except UserProblem as problem:
            return SubscriptionPayload(subscription=None, invoice=None, user_errors=refusals([problem]))
        return SubscriptionPayload(
            subscription=PlanSubscription.of(outcome.subscription),
            invoice=Invoice.of(outcome.invoice) if outcome.invoice is not None else None,
            refund=Refund.of(outcome.refund) if outcome.refund is not None else None,
            user_errors=refusals(outcome.problems),
        )

    @strawberry.mutation(
        description="Pause a subscription: no access and no bills, and time stands still. What was paid for is there "
        "when it goes on. Refused while an invoice is open."
    )
    async def pause_subscription(
        self, info: Info, input: Annotated[PauseSubscriptionInput, INPUT]
    ) -> SubscriptionPayload:
        try:
            return await _moved(info, pause_subscription(info.context.app, info.context.actor, input.wish()))
        except UserProblem as problem:
            return SubscriptionPayload(subscription=None, invoice=None, user_errors=refusals([problem]))

    @strawberry.mutation(
        description="Let a paused subscription go on: its period ends as much later as it was paused. A pause that is "
        "only planned is taken back."
    )
    async def resume_subscription(
        self, info: Info, input: Annotated[ResumeSubscriptionInput, INPUT]
    ) -> SubscriptionPayload:
        try:
            return await _moved(info, resume_subscription(info.context.app, info.context.actor, input.wish()))
        except UserProblem as problem:
            return SubscriptionPayload(subscription=None, invoice=None, user_errors=refusals([problem]))


async def _moved(info: Info, step: Awaitable[Subscription]) -> SubscriptionPayload:
    row = await done(info, step)
    return SubscriptionPayload(subscription=PlanSubscription.of(row), invoice=None, user_errors=[])
