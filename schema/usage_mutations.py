"""Telling what was used."""

from typing import Annotated

import strawberry

from billing.errors import UserProblem
from schema.fields import Info, argument
from schema.steps import done
from schema.usage_inputs import UsageEventInput, UsagePayload
from schema.user_errors import refusals
from services.usage.recording import Recorded, record_usage


@strawberry.type(description="Usage.")
class UsageMutations:
    @strawberry.mutation(
        description="Record what was used, many events at once; repeating them changes nothing. An event that is "
        "refused keeps no other from being recorded. What is told after its period was billed is on the next invoice."
    )
    async def record_usage(
        self, info: Info, events: Annotated[list[UsageEventInput], argument("What was used: 1 to 1000 events.")]
    ) -> UsagePayload:
        try:
            recorded = await done(info, record_usage(info.context.app, [each.event() for each in events]))
        except UserProblem as problem:
            return UsagePayload.of(Recorded(0, 0, ()), refusals([problem]))
        return UsagePayload.of(recorded, refusals(recorded.problems))
