"""Putting products and plans on sale."""

from typing import Annotated

import strawberry

from billing.errors import UserProblem
from schema.catalog import Plan, Product
from schema.catalog_inputs import PlanInput, ProductInput
from schema.fields import Info, described
from schema.payloads import ERRORS, refusals
from schema.steps import INPUT, done
from schema.user_errors import UserError
from services import catalog


@strawberry.type(description="The answer to a mutation about a product.")
class ProductPayload:
    product: Product | None = described("The product; null when refused.")
    user_errors: list[UserError] = described(ERRORS)


@strawberry.type(description="The answer to a mutation about a plan.")
class PlanPayload:
    plan: Plan | None = described("The plan; null when refused.")
    user_errors: list[UserError] = described(ERRORS)


@strawberry.type(description="The catalog.")
class CatalogMutations:
    @strawberry.mutation(description="Put a product into the catalog; `createPlan` says how it is sold.")
    async def create_product(self, info: Info, input: Annotated[ProductInput, INPUT]) -> ProductPayload:
        try:
            row = await done(info, catalog.create_product(info.context.app, input.wish()))
        except UserProblem as problem:
            return ProductPayload(product=None, user_errors=refusals([problem]))
        return ProductPayload(product=Product.of(row), user_errors=[])

    @strawberry.mutation(
        description="Put a plan on sale: how often it bills, at which prices, what it allows and grants."
    )
    async def create_plan(self, info: Info, input: Annotated[PlanInput, INPUT]) -> PlanPayload:
        try:
            row = await done(info, catalog.create_plan(info.context.app, input.wish()))
        except UserProblem as problem:
            return PlanPayload(plan=None, user_errors=refusals([problem]))
        return PlanPayload(plan=Plan.of(row), user_errors=[])
