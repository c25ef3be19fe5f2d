"""What takes something off: coupons, the codes that stand for them, and discounts, which are coupons applied."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from sqlalchemy import Index, text
from sqlmodel import Field, SQLModel, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from billing.calendar import Interval
from models.base import DOCUMENT, DecimalText, EnumText, Record, UTCDateTime


class CouponDuration(StrEnum):
    ONCE = "once"
    REPEATING = "repeating"
    FOREVER = "forever"


class Coupon(Record, table=True):
    """An offer. `amounts_off` are minor units per currency; `product_ids` None: for everything.

    `times_redeemed` counts what is reserved and used; it is only changed by a conditional UPDATE, so that the cap is
    exact. `duration_in_periods` counts invoices of whole periods.
    """

    __tablename__ = "coupons"

    code: str = Field(unique=True, max_length=100)
    name: str | None = Field(default=None, max_length=250)
    percent_off: Decimal | None = Field(default=None, sa_type=DecimalText)
    amounts_off: dict[str, int] = Field(default_factory=dict, sa_type=DOCUMENT)
    duration: CouponDuration = Field(sa_type=EnumText(CouponDuration))
    duration_in_periods: int | None = None
    interval: Interval | None = Field(default=None, sa_type=EnumText(Interval))
    product_ids: list[str] | None = Field(default=None, sa_type=DOCUMENT)
    max_redemptions: int | None = None
    max_redemptions_per_customer: int | None = None
    times_redeemed: int = 0
    starts_at: datetime | None = Field(default=None, sa_type=UTCDateTime)
    expires_at: datetime | None = Field(default=None, sa_type=UTCDateTime)
    is_active: bool = True
    platform: str = Field(default="manual", max_length=20)
    gateway_ref: str | None = Field(default=None, max_length=255)


class PromotionCode(Record, table=True):
    """A word that customers type for a coupon. `folded` is what it is found by: case does not count."""

    __tablename__ = "promotion_codes"
    __table_args__ = (
        Index(
            "uq_promotion_codes_active_folded",
            "folded",
            unique=True,
            sqlite_where=text("is_active"),
            postgresql_where=text("is_active"),
        ),
    )

    coupon_id: str = Field(foreign_key="coupons.id", index=True)
    code: str = Field(max_length=100)
    folded: str = Field(max_length=200)
    max_redemptions: int | None = None
    times_redeemed: int = 0
    expires_at: datetime | None = Field(default=None, sa_type=UTCDateTime)
    first_purchase_only: bool = False
    is_active: bool = True


class DiscountStatus(StrEnum):
    """RESERVED until the first payment succeeds; FREED if it never does, and then counts for nothing."""

    RESERVED = "reserved"
    ACTIVE = "active"
    ENDED = "ended"
    FREED = "freed"


class Discount(SQLModel, table=True):
    """A coupon applied to a subscription. `periods_used` counts the invoices of periods that it took something off."""

    __tablename__ = "discounts"

    id: str = Field(primary_key=True, max_length=40)
    subscription_id: str = Field(foreign_key="subscriptions.id", index=True)
    customer_id: str = Field(foreign_key="customers.id", index=True)
    coupon_id: str = Field(foreign_key="coupons.id", index=True)
    promotion_code_id: str | None = Field(default=None, foreign_key="promotion_codes.id")
    status: DiscountStatus = Field(sa_type=EnumText(DiscountStatus))
    periods_used: int = 0
    started_at: datetime = Field(sa_type=UTCDateTime)
    ended_at: datetime | None = Field(default=None, sa_type=UTCDateTime)


COUNTS = (DiscountStatus.RESERVED, DiscountStatus.ACTIVE)


async def discounts_of(session: AsyncSession, subscription_id: str) -> Sequence[tuple[Discount, Coupon]]:
    """Those that take something off now, in the order of their application."""
    query = (
        select(Discount, Coupon)
        .join(Coupon, col(Coupon.id) == Discount.coupon_id)
        .where(Discount.subscription_id == subscription_id, col(Discount.status).in_(COUNTS))
        .order_by(col(Discount.id))
    )
    return (await session.exec(query)).all()
