"""What narrows lists of what is for sale."""

import strawberry

from billing.calendar import Interval
from models.catalog_lists import PlansWhere
from schema.arguments import searched
from schema.fields import Info, optional
from schema.scalars import CurrencyCode


@strawberry.input(description="Which plans.")
class PlanFilter:
    is_online_sale: bool | None = optional("Whether customers may subscribe to them themselves.")
    is_active: bool | None = optional("Whether they exist for new subscriptions at all.")
    currency_code: CurrencyCode | None = optional("Only those with a price in this currency.")
    interval: Interval | None = optional("Only those whose period is counted in this unit.")
    product_code: str | None = optional("Only those of this product.")
    search: str | None = optional("Text in code, name or description, whatever its case; at most 100 characters.")

    def where(self, info: Info) -> PlansWhere:
        return PlansWhere(
            is_online_sale=self.is_online_sale,
            is_active=self.is_active,
            currency=self.currency_code,
            interval=self.interval,
            product_code=self.product_code,
            search=searched(info, self.search),
        )
