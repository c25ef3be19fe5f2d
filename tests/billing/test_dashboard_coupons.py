"""What differs between a coupon of the gateway's dashboard and ours, and how its months become periods."""

from decimal import Decimal

import pytest

from billing.calendar import Interval
from billing.couponing import CouponDuration
from billing.dashboard_coupons import DashboardCoupon, HeldCoupon, TakesOff, coupon_difference, periods_of
from billing.reconciling import DriftKind

TENTH = TakesOff(Decimal(10), {}, CouponDuration.ONCE, None)
FIFTH = TakesOff(Decimal(20), {}, CouponDuration.ONCE, None)


def here(
    *,
    ours: bool = False,
    gone: bool = False,
    redeemed: bool = False,
) -> HeldCoupon:
    return HeldCoupon(is_ours=ours, is_gone=gone, is_redeemed=redeemed, name="Spring", takes_off=TENTH)


def there(
    *, name: str | None = "Spring", off: TakesOff = TENTH, metadata: dict[str, str] | None = None
) -> DashboardCoupon:
    return DashboardCoupon("SPRING", name, off, None, None, metadata or {})


@pytest.mark.parametrize(
    ("ours", "theirs", "kind"),
    [
        (None, None, None),
        (None, there(), DriftKind.COUPON_MISSING_HERE),
        (here(), there(), None),
        (here(), there(name="Summer"), DriftKind.COUPON_DIFFERS),
        (here(), there(off=FIFTH), DriftKind.COUPON_DIFFERS),
        (here(redeemed=True), there(name="Summer"), DriftKind.COUPON_DIFFERS),
        (here(redeemed=True), there(off=FIFTH), DriftKind.COUPON_REMADE),
        (here(redeemed=True, gone=True), there(off=FIFTH), DriftKind.COUPON_REMADE),
        (here(), None, DriftKind.COUPON_MISSING_THERE),
        (here(gone=True), None, None),
        (here(gone=True), there(), DriftKind.COUPON_DIFFERS),
        (here(ours=True), there(), DriftKind.COUPON_OF_OURS),
        (here(ours=True), None, None),
    ],
)
def test_what_differs(ours: HeldCoupon | None, theirs: DashboardCoupon | None, kind: DriftKind | None) -> None:
    assert coupon_difference(ours, theirs) is kind


@pytest.mark.parametrize(
    ("months", "interval", "periods"),
    [
        (None, Interval.YEAR, None),
        (3, None, 3),
        (3, Interval.MONTH, 3),
        (3, Interval.YEAR, 1),
        (12, Interval.YEAR, 1),
        (13, Interval.YEAR, 2),
        (3, Interval.WEEK, 13),
        (1, Interval.WEEK, 5),
        (1, Interval.DAY, 31),
        (12, Interval.DAY, 365),
    ],
)
def test_months_as_periods(months: int | None, interval: Interval | None, periods: int | None) -> None:
    assert periods_of(months, interval) == periods


@pytest.mark.parametrize(
    ("metadata", "codes"),
    [
        ({}, None),
        ({"product_codes": ""}, None),
        ({"product_codes": " , "}, None),
        ({"product_codes": "coffee"}, ("coffee",)),
        ({"product_codes": "coffee, tea,coffee"}, ("coffee", "tea")),
        ({"other": "coffee"}, None),
    ],
)
def test_products_are_read_from_the_metadata(metadata: dict[str, str], codes: tuple[str, ...] | None) -> None:
    assert there(metadata=metadata).product_codes == codes
