"""Making coupons and their codes; putting them on subscriptions and taking them off."""

from datetime import datetime
from functools import partial
from typing import Annotated

import strawberry

from billing.errors import UserProblem
from schema.coupon_inputs import CouponInput
from schema.coupons import Coupon, PromotionCode
from schema.fields import Info, described, optional
from schema.inputs import QUOTED
from schema.payloads import ERRORS, SubscriptionPayload
from schema.steps import INPUT, done
from schema.subscriptions import PlanSubscription
from schema.user_errors import UserError, refusals
from services.invoices import redeeming
from services.quotes.coupons import quote_coupon
from services.selling import couponing


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
