"""The organization: its settings and policies for administrators, and what everybody may know of it."""

from typing import Annotated

import strawberry
from strawberry.scalars import JSON

from billing.dunning import FinalAction, TrialEndAction
from billing.errors import ErrorCode, UserProblem
from models.organization import Organization as Row
from schema.enums import publish
from schema.fields import Info, described, optional
from schema.interfaces import Node
from schema.payloads import ERRORS
from schema.scalars import CurrencyCode
from schema.steps import INPUT, done
from schema.user_errors import UserError, refusals
from services.app import App
from services.policies import (
    PolicyChange,
    SettingsChange,
    read_organization,
    update_dunning_policy,
    update_organization,
)

publish(
    FinalAction,
    "DunningFinalAction",
    "What dunning ends with when nothing has helped.",
    {
        "CANCEL": "The subscription is canceled; what gave access and was not paid is written off.",
        "UNPAID": "No access and nothing more is billed; paying the open invoice brings it back.",
        "LEAVE": "It stays PAST_DUE and nothing more is billed; paying the open invoice brings it back.",
    },
)
publish(
    TrialEndAction,
    "TrialEndAction",
    "What becomes of a trial that ends without a card.",
    {
        "PAST_DUE": "The first period is billed and waits for a card, with access for the grace period.",
        "PAUSE": "It pauses: no access, nothing is billed.",
        "CANCEL": "It is canceled; nothing is billed.",
    },
)


@strawberry.type(description="What is tried again when a renewal is refused, and what happens when nothing helps.")
class DunningPolicy:
    retry_after_days: list[int] = described("On which days after an invoice's first failure its card is tried again.")
    stop_on_decline_codes: list[str] = described(
        "Declines after which a card is not tried again, beside those that say so."
    )
    final_action: FinalAction = described("What becomes of the subscription when the last day has not helped either.")
    trial_end_action: TrialEndAction = described("What becomes of a trial that ends without a card.")
    grace_period_days: int = described("For how many days a subscription that is PAST_DUE keeps its access.")


@strawberry.type(description="The one organization that this deployment serves.")
class Organization(Node):
    name: str = described("Its name, as customers know it: `serverInfo.merchant` tells it to everybody.")
    default_currency_code: CurrencyCode = described("The currency of figures, such as `metrics`, where none is named.")
    timezone: str = described("The IANA zone of new customers that have none of their own, and of days in figures.")
    settings: JSON = described("The merchant's own notes for front ends, open to everybody at `serverInfo.merchant`.")
    dunning: DunningPolicy = described("What follows a refused renewal.")
    version: int = described("Grows with each change.")

    @classmethod
    def of(cls, row: Row, app: App) -> "Organization":
        grace = app.grace.days if row.grace_period_days is None else row.grace_period_days
        return cls(
            id=strawberry.ID(row.id),
            name=row.name,
            default_currency_code=CurrencyCode(row.default_currency),
            timezone=row.timezone or app.timezone,
            settings=JSON(row.settings),
            dunning=DunningPolicy(
                retry_after_days=list(row.retry_after_days),
                stop_on_decline_codes=list(row.stop_on_decline_codes),
                final_action=row.final_action,
                trial_end_action=row.trial_end_action,
                grace_period_days=grace,
            ),
            version=row.version,
        )


@strawberry.type(description="Who sells here, for the pages that customers see.")
class Merchant:
    name: str = described("The organization's name.")
    settings: JSON = described("The merchant's own notes for front ends, as `updateOrganization` keeps them.")


@strawberry.input(description="What to change of the organization; what is left out stays.")
class OrganizationInput:
    name: str | None = optional("Its name, as customers know it: at most 250 characters.")
    default_currency_code: CurrencyCode | None = optional("The currency of figures where none is named.")
    timezone: str | None = optional(
        "The IANA zone of new customers, such as Europe/Berlin, and of the days in figures. Others keep theirs."
    )
    settings: JSON | None = optional(
        "A JSON object of the merchant's own for front ends. Everybody may read it: it must hold no secret."
    )
    expected_version: int | None = optional("Change it only if its version is this one.")

    def change(self) -> SettingsChange:
        if self.settings is not None and not isinstance(self.settings, dict):
            raise UserProblem(ErrorCode.INVALID, "settings: give a JSON object.", ["settings"])
        return SettingsChange(self.name, self.default_currency_code, self.timezone, self.settings)


@strawberry.input(description="What to change of the dunning policy; what is left out stays.")
class DunningPolicyInput:
    retry_after_days: list[int] | None = optional(
        "Days after the first failure, from 1 to 90, ascending; at most 8 tries within 30 days, the first one included."
    )
    stop_on_decline_codes: list[str] | None = optional(
        "The issuer's reasons, such as insufficient_funds, after which a card is not tried again."
    )
    final_action: FinalAction | None = optional("What becomes of the subscription when the last day has not helped.")
    trial_end_action: TrialEndAction | None = optional("What becomes of a trial that ends without a card.")
    grace_period_days: int | None = optional("From 0 to 90.")

    def change(self) -> PolicyChange:
        return PolicyChange(
            retry_after_days=self.retry_after_days,
            stop_on_decline_codes=self.stop_on_decline_codes,
            final_action=self.final_action,
            trial_end_action=self.trial_end_action,
            grace_period_days=self.grace_period_days,
        )


@strawberry.type(description="The answer to a mutation about the organization.")
class OrganizationPayload:
    organization: Organization | None = described("The organization as it is now; null when refused.")
    user_errors: list[UserError] = described(ERRORS)


@strawberry.type(description="What is set for the whole organization.")
class PolicyQueries:
    @strawberry.field(description="The organization and its policies.")
    async def organization(self, info: Info) -> Organization:
        return Organization.of(await read_organization(info.context.app), info.context.app)


@strawberry.type(description="Changing what is set for the whole organization.")
class PolicyMutations:
    @strawberry.mutation(description="Change the organization's name, zone, currency and notes for front ends.")
    async def update_organization(self, info: Info, input: Annotated[OrganizationInput, INPUT]) -> OrganizationPayload:
        app = info.context.app
        try:
            step = update_organization(app, input.change(), expected_version=input.expected_version)
            row = await done(info, step)
        except UserProblem as problem:
            return OrganizationPayload(organization=None, user_errors=refusals([problem]))
        return OrganizationPayload(organization=Organization.of(row, app), user_errors=[])

    @strawberry.mutation(
        description="Change when a refused renewal is tried again, and what happens when nothing helps. It decides "
        "from the next refusal on; tries and ends that are planned already stay."
    )
    async def update_dunning_policy(
        self, info: Info, input: Annotated[DunningPolicyInput, INPUT]
    ) -> OrganizationPayload:
        app = info.context.app
        try:
            row = await done(info, update_dunning_policy(app, input.change()))
        except UserProblem as problem:
            return OrganizationPayload(organization=None, user_errors=refusals([problem]))
        return OrganizationPayload(organization=Organization.of(row, app), user_errors=[])
