"""Reading runs of the billing, and test clocks."""

from typing import Annotated

import strawberry

from resolvers import owned
from schema.fields import Info, argument
from schema.runs import BillingRun, TestClock


@strawberry.type(description="Runs of the billing.")
class RunQueries:
    @strawberry.field(description="A run of the billing; null if there is none.")
    async def billing_run(self, info: Info, id: Annotated[strawberry.ID, argument("Its id.")]) -> BillingRun | None:
        row = await owned.billing_run(info.context, id)
        return BillingRun.of(row) if row is not None else None


@strawberry.type(description="Test clocks.")
class ClockQueries:
    @strawberry.field(description="Sandbox only: a test clock as it is now; null if there is none.")
    async def test_clock(self, info: Info, id: Annotated[strawberry.ID, argument("Its id.")]) -> TestClock | None:
        row = await owned.test_clock(info.context, id)
        return TestClock.of(row) if row is not None else None
