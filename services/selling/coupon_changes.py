"""Changing coupons and their codes, and ending them. What has been redeemed goes on.

A coupon is changed under its lock, and a redemption counts only against the version that it was decided with.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.couponing import CouponTerms, check_promotion_code, check_terms, folded
from billing.dashboard_coupons import periods_of
from billing.errors import ErrorCode, UserProblem
from models.coupons import Coupon, PromotionCode, coupon_of_code, end_promotion_codes, promotion_of_code
from models.payments import MANUAL
from services.app import App
from services.problems import refuse_stale
from services.selling.couponing import product_ids_of
from services.writing import written

_TERMS = {each.name for each in fields(CouponTerms)}
_FIXED = {
    "percent_off": "percentOff",
    "amounts_off": "amountsOff",
    "duration": "duration",
    "duration_in_periods": "durationInPeriods",
}
"""What a discount rests on, by its name in the input."""


@dataclass(frozen=True, slots=True)
class CodeChange:
    """What to change of a promotion code: only what is in `given` (`is_active`, `max_redemptions`, `expires_at`)."""

    code: str
    given: Mapping[str, Any]


async def update_coupon(app: App, code: str, given: Mapping[str, Any], expected_version: int | None) -> Coupon:
    """Change what is given: fields of CouponTerms, `name`, `is_active`, `metadata`.

    Raises UserProblem NOT_FOUND, VERSION_CONFLICT, INVALID, REQUIRED, INVALID_STATE.
    """
    now = app.now()
    async with app.database.write() as session:
        row = await _live_coupon(session, code)
        refuse_stale(row.version, expected_version)
        if given.get("code", code) != code:
            raise _refused(ErrorCode.INVALID, "A coupon keeps its code. Make another coupon instead.", "code")
        before = row.terms
        wished = replace(before, **{name: value for name, value in given.items() if name in _TERMS})
        after = replace(wished, amounts_off=sorted(wished.amounts_off, key=lambda amount: amount.currency))
        check_terms(after, now, before)
        _refuse_what_is_fixed(row, before, after, given)
        if "product_codes" in given:
            row.product_ids = await product_ids_of(session, after.product_codes)
        _write(row, after, given)
        if session.is_modified(row):
            row.touch(now)
        return row


async def delete_coupon(app: App, code: str) -> Coupon:
    """Nobody redeems it or one of its codes any more; repeating it changes nothing. Raises NOT_FOUND."""
    now = app.now()
    async with app.database.write() as session:
        row = await coupon_of_code(session, code, lock=True)
        if row is None:
            raise _refused(ErrorCode.NOT_FOUND, "There is no such coupon.", "code")
        if row.archived_at is None:
            row.archived_at = now
            row.touch(now)
            await end_promotion_codes(session, row.id, now)
        return row


async def update_promotion_code(app: App, change: CodeChange) -> PromotionCode:
    """Raises UserProblem NOT_FOUND, INVALID, INVALID_STATE."""
    now, given = app.now(), change.given

    async def write(session: AsyncSession) -> PromotionCode:
        found = await promotion_of_code(session, folded(change.code.strip()))
        coupon = await coupon_of_code(session, found[1].code, lock=True) if found is not None else None
        if found is None or coupon is None:
            raise _refused(ErrorCode.NOT_FOUND, "There is no such promotion code.", "code")
        row = found[0]
        await session.refresh(row)
        if row.platform != MANUAL:
            message = "This code was made on the gateway's dashboard. Change it there; it is followed here."
            raise _refused(ErrorCode.INVALID_STATE, message, "code")
        if given.get("is_active") and not row.is_active and coupon.archived_at is not None:
            raise _refused(
                ErrorCode.INVALID_STATE, "Its coupon was deleted. Make a code for another coupon.", "isActive"
            )
        expiry = given.get("expires_at")
        check_promotion_code(row.code, given.get("max_redemptions"), expiry if expiry != row.expires_at else None, now)
        for name, value in given.items():
            setattr(row, name, value)
        if session.is_modified(row):
            row.touch(now)
        return row

    return await written(app, write)


async def _live_coupon(session: AsyncSession, code: str) -> Coupon:
    row = await coupon_of_code(session, code, lock=True)
    if row is None:
        raise _refused(ErrorCode.NOT_FOUND, "There is no such coupon.", "code")
    if row.archived_at is not None:
        raise _refused(ErrorCode.INVALID_STATE, "This coupon was deleted. Make another one.", "code")
    return row


def _refuse_what_is_fixed(row: Coupon, before: CouponTerms, after: CouponTerms, given: Mapping[str, Any]) -> None:
    """Raises INVALID_STATE for what the dashboard owns, and for what discounts rest on."""
    changed = [shown for name, shown in _FIXED.items() if getattr(before, name) != getattr(after, name)]
    if row.platform != MANUAL:
        if given.get("name", row.name) != row.name:
            changed.append("name")
        if changed:
            message = f"{changed[0]}: this coupon was made on the gateway's dashboard. Change it there."
            raise _refused(ErrorCode.INVALID_STATE, message, changed[0])
        if given.get("is_active") and row.gone_at is not None:
            message = "It was deleted on the gateway's dashboard. Make it there again."
            raise _refused(ErrorCode.INVALID_STATE, message, "isActive")
    elif changed and row.times_redeemed > 0:
        message = (
            f"{changed[0]} stays as it is once a coupon was redeemed. Make another coupon, and switch this one off."
        )
        raise _refused(ErrorCode.INVALID_STATE, message, changed[0])


def _write(row: Coupon, terms: CouponTerms, given: Mapping[str, Any]) -> None:
    if row.percent_off != terms.percent_off:  # 25.0 is 25, though not in the same letters
        row.percent_off = terms.percent_off
    row.amounts_off = {amount.currency: amount.minor for amount in terms.amounts_off}
    row.duration, row.duration_in_periods = terms.duration, terms.duration_in_periods
    row.max_redemptions = terms.max_redemptions
    row.max_redemptions_per_customer = terms.max_redemptions_per_customer
    row.starts_at, row.expires_at = terms.starts_at, terms.expires_at
    if row.interval is not terms.interval:
        row.interval = terms.interval
        if row.duration_in_months is not None and row.times_redeemed == 0:
            row.duration_in_periods = periods_of(row.duration_in_months, row.interval)
    row.name = given.get("name", row.name)
    row.is_active = given.get("is_active", row.is_active)
    if "metadata" in given:
        row.meta = dict(given["metadata"])


def _refused(code: ErrorCode, message: str, field: str) -> UserProblem:
    return UserProblem(code, message, [field])
