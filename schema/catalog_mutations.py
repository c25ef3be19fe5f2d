"""Putting products and plans on sale, changing and withdrawing them."""

from collections.abc import Awaitable
from typing import Annotated

import strawberry

from billing.errors import UserProblem
from models.catalog import Plan as PlanRow
from models.catalog import Product as ProductRow
from schema.catalog import Plan, Product
from schema.catalog_inputs import PlanInput, ProductInput
from schema.fields import Info, argument, described
from schema.payloads import ERRORS
from schema.steps import INPUT, done
from schema.user_errors import UserError, refusals
from services.selling import catalog
from services.selling.entries import BLANK_PLAN, BLANK_PRODUCT

ProductId = Annotated[strawberry.ID, argument("The product.")]
PlanId = Annotated[strawberry.ID, argument("The plan.")]
Version = Annotated[int | None, argument("Only if it is still at this version.")]


@strawberry.type(description="The answer to a mutation about a product.")
class ProductPayload:
    product: Product | None = described("The product; null when refused.")
    user_errors: list[UserError] = described(ERRORS)

    @classmethod
    async def of(cls, info: Info, step: Awaitable[ProductRow]) -> "ProductPayload":
        try:
            row = await done(info, step)
        except UserProblem as problem:
            return cls(product=None, user_errors=refusals([problem]))
        return cls(product=Product.of(row), user_errors=[])


@strawberry.type(description="The answer to a mutation about a plan.")
class PlanPayload:
    plan: Plan | None = described("The plan; null when refused.")
    user_errors: list[UserError] = described(ERRORS)

    @classmethod
    async def of(cls, info: Info, step: Awaitable[PlanRow]) -> "PlanPayload":
        try:
            row = await done(info, step)
        except UserProblem as problem:
            return cls(plan=None, user_errors=refusals([problem]))
        return cls(plan=Plan.of(row), user_errors=[])


@strawberry.type(description="The catalog.")
class CatalogMutations:
    @strawberry.mutation(description="Put a product into the catalog; `createPlan` says how it is sold.")
    async def create_product(self, info: Info, input: Annotated[ProductInput, INPUT]) -> ProductPayload:
        async def step() -> ProductRow:
            return await catalog.create_product(info.context.app, input.over(BLANK_PRODUCT))

        return await ProductPayload.of(info, step())

    @strawberry.mutation(description="Change what is given of a product.")
    async def update_product(
        self, info: Info, id: ProductId, input: Annotated[ProductInput, INPUT], expected_version: Version = None
    ) -> ProductPayload:
        step = catalog.update_product(info.context.app, id, input.over, expected_version)
        return await ProductPayload.of(info, step)

    @strawberry.mutation(
        description="Withdraw a product for good, with all plans that it is sold by: they leave the lists and nobody "
        "can subscribe to them any more. Present subscriptions go on. Repeating it changes nothing."
    )
    async def archive_product(self, info: Info, id: ProductId, expected_version: Version = None) -> ProductPayload:
        return await ProductPayload.of(info, catalog.archive_product(info.context.app, id, expected_version))

    @strawberry.mutation(
        description="Put a plan on sale: how often it bills, at which prices, what it allows and grants."
    )
    async def create_plan(self, info: Info, input: Annotated[PlanInput, INPUT]) -> PlanPayload:
        async def step() -> PlanRow:
            return await catalog.create_plan(info.context.app, input.over(BLANK_PLAN))

        return await PlanPayload.of(info, step())

    @strawberry.mutation(
        description="Change what is given of a plan. A changed price is a new one, for new subscriptions; present "
        "subscribers stay on theirs until `migratePlanSubscribers`. What periods and bills are computed from never "
        "changes."
    )
    async def update_plan(
        self, info: Info, id: PlanId, input: Annotated[PlanInput, INPUT], expected_version: Version = None
    ) -> PlanPayload:
        return await PlanPayload.of(info, catalog.update_plan(info.context.app, id, input.over, expected_version))

    @strawberry.mutation(
        description="Withdraw a plan for good: it leaves the lists and nobody can subscribe to it any more "
        "(PLAN_ARCHIVED). Present subscriptions go on and renew. Repeating it changes nothing."
    )
    async def archive_plan(self, info: Info, id: PlanId, expected_version: Version = None) -> PlanPayload:
        return await PlanPayload.of(info, catalog.archive_plan(info.context.app, id, expected_version))
