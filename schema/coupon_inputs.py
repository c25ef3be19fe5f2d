"""What is told of a coupon to make or to change one."""

from datetime import datetime
from decimal import Decimal
from typing import Any

import strawberry
from strawberry import UNSET
from strawberry.scalars import JSON

from billing.calendar import Interval
from billing.couponing import CouponDuration, CouponTerms
from billing.errors import ErrorCode, UserProblem
from schema.fields import described, editable
from schema.given import METADATA, notes
from schema.inputs import at_most
from schema.money import MoneyInput
from services.selling.coupon_changes import CodeChange
from services.selling.couponing import NewCoupon


@strawberry.input(
    description="A coupon. What it takes off is `percentOff` or `amountsOff`. `updateCoupon` changes only what is "
    "given; null makes of a field what it is when a new coupon leaves it out."
)
class CouponInput:
    code: str | None = editable("Its code, unique; its id unless given. At most 100 letters, digits, `.-_`.")
    name: str | None = editable("Its name for people, at most 250 characters.")
    percent_off: Decimal | None = editable("How many per cent it takes off: above 0, at most 100, with 4 decimals.")
    amounts_off: list[MoneyInput] | None = editable("What it takes off a period, one amount for each currency.")
    duration: CouponDuration | None = editable("How long it takes something off; ONCE unless given.")
    duration_in_periods: int | None = editable("For how many periods, 1 to 1200. Required with REPEATING.")
    interval: Interval | None = editable("Only for subscriptions with periods of this unit.")
    applies_to_product_codes: list[str] | None = editable("Only for these products; for all unless given.")
    max_redemptions: int | None = editable("How often it may be redeemed in all.")
    max_redemptions_per_customer: int | None = editable("How often one customer may redeem it.")
    starts_at: datetime | None = editable("From when on it can be redeemed; at once unless given.")
    expires_at: datetime | None = editable("Until when it can be redeemed.")
    is_active: bool | None = editable("Whether it can be redeemed at all; true unless given.")
    metadata: JSON | None = editable(METADATA)

    def wish(self) -> NewCoupon:
        """A new coupon."""
        given = self.given()
        of_coupon = {name: given.pop(name) for name in ("code", "name", "is_active", "metadata") if name in given}
        return NewCoupon(terms=CouponTerms(**given), **of_coupon)

    def given(self) -> dict[str, Any]:
        """What is given, by the names that the steps know it by. Raises UserProblem INVALID."""
        told = {_STEPS_NAME.get(name, name): value for name, value in vars(self).items() if value is not UNSET}
        at_most(250, name=told.get("name"))
        if "metadata" in told:
            told["metadata"] = notes(told["metadata"])
        for name, shown, most in _MOST:
            if len(told.get(name) or ()) > most:
                raise UserProblem(ErrorCode.INVALID, f"{shown}: at most {most} are kept.", [shown])
        if told.get("amounts_off"):
            told["amounts_off"] = [each.value("amountsOff") for each in told["amounts_off"]]
        if told.get("code", "") is None:
            del told["code"]
        # An empty name is none.
        return {name: _WITHOUT.get(name) if value in (None, "") else value for name, value in told.items()}


_STEPS_NAME = {"applies_to_product_codes": "product_codes"}
_MOST = (("product_codes", "appliesToProductCodes", 100), ("amounts_off", "amountsOff", 50))
# What null comes to, where that is not None.
_WITHOUT: dict[str, Any] = {
    "amounts_off": (),
    "duration": CouponDuration.ONCE,
    "is_active": True,
}


@strawberry.input(description="What to change of a promotion code; what is left out stays, null takes the limit away.")
class UpdatePromotionCodeInput:
    code: str = described("The word, in capitals or not.")
    is_active: bool | None = editable("Whether it can be used at all.")
    max_redemptions: int | None = editable("How often it may be used in all.")
    expires_at: datetime | None = editable("Until when it can be used.")

    def change(self) -> CodeChange:
        given = {name: value for name, value in vars(self).items() if name != "code" and value is not UNSET}
        if given.get("is_active", True) is None:
            del given["is_active"]
        return CodeChange(self.code, given)
