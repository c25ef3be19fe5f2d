"""Changing coupons and their codes, ending them, and following those of the gateway's dashboard."""

from typing import Annotated

import strawberry

from billing.errors import UserProblem
from schema.coupon_inputs import CouponInput, UpdatePromotionCodeInput
from schema.coupon_mutations import CouponPayload, PromotionCodePayload
from schema.coupons import Coupon, PromotionCode
from schema.fields import Info, argument, described
from schema.payloads import ERRORS
from schema.steps import INPUT, done
from schema.upkeep import Drift
from schema.user_errors import UserError, refusals
from services.selling import coupon_changes
from services.selling.dashboard_coupons import sync_coupons


@strawberry.type(description="What a look at the gateway's dashboard came to.")
class SyncCouponsPayload:
    imported: list[Coupon] = described("Coupons taken over from there, for yearly subscriptions until changed here.")
    updated: list[Coupon] = described("Coupons that were changed there, or deleted: then nobody redeems them any more.")
    drift: list[Drift] = described("What differs and stays so: a person's to judge.")
    is_finished: bool = described("Whether all was looked at. If not, it goes on by itself; repeat it for the rest.")
    user_errors: list[UserError] = described(ERRORS)


@strawberry.type(description="Coupons as they change.")
class CouponUpkeepMutations:
    @strawberry.mutation(
        description="Change a coupon: only what is given. Once it was redeemed, what it takes off and for how long "
        "stay; so do those and the name of a coupon of the gateway's dashboard. Its interval and products hold for "
        "what is billed from then on, also where it was redeemed before."
    )
    async def update_coupon(
        self,
        info: Info,
        code: Annotated[str, argument("The coupon's code.")],
        input: Annotated[CouponInput, INPUT],
        expected_version: Annotated[int | None, argument("Only if the coupon is still at this version.")] = None,
    ) -> CouponPayload:
        try:
            step = coupon_changes.update_coupon(info.context.app, code, input.given(), expected_version)
            row = await done(info, step)
        except UserProblem as problem:
            return CouponPayload(coupon=None, user_errors=refusals([problem]))
        return CouponPayload(coupon=Coupon.of(row), user_errors=[])

    @strawberry.mutation(
        description="End a coupon: nobody redeems it or one of its promotion codes any more. Where it was redeemed it "
        "goes on. Repeating it changes nothing."
    )
    async def delete_coupon(self, info: Info, code: Annotated[str, argument("The coupon's code.")]) -> CouponPayload:
        try:
            row = await done(info, coupon_changes.delete_coupon(info.context.app, code))
        except UserProblem as problem:
            return CouponPayload(coupon=None, user_errors=refusals([problem]))
        return CouponPayload(coupon=Coupon.of(row), user_errors=[])

    @strawberry.mutation(description="Switch a promotion code off or on again, or change its limits.")
    async def update_promotion_code(
        self, info: Info, input: Annotated[UpdatePromotionCodeInput, INPUT]
    ) -> PromotionCodePayload:
        try:
            row = await done(info, coupon_changes.update_promotion_code(info.context.app, input.change()))
        except UserProblem as problem:
            return PromotionCodePayload(promotion_code=None, user_errors=refusals([problem]))
        return PromotionCodePayload(promotion_code=PromotionCode.of(row), user_errors=[])

    @strawberry.mutation(
        description="Follow all coupons and promotion codes of the gateway's dashboard, as its webhooks do one by one. "
        "Nothing is ever written there. A coupon that was made here keeps its code and is told as drift."
    )
    async def sync_coupons(self, info: Info) -> SyncCouponsPayload:
        try:
            seen = await done(info, sync_coupons(info.context.app, info.context.actor))
        except UserProblem as problem:
            return SyncCouponsPayload(
                imported=[], updated=[], drift=[], is_finished=False, user_errors=refusals([problem])
            )
        return SyncCouponsPayload(
            imported=[Coupon.of(row) for row in seen.imported],
            updated=[Coupon.of(row) for row in seen.updated],
            drift=[Drift.of(each) for each in seen.drift],
            is_finished=seen.is_finished,
            user_errors=[],
        )
