"""What is for sale: products, plans, prices, and the app roles that paying grants."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import Index, func, text
from sqlmodel import Field, SQLModel, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from billing.calendar import Interval
from billing.metering import Aggregation, UsageType
from billing.money import Money
from billing.pricing import BillingScheme, Package, PriceTerms, Rounding, Tier, TiersMode
from models.audit_log import Audited
from models.base import BIG, DOCUMENT, DecimalText, EnumText, Record, UTCDateTime


class ProductType(StrEnum):
    SERVICE = "service"
    GOOD = "good"


class PricingType(StrEnum):
    """What role a plan plays in the shop, in the order in which plans are ranked."""

    STANDARD = "standard"
    PROMOTIONAL = "promotional"
    LEGACY = "legacy"


class Product(Record, table=True):
    """Something sold; a customer has at most one live subscription to each. `code` is its public name.

    `package_dimensions`: height, length, weight and width, as decimal texts; empty where they are not known.
    """

    __tablename__ = "products"
    __audited__ = Audited()

    code: str = Field(unique=True, max_length=100)
    name: str = Field(max_length=250)
    description: str | None = None
    type: ProductType = Field(default=ProductType.SERVICE, sa_type=EnumText(ProductType))
    aliases: list[str] = Field(default_factory=list, sa_type=DOCUMENT)
    images: list[str] = Field(default_factory=list, sa_type=DOCUMENT)
    attributes: list[str] = Field(default_factory=list, sa_type=DOCUMENT)
    skus: list[str] = Field(default_factory=list, sa_type=DOCUMENT)
    unit_label: str | None = Field(default=None, max_length=40)
    statement_descriptor: str | None = Field(default=None, max_length=22)
    shippable: bool = False
    package_dimensions: dict[str, str] = Field(default_factory=dict, sa_type=DOCUMENT)
    is_active: bool = True


class AppRole(SQLModel, table=True):
    """A role of the merchant's own application, granted while a plan is paid."""

    __tablename__ = "app_roles"
    __audited__ = Audited()

    id: int = Field(primary_key=True)
    code: str = Field(unique=True, max_length=100)
    name: str = Field(max_length=250)


class Feature(SQLModel, table=True):
    """Something that plans allow, limit or measure. `unit` names what is counted."""

    __tablename__ = "features"
    __audited__ = Audited()

    id: str = Field(primary_key=True, max_length=40)
    code: str = Field(unique=True, max_length=100)
    name: str = Field(max_length=250)
    unit: str | None = Field(default=None, max_length=40)


class Plan(Record, table=True):
    """A way to buy a product: how often, and with which default behaviour."""

    __tablename__ = "plans"
    __audited__ = Audited()

    product_id: str = Field(foreign_key="products.id", index=True)
    code: str = Field(unique=True, max_length=100)
    name: str = Field(max_length=250)
    item: str | None = Field(default=None, max_length=250)
    highlight: str | None = None
    description: str | None = None
    nickname: str | None = Field(default=None, max_length=250)
    type: PricingType = Field(default=PricingType.STANDARD, sa_type=EnumText(PricingType))
    position: int = 0
    interval: Interval = Field(sa_type=EnumText(Interval))
    interval_count: int = 1
    billing_day: int | None = None
    trial_period_days: int = 0
    cancel_at_period_end: bool = False
    role_id: int | None = Field(default=None, foreign_key="app_roles.id")
    usage_type: UsageType = Field(default=UsageType.LICENSED, sa_type=EnumText(UsageType))
    aggregate_usage: Aggregation | None = Field(default=None, sa_type=EnumText(Aggregation))
    meter_feature_id: str | None = Field(default=None, foreign_key="features.id")
    billing_scheme: BillingScheme = Field(default=BillingScheme.PER_UNIT, sa_type=EnumText(BillingScheme))
    tiers_mode: TiersMode | None = Field(default=None, sa_type=EnumText(TiersMode))
    divide_by: int | None = None
    divide_round: Rounding | None = Field(default=None, sa_type=EnumText(Rounding))
    tax_percent: Decimal | None = Field(default=None, sa_type=DecimalText)
    is_active: bool = True
    is_online_sale: bool = True


class PlanEntitlement(SQLModel, table=True):
    """What a plan allows of a feature. `limit` None with `is_enabled`: without limit."""

    __tablename__ = "plan_entitlements"
    __audited__ = Audited(subject="plan_id")

    plan_id: str = Field(primary_key=True, foreign_key="plans.id")
    feature_id: str = Field(primary_key=True, foreign_key="features.id")
    is_enabled: bool = True
    limit: int | None = Field(default=None, sa_type=BIG)


class PlanCredit(SQLModel, table=True):
    """Credits that each paid period of a plan grants, per unit and quantity.

    `total` None: daily × days of the period × quantity. Fixed credits are granted once and never again.
    """

    __tablename__ = "plan_credits"
    __audited__ = Audited(subject="plan_id")

    plan_id: str = Field(primary_key=True, foreign_key="plans.id")
    unit: str = Field(primary_key=True, max_length=100)
    daily: int | None = Field(default=None, sa_type=BIG)
    total: int | None = Field(default=None, sa_type=BIG)
    is_fixed: bool = False


class Price(SQLModel, table=True):
    """What a plan costs in one currency from an instant on. Never changed: a new price replaces it.

    One of a plan and currency is active, which is the one for new subscriptions. `replaced_by_id` is what came in its
    place; without one the currency was taken off sale.
    """

    __tablename__ = "prices"
    __audited__ = Audited()
    __table_args__ = (
        Index(
            "uq_prices_active_currency",
            "plan_id",
            "currency",
            unique=True,
            sqlite_where=text("is_active"),
            postgresql_where=text("is_active"),
        ),
    )

    id: str = Field(primary_key=True, max_length=40)
    plan_id: str = Field(foreign_key="plans.id", index=True)
    currency: str = Field(max_length=3)
    amount_minor: int = Field(sa_type=BIG)
    unit_amount_decimal: Decimal | None = Field(default=None, sa_type=DecimalText)
    tiers: list[dict[str, Any]] = Field(default_factory=list, sa_type=DOCUMENT)
    is_default: bool = False
    is_active: bool = True
    effective_from: datetime = Field(sa_type=UTCDateTime)
    replaced_by_id: str | None = Field(default=None, foreign_key="prices.id")

    @property
    def amount(self) -> Money:
        return Money(self.amount_minor, self.currency)

    def terms(self, plan: Plan) -> PriceTerms:
        """How it counts. `unit_amount_decimal`, in major units, is finer than the amount where it is given."""
        exact = self.unit_amount_decimal
        return PriceTerms(
            price_id=self.id,
            currency=self.currency,
            unit_amount=self.amount.major if exact is None else exact,
            scheme=plan.billing_scheme,
            tiers_mode=plan.tiers_mode,
            tiers=[
                Tier(tier["up_to"], Decimal(tier["unit_amount"]), Decimal(tier["flat_amount"])) for tier in self.tiers
            ],
            package=Package(plan.divide_by, plan.divide_round) if plan.divide_by and plan.divide_round else None,
        )


async def plan_by(session: AsyncSession, *, id: str | None = None, code: str | None = None) -> Plan | None:
    """The plan of that id, or of that code; None when there is none."""
    wanted = Plan.id == id if id is not None else Plan.code == code
    return (await session.exec(select(Plan).where(wanted))).first()


async def locked_plan(session: AsyncSession, plan_id: str) -> Plan | None:
    """The plan as it is now, for its changes to wait for one another."""
    return await session.get(Plan, plan_id, with_for_update={"key_share": True}, populate_existing=True)


async def locked_product(session: AsyncSession, product_id: str) -> Product | None:
    """The product as it is now, for its changes and those of what it is sold by to wait for one another."""
    return await session.get(Product, product_id, with_for_update={"key_share": True}, populate_existing=True)


async def plans_of_product(session: AsyncSession, product_id: str) -> Sequence[Plan]:
    """Its plans that have not been withdrawn."""
    query = select(Plan).where(Plan.product_id == product_id, col(Plan.archived_at).is_(None)).order_by(col(Plan.id))
    return (await session.exec(query)).all()


async def product_by(session: AsyncSession, *, id: str | None = None, code: str | None = None) -> Product | None:
    """The product of that id, or of that code or alias; None when there is none."""
    if id is not None:
        return await session.get(Product, id)
    return (await products_of_codes(session, [code])).get(code) if code is not None else None


async def products_of_codes(session: AsyncSession, codes: Sequence[str]) -> Mapping[str, Product]:
    """The products that are known by those codes, by their own or by another name of theirs; unknown ones left out."""
    found = {
        each.code: each for each in (await session.exec(select(Product).where(col(Product.code).in_(codes)))).all()
    }
    unknown = set(codes) - found.keys()
    if unknown:
        # Aliases are few and rarely asked for: read rather than indexed.
        for product in (await session.exec(select(Product).order_by(Product.code))).all():
            for alias in unknown.intersection(product.aliases):
                found.setdefault(alias, product)
    return found


async def is_product_code_taken(session: AsyncSession, code: str) -> bool:
    """Whether a product is found by it, also as another name of it."""
    return await product_by(session, code=code) is not None


async def features_by_code(session: AsyncSession, codes: Sequence[str]) -> Sequence[Feature]:
    return (await session.exec(select(Feature).where(col(Feature.code).in_(codes)))).all()


async def app_role_of_code(session: AsyncSession, code: str) -> AppRole | None:
    return (await session.exec(select(AppRole).where(AppRole.code == code))).first()


async def next_plan_position(session: AsyncSession) -> int:
    """The place after all plans that there are."""
    return ((await session.exec(select(func.max(Plan.position)))).one() or 0) + 1


async def entitlements_of(session: AsyncSession, plan_ids: Sequence[str]) -> Sequence[PlanEntitlement]:
    """Those plans' entitlements, by the features' codes."""
    query = (
        select(PlanEntitlement)
        .join(Feature, col(Feature.id) == PlanEntitlement.feature_id)
        .where(col(PlanEntitlement.plan_id).in_(plan_ids))
        .order_by(Feature.code)
    )
    return (await session.exec(query)).all()


async def credits_of_plans(session: AsyncSession, plan_ids: Sequence[str]) -> Sequence[PlanCredit]:
    """What those plans grant, by unit."""
    query = select(PlanCredit).where(col(PlanCredit.plan_id).in_(plan_ids)).order_by(PlanCredit.unit)
    return (await session.exec(query)).all()


async def plan_of_product(
    session: AsyncSession, *, product_id: str, interval: Interval, currency: str | None
) -> Plan | None:
    """The plan on sale for (product, interval, currency), the first by position when several fit."""
    query = (
        select(Plan)
        .where(
            Plan.product_id == product_id,
            Plan.interval == interval,
            Plan.is_active,
            Plan.is_online_sale,
            col(Plan.archived_at).is_(None),
        )
        .order_by(col(Plan.position), col(Plan.id))
    )
    if currency is not None:
        query = query.where(col(Plan.id).in_(select(Price.plan_id).where(Price.currency == currency, Price.is_active)))
    return (await session.exec(query)).first()


async def prices_of(session: AsyncSession, plan_ids: Sequence[str]) -> Sequence[Price]:
    """The active prices of those plans, the default one first."""
    query = (
        select(Price)
        .where(col(Price.plan_id).in_(plan_ids), Price.is_active)
        .order_by(col(Price.is_default).desc(), col(Price.currency))
    )
    return (await session.exec(query)).all()
