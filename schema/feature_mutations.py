"""Changing what plans speak of: features and the application's roles."""

from dataclasses import replace
from typing import Annotated

import strawberry

from billing.errors import UserProblem
from schema.catalog import AppRole
from schema.fields import Info, argument, described, editable, edits
from schema.inputs import at_most
from schema.payloads import ERRORS
from schema.plan_terms import Feature
from schema.steps import INPUT, done
from schema.user_errors import UserError, refusals
from services.selling import features
from services.selling.features import FeatureEntry, RoleEntry


@strawberry.input(description="What to change of a feature; what is left out stays as it is.")
class FeatureInput:
    name: str | None = editable("Its name for people, at most 250 characters.")
    unit: str | None = editable("What is counted, at most 40 characters; null: nothing is.")

    def over(self, present: FeatureEntry) -> FeatureEntry:
        entry = replace(present, **edits(self, present, FeatureEntry(), ("name", "unit")))
        at_most(250, name=entry.name)
        at_most(40, unit=entry.unit)
        return entry


@strawberry.input(description="A role of the application. What an update leaves out stays as it is.")
class AppRoleInput:
    id: int | None = editable("The application's own number for it. Required; never changes.")
    code: str | None = editable(
        "Its name in the application's code, unique. Required; at most 100 letters, digits, `.-_`."
    )
    name: str | None = editable("Its name for people. Required; at most 250 characters.")

    def over(self, present: RoleEntry) -> RoleEntry:
        entry = replace(present, **edits(self, present, RoleEntry(), ("id", "code", "name")))
        at_most(250, name=entry.name)
        return entry


@strawberry.type(description="The answer to a mutation about a feature.")
class FeaturePayload:
    feature: Feature | None = described("The feature; null when refused.")
    user_errors: list[UserError] = described(ERRORS)


@strawberry.type(description="The answer to a mutation about a role of the application.")
class AppRolePayload:
    app_role: AppRole | None = described("The role; null when refused.")
    user_errors: list[UserError] = described(ERRORS)


@strawberry.type(description="Features and roles.")
class FeatureMutations:
    @strawberry.mutation(
        description="Change what a feature is called. Features come into being with the plans that name them."
    )
    async def update_feature(
        self,
        info: Info,
        id: Annotated[strawberry.ID, argument("The feature.")],
        input: Annotated[FeatureInput, INPUT],
    ) -> FeaturePayload:
        try:
            row = await done(info, features.update_feature(info.context.app, id, input.over))
        except UserProblem as problem:
            return FeaturePayload(feature=None, user_errors=refusals([problem]))
        return FeaturePayload(feature=Feature.of(row), user_errors=[])

    @strawberry.mutation(description="Tell of a role of the application, so that plans can grant it by `roleId`.")
    async def create_app_role(self, info: Info, input: Annotated[AppRoleInput, INPUT]) -> AppRolePayload:
        try:
            row = await done(info, features.create_app_role(info.context.app, input.over(RoleEntry())))
        except UserProblem as problem:
            return AppRolePayload(app_role=None, user_errors=refusals([problem]))
        return AppRolePayload(app_role=AppRole.of(row), user_errors=[])

    @strawberry.mutation(description="Change what a role of the application is called.")
    async def update_app_role(
        self,
        info: Info,
        id: Annotated[int, argument("The role, by the application's own number.")],
        input: Annotated[AppRoleInput, INPUT],
    ) -> AppRolePayload:
        try:
            row = await done(info, features.update_app_role(info.context.app, id, input.over))
        except UserProblem as problem:
            return AppRolePayload(app_role=None, user_errors=refusals([problem]))
        return AppRolePayload(app_role=AppRole.of(row), user_errors=[])
