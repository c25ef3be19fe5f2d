"""What narrows the list of coupons."""

import strawberry

import schema.coupon_enums  # noqa: F401 (publishes the enums before any type names one)
from billing.calendar import Interval
from billing.couponing import CouponStatus
from models.catalog_lists import CouponsWhere
from schema.fields import Info, optional


@strawberry.input(description="Which coupons.")
class CouponFilter:
    is_active: bool | None = optional("Whether they can be redeemed at all.")
    code: str | None = optional("With this code.")
    interval: Interval | None = optional("Only for subscriptions with periods of this unit.")
    status: list[CouponStatus] | None = optional("In any of these statuses now.")
    include_archived: bool = strawberry.field(description="Deleted ones as well.", default=False)

    def where(self, info: Info) -> CouponsWhere:
        return CouponsWhere(
            now=info.context.now,
            is_active=self.is_active,
            code=self.code,
            interval=self.interval,
            status=None if self.status is None else frozenset(self.status),
            include_archived=self.include_archived,
        )
