"""What the catalog says of a product and of a plan, as values: what is written, and what there is to be edited.

An edit takes the entry that there is to the one that shall be; making something edits the empty entry.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.calendar import Interval
from billing.offering import NewAllowance, NewEntitlement, NewPrice, PlanTerms
from billing.pricing import BillingScheme, Package
from models.base import Notes
from models.catalog import (
    Feature,
    Plan,
    Price,
    PricingType,
    Product,
    ProductType,
    credits_of_plans,
    entitlements_of,
    prices_of,
)
from models.lists import by_ids


@dataclass(frozen=True, slots=True)
class ProductEntry:
    """`code` None: its id serves. `package_dimensions`: height, length, weight and width, or nothing."""

    name: str = ""
    code: str | None = None
    type: ProductType = ProductType.SERVICE
    description: str | None = None
    images: Sequence[str] = ()
    attributes: Sequence[str] = ()
    skus: Sequence[str] = ()
    unit_label: str | None = None
    statement_descriptor: str | None = None
    shippable: bool = False
    package_dimensions: Mapping[str, Decimal] = field(default_factory=dict[str, Decimal])
    is_active: bool = True
    metadata: Notes = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PlanEntry:
    """A plan of the product that one of `product_id` and `product_code` names.

    `code` None: its id serves. `position` None: after all the others.
    """

    name: str = ""
    terms: PlanTerms = field(default_factory=lambda: PlanTerms(Interval.MONTH))
    product_id: str | None = None
    product_code: str | None = None
    code: str | None = None
    nickname: str | None = None
    description: str | None = None
    highlight: str | None = None
    item: str | None = None
    type: PricingType = PricingType.STANDARD
    position: int | None = None
    role_id: int | None = None
    is_active: bool = True
    is_online_sale: bool = True
    cancel_at_period_end: bool = False
    metadata: Notes = field(default_factory=dict)


BLANK_PRODUCT, BLANK_PLAN = ProductEntry(), PlanEntry()

ProductEdit = Callable[[ProductEntry], ProductEntry]
PlanEdit = Callable[[PlanEntry], PlanEntry]
"""Raises UserProblem for what cannot be meant."""


def entry_of_product(row: Product) -> ProductEntry:
    return ProductEntry(
        name=row.name,
        code=row.code,
        type=row.type,
        description=row.description,
        images=row.images,
        attributes=row.attributes,
        skus=row.skus,
        unit_label=row.unit_label,
        statement_descriptor=row.statement_descriptor,
        shippable=row.shippable,
        package_dimensions={name: Decimal(size) for name, size in row.package_dimensions.items()},
        is_active=row.is_active,
        metadata=row.meta,
    )


async def entry_of_plan(session: AsyncSession, row: Plan) -> PlanEntry:
    return PlanEntry(
        name=row.name,
        terms=await _terms_of(session, row),
        product_id=row.product_id,
        code=row.code,
        nickname=row.nickname,
        description=row.description,
        highlight=row.highlight,
        item=row.item,
        type=row.type,
        position=row.position,
        role_id=row.role_id,
        is_active=row.is_active,
        is_online_sale=row.is_online_sale,
        cancel_at_period_end=row.cancel_at_period_end,
        metadata=row.meta,
    )


async def _terms_of(session: AsyncSession, row: Plan) -> PlanTerms:
    allowed = await entitlements_of(session, [row.id])
    named = {each.feature_id for each in allowed}
    if row.meter_feature_id is not None:
        named.add(row.meter_feature_id)
    codes = {feature.id: feature.code for feature in await by_ids(session, Feature, sorted(named))}
    package = Package(row.divide_by, row.divide_round) if row.divide_by and row.divide_round else None
    return PlanTerms(
        interval=row.interval,
        interval_count=row.interval_count,
        billing_day=row.billing_day,
        trial_period_days=row.trial_period_days,
        prices=[_price_of(row, price) for price in await prices_of(session, [row.id])],
        usage_type=row.usage_type,
        aggregate_usage=row.aggregate_usage,
        feature_code=codes[row.meter_feature_id] if row.meter_feature_id is not None else None,
        scheme=row.billing_scheme,
        tiers_mode=row.tiers_mode,
        package=package,
        tax_percent=row.tax_percent,
        entitlements=[NewEntitlement(codes[each.feature_id], each.is_enabled, each.limit) for each in allowed],
        credits=[
            NewAllowance(each.unit, each.daily, each.total, each.is_fixed)
            for each in await credits_of_plans(session, [row.id])
        ],
    )


def _price_of(plan: Plan, row: Price) -> NewPrice:
    """The price as it was given: by tiers, by an exact unit's price, or by an amount."""
    if plan.billing_scheme is BillingScheme.TIERED:
        return NewPrice(row.currency, tiers=tuple(row.terms(plan).tiers), is_default=row.is_default)
    if row.unit_amount_decimal is not None:
        return NewPrice(row.currency, unit_amount=row.unit_amount_decimal, is_default=row.is_default)
    return NewPrice(row.currency, amount=row.amount.major, is_default=row.is_default)
