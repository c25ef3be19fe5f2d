"""Lists of what is for sale, and what narrows them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, literal, or_
from sqlmodel import col, select

from billing.calendar import Interval
from billing.couponing import CouponStatus
from models.batches import Key, Listing, rank_key
from models.catalog import AppRole, Feature, Plan, Price, PricingType, Product, ProductType
from models.coupons import Coupon

PRODUCTS = Listing("product", Product, (Key("code", str),), descending=False)
PLANS = Listing("plan", Plan, (Key("position", int), Key("id", str)), descending=False)
PRICES = Listing("price", Price, (Key("id", str),), descending=True)
FEATURES = Listing("feature", Feature, (Key("code", str),), descending=False)
APP_ROLES = Listing("appRole", AppRole, (Key("id", int),), descending=False)
COUPONS = Listing("coupon", Coupon, (Key("id", str),), descending=True)


def _default_amount(plan: Any) -> ColumnElement[Any]:
    """The default price's minor amount; −1 where there is none, which is less than free."""
    amount = (
        select(Price.amount_minor)
        .where(Price.plan_id == plan.id, Price.is_default, Price.is_active)
        .correlate(plan)
        .scalar_subquery()
    )
    return func.coalesce(amount, -1)


PLANS_BY_POSITION = Key("position", int)
PLANS_BY_PRICE = Key("price", int, largest=2**53, of=_default_amount)
PLANS_BY_CREATION = Key("created_at", datetime)
PLANS_BY_TYPE = rank_key("type", PricingType)


@dataclass(frozen=True, slots=True)
class ProductsWhere:
    """`search` is looked for in code, name and description, whatever its case."""

    is_active: bool | None = None
    type: ProductType | None = None
    search: str | None = None
    include_archived: bool = False

    def conditions(self) -> list[ColumnElement[bool]]:
        found: list[ColumnElement[bool]] = []
        if not self.include_archived:
            found.append(col(Product.archived_at).is_(None))
        if self.is_active is not None:
            found.append(col(Product.is_active) == self.is_active)
        if self.type is not None:
            found.append(col(Product.type) == self.type)
        if self.search is not None:
            found.append(_holds(self.search, Product.code, Product.name, Product.description))
        return found


@dataclass(frozen=True, slots=True)
class PlansWhere:
    """`search` is looked for in code, name and description, whatever its case."""

    is_online_sale: bool | None = None
    is_active: bool | None = None
    currency: str | None = None
    interval: Interval | None = None
    product_id: str | None = None
    type: PricingType | None = None
    search: str | None = None
    include_archived: bool = False

    def conditions(self) -> list[ColumnElement[bool]]:
        found: list[ColumnElement[bool]] = []
        if not self.include_archived:
            found.append(col(Plan.archived_at).is_(None))
        for column, wanted in (
            (Plan.is_online_sale, self.is_online_sale),
            (Plan.is_active, self.is_active),
            (Plan.interval, self.interval),
            (Plan.product_id, self.product_id),
            (Plan.type, self.type),
        ):
            if wanted is not None:
                found.append(col(column) == wanted)
        if self.currency is not None:
            priced = select(Price.plan_id).where(Price.currency == self.currency, Price.is_active)
            found.append(col(Plan.id).in_(priced))
        if self.search is not None:
            found.append(_holds(self.search, Plan.code, Plan.name, Plan.description))
        return found


def _holds(search: str, *texts: Any) -> ColumnElement[bool]:
    return or_(*(col(text).icontains(search, autoescape=True) for text in texts))


@dataclass(frozen=True, slots=True)
class CouponsWhere:
    """`status` is as of `now`."""

    now: datetime
    is_active: bool | None = None
    code: str | None = None
    interval: Interval | None = None
    status: frozenset[CouponStatus] | None = None
    include_archived: bool = False

    def conditions(self) -> list[ColumnElement[bool]]:
        found: list[ColumnElement[bool]] = []
        if not self.include_archived:
            found.append(col(Coupon.archived_at).is_(None))
        if self.is_active is not None:
            found.append(_is_active() if self.is_active else ~_is_active())
        if self.code is not None:
            found.append(col(Coupon.code) == self.code)
        if self.interval is not None:
            found.append(col(Coupon.interval) == self.interval)
        if self.status is not None:
            found.append(self._status().in_(sorted(self.status)))
        return found

    def _status(self) -> ColumnElement[str]:
        """What `Offer.status` says of the row."""
        return case(
            (~_is_active(), literal(CouponStatus.INACTIVE.value)),
            (col(Coupon.expires_at) <= self.now, literal(CouponStatus.EXPIRED.value)),
            (col(Coupon.times_redeemed) >= col(Coupon.max_redemptions), literal(CouponStatus.EXHAUSTED.value)),
            else_=literal(CouponStatus.ACTIVE.value),
        )


def _is_active() -> ColumnElement[bool]:
    return and_(col(Coupon.is_active), col(Coupon.archived_at).is_(None), col(Coupon.gone_at).is_(None))
