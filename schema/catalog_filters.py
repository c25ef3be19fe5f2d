"""What narrows and orders lists of what is for sale."""

from collections.abc import Mapping
from enum import StrEnum

import strawberry

from billing.calendar import Interval
from models.batches import Key, Listing
from models.catalog import Plan, PricingType, ProductType
from models.catalog_lists import (
    PLANS,
    PLANS_BY_CREATION,
    PLANS_BY_POSITION,
    PLANS_BY_PRICE,
    PLANS_BY_TYPE,
    PlansWhere,
    ProductsWhere,
)
from resolvers.access import require_curator
from schema.arguments import product_id_of, searched
from schema.enums import publish
from schema.fields import Info, described, optional
from schema.scalars import CurrencyCode
from schema.sorting import SortDirection

_SEARCH = "Text in code, name or description, whatever its case; at most 100 characters."
_ARCHIVED = "Whether those that were withdrawn are listed too. For staff and API keys with the scope manage_catalog."


@strawberry.input(description="Which products.")
class ProductFilter:
    is_active: bool | None = optional("Whether they are offered.")
    type: ProductType | None = optional("Only those of this kind.")
    search: str | None = optional(_SEARCH)
    include_archived: bool | None = optional(_ARCHIVED)

    def where(self, info: Info) -> ProductsWhere:
        """Raises AccessDenied for archived ones that the caller may not see."""
        if self.include_archived:
            require_curator(info.context.identity)
        return ProductsWhere(
            is_active=self.is_active,
            type=self.type,
            search=searched(info, self.search),
            include_archived=self.include_archived or False,
        )


@strawberry.input(description="Which plans.")
class PlanFilter:
    is_online_sale: bool | None = optional("Whether customers may subscribe to them themselves.")
    is_active: bool | None = optional("Whether they exist for new subscriptions at all.")
    currency_code: CurrencyCode | None = optional("Only those with a price in this currency.")
    interval: Interval | None = optional("Only those whose period is counted in this unit.")
    product_code: str | None = optional("Only those of this product, by its code or an alias.")
    type: PricingType | None = optional("Only those that play this role in the shop.")
    search: str | None = optional(_SEARCH)
    include_archived: bool | None = optional(_ARCHIVED)

    async def where(self, info: Info) -> PlansWhere:
        """Raises AccessDenied for archived ones that the caller may not see."""
        if self.include_archived:
            require_curator(info.context.identity)
        return PlansWhere(
            is_online_sale=self.is_online_sale,
            is_active=self.is_active,
            currency=self.currency_code,
            interval=self.interval,
            product_id=await product_id_of(info, self.product_code),
            type=self.type,
            search=searched(info, self.search),
            include_archived=self.include_archived or False,
        )


class PlanSortField(StrEnum):
    POSITION = "position"
    PRICE = "price"
    CREATED_AT = "created_at"
    TYPE = "type"


publish(
    PlanSortField,
    "PlanSortField",
    "What orders plans.",
    {
        "POSITION": "The shop's order.",
        "PRICE": "The default price's `amountMinor` as a number, whatever its currency; a plan that has none comes "
        "before all that do. Filter by one currency to compare like with like.",
        "CREATED_AT": "When they came into being.",
        "TYPE": "The role that they play in the shop, in the order in which `PricingType` declares it.",
    },
)
_ORDERS: Mapping[PlanSortField, Key] = {
    PlanSortField.POSITION: PLANS_BY_POSITION,
    PlanSortField.PRICE: PLANS_BY_PRICE,
    PlanSortField.CREATED_AT: PLANS_BY_CREATION,
    PlanSortField.TYPE: PLANS_BY_TYPE,
}


@strawberry.input(description="In which order.")
class PlanSort:
    field: PlanSortField = described("By what.")
    direction: SortDirection = strawberry.field(description="Which end comes first.", default=SortDirection.ASC)

    def listing(self) -> Listing[Plan]:
        return PLANS.sorted_by(_ORDERS[self.field], descending=self.direction is SortDirection.DESC)
