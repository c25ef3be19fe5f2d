"""Letting the billing run."""

from datetime import datetime
from typing import Annotated

import strawberry

from billing.errors import UserProblem
from schema.fields import Info, argument
from schema.inputs import at_most
from schema.run_payloads import BillingRunPayload
from schema.runs import BillingRun
from schema.steps import done
from schema.user_errors import refusals
from services.runs.running import run_billing


@strawberry.type(description="Runs of the billing.")
class RunMutations:
    @strawberry.mutation(
        description="Tell what the billing would do, or with `dryRun: false` do it: renew, charge, end and whatever "
        "else is due, by the steps that the worker takes. A dry run takes each card that would be tried to pay. A "
        "long run goes on after the answer: read `billingRun` until `finishedAt`."
    )
    async def run_billing(
        self,
        info: Info,
        as_of: Annotated[
            datetime | None,
            argument("What is due by then; now unless given. To come for a dry run only, at most 366 days."),
        ] = None,
        dry_run: Annotated[bool, argument("Whether only to tell what would happen.")] = True,
        idempotency_key: Annotated[
            str | None,
            argument("The same key with the same input gives the first run again; at most 255 characters."),
        ] = None,
    ) -> BillingRunPayload:
        app, actor = info.context.app, info.context.actor
        try:
            at_most(255, idempotency_key=idempotency_key)
            row = await done(
                info, run_billing(app, actor, as_of=as_of, dry_run=dry_run, idempotency_key=idempotency_key)
            )
        except UserProblem as problem:
            return BillingRunPayload(run=None, user_errors=refusals([problem]))
        return BillingRunPayload(run=BillingRun.of(row), user_errors=[])
