"""Consuming and granting credits."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated

import strawberry

from billing.errors import UserProblem
from schema.credits import CreditBalance, CreditEntry, balance_shown
from schema.fields import Info, described, optional
from schema.inputs import at_most
from schema.payloads import ERRORS
from schema.scalars import BigInt
from schema.steps import INPUT, done
from schema.user_errors import UserError, refusals
from services.app import Actor, App
from services.usage.consuming import CreditWish, Moved, consume_credits, grant_credits


@strawberry.input(description="How many credits, and whose: give `subscriptionId` or `customerId`.")
class CreditInput:
    subscription_id: strawberry.ID | None = optional("The subscription.")
    customer_id: strawberry.ID | None = optional("The customer, whose one subscription has credits of this unit.")
    unit: str = described("What they are credits for.")
    quantity: BigInt = described("How many; 1 or more.")
    reason: str | None = optional("Why, in words; at most 500 characters.")
    occurred_at: datetime | None = optional(
        "When it happened; now unless given. The day's allowance is that of the day on which it is told."
    )
    idempotency_key: str = described(
        "The same key with the same input gives the first answer again, and moves nothing; at most 255 characters."
    )

    def wish(self) -> CreditWish:
        at_most(500, reason=self.reason)
        return CreditWish(
            unit=self.unit,
            quantity=self.quantity,
            idempotency_key=self.idempotency_key,
            subscription_id=self.subscription_id,
            customer_id=self.customer_id,
            reason=self.reason,
            occurred_at=self.occurred_at,
        )


@strawberry.type(description="The answer to a mutation about credits.")
class CreditPayload:
    credit_balance: CreditBalance | None = described("What is left; null when refused.")
    entry: CreditEntry | None = described("The movement; null when refused.")
    user_errors: list[UserError] = described(ERRORS)


@strawberry.type(description="Credits.")
class CreditMutations:
    @strawberry.mutation(
        description="Consume credits: all of them or, when not so many are left in all or for today, none. Needs a "
        "subscription that gives access."
    )
    async def consume_credits(self, info: Info, input: Annotated[CreditInput, INPUT]) -> CreditPayload:
        return await _moved(info, input, consume_credits)

    @strawberry.mutation(
        description="Grant credits beside those of the plan. They end with the next refill; of a unit that the plan "
        "does not refill they stay."
    )
    async def grant_credits(self, info: Info, input: Annotated[CreditInput, INPUT]) -> CreditPayload:
        return await _moved(info, input, grant_credits)


async def _moved(
    info: Info, input: CreditInput, step: Callable[[App, Actor, CreditWish], Awaitable[Moved]]
) -> CreditPayload:
    try:
        moved = await done(info, step(info.context.app, info.context.actor, input.wish()))
    except UserProblem as problem:
        return CreditPayload(credit_balance=None, entry=None, user_errors=refusals([problem]))
    return CreditPayload(
        credit_balance=await balance_shown(info, moved.balance), entry=CreditEntry.of(moved.entry), user_errors=[]
    )
