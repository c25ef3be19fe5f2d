"""Changing what a subscription consists of."""

from typing import Annotated

import strawberry

from billing.errors import UserProblem
from schema.change_inputs import CancelScheduledChangeInput, ChangePlanInput
from schema.fields import Info
from schema.payloads import SubscriptionPayload
from schema.steps import INPUT, done
from schema.subscriptions import PlanSubscription
from services.amendments import plan_changes


@strawberry.type(description="What subscriptions consist of.")
class ChangeMutations:
    @strawberry.mutation(
        description="Change a subscription's plan: at once, when its period ends, or at a date. What a change at once "
        "costs is collected with it; a decline leaves the change in place and the subscription past due. What it "
        "gives back goes to the customer's balance and is used by the next invoices. While an invoice is open only "
        "changes without money are made. To the plan that it has already, nothing is changed, and what was planned is "
        "taken back."
    )
    async def change_plan(self, info: Info, input: Annotated[ChangePlanInput, INPUT]) -> SubscriptionPayload:
        try:
            step = plan_changes.change_plan(info.context.app, info.context.actor, input.wish())
            outcome = await done(info, step)
        except UserProblem as problem:
            return SubscriptionPayload.refused(problem)
        return await SubscriptionPayload.of_change(info, outcome)

    @strawberry.mutation(description="Take back a change that was planned for later. Repeating it changes nothing.")
    async def cancel_scheduled_change(
        self, info: Info, input: Annotated[CancelScheduledChangeInput, INPUT]
    ) -> SubscriptionPayload:
        try:
            step = plan_changes.cancel_scheduled_change(
                info.context.app,
                info.context.actor,
                subscription_id=input.subscription_id,
                expected_version=input.expected_version,
            )
            row = await done(info, step)
        except UserProblem as problem:
            return SubscriptionPayload.refused(problem)
        return SubscriptionPayload(subscription=PlanSubscription.of(row), invoice=None, user_errors=[])
