"""Coupons: which terms make one, how it stands, and each reason why it may not be redeemed."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from billing.calendar import Interval
from billing.couponing import (
    CouponDuration,
    CouponStatus,
    CouponTerms,
    Offer,
    Redemption,
    check_promotion_code,
    check_terms,
    folded,
    refuse,
)
from billing.errors import ErrorCode, UserProblem
from billing.money import Money

NOW = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
SOON, BEFORE = NOW + timedelta(days=1), NOW - timedelta(days=1)
A_TENTH = CouponTerms(percent_off=Decimal(10))
REPEATING = CouponDuration.REPEATING
USD, EUR = Money(100, "USD"), Money(100, "EUR")


@pytest.mark.parametrize(
    "terms",
    [
        A_TENTH,
        CouponTerms(percent_off=Decimal(100)),
        CouponTerms(percent_off=Decimal("0.0001")),
        CouponTerms(amounts_off=[USD, EUR]),
        replace(A_TENTH, duration=CouponDuration.FOREVER),
        replace(A_TENTH, duration=REPEATING, duration_in_periods=1),
        replace(A_TENTH, duration=REPEATING, duration_in_periods=1200),
        replace(A_TENTH, max_redemptions=1, max_redemptions_per_customer=1, product_codes=["tea"]),
        replace(A_TENTH, starts_at=BEFORE, expires_at=SOON),
    ],
)
def test_terms_that_make_a_coupon(terms: CouponTerms) -> None:
    check_terms(terms, NOW)


@pytest.mark.parametrize(
    ("terms", "code", "field"),
    [
        (CouponTerms(), ErrorCode.REQUIRED, "percentOff"),
        (replace(A_TENTH, amounts_off=[USD]), ErrorCode.INVALID, "amountsOff"),
        (CouponTerms(percent_off=Decimal(0)), ErrorCode.INVALID, "percentOff"),
        (CouponTerms(percent_off=Decimal("100.0001")), ErrorCode.INVALID, "percentOff"),
        (CouponTerms(percent_off=Decimal("-5")), ErrorCode.INVALID, "percentOff"),
        (CouponTerms(percent_off=Decimal("1.00001")), ErrorCode.INVALID, "percentOff"),
        (CouponTerms(percent_off=Decimal("0." + "0" * 37 + "1")), ErrorCode.INVALID, "percentOff"),
        (CouponTerms(amounts_off=[Money(0, "USD")]), ErrorCode.INVALID, "amountsOff"),
        (CouponTerms(amounts_off=[USD, Money(200, "USD")]), ErrorCode.INVALID, "amountsOff"),
        (replace(A_TENTH, duration=REPEATING), ErrorCode.REQUIRED, "durationInPeriods"),
        (replace(A_TENTH, duration_in_periods=3), ErrorCode.INVALID, "durationInPeriods"),
        (replace(A_TENTH, duration=REPEATING, duration_in_periods=0), ErrorCode.INVALID, "durationInPeriods"),
        (replace(A_TENTH, duration=REPEATING, duration_in_periods=1201), ErrorCode.INVALID, "durationInPeriods"),
        (replace(A_TENTH, max_redemptions=0), ErrorCode.INVALID, "maxRedemptions"),
        (replace(A_TENTH, max_redemptions_per_customer=0), ErrorCode.INVALID, "maxRedemptionsPerCustomer"),
        (replace(A_TENTH, product_codes=[]), ErrorCode.INVALID, "appliesToProductCodes"),
        (replace(A_TENTH, expires_at=NOW), ErrorCode.INVALID, "expiresAt"),
        (replace(A_TENTH, starts_at=SOON, expires_at=SOON), ErrorCode.INVALID, "expiresAt"),
    ],
)
def test_terms_that_make_none(terms: CouponTerms, code: ErrorCode, field: str) -> None:
    with pytest.raises(UserProblem) as refused:
        check_terms(terms, NOW)
    assert (refused.value.code, refused.value.field) == (code, [field])


@pytest.mark.parametrize(
    ("code", "most", "expires_at", "field"),
    [
        ("", None, None, "code"),
        ("two words", None, None, "code"),
        ("tab\t", None, None, "code"),
        ("x" * 101, None, None, "code"),
        ("\ufdfa" * 12, None, None, "code"),  # eighteen letters each in plain writing
        ("SPRING", 0, None, "maxRedemptions"),
        ("SPRING", None, NOW, "expiresAt"),
    ],
)
def test_promotion_codes_that_are_none(code: str, most: int | None, expires_at: datetime | None, field: str) -> None:
    with pytest.raises(UserProblem) as refused:
        check_promotion_code(code, most, expires_at, NOW)
    assert (refused.value.code, refused.value.field) == (ErrorCode.INVALID, [field])


@pytest.mark.parametrize(
    ("one", "other"),
    [("spring", "SPRING"), ("straße", "STRASSE"), ("Ⅳ", "iv"), ("e\u0301t\u00e9", "ÉTÉ"), ("ΣΊΣΥΦΟΣ", "σίσυφος")],
)
def test_however_a_code_is_written_it_is_the_same(one: str, other: str) -> None:
    assert folded(one) == folded(other)


OFFER = Offer()
WISH = Redemption(NOW, frozenset(["tea", "cup"]), Interval.MONTH, "USD")


@pytest.mark.parametrize(
    ("offer", "wish", "code"),
    [
        (OFFER, WISH, None),
        (Offer(is_active=False), WISH, ErrorCode.COUPON_INVALID),
        (Offer(starts_at=NOW, expires_at=SOON), WISH, None),
        (Offer(starts_at=SOON), WISH, ErrorCode.COUPON_EXPIRED),
        (Offer(expires_at=NOW), WISH, ErrorCode.COUPON_EXPIRED),
        (Offer(max_redemptions=3, redeemed=2), WISH, None),
        (Offer(max_redemptions=3, redeemed=3), WISH, ErrorCode.COUPON_EXHAUSTED),
        (Offer(max_per_customer=1), WISH, None),
        (Offer(max_per_customer=1), replace(WISH, redeemed_before=1), ErrorCode.COUPON_ALREADY_REDEEMED),
        (Offer(product_ids=frozenset(["tea", "milk"])), WISH, None),
        (Offer(product_ids=frozenset(["milk"])), WISH, ErrorCode.COUPON_NOT_APPLICABLE),
        (Offer(interval=Interval.MONTH), WISH, None),
        (Offer(interval=Interval.YEAR), WISH, ErrorCode.COUPON_NOT_APPLICABLE),
        (Offer(amounts_off={"USD": 100}), WISH, None),
        (Offer(amounts_off={"EUR": 100}), WISH, ErrorCode.COUPON_NOT_APPLICABLE),
        (Offer(first_purchase_only=True), WISH, None),
        (Offer(first_purchase_only=True), replace(WISH, has_bought=True), ErrorCode.COUPON_NOT_APPLICABLE),
    ],
)
@pytest.mark.parametrize("others", [[], [OFFER]])
def test_what_may_be_redeemed_and_why_not(
    offer: Offer, wish: Redemption, code: ErrorCode | None, others: Sequence[Offer]
) -> None:
    if code is None:
        refuse([*others, offer], wish, "couponCode")
        return
    with pytest.raises(UserProblem) as refused:
        refuse([*others, offer], wish, "promotionCode")
    assert (refused.value.code, refused.value.field) == (code, ["promotionCode"])


@pytest.mark.parametrize(
    ("offer", "status"),
    [
        (OFFER, CouponStatus.ACTIVE),
        (Offer(starts_at=SOON), CouponStatus.ACTIVE),
        (Offer(is_active=False, expires_at=BEFORE), CouponStatus.INACTIVE),
        (Offer(expires_at=NOW, max_redemptions=1, redeemed=1), CouponStatus.EXPIRED),
        (Offer(expires_at=SOON, max_redemptions=1, redeemed=1), CouponStatus.EXHAUSTED),
    ],
)
def test_how_a_coupon_stands(offer: Offer, status: CouponStatus) -> None:
    assert offer.status(NOW) is status
