"""Coupons of the gateway's dashboard beside ours: whose they are, what differs, and what of them can be held here.

The dashboard owns what a coupon takes off, for how long, and its name. Whether it may be redeemed, how often, with
which interval and for which products is ours to say.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from billing.calendar import Interval
from billing.couponing import CouponDuration
from billing.reconciling import DriftKind

DEFAULT_INTERVAL = Interval.YEAR
"""Which subscriptions a coupon of the dashboard is for, until somebody says otherwise here."""
PRODUCTS_KEY = "product_codes"
"""Where a coupon names the products that it is for, among its metadata there; codes with commas between."""
_PERIODS_A_YEAR = {Interval.DAY: 365, Interval.WEEK: 52, Interval.MONTH: 12, Interval.YEAR: 1}


@dataclass(frozen=True, slots=True)
class TakesOff:
    """What a coupon takes off and for how long; `amounts_off` are minor units by currency."""

    percent_off: Decimal | None
    amounts_off: Mapping[str, int]
    duration: CouponDuration
    duration_in_months: int | None


@dataclass(frozen=True, slots=True)
class DashboardCoupon:
    """A coupon as the dashboard has it now. Its cap, its expiry and its metadata count when it is first seen."""

    code: str
    name: str | None
    takes_off: TakesOff
    max_redemptions: int | None
    expires_at: datetime | None
    metadata: Mapping[str, str]

    @property
    def product_codes(self) -> tuple[str, ...] | None:
        """The products that it is for; None: all."""
        named = self.metadata.get(PRODUCTS_KEY, "").replace(",", " ").split()
        return tuple(dict.fromkeys(named)) or None


@dataclass(frozen=True, slots=True)
class HeldCoupon:
    """A coupon of ours, as far as the dashboard could differ. `is_redeemed`: discounts rest on what it takes off."""

    is_ours: bool
    is_gone: bool
    is_redeemed: bool
    name: str | None
    takes_off: TakesOff


@dataclass(frozen=True, slots=True)
class CodeTerms:
    """Whether and how often a promotion code may be used."""

    is_active: bool
    max_redemptions: int | None
    expires_at: datetime | None
    first_purchase_only: bool


@dataclass(frozen=True, slots=True)
class DashboardCode:
    """A promotion code as the dashboard has it now. `is_restricted`: by a customer or a least amount."""

    ref: str
    coupon_code: str
    code: str
    terms: CodeTerms
    is_restricted: bool


def coupon_difference(here: HeldCoupon | None, there: DashboardCoupon | None) -> DriftKind | None:
    """What differs between the coupons of one code; None when both agree."""
    if here is None:
        return DriftKind.COUPON_MISSING_HERE if there is not None else None
    if here.is_ours:
        return DriftKind.COUPON_OF_OURS if there is not None else None
    if there is None:
        return None if here.is_gone else DriftKind.COUPON_MISSING_THERE
    if here.is_redeemed and here.takes_off != there.takes_off:
        return DriftKind.COUPON_REMADE
    is_same = not here.is_gone and (here.name, here.takes_off) == (there.name, there.takes_off)
    return None if is_same else DriftKind.COUPON_DIFFERS


def periods_of(months: int | None, interval: Interval | None) -> int | None:
    """How many periods of that unit (None: months) so many months make, a begun one counted whole."""
    return None if months is None else -(-months * _PERIODS_A_YEAR[interval or Interval.MONTH] // 12)
