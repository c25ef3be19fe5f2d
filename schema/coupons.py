"""Coupons, the codes that stand for them, and discounts, which are coupons on a subscription."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated

import strawberry
from strawberry.scalars import JSON

import schema.coupon_enums  # noqa: F401 (publishes the enums before any type names one)
from billing.calendar import Interval
from billing.couponing import CouponDuration, CouponStatus, Offer
from billing.money import Money as Amount
from models.coupons import Applied
from models.coupons import Coupon as CouponRow
from models.coupons import PromotionCode as PromotionCodeRow
from models.subscriptions import Subscription as SubscriptionRow
from schema.catalog import Product
from schema.enums import GatewayPlatform
from schema.fields import Info, ProductRef, described
from schema.interfaces import Node, Record, record_fields
from schema.money import Money
from services.invoices.discounting import as_value

PromotionCodeRef = Annotated["PromotionCode", strawberry.lazy("schema.coupons")]


@strawberry.type(description="An offer: what it takes off, for how long, for whom. One of `percentOff`, `amountsOff`.")
class Coupon(Node, Record):
    code: str = described("Its code, for `subscribe(couponCode)` and `applyCoupon`.")
    name: str = described("Its name for people; the code if it was given none.")
    percent_off: Decimal | None = described("How many per cent it takes off.")
    amounts_off: list[Money] = described("What it takes off, in each currency that it is for, by currency code.")
    duration: CouponDuration = described("How long it takes something off.")
    duration_in_periods: int | None = described("For how many periods, when it is REPEATING.")
    interval: Interval | None = described("Only subscriptions with periods of this unit; null: with any.")
    max_redemptions_per_customer: int | None = described("How often one customer may redeem it; null: without limit.")
    starts_at: datetime | None = described("From when on it can be redeemed.")
    expires_at: datetime | None = described("Until when it can be redeemed. What was redeemed before goes on.")
    is_active: bool = described("Whether it can be redeemed at all.")
    platform: GatewayPlatform = described("Where it was made: MANUAL here, else on that gateway's dashboard.")
    gateway_id: str | None = described("Its id at the gateway, which is its code; null for one that was made here.")
    metadata: JSON = described("The merchant's own notes.")
    product_ids: strawberry.Private[list[str] | None]
    offer: strawberry.Private[Offer]

    @classmethod
    def of(cls, row: CouponRow) -> "Coupon":
        return cls(
            **record_fields(row),
            code=row.code,
            name=row.name or row.code,
            percent_off=row.percent_off,
            amounts_off=[Money.of(Amount(minor, currency)) for currency, minor in sorted(row.amounts_off.items())],
            duration=row.duration,
            duration_in_periods=row.duration_in_periods,
            interval=row.interval,
            max_redemptions_per_customer=row.max_redemptions_per_customer,
            starts_at=row.starts_at,
            expires_at=row.expires_at,
            is_active=row.offer.is_active,
            platform=GatewayPlatform(row.platform),
            gateway_id=row.gateway_ref,
            metadata=JSON(row.meta),
            product_ids=row.product_ids,
            offer=row.offer,
        )

    @strawberry.field(description="Whether it can be redeemed now, and if not, why.")
    def status(self, info: Info) -> CouponStatus:
        return self.offer.status(info.context.now)

    @strawberry.field(description="The products that it takes something off; null: all.")
    async def applies_to(self, info: Info) -> list[ProductRef] | None:
        if self.product_ids is None:
            return None
        rows = await info.context.loaders.product.load_many(self.product_ids)
        return [Product.of(row) for row in rows if row is not None]

    @strawberry.field(description="How often it may be redeemed in all; null: without limit. For staff and API keys.")
    def max_redemptions(self) -> int | None:
        return self.offer.max_redemptions

    @strawberry.field(
        description="How often it has been redeemed; a subscription that waits for its first payment counts. For "
        "staff and API keys."
    )
    def times_redeemed(self) -> int | None:
        return self.offer.redeemed

    @strawberry.field(description="The codes that stand for it, oldest first. For staff and API keys.")
    async def promotion_codes(self, info: Info) -> list[PromotionCodeRef] | None:
        return [PromotionCode.of(row) for row in await info.context.loaders.codes_of_coupon.load(self.id)]


@strawberry.type(description="A word that customers type for a coupon, in capitals or not.")
class PromotionCode(Node):
    code: str = described("The word.")
    is_active: bool = described("Whether it can be used at all.")
    expires_at: datetime | None = described("Until when it can be used.")
    first_purchase_only: bool = described("Whether it is only for customers who never had a subscription.")
    platform: GatewayPlatform = described("Where it was made: MANUAL here, else on that gateway's dashboard.")
    created_at: datetime = described("When it was made.")
    coupon_id: strawberry.Private[str]
    offer: strawberry.Private[Offer]

    @classmethod
    def of(cls, row: PromotionCodeRow) -> "PromotionCode":
        return cls(
            id=strawberry.ID(row.id),
            code=row.code,
            is_active=row.is_active,
            expires_at=row.expires_at,
            first_purchase_only=row.first_purchase_only,
            platform=GatewayPlatform(row.platform),
            created_at=row.created_at,
            coupon_id=row.coupon_id,
            offer=row.offer,
        )

    @strawberry.field(description="The coupon that it stands for.")
    async def coupon(self, info: Info) -> Coupon:
        row = await info.context.loaders.coupon.load(self.coupon_id)
        assert row is not None  # held by a foreign key
        return Coupon.of(row)

    @strawberry.field(description="How often it may be used in all; null: without limit. For staff and API keys.")
    def max_redemptions(self) -> int | None:
        return self.offer.max_redemptions

    @strawberry.field(description="How often it has been used. For staff and API keys.")
    def times_redeemed(self) -> int | None:
        return self.offer.redeemed


@strawberry.type(description="A coupon on a subscription.")
class Discount:
    id: strawberry.ID = described("Opaque and ours.")
    coupon: Coupon = described("The coupon.")
    promotion_code: PromotionCode | None = described("The code that it was redeemed by, if it was one.")
    start: datetime = described("When it was applied.")
    end: datetime | None = described("When the last period that it is for ends; null while more are to come.")
    percent_off: Decimal | None = described("How many per cent it takes off.")
    amount_off: Money | None = described("What it takes off, in the subscription's currency.")
    periods_left: int | None = described("How many periods to come it is for; null: all.")

    @classmethod
    def of(cls, applied: Applied, row: SubscriptionRow, used: list[int]) -> "Discount | None":
        """None for one that is over: its last period has ended."""
        value = as_value(applied, row, used)
        is_last = value.periods_left == 0
        if is_last and not value.is_on_period:
            return None
        return cls(
            id=strawberry.ID(value.id),
            coupon=Coupon.of(applied.coupon),
            promotion_code=PromotionCode.of(applied.promotion) if applied.promotion is not None else None,
            start=applied.discount.started_at,
            end=row.period_end if is_last else None,
            percent_off=value.percent_off,
            amount_off=Money.of(value.amount_off) if value.amount_off is not None else None,
            periods_left=value.periods_left,
        )


async def discounts_of(info: Info, rows: Sequence[SubscriptionRow]) -> list[Discount]:
    """Those on the subscriptions now, in the order of their application."""
    loaders = info.context.loaders
    found = [
        (applied, row)
        for row, each in zip(
            rows, await loaders.discounts_of_subscription.load_many([row.id for row in rows]), strict=True
        )
        for applied in each
    ]
    uses = await loaders.uses_of_discount.load_many([applied.discount.id for applied, _ in found])
    shown = (Discount.of(applied, row, list(used)) for (applied, row), used in zip(found, uses, strict=True))
    return [discount for discount in shown if discount is not None]
