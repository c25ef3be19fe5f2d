"""Reading what acts would do, before they are done."""

from collections.abc import Awaitable
from typing import Annotated

import strawberry

from billing.errors import UserProblem
from resolvers.identity import Role
from schema.change_inputs import ChangePlanInput
from schema.coupon_mutations import ApplyCouponInput
from schema.ending_inputs import PauseSubscriptionInput, ResumeSubscriptionInput
from schema.fields import Info, described
from schema.inputs import CancelSubscriptionInput, SubscribeInput
from schema.previews import MoneyPreview
from schema.return_mutations import RefundPaymentInput
from schema.steps import INPUT
from schema.subscription_inputs import RetryPaymentInput, UpdateSubscriptionInput
from schema.user_errors import UserError, refusals
from services.quotes import previewing
from services.quotes.quoting import Quoted


@strawberry.type(description="The answer to a preview.")
class PreviewPayload:
    preview: MoneyPreview | None = described("What the act would do; null when it would be refused.")
    user_errors: list[UserError] = described("Why the act would be refused; empty when it would not.")


@strawberry.type(description="What acts would do.")
class PreviewQueries:
    @strawberry.field(
        description="What `subscribe` with this input would cost, now and later. Open to everybody: whoever is not "
        "signed in sees what a new customer pays."
    )
    async def preview_subscribe(self, info: Info, input: Annotated[SubscribeInput, INPUT]) -> PreviewPayload:
        context = info.context
        actor = None if context.identity.role is Role.PUBLIC else context.actor
        try:
            return await _preview(previewing.preview_subscribe(context.app, actor, input.wish()))
        except UserProblem as problem:
            return _refused(problem)

    @strawberry.field(description="What `changePlan` with this input would do to money, now and later.")
    async def preview_change_plan(self, info: Info, input: Annotated[ChangePlanInput, INPUT]) -> PreviewPayload:
        try:
            return await _preview(previewing.preview_change_plan(info.context.app, info.context.actor, input.wish()))
        except UserProblem as problem:
            return _refused(problem)

    @strawberry.field(description="What `updateSubscription` with this input would do to money, now and later.")
    async def preview_update_subscription(
        self, info: Info, input: Annotated[UpdateSubscriptionInput, INPUT]
    ) -> PreviewPayload:
        try:
            wish = input.wish()
            return await _preview(previewing.preview_update_subscription(info.context.app, info.context.actor, wish))
        except UserProblem as problem:
            return _refused(problem)

    @strawberry.field(description="What `cancelSubscription` with this input would do to money, now and later.")
    async def preview_cancel_subscription(
        self, info: Info, input: Annotated[CancelSubscriptionInput, INPUT]
    ) -> PreviewPayload:
        try:
            return await _preview(previewing.preview_cancel(info.context.app, info.context.actor, input.wish()))
        except UserProblem as problem:
            return _refused(problem)

    @strawberry.field(description="What `pauseSubscription` with this input would do to the charges to come.")
    async def preview_pause_subscription(
        self, info: Info, input: Annotated[PauseSubscriptionInput, INPUT]
    ) -> PreviewPayload:
        try:
            return await _preview(previewing.preview_pause(info.context.app, info.context.actor, input.wish()))
        except UserProblem as problem:
            return _refused(problem)

    @strawberry.field(description="What `resumeSubscription` with this input would do to the charges to come.")
    async def preview_resume_subscription(
        self, info: Info, input: Annotated[ResumeSubscriptionInput, INPUT]
    ) -> PreviewPayload:
        try:
            return await _preview(previewing.preview_resume(info.context.app, info.context.actor, input.wish()))
        except UserProblem as problem:
            return _refused(problem)

    @strawberry.field(description="What `refundPayment` with this input would give back, by our own books.")
    async def preview_refund_payment(self, info: Info, input: Annotated[RefundPaymentInput, INPUT]) -> PreviewPayload:
        try:
            return await _preview(previewing.preview_refund(info.context.app, info.context.actor, input.wish()))
        except UserProblem as problem:
            return _refused(problem)

    @strawberry.field(description="What `applyCoupon` with this input would take off the charges to come.")
    async def preview_apply_coupon(self, info: Info, input: Annotated[ApplyCouponInput, INPUT]) -> PreviewPayload:
        asking = previewing.preview_apply_coupon(
            info.context.app,
            info.context.actor,
            input.subscription_id,
            input.coupon_code,
            input.promotion_code,
        )
        try:
            return await _preview(asking)
        except UserProblem as problem:
            return _refused(problem)

    @strawberry.field(description="What `retryPayment` of this invoice would collect.")
    async def preview_retry_payment(self, info: Info, input: Annotated[RetryPaymentInput, INPUT]) -> PreviewPayload:
        asking = previewing.preview_retry_payment(info.context.app, info.context.actor, input.invoice_id)
        try:
            return await _preview(asking)
        except UserProblem as problem:
            return _refused(problem)


async def _preview(asking: Awaitable[Quoted]) -> PreviewPayload:
    return PreviewPayload(preview=MoneyPreview.of(await asking), user_errors=[])


def _refused(problem: UserProblem) -> PreviewPayload:
    return PreviewPayload(preview=None, user_errors=refusals([problem]))
