"""What a catalog is made of: products, plans and their prices."""

from decimal import Decimal

import strawberry
from strawberry.scalars import JSON

from billing.calendar import Interval
from billing.errors import ErrorCode, UserProblem
from billing.metering import Aggregation, UsageType
from billing.offering import NewAllowance, NewEntitlement, NewPrice, PlanTerms
from billing.pricing import BillingScheme, Package, Rounding, Tier, TiersMode
from models.catalog import ProductType
from schema.fields import described, optional
from schema.given import notes
from schema.inputs import at_most
from schema.scalars import URL, BigInt, CurrencyCode
from services.catalog import NewPlan, NewProduct

MOST_TEXTS = 20


@strawberry.input(description="A product to sell.")
class ProductInput:
    code: str | None = optional("Its public name, unique; its id unless given. At most 100 letters, digits, `.-_`.")
    name: str | None = optional("Its name for people. Required; at most 250 characters.")
    type: ProductType | None = optional("What kind of thing it is; SERVICE unless given.")
    description: str | None = optional("What it is, for people.")
    images: list[URL] | None = optional("Pictures of it, at most 20.")
    attributes: list[str] | None = optional("Names of what variants differ in, at most 20 of 100 characters.")
    unit_label: str | None = optional("What one unit is called, such as `seat`; at most 40 characters.")
    statement_descriptor: str | None = optional("What card statements shall say; at most 22 characters.")
    shippable: bool | None = optional("Whether it is sent; false unless given.")
    is_active: bool | None = optional("Whether it is offered; true unless given.")
    metadata: JSON | None = optional("The merchant's own notes: a JSON object.")

    def wish(self) -> NewProduct:
        at_most(250, name=self.name)
        at_most(5_000, description=self.description)
        at_most(40, unit_label=self.unit_label)
        at_most(22, statement_descriptor=self.statement_descriptor)
        for name, texts in (("images", self.images), ("attributes", self.attributes)):
            if texts is not None and len(texts) > MOST_TEXTS:
                raise UserProblem(ErrorCode.INVALID, f"{name}: at most {MOST_TEXTS} are kept.", [name])
        for n, attribute in enumerate(self.attributes or ()):
            if not 1 <= len(attribute) <= 100:
                raise UserProblem(ErrorCode.INVALID, "An attribute has 1 to 100 characters.", ["attributes", str(n)])
        return NewProduct(
            name=self.name or "",
            code=self.code,
            type=self.type or ProductType.SERVICE,
            description=self.description,
            images=self.images or (),
            attributes=self.attributes or (),
            unit_label=self.unit_label,
            statement_descriptor=self.statement_descriptor,
            shippable=self.shippable or False,
            is_active=self.is_active is not False,
            metadata=notes(self.metadata) or {},
        )


@strawberry.input(description="The units up to a number, and what they cost.")
class PriceTierInput:
    up_to: BigInt | None = optional("The last unit of this tier; left out of the last tier, and only there.")
    unit_amount: Decimal | None = optional("The price of one unit in major units; at most 12 decimals.")
    flat_amount: Decimal | None = optional("What is asked once as soon as the tier is reached, in major units.")

    def tier(self) -> Tier:
        return Tier(self.up_to, self.unit_amount or Decimal(0), self.flat_amount or Decimal(0))


@strawberry.input(description="What a plan costs in one currency. Say it by `amount`, `unitAmountDecimal` or `tiers`.")
class PlanPriceInput:
    currency_code: CurrencyCode = described("The currency.")
    amount: Decimal | None = optional('The price of one unit and period in major units: "9.99".')
    unit_amount_decimal: Decimal | None = optional(
        'The same where it is finer than the currency: "0.0035". Amounts are rounded once, on the invoice\'s line.'
    )
    tiers: list[PriceTierInput] | None = optional("With `billingScheme: TIERED`: ascending, the last without `upTo`.")
    is_default: bool | None = optional("Whether it is the price when no currency is asked for; else the first one is.")

    def price(self) -> NewPrice:
        return NewPrice(
            currency=self.currency_code,
            amount=self.amount,
            unit_amount=self.unit_amount_decimal,
            tiers=[tier.tier() for tier in self.tiers or ()],
            is_default=self.is_default or False,
        )


@strawberry.input(description="Packages: quantities are divided and rounded before they are priced.")
class TransformUsageInput:
    divide_by: int = described("How many units make a package; 1 or more.")
    round: Rounding = described("What becomes of a package that is not full.")


@strawberry.input(description="What a plan allows of a feature.")
class PlanEntitlementInput:
    feature_code: str = described("The feature; one that does not exist comes into being.")
    is_enabled: bool = strawberry.field(description="Whether it is allowed at all.", default=True)
    limit: BigInt | None = optional("How much of it; without limit unless given.")


@strawberry.input(description="Credits that each paid period of a plan grants. Give `daily`, `total` or both.")
class PlanCreditInput:
    unit: str = described("What they are credits for, such as `classic_cup`.")
    daily: BigInt | None = optional("How many a day may be consumed, for each of the item's quantity.")
    total: BigInt | None = optional("How many a period grants for each of the quantity; daily × its days unless given.")
    is_fixed: bool = strawberry.field(
        description="Whether they are granted once only, and then neither refilled nor taken away.", default=False
    )


@strawberry.input(description="A plan to sell a product by.")
class PlanInput:
    code: str | None = optional("Its public name, unique; its id unless given. At most 100 letters, digits, `.-_`.")
    name: str | None = optional("Its name for people. Required; at most 250 characters.")
    nickname: str | None = optional("Its name among staff; at most 250 characters.")
    description: str | None = optional("What one gets, for people.")
    highlight: str | None = optional("A word to draw attention to it, such as 'Popular'.")
    item: str | None = optional("What the merchant's own system calls the thing sold; at most 250 characters.")
    product_id: strawberry.ID | None = optional("The product, by its id; or give `productCode`.")
    product_code: str | None = optional("The product, by its code or an alias; or give `productId`.")
    interval: Interval | None = optional("The unit of its period. Required.")
    interval_count: int | None = optional("How many units make a period, three years at most; 1 unless given.")
    billing_day: int | None = optional("The day of the month that it bills on, 1 to 31; months and years only.")
    trial_period_days: int | None = optional("How many days are free at first, at most 730; none unless given.")
    prices: list[PlanPriceInput] | None = optional("What it costs, one price for each currency. Required.")
    usage_type: UsageType | None = optional("What it bills by; LICENSED unless given.")
    aggregate_usage: Aggregation | None = optional("How usage becomes one number. Required with METERED.")
    feature_code: str | None = optional("What is measured. Required with METERED; made if it does not exist.")
    billing_scheme: BillingScheme | None = optional("Whether every unit costs the same; PER_UNIT unless given.")
    tiers_mode: TiersMode | None = optional("How tiers apply. Required with TIERED.")
    transform_usage: TransformUsageInput | None = optional("Packages; not together with tiers.")
    is_active: bool | None = optional("Whether it exists for new subscriptions at all; true unless given.")
    is_online_sale: bool | None = optional("Whether customers may subscribe to it themselves; true unless given.")
    cancel_at_period_end: bool | None = optional("Whether new subscriptions end with their period; false unless given.")
    role_id: int | None = optional("The application's role that paying for it grants.")
    entitlements: list[PlanEntitlementInput] | None = optional("What it allows, once for each feature.")
    credits: list[PlanCreditInput] | None = optional("What each paid period grants, once for each unit.")
    tax_percent: Decimal | None = optional("Tax on top of its prices, in per cent, at most 4 decimals.")
    metadata: JSON | None = optional("The merchant's own notes: a JSON object.")

    def wish(self) -> NewPlan:
        at_most(250, name=self.name, nickname=self.nickname, item=self.item)
        at_most(5_000, description=self.description)
        at_most(100, highlight=self.highlight)
        return NewPlan(
            name=self.name or "",
            terms=self._terms(),
            product_id=self.product_id,
            product_code=self.product_code,
            code=self.code,
            nickname=self.nickname,
            description=self.description,
            highlight=self.highlight,
            item=self.item,
            role_id=self.role_id,
            is_active=self.is_active is not False,
            is_online_sale=self.is_online_sale is not False,
            cancel_at_period_end=self.cancel_at_period_end or False,
            metadata=notes(self.metadata) or {},
        )

    def _terms(self) -> PlanTerms:
        if self.interval is None:
            raise UserProblem(ErrorCode.REQUIRED, "Say how often it bills: give interval.", ["interval"])
        package = self.transform_usage
        return PlanTerms(
            interval=self.interval,
            interval_count=1 if self.interval_count is None else self.interval_count,
            billing_day=self.billing_day,
            trial_period_days=self.trial_period_days or 0,
            prices=[price.price() for price in self.prices or ()],
            usage_type=self.usage_type or UsageType.LICENSED,
            aggregate_usage=self.aggregate_usage,
            feature_code=self.feature_code,
            scheme=self.billing_scheme or BillingScheme.PER_UNIT,
            tiers_mode=self.tiers_mode,
            package=Package(package.divide_by, package.round) if package is not None else None,
            tax_percent=self.tax_percent,
            entitlements=[NewEntitlement(e.feature_code, e.is_enabled, e.limit) for e in self.entitlements or ()],
            credits=[NewAllowance(c.unit, c.daily, c.total, c.is_fixed) for c in self.credits or ()],
        )
