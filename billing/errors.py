"""Errors that a client can act on, as data: their codes and what each means.

A refusal ends a step without having changed anything but what it says. docs/errors.md is drawn from ERROR_MEANINGS.
"""

from collections.abc import Sequence
from enum import StrEnum


class ErrorCode(StrEnum):
    """Codes of user errors. Those of faults and refused documents stand in docs/errors.md as well."""

    INVALID = "INVALID"
    REQUIRED = "REQUIRED"
    NOT_FOUND = "NOT_FOUND"
    NOT_PERMITTED = "NOT_PERMITTED"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    ALREADY_SUBSCRIBED = "ALREADY_SUBSCRIBED"
    VERSION_CONFLICT = "VERSION_CONFLICT"
    IDEMPOTENCY_CONFLICT = "IDEMPOTENCY_CONFLICT"
    INVALID_STATE = "INVALID_STATE"
    PLAN_NOT_FOR_SALE = "PLAN_NOT_FOR_SALE"
    PLAN_ARCHIVED = "PLAN_ARCHIVED"
    CURRENCY_MISMATCH = "CURRENCY_MISMATCH"
    CURRENCY_UNSUPPORTED = "CURRENCY_UNSUPPORTED"
    PAYMENT_METHOD_REQUIRED = "PAYMENT_METHOD_REQUIRED"
    PAYMENT_METHOD_IN_USE = "PAYMENT_METHOD_IN_USE"
    PAYMENT_ACTION_REQUIRED = "PAYMENT_ACTION_REQUIRED"
    CARD_DECLINED = "CARD_DECLINED"
    PAYMENT_IN_PROGRESS = "PAYMENT_IN_PROGRESS"
    PAYMENT_OUTCOME_UNKNOWN = "PAYMENT_OUTCOME_UNKNOWN"
    TOO_MANY_ATTEMPTS = "TOO_MANY_ATTEMPTS"
    ALREADY_PAID = "ALREADY_PAID"
    AMOUNT_TOO_SMALL = "AMOUNT_TOO_SMALL"
    NOT_REFUNDABLE = "NOT_REFUNDABLE"
    COUPON_INVALID = "COUPON_INVALID"
    COUPON_EXPIRED = "COUPON_EXPIRED"
    COUPON_EXHAUSTED = "COUPON_EXHAUSTED"
    COUPON_NOT_APPLICABLE = "COUPON_NOT_APPLICABLE"
    COUPON_ALREADY_REDEEMED = "COUPON_ALREADY_REDEEMED"
    OUT_OF_CREDITS = "OUT_OF_CREDITS"
    DAILY_LIMIT_REACHED = "DAILY_LIMIT_REACHED"
    QUOTE_STALE = "QUOTE_STALE"
    GATEWAY_UNAVAILABLE = "GATEWAY_UNAVAILABLE"


ERROR_MEANINGS: dict[ErrorCode, str] = {
    ErrorCode.INVALID: "A value is malformed or out of range. Correct the named field.",
    ErrorCode.REQUIRED: "A value is missing. Give the named field.",
    ErrorCode.NOT_FOUND: "No such object, or not yours. Check the id in the named field.",
    ErrorCode.NOT_PERMITTED: "Your role may not give this value. Leave the named field out.",
    ErrorCode.ALREADY_EXISTS: "Another object has this code or key. Choose another one, or use that object.",
    ErrorCode.ALREADY_SUBSCRIBED: (
        "A subscription to this product exists and is returned. Change or cancel that one; one that is about to end "
        "goes on by `uncancelSubscription`."
    ),
    ErrorCode.VERSION_CONFLICT: "Somebody changed the object meanwhile. Read it again and repeat with its version.",
    ErrorCode.IDEMPOTENCY_CONFLICT: "This idempotency key was used with other input. Use a new key for a new request.",
    ErrorCode.INVALID_STATE: "The object's present state does not allow this. The message names the state.",
    ErrorCode.PLAN_NOT_FOR_SALE: "This plan cannot be subscribed to. Choose one with isOnlineSale.",
    ErrorCode.PLAN_ARCHIVED: "This plan has been withdrawn. Choose another.",
    ErrorCode.CURRENCY_MISMATCH: "The amount is in another currency than what it is for. Give it in that one.",
    ErrorCode.CURRENCY_UNSUPPORTED: "The plan has no price in this currency. Choose one of its prices.",
    ErrorCode.PAYMENT_METHOD_REQUIRED: "There is no card to pay with. Name a saved card, or save one first.",
    ErrorCode.PAYMENT_METHOD_IN_USE: "The last card of a subscription that goes on. Save another card first.",
    ErrorCode.PAYMENT_ACTION_REQUIRED: "The customer's bank asks for a confirmation. Carry out nextAction.",
    ErrorCode.CARD_DECLINED: "The card was refused. Show the message and try another card on the same subscription.",
    ErrorCode.PAYMENT_IN_PROGRESS: "The same payment is being made by another request. Read the subscription shortly.",
    ErrorCode.PAYMENT_OUTCOME_UNKNOWN: (
        "The gateway has not answered. Nothing is charged twice; the outcome follows within a minute."
    ),
    ErrorCode.TOO_MANY_ATTEMPTS: "This invoice was tried too often within an hour. Try again at retryAt.",
    ErrorCode.ALREADY_PAID: "Nothing is left to pay; the payment is returned.",
    ErrorCode.AMOUNT_TOO_SMALL: "The gateway does not charge amounts this small in this currency.",
    ErrorCode.NOT_REFUNDABLE: "So much of this payment cannot be given back. The message says how much can.",
    ErrorCode.COUPON_INVALID: "There is no such coupon or code, or it may not be used. Check how it is written.",
    ErrorCode.COUPON_EXPIRED: "The coupon's time is over, or has not begun.",
    ErrorCode.COUPON_EXHAUSTED: "The coupon has been used as often as it may be.",
    ErrorCode.COUPON_NOT_APPLICABLE: "The coupon is for other products, another interval or another currency.",
    ErrorCode.COUPON_ALREADY_REDEEMED: "This customer has used the coupon as often as one customer may.",
    ErrorCode.OUT_OF_CREDITS: "Not so many credits are left. They are granted anew with the next paid period.",
    ErrorCode.DAILY_LIMIT_REACHED: "Today's allowance is used up. There is more tomorrow, in the customer's zone.",
    ErrorCode.QUOTE_STALE: "What the quote rests on has changed, or it is too old. A fresh quote is in the answer.",
    ErrorCode.GATEWAY_UNAVAILABLE: "The gateway cannot be reached. Repeat the request later; it is safe to do so.",
}


class UserProblem(Exception):
    """A refusal that the caller can do something about. `field` is the path of the input at fault."""

    def __init__(self, code: ErrorCode, message: str, field: Sequence[str] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.field = list(field) if field else None


class VersionConflict(UserProblem):
    """The optimistic lock was lost; `current_version` is the one to repeat with."""

    def __init__(self, current_version: int) -> None:
        super().__init__(
            ErrorCode.VERSION_CONFLICT,
            f"The object has changed: it is at version {current_version} now. Read it again before you repeat this.",
            ["expectedVersion"],
        )
        self.current_version = current_version
