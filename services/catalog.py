"""Putting products and plans on sale. Codes are unique; what a code of a feature names first comes into being."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy.exc import IntegrityError
from sqlmodel.ext.asyncio.session import AsyncSession

from billing.errors import ErrorCode, UserProblem
from billing.metering import UsageType
from billing.offering import NewPrice, PlanTerms, check_code, check_plan
from billing.pricing import Tier
from models.base import new_id
from models.catalog import (
    AppRole,
    Feature,
    Plan,
    PlanCredit,
    PlanEntitlement,
    Price,
    Product,
    ProductType,
    features_by_code,
    is_product_code_taken,
    next_plan_position,
    plan_by,
    product_by,
)
from models.database import is_unique_violation
from services.app import App

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class NewProduct:
    """`code` None: its id serves."""

    name: str
    code: str | None = None
    type: ProductType = ProductType.SERVICE
    description: str | None = None
    images: Sequence[str] = ()
    attributes: Sequence[str] = ()
    unit_label: str | None = None
    statement_descriptor: str | None = None
    shippable: bool = False
    is_active: bool = True
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class NewPlan:
    """A plan of the product that one of `product_id` and `product_code` names; `code` None: its id serves."""

    name: str
    terms: PlanTerms
    product_id: str | None = None
    product_code: str | None = None
    code: str | None = None
    nickname: str | None = None
    description: str | None = None
    highlight: str | None = None
    item: str | None = None
    role_id: int | None = None
    is_active: bool = True
    is_online_sale: bool = True
    cancel_at_period_end: bool = False
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])


async def create_product(app: App, wish: NewProduct) -> Product:
    """Raises UserProblem REQUIRED, INVALID, ALREADY_EXISTS."""
    _check_name(wish.name)
    if wish.code is not None:
        check_code(wish.code, "code")
    now = app.now()
    row = Product(
        id=(id := new_id("product")),
        code=wish.code or id,
        name=wish.name,
        type=wish.type,
        description=wish.description,
        images=list(wish.images),
        attributes=list(wish.attributes),
        unit_label=wish.unit_label,
        statement_descriptor=wish.statement_descriptor,
        shippable=wish.shippable,
        is_active=wish.is_active,
        created_at=now,
        updated_at=now,
        meta=dict(wish.metadata),
    )

    async def write(session: AsyncSession) -> Product:
        if await is_product_code_taken(session, row.code):
            raise _code_taken()
        session.add(row)
        return row

    return await _written(app, write)


async def create_plan(app: App, wish: NewPlan) -> Plan:
    """The plan with its prices, entitlements and credits; features that do not exist come into being by their codes.

    Raises UserProblem REQUIRED, INVALID, NOT_FOUND, ALREADY_EXISTS, the field being the path of the part at fault.
    """
    _check_name(wish.name)
    if wish.code is not None:
        check_code(wish.code, "code")
    check_plan(wish.terms)
    return await _written(app, lambda session: _write_plan(app, session, wish))


async def _write_plan(app: App, session: AsyncSession, wish: NewPlan) -> Plan:
    product = await _product(session, wish)
    if wish.code is not None and await plan_by(session, code=wish.code) is not None:
        raise _code_taken()
    if wish.role_id is not None and await session.get(AppRole, wish.role_id) is None:
        raise UserProblem(ErrorCode.NOT_FOUND, "The application has no such role.", ["roleId"])
    features = await _features(session, wish.terms)
    plan = await _plan_row(app, session, wish, product, features)
    session.add(plan)
    await session.flush()
    prices, now = wish.terms.prices, app.now()
    default = next((n for n, price in enumerate(prices) if price.is_default), 0)
    session.add_all(_price_row(plan, price, is_default=n == default, now=now) for n, price in enumerate(prices))
    session.add_all(
        PlanEntitlement(
            plan_id=plan.id, feature_id=features[each.feature_code].id, is_enabled=each.is_enabled, limit=each.limit
        )
        for each in wish.terms.entitlements
    )
    session.add_all(
        PlanCredit(plan_id=plan.id, unit=each.unit, daily=each.daily, total=each.total, is_fixed=each.is_fixed)
        for each in wish.terms.credits
    )
    return plan


async def _product(session: AsyncSession, wish: NewPlan) -> Product:
    if (wish.product_id is None) is (wish.product_code is None):
        raise UserProblem(ErrorCode.REQUIRED, "Name the product: give either productId or productCode.", ["productId"])
    found = await product_by(session, id=wish.product_id, code=wish.product_code)
    if found is None:
        named = "productId" if wish.product_id is not None else "productCode"
        raise UserProblem(ErrorCode.NOT_FOUND, "There is no such product.", [named])
    return found


async def _features(session: AsyncSession, terms: PlanTerms) -> Mapping[str, Feature]:
    """The features that the plan speaks of, by code; missing ones are made."""
    codes = {each.feature_code for each in terms.entitlements}
    if terms.feature_code is not None:
        codes.add(terms.feature_code)
    found = {feature.code: feature for feature in await features_by_code(session, sorted(codes))}
    for code in sorted(codes - found.keys()):
        found[code] = Feature(id=new_id("feature"), code=code, name=code)
        session.add(found[code])
    await session.flush()
    return found


async def _plan_row(
    app: App, session: AsyncSession, wish: NewPlan, product: Product, features: Mapping[str, Feature]
) -> Plan:
    terms, now, id = wish.terms, app.now(), new_id("plan")
    measured = features[terms.feature_code] if terms.feature_code is not None else None
    return Plan(
        id=id,
        product_id=product.id,
        code=wish.code or id,
        name=wish.name,
        item=wish.item,
        highlight=wish.highlight,
        description=wish.description,
        nickname=wish.nickname,
        position=await next_plan_position(session),
        interval=terms.interval,
        interval_count=terms.interval_count,
        billing_day=terms.billing_day,
        trial_period_days=terms.trial_period_days,
        cancel_at_period_end=wish.cancel_at_period_end,
        role_id=wish.role_id,
        usage_type=terms.usage_type,
        aggregate_usage=terms.aggregate_usage if terms.usage_type is UsageType.METERED else None,
        meter_feature_id=measured.id if measured is not None else None,
        billing_scheme=terms.scheme,
        tiers_mode=terms.tiers_mode,
        divide_by=terms.package.divide_by if terms.package is not None else None,
        divide_round=terms.package.round if terms.package is not None else None,
        tax_percent=terms.tax_percent,
        is_active=wish.is_active,
        is_online_sale=wish.is_online_sale,
        created_at=now,
        updated_at=now,
        meta=dict(wish.metadata),
    )


def _price_row(plan: Plan, price: NewPrice, *, is_default: bool, now: datetime) -> Price:
    return Price(
        id=new_id("price"),
        plan_id=plan.id,
        currency=price.currency,
        amount_minor=price.shown.minor,
        unit_amount_decimal=price.unit_amount,
        tiers=[_tier_document(tier) for tier in price.tiers],
        is_default=is_default,
        effective_from=now,
    )


def _tier_document(tier: Tier) -> dict[str, Any]:
    return {"up_to": tier.up_to, "unit_amount": f"{tier.unit_amount:f}", "flat_amount": f"{tier.flat_amount:f}"}


def _check_name(name: str) -> None:
    if not name.strip():
        raise UserProblem(ErrorCode.REQUIRED, "Give it a name.", ["name"])


def _code_taken() -> UserProblem:
    return UserProblem(ErrorCode.ALREADY_EXISTS, "This code is taken. Choose another one.", ["code"])


async def _written(app: App, write: Callable[[AsyncSession], Awaitable[T]]) -> T:
    """Written in one transaction; again when somebody took a code, or made a feature, at this very moment."""
    try:
        async with app.database.write() as session:
            return await write(session)
    except IntegrityError as error:
        if not is_unique_violation(error):
            raise
    async with app.database.write() as session:
        return await write(session)
