"""Answers to mutations about runs of the billing and test clocks."""

from collections.abc import Sequence

import strawberry

from models.runs import BillingRun as RunRow
from schema.fields import described
from schema.payloads import ERRORS
from schema.runs import BillingRun, TestClock
from schema.user_errors import UserError


@strawberry.type(description="The answer to a mutation about a test clock.")
class TestClockPayload:
    __test__: strawberry.Private[bool] = False

    test_clock: TestClock | None = described("The clock as it is now; null when refused.")
    runs: list[BillingRun] = described(
        "What happened on the way so far, one run for each instant, at most 100; all are in `testClock.runs`."
    )
    user_errors: list[UserError] = described(ERRORS)


@strawberry.type(description="The answer to `runBilling`.")
class BillingRunPayload:
    run: BillingRun | None = described("The run; null when refused.")
    user_errors: list[UserError] = described(ERRORS)


def runs_of(rows: Sequence[RunRow]) -> list[BillingRun]:
    return [BillingRun.of(row) for row in rows]
