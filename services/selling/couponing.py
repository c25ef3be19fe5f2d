"""Making coupons, and the words that customers type for them. Codes are unique."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy.exc import IntegrityError
from sqlmodel.ext.asyncio.session import AsyncSession

from billing.couponing import CouponTerms, check_promotion_code, check_terms, folded
from billing.errors import ErrorCode, UserProblem
from billing.offering import check_code
from models.base import Notes, new_id
from models.catalog import product_by
from models.coupons import Coupon, PromotionCode, coupon_of_code, promotion_of_code
from models.database import is_unique_violation
from services.app import App
from services.writing import code_taken


@dataclass(frozen=True, slots=True)
class NewCoupon:
    """`code` None: its id serves."""

    terms: CouponTerms
    code: str | None = None
    name: str | None = None
    is_active: bool = True
    metadata: Notes = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NewPromotionCode:
    """`code` is what customers type, in capitals or not."""

    coupon_code: str
    code: str
    max_redemptions: int | None = None
    expires_at: datetime | None = None
    first_purchase_only: bool = False


async def create_coupon(app: App, wish: NewCoupon) -> Coupon:
    """Raises UserProblem REQUIRED, INVALID, ALREADY_EXISTS."""
    if wish.code is not None:
        check_code(wish.code, "code")
    terms, now, id = wish.terms, app.now(), new_id("coupon")
    check_terms(terms, now)
    try:
        async with app.database.write() as session:
            if wish.code is not None and await coupon_of_code(session, wish.code) is not None:
                raise code_taken()
            row = Coupon(
                id=id,
                code=wish.code or id,
                name=wish.name,
                percent_off=terms.percent_off,
                amounts_off={amount.currency: amount.minor for amount in terms.amounts_off},
                duration=terms.duration,
                duration_in_periods=terms.duration_in_periods,
                interval=terms.interval,
                product_ids=await product_ids_of(session, terms.product_codes),
                max_redemptions=terms.max_redemptions,
                max_redemptions_per_customer=terms.max_redemptions_per_customer,
                starts_at=terms.starts_at,
                expires_at=terms.expires_at,
                is_active=wish.is_active,
                created_at=now,
                updated_at=now,
                meta=wish.metadata,
            )
            session.add(row)
    except IntegrityError as error:
        if not is_unique_violation(error):
            raise
        raise code_taken() from None
    return row


async def create_promotion_code(app: App, wish: NewPromotionCode) -> PromotionCode:
    """The coupon is held, lest it is deleted meanwhile. Raises UserProblem INVALID, NOT_FOUND, ALREADY_EXISTS."""
    now, code = app.now(), wish.code.strip()
    check_promotion_code(code, wish.max_redemptions, wish.expires_at, now)
    try:
        async with app.database.write() as session:
            coupon = await coupon_of_code(session, wish.coupon_code, lock=True)
            if coupon is None or coupon.archived_at is not None:
                raise UserProblem(ErrorCode.NOT_FOUND, "There is no such coupon.", ["couponCode"])
            known = await promotion_of_code(session, folded(code))
            if known is not None and known[0].is_active:
                raise code_taken()
            row = PromotionCode(
                id=new_id("promotion_code"),
                coupon_id=coupon.id,
                code=code,
                folded=folded(code),
                max_redemptions=wish.max_redemptions,
                expires_at=wish.expires_at,
                first_purchase_only=wish.first_purchase_only,
                created_at=now,
                updated_at=now,
            )
            session.add(row)
    except IntegrityError as error:
        if not is_unique_violation(error):
            raise
        raise code_taken() from None
    return row


async def product_ids_of(session: AsyncSession, codes: Sequence[str] | None) -> list[str] | None:
    """The ids of those products; None stays None. Raises INVALID for a code that no product has."""
    if codes is None:
        return None
    ids: list[str] = []
    for n, code in enumerate(codes):
        product = await product_by(session, code=code)
        if product is None:
            message = f"There is no product {code!r}."
            raise UserProblem(ErrorCode.INVALID, message, ["appliesToProductCodes", str(n)])
        ids.append(product.id)
    return list(dict.fromkeys(ids))
