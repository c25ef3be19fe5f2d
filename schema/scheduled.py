"""Changes of subscriptions that are planned."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import strawberry

from billing.money import Money as Amount
from billing.proration import ProrationBehavior
from models.subscriptions import ScheduledChange as ScheduledRow
from schema.catalog import Plan, PlanPrice, Product
from schema.fields import Info, PlanPriceRef, PlanRef, ProductRef, described
from schema.money import Money


@strawberry.type(description="One thing that will be subscribed to.")
class ScheduledItem:
    quantity: int = described("How many.")
    unit_amount_override: Money | None = described("The price of one instead of the plan's; null unless it was given.")
    price_id: strawberry.Private[str]

    @classmethod
    def of(cls, document: dict[str, Any], currency: str) -> "ScheduledItem":
        unit = document["unit_amount_minor"]
        return cls(
            quantity=document["quantity"],
            unit_amount_override=Money.of(Amount(unit, currency)) if unit is not None else None,
            price_id=document["price_id"],
        )

    @strawberry.field(description="The price.")
    async def price(self, info: Info) -> PlanPriceRef:
        row = await info.context.loaders.price.load(self.price_id)
        assert row is not None  # prices are never deleted
        return PlanPrice.of(row)

    @strawberry.field(description="The plan.")
    async def plan(self, info: Info) -> PlanRef:
        price = await info.context.loaders.price.load(self.price_id)
        assert price is not None  # prices are never deleted
        return await _plan_of(info, price.plan_id)

    @strawberry.field(description="The product.")
    async def product(self, info: Info) -> ProductRef:
        price = await info.context.loaders.price.load(self.price_id)
        assert price is not None  # prices are never deleted
        plan = await info.context.loaders.plan.load(price.plan_id)
        row = await info.context.loaders.product.load(plan.product_id) if plan is not None else None
        assert row is not None  # held by a foreign key
        return Product.of(row)


@strawberry.type(description="A change that is planned; `cancelScheduledChange` takes it back.")
class ScheduledChange:
    at: datetime = described("When. At a date it is put off to the period's end while an invoice is open then.")
    proration: ProrationBehavior = described("What is done about money; NONE at a period's end.")
    items: list[ScheduledItem] = described("All that it will consist of.")
    is_migration: bool = described(
        "Whether the merchant moves it to another price. Customers cannot take that back; they may choose another "
        "plan, or cancel."
    )
    plan_id: strawberry.Private[str]

    @classmethod
    def of(cls, row: ScheduledRow, at: datetime, currency: str) -> "ScheduledChange":
        documents: Sequence[dict[str, Any]] = row.items
        return cls(
            at=at,
            proration=ProrationBehavior(row.proration),
            items=[ScheduledItem.of(each, currency) for each in documents],
            is_migration=row.is_migration,
            plan_id=row.plan_id,
        )

    @strawberry.field(description="The plan that becomes its own.")
    async def plan(self, info: Info) -> PlanRef:
        return await _plan_of(info, self.plan_id)


async def _plan_of(info: Info, plan_id: str) -> Plan:
    row = await info.context.loaders.plan.load(plan_id)
    assert row is not None  # held by a foreign key
    return Plan.of(row)
