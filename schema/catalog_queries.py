"""Reading what is for sale."""

from typing import Annotated

import strawberry

from models.catalog import plan_by, product_by
from models.catalog_lists import APP_ROLES, FEATURES, PLANS, PRODUCTS, PlansWhere, ProductsWhere
from resolvers import owned
from schema.arguments import one_of
from schema.catalog import AppRole, Plan, Product
from schema.catalog_filters import PlanFilter, PlanSort, ProductFilter
from schema.connections import After, Before, Connection, First, Last, PageNumber, PageSize, span, whole
from schema.fields import Info, argument
from schema.plan_terms import Feature


@strawberry.type(description="What is for sale.")
class CatalogQueries:
    @strawberry.field(description="The plans, in the shop's order unless another is asked for. Open to everybody.")
    async def plans(
        self,
        info: Info,
        filter: Annotated[PlanFilter | None, argument("Only those that match.")] = None,
        sort: Annotated[PlanSort | None, argument("In which order; the shop's unless given.")] = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        page: PageNumber = None,
        page_size: PageSize = None,
    ) -> Connection[Plan]:
        listing = sort.listing() if sort is not None else PLANS
        part = span(info, listing, first=first, after=after, last=last, before=before, page=page, page_size=page_size)
        where = await filter.where(info) if filter is not None else PlansWhere()
        return await whole(owned.public(info.context, listing, where), part, Plan.of)

    @strawberry.field(description="One plan, by id or by code; null if there is none. Open to everybody.")
    async def plan(
        self,
        info: Info,
        id: Annotated[strawberry.ID | None, argument("Its id.")] = None,
        code: Annotated[str | None, argument("Its code: `reader-pro`.")] = None,
    ) -> Plan | None:
        one_of(info, id=id, code=code)
        async with info.context.app.database.read() as session:
            row = await plan_by(session, id=id, code=code)
        return Plan.of(row) if row is not None else None

    @strawberry.field(description="The products, by code. Open to everybody.")
    async def products(
        self,
        info: Info,
        filter: Annotated[ProductFilter | None, argument("Only those that match.")] = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        page: PageNumber = None,
        page_size: PageSize = None,
    ) -> Connection[Product]:
        part = span(info, PRODUCTS, first=first, after=after, last=last, before=before, page=page, page_size=page_size)
        where = filter.where(info) if filter is not None else ProductsWhere()
        return await whole(owned.public(info.context, PRODUCTS, where), part, Product.of)

    @strawberry.field(description="One product, by id, by code or by another name of it; null if there is none.")
    async def product(
        self,
        info: Info,
        id: Annotated[strawberry.ID | None, argument("Its id.")] = None,
        code: Annotated[str | None, argument("Its code or an alias.")] = None,
    ) -> Product | None:
        one_of(info, id=id, code=code)
        async with info.context.app.database.read() as session:
            row = await product_by(session, id=id, code=code)
        return Product.of(row) if row is not None else None

    @strawberry.field(description="What plans allow, limit or measure, by code. Open to everybody.")
    async def features(
        self,
        info: Info,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        page: PageNumber = None,
        page_size: PageSize = None,
    ) -> Connection[Feature]:
        part = span(info, FEATURES, first=first, after=after, last=last, before=before, page=page, page_size=page_size)
        return await whole(owned.public(info.context, FEATURES), part, Feature.of)

    @strawberry.field(
        description="The application's roles that plans can grant, by number. For staff and API keys with the scope "
        "manage_catalog."
    )
    async def app_roles(
        self,
        info: Info,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        page: PageNumber = None,
        page_size: PageSize = None,
    ) -> Connection[AppRole]:
        part = span(info, APP_ROLES, first=first, after=after, last=last, before=before, page=page, page_size=page_size)
        return await whole(owned.public(info.context, APP_ROLES), part, AppRole.of)
