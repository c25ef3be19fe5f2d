"""Making coupons and their codes; putting them on subscriptions and taking them off."""

from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Annotated

import strawberry
from strawberry.scalars import JSON

from billing.calendar import Interval
from billing.couponing import CouponDuration, CouponTerms
from billing.errors import ErrorCode, UserProblem
from schema.coupons import Coupon, PromotionCode
from schema.fields import Info, described, optional
from schema.given import notes
from schema.inputs import QUOTED, at_most
from schema.money import MoneyInput
from schema.payloads import ERRORS, SubscriptionPayload, refusals
from schema.steps import INPUT, done
from schema.subscriptions import PlanSubscription
from schema.user_errors import UserError
from services import couponing, redeeming
from services.quoting_coupons import quote_coupon

MOST_PRODUCTS = 100
MOST_AMOUNTS = 50


@strawberry.input(description="A coupon. What it takes off is `percentOff` or `amountsOff`.")
class CouponInput:
    code: str | None = optional("Its code, unique; its id unless given. At most 100 letters, digits, `.-_`.")
    name: str | None = optional("Its name for people, at most 250 characters.")
    percent_off: Decimal | None = optional("How many per cent it takes off: above 0, at most 100, at most 4 decimals.")
    amounts_off: list[MoneyInput] | None = optional("What it takes off a period, one amount for each currency.")
    duration: CouponDuration | None = optional("How long it takes something off; ONCE unless given.")
    duration_in_periods: int | None = optional("For how many periods, 1 to 1200. Required with REPEATING.")
    interval: Interval | None = optional("Only for subscriptions with periods of this unit.")
    applies_to_product_codes: list[str] | None = optional("Only for these products; for all unless given.")
    max_redemptions: int | None = optional("How often it may be redeemed in all.")
    max_redemptions_per_customer: int | None = optional("How often one customer may redeem it.")
    starts_at: datetime | None = optional("From when on it can be redeemed; at once unless given.")
    expires_at: datetime | None = optional("Until when it can be redeemed.")
    is_active: bool | None = optional("Whether it can be redeemed at all; true unless given.")
    metadata: JSON | None = optional("The merchant's own notes: a JSON object.")

    def wish(self) -> couponing.NewCoupon:
        at_most(250, name=self.name)
        for name, given, most in (
            ("appliesToProductCodes", self.applies_to_product_codes, MOST_PRODUCTS),
            ("amountsOff", self.amounts_off, MOST_AMOUNTS),
        ):
            if given is not None and len(given) > most:
                raise UserProblem(ErrorCode.INVALID, f"{name}: at most {most} are kept.", [name])
        return couponing.NewCoupon(
            terms=self._terms(),
            code=self.code,
            name=self.name or None,
            is_active=self.is_active is not False,
            metadata=notes(self.metadata) or {},
        )

    def _terms(self) -> CouponTerms:
        return CouponTerms(
            percent_off=self.percent_off,
            amounts_off=[each.value("amountsOff") for each in self.amounts_off or ()],
            duration=self.duration or CouponDuration.ONCE,
            duration_in_periods=self.duration_in_periods,
            interval=self.interval,
            product_codes=self.applies_to_product_codes,
            max_redemptions=self.max_redemptions,
            max_redemptions_per_customer=self.max_redemptions_per_customer,
            starts_at=self.starts_at,
            expires_at=self.expires_at,
        )


@strawberry.input(description="A word that customers shall type for a coupon.")
class CreatePromotionCodeInput:
    coupon_code: str = described("The coupon.")
    code: str = described("The word, at most 100 characters without spaces. Capitals or not make no difference.")
    max_redemptions: int | None = optional("How often it may be used in all.")
    expires_at: datetime | None = optional("Until when it can be used.")
    first_purchase_only: bool = strawberry.field(
        description="Whether it is only for customers who never had a subscription.", default=False
    )


@strawberry.input(description="Which coupon to put on which subscription. Give `couponCode` or `promotionCode`.")
class ApplyCouponInput:
    subscription_id: strawberry.ID = described("The subscription.")
    coupon_code: str | None = optional("The coupon's own code.")
    promotion_code: str | None = optional("A word that stands for a coupon, in capitals or not.")
    quote_token: str | None = optional(QUOTED)


@strawberry.input(description="Which coupon to take off which subscription.")
class RemoveCouponInput:
    subscription_id: strawberry.ID = described("The subscription.")
    coupon_code: str = described("The coupon's own code.")


@strawberry.type(description="The answer to a mutation about a coupon.")
class CouponPayload:
    coupon: Coupon | None = described("The coupon; null when refused.")
    user_errors: list[UserError] = described(ERRORS)


@strawberry.type(description="The answer to a mutation about a promotion code.")
class PromotionCodePayload:
    promotion_code: PromotionCode | None = described("The promotion code; null when refused.")
    user_errors: list[UserError] = described(ERRORS)


@strawberry.type(description="Coupons.")
class CouponMutations:
    @strawberry.mutation(description="Make a coupon. `createPromotionCode` gives customers a word for it.")
    async def create_coupon(self, info: Info, input: Annotated[CouponInput, INPUT]) -> CouponPayload:
        try:
            row = await done(info, couponing.create_coupon(info.context.app, input.wish()))
        except UserProblem as problem:
            return CouponPayload(coupon=None, user_errors=refusals([problem]))
        return CouponPayload(coupon=Coupon.of(row), user_errors=[])

    @strawberry.mutation(description="Make a word that customers can type for a coupon.")
    async def create_promotion_code(
        self, info: Info, input: Annotated[CreatePromotionCodeInput, INPUT]
    ) -> PromotionCodePayload:
        wish = couponing.NewPromotionCode(
            coupon_code=input.coupon_code,
            code=input.code,
            max_redemptions=input.max_redemptions,
            expires_at=input.expires_at,
            first_purchase_only=input.first_purchase_only,
        )
        try:
            row = await done(info, couponing.create_promotion_code(info.context.app, wish))
        except UserProblem as problem:
            return PromotionCodePayload(promotion_code=None, user_errors=refusals([problem]))
        return PromotionCodePayload(promotion_code=PromotionCode.of(row), user_errors=[])

    @strawberry.mutation(
        description="Put a coupon on a subscription that runs. It takes something off from the next period on; several "
        "are taken off one after the other, percentages before amounts."
    )
    async def apply_coupon(self, info: Info, input: Annotated[ApplyCouponInput, INPUT]) -> SubscriptionPayload:
        step = redeeming.apply_coupon(
            info.context.app,
            info.context.actor,
            subscription_id=input.subscription_id,
            coupon_code=input.coupon_code,
            promotion_code=input.promotion_code,
            quote_token=input.quote_token,
            quoting=partial(quote_coupon, input.subscription_id, input.coupon_code, input.promotion_code),
        )
        try:
            row = await done(info, step)
        except UserProblem as problem:
            return SubscriptionPayload(subscription=None, invoice=None, user_errors=refusals([problem]))
        return SubscriptionPayload(subscription=PlanSubscription.of(row), invoice=None, user_errors=[])

    @strawberry.mutation(
        description="Take a coupon off a subscription: what is billed from now on is without it. It stays redeemed."
    )
    async def remove_coupon(self, info: Info, input: Annotated[RemoveCouponInput, INPUT]) -> SubscriptionPayload:
        step = redeeming.remove_coupon(
            info.context.app,
            info.context.actor,
            subscription_id=input.subscription_id,
            coupon_code=input.coupon_code,
        )
        try:
            row = await done(info, step)
        except UserProblem as problem:
            return SubscriptionPayload(subscription=None, invoice=None, user_errors=refusals([problem]))
        return SubscriptionPayload(subscription=PlanSubscription.of(row), invoice=None, user_errors=[])
