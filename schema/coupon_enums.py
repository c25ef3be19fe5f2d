"""Enums of coupons, each value described."""

from billing.couponing import CouponDuration, CouponStatus
from schema.enums import publish

publish(
    CouponDuration,
    "CouponDuration",
    "How long a discount lasts. Periods count that were billed with it, part-periods too.",
    {
        "ONCE": "For one period.",
        "REPEATING": "For `durationInPeriods` periods.",
        "FOREVER": "As long as the subscription.",
    },
)
publish(
    CouponStatus,
    "CouponStatus",
    "Whether a coupon can be redeemed. What was redeemed before goes on, whatever this says.",
    {
        "ACTIVE": "It can, once its `startsAt` has come.",
        "INACTIVE": "It was withdrawn.",
        "EXPIRED": "Its time is over.",
        "EXHAUSTED": "It has been redeemed as often as it may be.",
    },
)
