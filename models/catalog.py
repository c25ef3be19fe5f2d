"""What is for sale: products, plans, prices, and the app roles that paying grants."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import UniqueConstraint
from sqlmodel import Field, SQLModel, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from billing.calendar import Interval
from billing.money import Money
from models.base import BIG, DOCUMENT, EnumText, Record, UTCDateTime


class Product(Record, table=True):
    """Something sold; a customer has at most one live subscription to each. `code` is its public name."""

    __tablename__ = "products"

    code: str = Field(unique=True, max_length=100)
    name: str = Field(max_length=250)
    description: str | None = None
    aliases: list[str] = Field(default_factory=list, sa_type=DOCUMENT)
    is_active: bool = True


class AppRole(SQLModel, table=True):
    """A role of the merchant's own application, granted while a plan is paid."""

    __tablename__ = "app_roles"

    id: int = Field(primary_key=True)
    code: str = Field(unique=True, max_length=100)
    name: str = Field(max_length=250)


class Plan(Record, table=True):
    """A way to buy a product: how often, and with which default behaviour."""

    __tablename__ = "plans"

    product_id: str = Field(foreign_key="products.id", index=True)
    code: str = Field(unique=True, max_length=100)
    name: str = Field(max_length=250)
    item: str | None = Field(default=None, max_length=250)
    highlight: str | None = None
    description: str | None = None
    position: int = 0
    interval: Interval = Field(sa_type=EnumText(Interval))
    interval_count: int = 1
    billing_day: int | None = None
    trial_period_days: int = 0
    cancel_at_period_end: bool = False
    role_id: int | None = Field(default=None, foreign_key="app_roles.id")
    is_active: bool = True
    is_online_sale: bool = True


class Price(SQLModel, table=True):
    """What a plan costs in one currency from an instant on. Never changed: a new price replaces it."""

    __tablename__ = "prices"
    __table_args__ = (UniqueConstraint("plan_id", "currency", "effective_from"),)

    id: str = Field(primary_key=True, max_length=40)
    plan_id: str = Field(foreign_key="plans.id", index=True)
    currency: str = Field(max_length=3)
    amount_minor: int = Field(sa_type=BIG)
    is_default: bool = False
    is_active: bool = True
    effective_from: datetime = Field(sa_type=UTCDateTime)

    @property
    def amount(self) -> Money:
        return Money(self.amount_minor, self.currency)


async def plan_by(session: AsyncSession, *, id: str | None = None, code: str | None = None) -> Plan | None:
    """The plan of that id, or of that code; None when there is none."""
    wanted = Plan.id == id if id is not None else Plan.code == code
    return (await session.exec(select(Plan).where(wanted))).first()


async def product_by(session: AsyncSession, *, id: str | None = None, code: str | None = None) -> Product | None:
    """The product of that id, or of that code or alias; None when there is none."""
    if id is not None:
        return await session.get(Product, id)
    exact = (await session.exec(select(Product).where(Product.code == code))).first()
    if exact is not None:
        return exact
    # Aliases are few and rarely asked for: read rather than indexed.
    everything = (await session.exec(select(Product).order_by(Product.code))).all()
    return next((product for product in everything if code in product.aliases), None)


async def plan_of_product(
    session: AsyncSession, *, product_id: str, interval: Interval, currency: str | None
) -> Plan | None:
    """The plan on sale for (product, interval, currency), the first by position when several fit."""
    query = (
        select(Plan)
        .where(Plan.product_id == product_id, Plan.interval == interval, Plan.is_active, Plan.is_online_sale)
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
