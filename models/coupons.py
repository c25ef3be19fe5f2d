"""What takes something off: coupons, the codes that stand for them, and discounts, which are coupons applied."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from sqlalchemy import Index, delete, func, text, update
from sqlmodel import Field, SQLModel, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from billing.calendar import Interval
from billing.couponing import CouponDuration, CouponTerms, Offer
from billing.dashboard_coupons import CodeTerms, HeldCoupon, TakesOff
from billing.money import Money
from models.audit_log import Audited
from models.base import DOCUMENT, DecimalText, EnumText, Record, UTCDateTime
from models.lockstep import for_each, grouped
from models.payments import MANUAL
from models.subscriptions import Subscription


class Coupon(Record, table=True):
    """An offer. `amounts_off` are minor units per currency; `product_ids` None: for everything.

    `times_redeemed` counts what is reserved and used; it is only changed by a conditional UPDATE, so that the cap is
    exact. `duration_in_periods` counts periods that were billed with it. One of another platform than MANUAL was made
    on the gateway's dashboard, which owns what it takes off, how long (`duration_in_months`) and its name; `gone_at`:
    since when it is not there any more.
    """

    __tablename__ = "coupons"
    __audited__ = Audited(unseen=frozenset(("times_redeemed",)))

    code: str = Field(unique=True, max_length=100)
    name: str | None = Field(default=None, max_length=250)
    percent_off: Decimal | None = Field(default=None, sa_type=DecimalText)
    amounts_off: dict[str, int] = Field(default_factory=dict, sa_type=DOCUMENT)
    duration: CouponDuration = Field(sa_type=EnumText(CouponDuration))
    duration_in_periods: int | None = None
    duration_in_months: int | None = None
    interval: Interval | None = Field(default=None, sa_type=EnumText(Interval))
    product_ids: list[str] | None = Field(default=None, sa_type=DOCUMENT)
    max_redemptions: int | None = None
    max_redemptions_per_customer: int | None = None
    times_redeemed: int = 0
    starts_at: datetime | None = Field(default=None, sa_type=UTCDateTime)
    expires_at: datetime | None = Field(default=None, sa_type=UTCDateTime)
    is_active: bool = True
    platform: str = Field(default=MANUAL, max_length=20)
    gateway_ref: str | None = Field(default=None, max_length=255)
    gone_at: datetime | None = Field(default=None, sa_type=UTCDateTime)

    @property
    def offer(self) -> Offer:
        """What decides whether it may be redeemed."""
        return Offer(
            is_active=self.is_active and self.archived_at is None and self.gone_at is None,
            starts_at=self.starts_at,
            expires_at=self.expires_at,
            max_redemptions=self.max_redemptions,
            redeemed=self.times_redeemed,
            max_per_customer=self.max_redemptions_per_customer,
            interval=self.interval,
            product_ids=frozenset(self.product_ids) if self.product_ids is not None else None,
            amounts_off=self.amounts_off,
        )

    @property
    def terms(self) -> CouponTerms:
        """Its terms, without the codes of its products: those are kept by their ids."""
        return CouponTerms(
            percent_off=self.percent_off,
            amounts_off=[Money(minor, currency) for currency, minor in sorted(self.amounts_off.items())],
            duration=self.duration,
            duration_in_periods=self.duration_in_periods,
            interval=self.interval,
            max_redemptions=self.max_redemptions,
            max_redemptions_per_customer=self.max_redemptions_per_customer,
            starts_at=self.starts_at,
            expires_at=self.expires_at,
        )

    def held(self, platform: str) -> HeldCoupon:
        """What decides whether it differs from the coupon of the same code on that platform's dashboard."""
        return HeldCoupon(
            is_ours=self.platform != platform,
            is_gone=self.gone_at is not None,
            is_redeemed=self.times_redeemed > 0,
            name=self.name,
            takes_off=TakesOff(self.percent_off, dict(self.amounts_off), self.duration, self.duration_in_months),
        )

    def periods(self, interval_count: int) -> int | None:
        """For how many periods of so many intervals it takes something off; None: for ever.

        What the dashboard says in months is a time: fewer periods of a quarter than of a month, a begun one whole.
        """
        periods = {CouponDuration.ONCE: 1, CouponDuration.REPEATING: self.duration_in_periods}.get(self.duration)
        if periods is None or self.duration_in_months is None:
            return periods
        return -(-periods // interval_count)

    def amount_in(self, currency: str) -> Money | None:
        """What it takes off in that currency; None for a percentage, and for a currency that it does not know."""
        minor = self.amounts_off.get(currency)
        return Money(minor, currency) if minor is not None else None


class PromotionCode(Record, table=True):
    """A word that customers type for a coupon. `folded` is what it is found by: case does not count.

    One of another platform than MANUAL is the gateway's dashboard's.
    """

    __tablename__ = "promotion_codes"
    __audited__ = Audited(unseen=frozenset(("times_redeemed",)))
    __table_args__ = (
        Index(
            "uq_promotion_codes_active_folded",
            "folded",
            unique=True,
            sqlite_where=text("is_active"),
            postgresql_where=text("is_active"),
        ),
        Index("uq_promotion_codes_gateway_ref", "platform", "gateway_ref", unique=True),
    )

    coupon_id: str = Field(foreign_key="coupons.id", index=True)
    code: str = Field(max_length=100)
    folded: str = Field(max_length=200)
    max_redemptions: int | None = None
    times_redeemed: int = 0
    expires_at: datetime | None = Field(default=None, sa_type=UTCDateTime)
    first_purchase_only: bool = False
    is_active: bool = True
    platform: str = Field(default=MANUAL, max_length=20)
    gateway_ref: str | None = Field(default=None, max_length=255)

    @property
    def terms(self) -> CodeTerms:
        return CodeTerms(self.is_active, self.max_redemptions, self.expires_at, self.first_purchase_only)

    @property
    def offer(self) -> Offer:
        """What decides whether it may be redeemed, beside its coupon's own offer."""
        return Offer(
            is_active=self.is_active and self.archived_at is None,
            expires_at=self.expires_at,
            max_redemptions=self.max_redemptions,
            redeemed=self.times_redeemed,
            first_purchase_only=self.first_purchase_only,
        )


class DiscountStatus(StrEnum):
    """ACTIVE from its application on, ENDED when it was taken away or its subscription is over.

    FREED when the subscription was never begun: then it counts for nothing, as if it had not been redeemed.
    """

    ACTIVE = "active"
    ENDED = "ended"
    FREED = "freed"


class Discount(SQLModel, table=True):
    """A coupon applied to a subscription. It is on a subscription once at a time."""

    __tablename__ = "discounts"
    __audited__ = Audited()
    __table_args__ = (
        Index(
            "uq_discounts_active_coupon",
            "subscription_id",
            "coupon_id",
            unique=True,
            sqlite_where=text("status = 'active'"),
            postgresql_where=text("status = 'active'"),
        ),
    )

    id: str = Field(primary_key=True, max_length=40)
    subscription_id: str = Field(foreign_key="subscriptions.id", index=True)
    customer_id: str = Field(foreign_key="customers.id", index=True)
    coupon_id: str = Field(foreign_key="coupons.id", index=True)
    promotion_code_id: str | None = Field(default=None, foreign_key="promotion_codes.id")
    status: DiscountStatus = Field(sa_type=EnumText(DiscountStatus))
    started_at: datetime = Field(sa_type=UTCDateTime)
    ended_at: datetime | None = Field(default=None, sa_type=UTCDateTime)


class DiscountUse(SQLModel, table=True):
    """A period of a discount, used up by the invoice that began that period; the row goes when the invoice is voided.

    `period_number` is the subscription's.
    """

    __tablename__ = "discount_uses"

    discount_id: str = Field(primary_key=True, foreign_key="discounts.id")
    invoice_id: str = Field(primary_key=True, foreign_key="invoices.id", index=True)
    period_number: int


async def coupon_of_code(session: AsyncSession, code: str, *, lock: bool = False) -> Coupon | None:
    """With `lock` as it is now, and nobody else changes or redeems it until the transaction ends."""
    query = select(Coupon).where(Coupon.code == code)
    if lock:
        query = query.with_for_update().execution_options(populate_existing=True)
    return (await session.exec(query)).first()


async def coupons_of_codes(session: AsyncSession, codes: Sequence[str]) -> Mapping[str, Coupon]:
    """Those that exist, by code."""
    query = select(Coupon).where(col(Coupon.code).in_(codes))
    return {row.code: row for row in (await session.exec(query)).all()}


async def coupons_on(session: AsyncSession, platform: str) -> Sequence[str]:
    """The codes of those that were made on that platform's dashboard and, as far as we know, are there still."""
    query = select(Coupon.code).where(Coupon.platform == platform, col(Coupon.gone_at).is_(None))
    return (await session.exec(query.order_by(col(Coupon.id)))).all()


async def promotion_of_code(session: AsyncSession, folded: str) -> tuple[PromotionCode, Coupon] | None:
    """The active one, else the newest that there was, with its coupon."""
    query = (
        select(PromotionCode, Coupon)
        .join(Coupon, col(Coupon.id) == PromotionCode.coupon_id)
        .where(PromotionCode.folded == folded)
        .order_by(col(PromotionCode.is_active).desc(), col(PromotionCode.id).desc())
    )
    return (await session.exec(query)).first()


async def promotion_of_gateway(session: AsyncSession, platform: str, reference: str) -> PromotionCode | None:
    query = select(PromotionCode).where(PromotionCode.platform == platform, PromotionCode.gateway_ref == reference)
    return (await session.exec(query)).first()


async def promotions_of_gateway(
    session: AsyncSession, platform: str, references: Sequence[str]
) -> Mapping[str, PromotionCode]:
    """Those that we know, by the gateway's references."""
    query = select(PromotionCode).where(
        PromotionCode.platform == platform, col(PromotionCode.gateway_ref).in_(references)
    )
    return {row.gateway_ref or "": row for row in (await session.exec(query)).all()}


async def end_promotion_codes(session: AsyncSession, coupon_id: str, now: datetime) -> None:
    """That coupon's codes are no longer good; their words are free for others."""
    for row in (await session.exec(select(PromotionCode).where(PromotionCode.coupon_id == coupon_id))).all():
        if row.is_active:
            row.is_active = False
            row.touch(now)


async def promotion_codes_of(session: AsyncSession, coupon_ids: Sequence[str]) -> Sequence[PromotionCode]:
    """Those coupons' codes, oldest first."""
    query = select(PromotionCode).where(col(PromotionCode.coupon_id).in_(coupon_ids)).order_by(col(PromotionCode.id))
    return (await session.exec(query)).all()


class Applied(NamedTuple):
    """A discount with its coupon, and the promotion code if it was redeemed by one."""

    discount: Discount
    coupon: Coupon
    promotion: PromotionCode | None


async def discounts_of(session: AsyncSession, subscription_ids: Sequence[str]) -> Sequence[Applied]:
    """Those on these subscriptions now, in the order of their application; also those that have no period left."""
    query = (
        select(Discount, Coupon, PromotionCode)
        .join(Coupon, col(Coupon.id) == Discount.coupon_id)
        .join(PromotionCode, col(PromotionCode.id) == Discount.promotion_code_id, isouter=True)
        .where(col(Discount.subscription_id).in_(subscription_ids), Discount.status == DiscountStatus.ACTIVE)
        .order_by(col(Discount.id))
    )
    return [Applied(*found) for found in (await session.exec(query)).all()]


@for_each
async def discounts_on(session: AsyncSession, subscription_ids: Sequence[str]) -> Mapping[str, Sequence[Applied]]:
    """The same of one subscription."""
    rows = await discounts_of(session, subscription_ids)
    return grouped(subscription_ids, rows, lambda applied: applied.discount.subscription_id)


@for_each
async def periods_used(session: AsyncSession, discount_ids: Sequence[str]) -> Mapping[str, Sequence[int]]:
    """The numbers of the periods that a discount was used for."""
    uses = await uses_of(session, discount_ids)
    return {each: uses.get(each, ()) for each in discount_ids}


async def uses_of(session: AsyncSession, discount_ids: Sequence[str]) -> Mapping[str, Sequence[int]]:
    """Discount id → the numbers of the periods that it was used for; without those that were never used."""
    found: dict[str, list[int]] = {}
    if discount_ids:
        query = select(DiscountUse).where(col(DiscountUse.discount_id).in_(discount_ids))
        for use in (await session.exec(query.order_by(col(DiscountUse.period_number)))).all():
            found.setdefault(use.discount_id, []).append(use.period_number)
    return found


async def redemptions_of(session: AsyncSession, customer_id: str, coupon_id: str) -> int:
    """How often that customer has redeemed it, reserved ones included."""
    query = select(func.count()).where(
        col(Discount.customer_id) == customer_id,
        col(Discount.coupon_id) == coupon_id,
        col(Discount.status) != DiscountStatus.FREED,
    )
    return (await session.exec(query)).one()


async def has_bought(session: AsyncSession, customer_id: str) -> bool:
    """Whether any subscription of that customer ever began."""
    query = select(Subscription.id).where(
        Subscription.customer_id == customer_id, col(Subscription.activated_at).is_not(None)
    )
    return (await session.exec(query.limit(1))).first() is not None


async def count_redemption(session: AsyncSession, coupon: Coupon, promotion: PromotionCode | None) -> bool:
    """Count one more of both: whether neither has been redeemed as often as it may be, or changed since it was read."""
    for row in (coupon, promotion):
        if row is None:
            continue
        kind = type(row)
        most = col(kind.max_redemptions)
        statement = (
            update(kind)
            .where(
                col(kind.id) == row.id,
                col(kind.version) == row.version,
                most.is_(None) | (col(kind.times_redeemed) < most),
            )
            .values(times_redeemed=col(kind.times_redeemed) + 1)
        )
        if (await session.exec(statement)).rowcount == 0:
            return False
    return True


async def was_changed(session: AsyncSession, coupon: Coupon, promotion: PromotionCode | None) -> bool:
    """Whether somebody changed one of them since it was read."""
    for row in (coupon, promotion):
        if row is not None:
            kind = type(row)
            if (await session.exec(select(kind.version).where(kind.id == row.id))).one() != row.version:
                return True
    return False


async def uncount_redemption(session: AsyncSession, coupon_id: str, promotion_code_id: str | None) -> None:
    """Take one back of both."""
    for row, id in ((Coupon, coupon_id), (PromotionCode, promotion_code_id)):
        if id is not None:
            one_less = col(row.times_redeemed) - 1
            await session.exec(update(row).where(col(row.id) == id).values(times_redeemed=one_less))


async def forget_uses(session: AsyncSession, invoice_id: str) -> None:
    """That invoice uses nothing up any more."""
    await session.exec(delete(DiscountUse).where(col(DiscountUse.invoice_id) == invoice_id))


async def miscounted_codes(session: AsyncSession) -> Sequence[tuple[str, str, int, int]]:
    """(id, code, how often it is counted as redeemed, how many discounts it stands for) where the two differ."""
    found: list[tuple[str, str, int, int]] = []
    for row, redeemed in ((Coupon, Discount.coupon_id), (PromotionCode, Discount.promotion_code_id)):
        kept = (
            select(redeemed, func.count().label("kept"))
            .where(col(Discount.status) != DiscountStatus.FREED, col(redeemed).is_not(None))
            .group_by(col(redeemed))
            .subquery()
        )
        stands = func.coalesce(kept.c.kept, 0)
        query = (
            select(row.id, row.code, row.times_redeemed, stands)
            .join(kept, kept.c[0] == col(row.id), isouter=True)
            .where(col(row.times_redeemed) != stands)
            .order_by(col(row.id))
        )
        found += (await session.exec(query)).all()
    return found
