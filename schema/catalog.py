"""What is for sale."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated

import strawberry
from strawberry.scalars import JSON

from billing.calendar import Interval
from billing.metering import Aggregation, UsageType
from billing.pricing import BillingScheme, TiersMode
from models.catalog import AppRole as AppRoleRow
from models.catalog import Plan as PlanRow
from models.catalog import Price as PriceRow
from models.catalog import PricingType, ProductType
from models.catalog import Product as ProductRow
from models.catalog_lists import PLANS, PRICES, PlansWhere
from schema.connections import After, Connection, First, below
from schema.fields import Info, PlanPriceRef, PlanRef, ProductRef, argument, described
from schema.interfaces import Node, Record, record_fields
from schema.money import Money
from schema.plan_terms import Feature, PlanCredit, PlanEntitlement, PriceTier, TransformUsage, feature_of
from schema.scalars import URL, CurrencyCode


@strawberry.type(description="A role of the merchant's own application, granted while a plan is paid.")
class AppRole:
    id: int = described("The application's own number for it.")
    code: str = described("Its name in the application's code.")
    name: str = described("Its name for people.")

    @classmethod
    def of(cls, row: AppRoleRow) -> "AppRole":
        return cls(id=row.id, code=row.code, name=row.name)


@strawberry.type(description="What a plan costs in one currency. A price never changes: a new one replaces it.")
class PlanPrice(Node):
    currency_code: CurrencyCode = described("The currency.")
    amount: Money = described("The price of one unit and period; zero where tiers tell it.")
    unit_amount_decimal: Decimal | None = described("The same where it is finer than the currency; else null.")
    tiers: list[PriceTier] = described("What units cost by their number, ascending; empty unless the plan is TIERED.")
    is_default: bool = described("Whether it is the price when no currency is asked for.")
    is_active: bool = described("Whether new subscriptions can have it.")
    effective_from: datetime = described("Since when it holds.")
    replaced_by_id: strawberry.Private[str | None]

    @classmethod
    def of(cls, row: PriceRow) -> "PlanPrice":
        return cls(
            id=strawberry.ID(row.id),
            currency_code=CurrencyCode(row.currency),
            amount=Money.of(row.amount),
            unit_amount_decimal=row.unit_amount_decimal,
            tiers=PriceTier.of(row),
            is_default=row.is_default,
            is_active=row.is_active,
            effective_from=row.effective_from,
            replaced_by_id=row.replaced_by_id,
        )

    @strawberry.field(
        description="The price that new subscriptions have instead; null while it is on sale, and where its currency "
        "was taken off sale."
    )
    async def replaced_by(self, info: Info) -> PlanPriceRef | None:
        row = await info.context.loaders.price.load(self.replaced_by_id) if self.replaced_by_id is not None else None
        return PlanPrice.of(row) if row is not None else None

    @strawberry.field(
        description="How many subscriptions that have not ended are at this price. For staff and API keys with the "
        "scope manage_catalog."
    )
    async def subscriptions_count(self, info: Info) -> int | None:
        return await info.context.loaders.subscribers_of_price.load(self.id)


@strawberry.type(description="A way to buy a product: how often, at which prices. `subscribe` takes its id or code.")
class Plan(Node, Record):
    code: str = described("Its public name, for `subscribe(planCode)` and `plan(code)`.")
    name: str = described("Its name for people.")
    nickname: str | None = described("Its name among staff.")
    item: str | None = described("What the merchant's own system calls the thing sold.")
    highlight: str | None = described("A word to draw attention to it, such as 'Popular'.")
    description: str | None = described("What one gets, for people.")
    type: PricingType = described("What role it plays in the shop.")
    position: int = described("Its place in the shop; plans are listed in this order.")
    interval: Interval = described("The unit of its period.")
    interval_count: int = described("How many units make a period.")
    billing_day: int | None = described("The day of the month that it bills on; null bills on the day of subscribing.")
    trial_period_days: int = described("How many days are free at first.")
    usage_type: UsageType = described("What it bills by.")
    aggregate_usage: Aggregation | None = described("How usage becomes one number; null unless it is METERED.")
    billing_scheme: BillingScheme = described("Whether every unit costs the same.")
    tiers_mode: TiersMode | None = described("How tiers apply; null unless it is TIERED.")
    transform_usage: TransformUsage | None = described("Packages that quantities are divided into; null: none.")
    tax_percent: Decimal | None = described("Tax on top of its prices, in per cent; null: none.")
    cancel_at_period_end: bool = described("Whether new subscriptions end with their period instead of renewing.")
    is_active: bool = described("Whether it exists for new subscriptions at all.")
    is_online_sale: bool = described("Whether customers may subscribe to it themselves.")
    metadata: JSON = described("The merchant's own notes: an object, or an array of objects.")
    product_id: strawberry.Private[str]
    role_id: strawberry.Private[int | None]
    meter_feature_id: strawberry.Private[str | None]

    @classmethod
    def of(cls, row: PlanRow) -> "Plan":
        return cls(
            **record_fields(row),
            code=row.code,
            name=row.name,
            nickname=row.nickname,
            item=row.item,
            highlight=row.highlight,
            description=row.description,
            type=row.type,
            position=row.position,
            interval=row.interval,
            interval_count=row.interval_count,
            billing_day=row.billing_day,
            trial_period_days=row.trial_period_days,
            usage_type=row.usage_type,
            aggregate_usage=row.aggregate_usage,
            billing_scheme=row.billing_scheme,
            tiers_mode=row.tiers_mode,
            transform_usage=TransformUsage.of(row),
            tax_percent=row.tax_percent,
            cancel_at_period_end=row.cancel_at_period_end,
            is_active=row.is_active,
            is_online_sale=row.is_online_sale,
            metadata=JSON(row.meta),
            product_id=row.product_id,
            role_id=row.role_id,
            meter_feature_id=row.meter_feature_id,
        )

    @strawberry.field(description="The product that it sells.")
    async def product(self, info: Info) -> ProductRef:
        row = await info.context.loaders.product.load(self.product_id)
        assert row is not None  # held by a foreign key
        return Product.of(row)

    @strawberry.field(description="What it costs in one currency; null if it has no price there.")
    async def price(
        self,
        info: Info,
        currency_code: Annotated[
            CurrencyCode | None, argument("In which currency; the plan's default one unless given.")
        ] = None,
    ) -> PlanPrice | None:
        prices = await info.context.loaders.prices_of_plan.load(self.id)
        for row in prices:
            if row.is_default if currency_code is None else row.currency == currency_code:
                return PlanPrice.of(row)
        return None

    @strawberry.field(description="What it costs new subscribers in each of its currencies, the default one first.")
    async def prices(self, info: Info) -> list[PlanPrice]:
        return [PlanPrice.of(row) for row in await info.context.loaders.prices_of_plan.load(self.id)]

    @strawberry.field(
        description="All prices that it ever had, replaced ones too, the newest first. For staff and API keys with "
        "the scope manage_catalog."
    )
    async def price_history(self, info: Info, first: First = None, after: After = None) -> Connection[PlanPrice] | None:
        return await below(info, PRICES, "plan_id", self.id, PlanPrice.of, first=first, after=after)

    @strawberry.field(description="The application's role that paying for it grants.")
    async def role(self, info: Info) -> AppRole | None:
        row = await info.context.loaders.app_role.load(self.role_id) if self.role_id is not None else None
        return AppRole.of(row) if row is not None else None

    @strawberry.field(description="What it measures; null unless it is METERED.")
    async def metered_feature(self, info: Info) -> Feature | None:
        return await feature_of(info, self.meter_feature_id) if self.meter_feature_id is not None else None

    @strawberry.field(description="What it allows of each feature, by the features' codes.")
    async def entitlements(self, info: Info) -> list[PlanEntitlement]:
        return [PlanEntitlement.of(row) for row in await info.context.loaders.entitlements_of_plan.load(self.id)]

    @strawberry.field(description="The credits that each of its paid periods grants, by unit.")
    async def credits(self, info: Info) -> list[PlanCredit]:
        return [PlanCredit.of(row) for row in await info.context.loaders.credits_of_plan.load(self.id)]

    @strawberry.field(description="How many subscriptions to it have not ended. For staff.")
    async def subscriptions_count(self, info: Info) -> int | None:
        return await info.context.loaders.subscribers_of_plan.load(self.id)


@strawberry.type(description="How large and how heavy a parcel is, in the merchant's own units.")
class PackageDimensions:
    height: Decimal = described("How high.")
    length: Decimal = described("How long.")
    weight: Decimal = described("How heavy.")
    width: Decimal = described("How wide.")

    @classmethod
    def of(cls, row: ProductRow) -> "PackageDimensions | None":
        sizes = row.package_dimensions
        return cls(**{name: Decimal(size) for name, size in sizes.items()}) if sizes else None


@strawberry.type(description="Something sold. A customer has at most one subscription to each that has not ended.")
class Product(Node, Record):
    code: str = described("Its public name, for `product(code)` and `subscribe(productCode)`.")
    name: str = described("Its name for people.")
    type: ProductType = described("What kind of thing it is.")
    description: str | None = described("What it is, for people.")
    aliases: list[str] = described("Other names by which `product(code)` finds it.")
    images: list[URL] = described("Pictures of it.")
    attributes: list[str] = described("Names of what variants of it differ in.")
    skus: list[str] = described("The merchant's own numbers of its variants.")
    unit_label: str | None = described("What one unit is called, such as `seat`.")
    statement_descriptor: str | None = described("What card statements say.")
    shippable: bool = described("Whether it is sent.")
    package_dimensions: PackageDimensions | None = described("The parcel that it is sent in; null if none is known.")
    is_active: bool = described("Whether it is offered.")
    metadata: JSON = described("The merchant's own notes.")

    @classmethod
    def of(cls, row: ProductRow) -> "Product":
        return cls(
            **record_fields(row),
            code=row.code,
            name=row.name,
            type=row.type,
            description=row.description,
            aliases=row.aliases,
            images=[URL(image) for image in row.images],
            attributes=row.attributes,
            skus=row.skus,
            unit_label=row.unit_label,
            statement_descriptor=row.statement_descriptor,
            shippable=row.shippable,
            package_dimensions=PackageDimensions.of(row),
            is_active=row.is_active,
            metadata=JSON(row.meta),
        )

    @strawberry.field(description="The ways to buy it, in the shop's order.")
    async def plans(self, info: Info, first: First = None, after: After = None) -> Connection[PlanRef]:
        return await below(info, PLANS, "product_id", self.id, Plan.of, where=PlansWhere(), first=first, after=after)
