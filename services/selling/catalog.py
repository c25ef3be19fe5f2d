"""Putting products and plans on sale, changing and withdrawing them. Codes are unique.

What a code of a feature names first comes into being. What is withdrawn stays: present subscriptions go on with it.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from sqlmodel import SQLModel
from sqlmodel.ext.asyncio.session import AsyncSession

from billing.errors import ErrorCode, UserProblem
from billing.metering import UsageType
from billing.offering import PlanTerms, check_code, check_name, check_plan, check_statement_descriptor, check_unchanged
from models.base import Record, new_id
from models.catalog import (
    AppRole,
    Feature,
    Plan,
    PlanCredit,
    PlanEntitlement,
    Product,
    credits_of_plans,
    entitlements_of,
    features_by_code,
    is_product_code_taken,
    locked_plan,
    locked_product,
    next_plan_position,
    plan_by,
    plans_of_product,
    product_by,
)
from services.app import App
from services.problems import not_found, refuse_stale
from services.selling.entries import (
    PlanEdit,
    PlanEntry,
    ProductEdit,
    ProductEntry,
    entry_of_plan,
    entry_of_product,
)
from services.selling.repricing import write_prices
from services.writing import code_taken, written

R = TypeVar("R", bound=Record)


async def create_product(app: App, entry: ProductEntry) -> Product:
    """Raises UserProblem REQUIRED, INVALID, ALREADY_EXISTS."""
    _check_product(entry)
    now, id = app.now(), new_id("product")
    row = Product(id=id, created_at=now, updated_at=now, **_product_columns(id, entry))

    async def write(session: AsyncSession) -> Product:
        if await is_product_code_taken(session, row.code):
            raise code_taken()
        session.add(row)
        return row

    return await written(app, write)


async def update_product(app: App, product_id: str, edit: ProductEdit, expected_version: int | None) -> Product:
    """What is edited; what comes to the same changes nothing. Raises also NOT_FOUND, VERSION_CONFLICT."""

    async def write(session: AsyncSession) -> Product:
        row = _current(await locked_product(session, product_id), "product", expected_version)
        before = entry_of_product(row)
        after = edit(before)
        if after == before:
            return row
        _check_product(after)
        _refuse_return(row, after.is_active)
        columns = _product_columns(row.id, after)
        if columns["code"] != row.code and await is_product_code_taken(session, columns["code"]):
            raise code_taken()
        row.sqlmodel_update(columns)
        row.touch(app.now())
        return row

    return await written(app, write)


async def archive_product(app: App, product_id: str, expected_version: int | None) -> Product:
    """Withdraw it with all plans that it is sold by. Repeating it changes nothing.

    Raises NOT_FOUND, VERSION_CONFLICT.
    """
    async with app.database.write() as session:
        row = _current(await locked_product(session, product_id), "product", expected_version)
        for plan in await plans_of_product(session, row.id):
            locked = await locked_plan(session, plan.id)
            if locked is not None:
                _archive(app, locked)
        _archive(app, row)
        return row


async def create_plan(app: App, entry: PlanEntry) -> Plan:
    """The plan with its prices, entitlements and credits; features that do not exist come into being by their codes.

    Raises UserProblem REQUIRED, INVALID, NOT_FOUND, ALREADY_EXISTS, the field being the path of the part at fault.
    """
    _check_plan(entry)

    async def write(session: AsyncSession) -> Plan:
        product = await _product(session, entry)
        now, id = app.now(), new_id("plan")
        features = await _features(session, entry.terms)
        columns = await _plan_columns(session, id, entry, features)
        if await plan_by(session, code=columns["code"]) is not None:
            raise code_taken()
        plan = Plan(id=id, product_id=product.id, created_at=now, updated_at=now, **columns)
        session.add(plan)
        await session.flush()
        await write_prices(session, plan, entry.terms.prices, now)
        await _write_grants(session, plan, entry.terms, features)
        return plan

    return await written(app, write)


async def update_plan(app: App, plan_id: str, edit: PlanEdit, expected_version: int | None) -> Plan:
    """What is edited; a changed price is a new one, for new subscriptions. What comes to the same changes nothing.

    What it allows and grants is changed for present subscribers too: access at once, credits with the next paid
    period. Raises also NOT_FOUND, VERSION_CONFLICT, and INVALID_STATE for what never changes.
    """

    async def write(session: AsyncSession) -> Plan:
        row = _current(await locked_plan(session, plan_id), "plan", expected_version)
        before = await entry_of_plan(session, row)
        after = edit(before)
        if _in_order(after) == _in_order(before):
            return row
        await _refuse_other_product(session, row, after)
        check_unchanged(before.terms, after.terms)
        _check_plan(after)
        _refuse_return(row, after.is_active)
        features = await _features(session, after.terms)
        columns = await _plan_columns(session, row.id, after, features)
        if columns["code"] != row.code and await plan_by(session, code=columns["code"]) is not None:
            raise code_taken()
        row.sqlmodel_update(columns)
        now = app.now()
        row.touch(now)
        await write_prices(session, row, after.terms.prices, now)
        await _write_grants(session, row, after.terms, features)
        return row

    return await written(app, write)


async def archive_plan(app: App, plan_id: str, expected_version: int | None) -> Plan:
    """Withdraw it: nobody can subscribe to it any more. Repeating it changes nothing.

    Raises NOT_FOUND, VERSION_CONFLICT.
    """
    async with app.database.write() as session:
        row = _current(await locked_plan(session, plan_id), "plan", expected_version)
        _archive(app, row)
        return row


def _current(row: R | None, kind: str, expected_version: int | None) -> R:
    if row is None:
        raise not_found(kind, "id")
    refuse_stale(row.version, expected_version)
    return row


def _archive(app: App, row: Product | Plan) -> None:
    if row.archived_at is None:
        now = app.now()
        row.archived_at, row.is_active = now, False
        row.touch(now)


def _refuse_return(row: Product | Plan, is_active: bool) -> None:
    if row.archived_at is not None and is_active:
        raise UserProblem(ErrorCode.INVALID_STATE, "It has been withdrawn for good. Make another one.", ["isActive"])


def _check_product(entry: ProductEntry) -> None:
    check_name(entry.name)
    if entry.code is not None:
        check_code(entry.code, "code")
    if entry.statement_descriptor is not None:
        check_statement_descriptor(entry.statement_descriptor, "statementDescriptor")


def _product_columns(id: str, entry: ProductEntry) -> dict[str, Any]:
    return {
        "code": entry.code or id,
        "name": entry.name,
        "type": entry.type,
        "description": entry.description,
        "images": list(entry.images),
        "attributes": list(entry.attributes),
        "skus": list(entry.skus),
        "unit_label": entry.unit_label,
        "statement_descriptor": entry.statement_descriptor,
        "shippable": entry.shippable,
        "package_dimensions": {name: f"{size:f}" for name, size in entry.package_dimensions.items()},
        "is_active": entry.is_active,
        "meta": entry.metadata,
    }


def _in_order(entry: PlanEntry) -> PlanEntry:
    """The same whatever the order in which its parts were given."""
    prices = sorted((each for each in entry.terms.prices if each.is_active), key=lambda each: each.currency)
    entitlements = sorted(entry.terms.entitlements, key=lambda each: each.feature_code)
    credits = sorted(entry.terms.credits, key=lambda each: each.unit)
    return replace(entry, terms=replace(entry.terms, prices=prices, entitlements=entitlements, credits=credits))


def _check_plan(entry: PlanEntry) -> None:
    check_name(entry.name)
    if entry.code is not None:
        check_code(entry.code, "code")
    check_plan(entry.terms)


async def _product(session: AsyncSession, entry: PlanEntry) -> Product:
    """Locked, so that it is not withdrawn meanwhile."""
    row, named = await _named_product(session, entry)
    locked = await locked_product(session, row.id)
    if locked is None or locked.archived_at is not None:
        raise UserProblem(ErrorCode.INVALID_STATE, "This product has been withdrawn. Choose another one.", [named])
    return locked


async def _named_product(session: AsyncSession, entry: PlanEntry) -> tuple[Product, str]:
    """The product, and the field that names it."""
    if (entry.product_id is None) is (entry.product_code is None):
        raise UserProblem(ErrorCode.REQUIRED, "Name the product: give either productId or productCode.", ["productId"])
    named = "productId" if entry.product_id is not None else "productCode"
    found = await product_by(session, id=entry.product_id, code=entry.product_code)
    if found is None:
        raise UserProblem(ErrorCode.NOT_FOUND, "There is no such product.", [named])
    return found, named


async def _refuse_other_product(session: AsyncSession, row: Plan, entry: PlanEntry) -> None:
    found, named = await _named_product(session, entry)
    if found.id != row.product_id:
        raise UserProblem(ErrorCode.INVALID_STATE, "A plan stays its product's. Create another plan there.", [named])


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


async def _plan_columns(
    session: AsyncSession, id: str, entry: PlanEntry, features: Mapping[str, Feature]
) -> dict[str, Any]:
    terms, package = entry.terms, entry.terms.package
    if entry.role_id is not None and await session.get(AppRole, entry.role_id) is None:
        raise UserProblem(ErrorCode.NOT_FOUND, "The application has no such role.", ["roleId"])
    measured = features[terms.feature_code] if terms.feature_code is not None else None
    return {
        "code": entry.code or id,
        "name": entry.name,
        "item": entry.item,
        "highlight": entry.highlight,
        "description": entry.description,
        "nickname": entry.nickname,
        "type": entry.type,
        "position": await next_plan_position(session) if entry.position is None else entry.position,
        "interval": terms.interval,
        "interval_count": terms.interval_count,
        "billing_day": terms.billing_day,
        "trial_period_days": terms.trial_period_days,
        "cancel_at_period_end": entry.cancel_at_period_end,
        "role_id": entry.role_id,
        "usage_type": terms.usage_type,
        "aggregate_usage": terms.aggregate_usage if terms.usage_type is UsageType.METERED else None,
        "meter_feature_id": measured.id if measured is not None else None,
        "billing_scheme": terms.scheme,
        "tiers_mode": terms.tiers_mode,
        "divide_by": package.divide_by if package is not None else None,
        "divide_round": package.round if package is not None else None,
        "tax_percent": terms.tax_percent,
        "is_active": entry.is_active,
        "is_online_sale": entry.is_online_sale,
        "meta": entry.metadata,
    }


async def _write_grants(session: AsyncSession, plan: Plan, terms: PlanTerms, features: Mapping[str, Feature]) -> None:
    """What it allows and what it grants, in the place of what it did."""
    allowed = {
        features[each.feature_code].id: PlanEntitlement(
            plan_id=plan.id, feature_id=features[each.feature_code].id, is_enabled=each.is_enabled, limit=each.limit
        )
        for each in terms.entitlements
    }
    granted = {
        each.unit: PlanCredit(
            plan_id=plan.id, unit=each.unit, daily=each.daily, total=each.total, is_fixed=each.is_fixed
        )
        for each in terms.credits
    }
    for row in await entitlements_of(session, [plan.id]):
        await _replace(session, row, allowed.pop(row.feature_id, None))
    for row in await credits_of_plans(session, [plan.id]):
        await _replace(session, row, granted.pop(row.unit, None))
    session.add_all([*allowed.values(), *granted.values()])


async def _replace(session: AsyncSession, row: SQLModel, wanted: SQLModel | None) -> None:
    if wanted is None:
        await session.delete(row)
    else:
        row.sqlmodel_update(wanted)
