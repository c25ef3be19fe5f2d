"""Coupons: what makes one, how it stands, and whether it may be redeemed now, each refusal with its reason."""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from billing.calendar import Interval
from billing.errors import ErrorCode, UserProblem
from billing.money import Money

LONGEST_CODE = 100
LONGEST_FOLDED = 200
_MOST_PERIODS = 1_200
_FINEST_PERCENT = 4


class CouponDuration(StrEnum):
    """How long a discount lasts: for one period, for a number of them, or for as long as the subscription."""

    ONCE = "once"
    REPEATING = "repeating"
    FOREVER = "forever"


class CouponStatus(StrEnum):
    """Whether it can be redeemed, and if not, why. What has been redeemed before goes on."""

    ACTIVE = "active"
    INACTIVE = "inactive"
    EXPIRED = "expired"
    EXHAUSTED = "exhausted"


@dataclass(frozen=True, slots=True)
class CouponTerms:
    """What a coupon takes off, for how long, for whom. `product_codes`, `interval` None: for all."""

    percent_off: Decimal | None = None
    amounts_off: Sequence[Money] = ()
    duration: CouponDuration = CouponDuration.ONCE
    duration_in_periods: int | None = None
    interval: Interval | None = None
    product_codes: Sequence[str] | None = None
    max_redemptions: int | None = None
    max_redemptions_per_customer: int | None = None
    starts_at: datetime | None = None
    expires_at: datetime | None = None


def check_terms(terms: CouponTerms, now: datetime, before: CouponTerms | None = None) -> None:
    """Raises UserProblem REQUIRED or INVALID for the first part that does not fit.

    `before` are those of a coupon that is changed: dates that stay may have passed.
    """
    _check_what_it_takes_off(terms)
    _check_duration(terms)
    for name, cap in (
        ("maxRedemptions", terms.max_redemptions),
        ("maxRedemptionsPerCustomer", terms.max_redemptions_per_customer),
    ):
        if cap is not None and cap < 1:
            raise _invalid(f"{name} is 1 or more; without it there is no such limit.", name)
    if terms.product_codes is not None and not terms.product_codes:
        raise _invalid("Name the products that it is for, or leave them out.", "appliesToProductCodes")
    dates = (terms.starts_at, terms.expires_at)
    is_changed = before is None or dates != (before.starts_at, before.expires_at)
    if is_changed and terms.expires_at is not None and terms.expires_at <= max(now, terms.starts_at or now):
        raise _invalid("It would be over before it could be used. Give a later expiresAt.", "expiresAt")


def _check_what_it_takes_off(terms: CouponTerms) -> None:
    if terms.percent_off is None and not terms.amounts_off:
        raise UserProblem(ErrorCode.REQUIRED, "Say what it takes off: give percentOff or amountsOff.", ["percentOff"])
    if terms.percent_off is not None:
        if terms.amounts_off:
            raise _invalid("Give percentOff or amountsOff, not both.", "amountsOff")
        if not 0 < terms.percent_off <= 100 or terms.percent_off != round(terms.percent_off, _FINEST_PERCENT):
            raise _invalid("percentOff is above 0 and at most 100, with at most 4 decimals.", "percentOff")
    if any(amount.minor <= 0 for amount in terms.amounts_off):
        raise _invalid("An amount that is taken off is above zero.", "amountsOff")
    if len({amount.currency for amount in terms.amounts_off}) < len(terms.amounts_off):
        raise _invalid("Give one amount for each currency.", "amountsOff")


def _check_duration(terms: CouponTerms) -> None:
    periods, repeats = terms.duration_in_periods, terms.duration is CouponDuration.REPEATING
    if repeats and periods is None:
        raise UserProblem(ErrorCode.REQUIRED, "Say for how many periods it repeats.", ["durationInPeriods"])
    if periods is not None and not repeats:
        raise _invalid("durationInPeriods goes with duration: REPEATING only.", "durationInPeriods")
    if periods is not None and not 1 <= periods <= _MOST_PERIODS:
        raise _invalid(f"durationInPeriods: give 1 to {_MOST_PERIODS}.", "durationInPeriods")


def folded(code: str) -> str:
    """What a promotion code is found by: however it is written, in capitals or not."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", code).casefold())


def check_promotion_code(code: str, max_redemptions: int | None, expires_at: datetime | None, now: datetime) -> None:
    """Raises UserProblem INVALID."""
    is_word = code.isprintable() and not any(character.isspace() for character in code)
    if not is_word or not 1 <= len(code) <= LONGEST_CODE or len(folded(code)) > LONGEST_FOLDED:
        raise _invalid(f"A promotion code is a word of 1 to {LONGEST_CODE} characters.", "code")
    if max_redemptions is not None and max_redemptions < 1:
        raise _invalid("maxRedemptions is 1 or more; without it there is no such limit.", "maxRedemptions")
    if expires_at is not None and expires_at <= now:
        raise _invalid("It would be over before it could be used. Give a later expiresAt.", "expiresAt")


@dataclass(frozen=True, slots=True)
class Offer:
    """What of a coupon, or of a promotion code, decides whether it may be redeemed.

    `redeemed` counts what is reserved and used. `amounts_off` is empty for a percentage.
    """

    is_active: bool = True
    starts_at: datetime | None = None
    expires_at: datetime | None = None
    max_redemptions: int | None = None
    redeemed: int = 0
    max_per_customer: int | None = None
    interval: Interval | None = None
    product_ids: frozenset[str] | None = None
    amounts_off: Mapping[str, int] = field(default_factory=dict[str, int])
    first_purchase_only: bool = False

    def less(self, given_back: int) -> "Offer":
        """The same once so many redemptions have been given back."""
        return replace(self, redeemed=self.redeemed - given_back)

    def status(self, now: datetime) -> CouponStatus:
        """How it stands; one whose time has not begun yet is active."""
        if not self.is_active:
            return CouponStatus.INACTIVE
        if self.expires_at is not None and self.expires_at <= now:
            return CouponStatus.EXPIRED
        if self.max_redemptions is not None and self.redeemed >= self.max_redemptions:
            return CouponStatus.EXHAUSTED
        return CouponStatus.ACTIVE


@dataclass(frozen=True, slots=True)
class Redemption:
    """Who would redeem it for what. `redeemed_before`: how often this customer has; `has_bought`: anything, ever."""

    now: datetime
    product_ids: frozenset[str]
    interval: Interval
    currency: str
    redeemed_before: int = 0
    has_bought: bool = False


_REFUSED_BY_STATUS: Mapping[CouponStatus, tuple[ErrorCode, str]] = {
    CouponStatus.INACTIVE: (ErrorCode.COUPON_INVALID, "There is no such code, or it may not be used."),
    CouponStatus.EXPIRED: (ErrorCode.COUPON_EXPIRED, "This code has expired."),
    CouponStatus.EXHAUSTED: (ErrorCode.COUPON_EXHAUSTED, "This code has been used as often as it may be."),
}


def refuse(offers: Sequence[Offer], wish: Redemption, given: str) -> None:
    """Raises UserProblem unless the coupon, and the promotion code if it was found by one, may be redeemed.

    `given` is the input's field that named it.
    """
    for offer in offers:
        refusal = _refusal(offer, wish)
        if refusal is not None:
            raise UserProblem(*refusal, [given])


def _refusal(offer: Offer, wish: Redemption) -> tuple[ErrorCode, str] | None:
    status = offer.status(wish.now)
    if status in _REFUSED_BY_STATUS:
        return _REFUSED_BY_STATUS[status]
    if offer.starts_at is not None and offer.starts_at > wish.now:
        return ErrorCode.COUPON_EXPIRED, f"This code is good from {offer.starts_at:%Y-%m-%d %H:%M} UTC on."
    if offer.product_ids is not None and not offer.product_ids & wish.product_ids:
        return ErrorCode.COUPON_NOT_APPLICABLE, "This code is for other products."
    if offer.interval is not None and offer.interval is not wish.interval:
        return ErrorCode.COUPON_NOT_APPLICABLE, f"This code is for subscriptions by the {offer.interval}."
    if offer.amounts_off and wish.currency not in offer.amounts_off:
        known = ", ".join(sorted(offer.amounts_off))
        return ErrorCode.COUPON_NOT_APPLICABLE, f"This code takes nothing off in {wish.currency}; it is for {known}."
    if offer.first_purchase_only and wish.has_bought:
        return ErrorCode.COUPON_NOT_APPLICABLE, "This code is for a first purchase."
    if offer.max_per_customer is not None and wish.redeemed_before >= offer.max_per_customer:
        return ErrorCode.COUPON_ALREADY_REDEEMED, "This code has been used as often as one customer may."
    return None


def _invalid(message: str, name: str) -> UserProblem:
    return UserProblem(ErrorCode.INVALID, message, [name])
