"""Moving time, in the sandbox."""

from datetime import datetime
from typing import Annotated

import strawberry

from billing.errors import UserProblem
from schema.fields import Info, argument
from schema.inputs import at_most
from schema.run_payloads import TestClockPayload, runs_of
from schema.runs import TestClock
from schema.steps import done
from schema.user_errors import refusals
from services.runs import moving_time

ClockId = Annotated[strawberry.ID, argument("The clock's id.")]


@strawberry.type(description="Test clocks.")
class ClockMutations:
    @strawberry.mutation(
        description="Sandbox only: make a test clock. Put customers on it with `createCustomer`, then move it with "
        "`advanceTestClock`."
    )
    async def create_test_clock(
        self,
        info: Info,
        now: Annotated[datetime, argument("Where it stands at first: an instant of the years 1970 to 2199.")],
        name: Annotated[str | None, argument("A name for it, at most 250 characters.")] = None,
    ) -> TestClockPayload:
        try:
            at_most(250, name=name)
            clock = await done(info, moving_time.create_test_clock(info.context.app, now, name))
        except UserProblem as problem:
            return TestClockPayload(test_clock=None, runs=[], user_errors=refusals([problem]))
        return TestClockPayload(test_clock=TestClock.of(clock), runs=[], user_errors=[])

    @strawberry.mutation(
        description="Sandbox only: move a test clock on and carry out everything that is due for its customers in "
        "between, in order. A way that takes longer than a request may goes on after the answer: the clock is "
        "ADVANCING then, and repeating this or asking `testClock` tells how far it has come. Time never goes back."
    )
    async def advance_test_clock(
        self, info: Info, id: ClockId, to: Annotated[datetime, argument("Where it shall stand then.")]
    ) -> TestClockPayload:
        step = moving_time.advance_test_clock(info.context.app, info.context.actor, id, to)
        return await _told(info, step)

    @strawberry.mutation(
        description="Sandbox only: end all subscriptions of a test clock's customers at its present, and let it stand "
        "still for ever. Everything that was billed stays as it is."
    )
    async def delete_test_clock(self, info: Info, id: ClockId) -> TestClockPayload:
        return await _told(info, moving_time.delete_test_clock(info.context.app, info.context.actor, id))


async def _told(info: Info, step: moving_time.Moving) -> TestClockPayload:
    try:
        view = await done(info, step)
    except UserProblem as problem:
        return TestClockPayload(test_clock=None, runs=[], user_errors=refusals([problem]))
    return TestClockPayload(
        test_clock=TestClock.of(view.clock), runs=runs_of(view.runs), user_errors=refusals(view.problems)
    )
