"""Moving present subscribers to another price."""

from datetime import datetime
from typing import Annotated

import strawberry

from billing.errors import ErrorCode, UserProblem
from schema.enums import EffectiveAt
from schema.fields import Info, described, optional
from schema.inputs import within
from schema.money import Money
from schema.payloads import ERRORS
from schema.steps import INPUT, done
from schema.subscriptions import PlanSubscription
from schema.user_errors import UserError, refusals
from services.selling.migrating import (
    LONGEST_NOTICE,
    PREVIEWED,
    Migration,
    MigrationWish,
    Move,
    migrate_plan_subscribers,
)


@strawberry.input(description="From which price to which, and when.")
class MigratePlanSubscribersInput:
    from_price_id: strawberry.ID = described("The price that they are at.")
    to_price_id: strawberry.ID = described(
        "The price that they come to: an active one of the same plan, or of another plan of the same product and "
        "interval; in the same currency."
    )
    effective_at: EffectiveAt = described(
        "PERIOD_END: with the next period, without proration. NOW: at once; the difference for the rest of the period "
        "comes on the next invoice. AT_DATE is refused: periods end on many dates."
    )
    notice_days: int | None = optional(
        f"With PERIOD_END: how many days subscribers know beforehand, at most {LONGEST_NOTICE}. Who has a period that "
        "ends sooner is moved a period later."
    )
    dry_run: bool = strawberry.field(description="Whether to tell only what would be done.", default=True)

    def wish(self) -> MigrationWish:
        within(0, LONGEST_NOTICE, notice_days=self.notice_days)
        if self.effective_at is EffectiveAt.AT_DATE:
            raise UserProblem(
                ErrorCode.INVALID,
                "Subscribers are moved when their own periods end: give PERIOD_END, with noticeDays, or NOW.",
                ["effectiveAt"],
            )
        return MigrationWish(
            from_price_id=self.from_price_id,
            to_price_id=self.to_price_id,
            is_now=self.effective_at is EffectiveAt.NOW,
            notice_days=self.notice_days,
            is_dry=self.dry_run,
        )


@strawberry.type(description="What moving one subscription to another price comes to.")
class PriceMove:
    subscription: PlanSubscription = described("The subscription.")
    at: datetime = described("From when on it is at the new price.")
    amount_before: Money = described("What a period costs it until then, after discounts and before tax.")
    amount_after: Money = described("What a period costs it from then on.")

    @classmethod
    def of(cls, move: Move) -> "PriceMove":
        return cls(
            subscription=PlanSubscription.of(move.subscription),
            at=move.at,
            amount_before=Money.of(move.before),
            amount_after=Money.of(move.after),
        )


@strawberry.type(description="The answer to `migratePlanSubscribers`.")
class MigratePlanSubscribersPayload:
    affected: int = described("How many subscriptions were moved; with `dryRun` how many would be.")
    remaining: int = described("How many this call had no time for. Repeat it until none remain.")
    skipped: int = described(
        "How many could not be moved just now: their period is just ending or, with NOW, an invoice is open. Repeat "
        "the call later."
    )
    preview: list[PriceMove] = described(f"The first of them, at most {PREVIEWED}, as they are before the move.")
    user_errors: list[UserError] = described(ERRORS)

    @classmethod
    def of(cls, migration: Migration) -> "MigratePlanSubscribersPayload":
        return cls(
            affected=migration.affected,
            remaining=migration.remaining,
            skipped=migration.skipped,
            preview=[PriceMove.of(move) for move in migration.preview],
            user_errors=[],
        )


@strawberry.type(description="Moving subscribers.")
class MigrationMutations:
    @strawberry.mutation(
        description="Move present subscribers from one price to another. Each is planned, and told of, as a change of "
        "its own that customers cannot take back. Left alone are subscriptions that were agreed by hand or at a price "
        "of their own, that end with their period, that are paused or unpaid, or that have another change planned. "
        "Repeating it moves only those who are still at the old price."
    )
    async def migrate_plan_subscribers(
        self, info: Info, input: Annotated[MigratePlanSubscribersInput, INPUT]
    ) -> MigratePlanSubscribersPayload:
        try:
            step = migrate_plan_subscribers(info.context.app, info.context.actor, input.wish())
            migration = await done(info, step)
        except UserProblem as problem:
            return MigratePlanSubscribersPayload(
                affected=0, remaining=0, skipped=0, preview=[], user_errors=refusals([problem])
            )
        return MigratePlanSubscribersPayload.of(migration)
