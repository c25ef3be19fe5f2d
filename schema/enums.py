"""Enums as clients see them: the engine's own, each value described. A value that is not listed is not exposed."""

from collections.abc import Mapping
from enum import EnumMeta, StrEnum
from typing import TypeVar

import strawberry

from billing.calendar import Interval
from billing.charging import IntentStatus, SetupFutureUsage
from billing.confirming import PaymentConfirmation
from billing.errors import ERROR_MEANINGS, ErrorCode
from billing.invoicing import InvoiceReason
from billing.lifecycle import AttemptOutcome, InvoiceStatus, SubscriptionStatus
from billing.lines import LineKind
from billing.proration import ProrationBehavior
from billing.returning import PaymentStanding
from models.inbox import GatewayEventStatus
from models.subscriptions import CollectionMethod, SubscriptionOrigin
from resolvers.identity import Role
from resolvers.standing import NextActionType
from settings import Environment

E = TypeVar("E", bound=EnumMeta)


def publish(enum: E, name: str, description: str, values: Mapping[str, str]) -> E:
    """`values` tells the meaning of each published member by its Python name, which is its GraphQL name."""
    strawberry.enum(enum, name=name, description=description)
    definition = enum.__strawberry_definition__  # pyright: ignore[reportAttributeAccessIssue]
    unknown = values.keys() - {value.name for value in definition.values}
    if unknown:
        raise ValueError(f"{name} has no {', '.join(sorted(unknown))}")
    definition.values = [value for value in definition.values if value.name in values]
    for value in definition.values:
        value.description = values[value.name]
    return enum


class GatewayPlatform(StrEnum):
    STRIPE = "stripe"
    SANDBOX = "sandbox"
    MANUAL = "manual"


class CardFunding(StrEnum):
    CREDIT = "credit"
    DEBIT = "debit"
    PREPAID = "prepaid"
    UNKNOWN = "unknown"


class CheckResult(StrEnum):
    PASS = "pass"  # noqa: S105 (a card check's result)
    FAIL = "fail"
    UNAVAILABLE = "unavailable"
    UNCHECKED = "unchecked"


class EffectiveAt(StrEnum):
    NOW = "now"
    PERIOD_END = "period_end"
    AT_DATE = "at_date"


class CancellationReason(StrEnum):
    TOO_EXPENSIVE = "too_expensive"
    MISSING_FEATURES = "missing_features"
    SWITCHED_SERVICE = "switched_service"
    UNUSED = "unused"
    CUSTOMER_SERVICE = "customer_service"
    LOW_QUALITY = "low_quality"
    TOO_COMPLEX = "too_complex"
    PAYMENT_FAILED = "payment_failed"
    FRAUD = "fraud"
    TERM_ENDED = "term_ended"
    OTHER = "other"


class ChargeTrigger(StrEnum):
    PURCHASE = "purchase"
    RENEWAL = "renewal"
    DUNNING_RETRY = "dunning_retry"
    PAYMENT_METHOD_UPDATED = "payment_method_updated"
    CUSTOMER_RETRY = "customer_retry"
    ADMIN_RETRY = "admin_retry"
    PLAN_CHANGE = "plan_change"


class ChallengeOutcome(StrEnum):
    SUCCEEDED = "succeeded"
    FAILED = "failed"


publish(
    Role,
    "Role",
    "Who is calling.",
    {
        "PUBLIC": "Nobody in particular: no token.",
        "CUSTOMER": "A user of the application; sees and changes their own.",
        "SUPPORT": "Staff that reads everything and helps customers.",
        "ADMIN": "Staff that may do all that support may, and more.",
        "SERVICE": "The application's own back end, by an API key; may what the key's scopes open.",
    },
)
publish(
    Environment,
    "Environment",
    "Where this server runs.",
    {
        "DEVELOPMENT": "A developer's machine.",
        "PREVIEW": "A short-lived copy to look at.",
        "STAGING": "The rehearsal of production.",
        "PRODUCTION": "Real customers and real money.",
    },
)
publish(
    Interval,
    "BillingInterval",
    "The unit in which periods are counted.",
    {
        "DAY": "A calendar day.",
        "WEEK": "Seven days.",
        "MONTH": "A calendar month; the 31st is clamped to the month's last day.",
        "YEAR": "A calendar year.",
    },
)
publish(
    SubscriptionStatus,
    "SubscriptionStatus",
    "Where a subscription stands. Ask `isActive` whether it gives access.",
    {
        "SCHEDULED": "Starts in the future. No access.",
        "INCOMPLETE": "Waits for its first payment, at most 23 hours. No access.",
        "INCOMPLETE_EXPIRED": "The first payment never came. Ended.",
        "TRIALING": "In its trial. Access.",
        "ACTIVE": "Paid. Access.",
        "PAST_DUE": "A renewal is unpaid. Access until the grace period ends.",
        "PAUSED": "Paused. No access.",
        "UNPAID": "Unpaid for good, but not canceled. No access.",
        "CANCELED": "Ended.",
    },
)
publish(
    SubscriptionOrigin,
    "SubscriptionOrigin",
    "How a subscription came to be.",
    {
        "CHECKOUT": "By `subscribe`.",
        "MANUAL": "By `createManualSubscription`: paid by other ways than the gateway's.",
        "IMPORTED": "Taken over from elsewhere.",
        "API": "By `subscribe`, from the application's back end.",
    },
)
publish(
    CollectionMethod,
    "CollectionMethod",
    "How invoices are paid.",
    {
        "CHARGE_AUTOMATICALLY": "By the customer's card.",
        "SEND_INVOICE": "By other ways: they are sent and waited for. No card is charged. See `recordManualPayment`.",
    },
)
publish(
    PaymentConfirmation,
    "PaymentConfirmation",
    "Whether the money has come, in four words.",
    {
        "PENDING": "Not paid yet: a card, a confirmation or an answer is missing.",
        "PROCESSING": "The bank is working on it.",
        "PAID": "Paid.",
        "CANCELED": "Will not be paid.",
    },
)
publish(
    PaymentStanding,
    "PaymentStatus",
    "Where the collecting of one invoice stands, and what became of the money.",
    {
        "REQUIRES_PAYMENT_METHOD": "Waits for a card.",
        "REQUIRES_CONFIRMATION": "A try has begun.",
        "REQUIRES_ACTION": "The customer's bank asks for a confirmation; see `nextAction`.",
        "PROCESSING": "The bank is working on it.",
        "SUCCEEDED": "Paid.",
        "FAILED": "The last card was declined. Another card may be tried on the same subscription.",
        "CANCELED": "Given up; nothing was taken.",
        "UNKNOWN": "The gateway has not answered yet. Nothing is charged twice; the outcome follows.",
        "PARTIALLY_REFUNDED": "Paid, and a part was given back.",
        "REFUNDED": "Paid, and all of it was given back.",
        "DISPUTED": "Paid, and the customer's bank has taken money back.",
    },
)
publish(
    IntentStatus,
    "IntentStatus",
    "Where an intent stands at the gateway.",
    {
        "REQUIRES_PAYMENT_METHOD": "Waits for a card: never tried, or the last one was declined.",
        "REQUIRES_CONFIRMATION": "Has a card and waits to be confirmed.",
        "REQUIRES_ACTION": "The customer must pass a challenge (3-D Secure).",
        "PROCESSING": "The bank is working on it.",
        "REQUIRES_CAPTURE": "Authorised, not captured.",
        "SUCCEEDED": "Done.",
        "CANCELED": "Given up.",
    },
)
publish(
    AttemptOutcome,
    "ChargeAttemptOutcome",
    "How one try at a charge ended.",
    {
        "PENDING": "Under way.",
        "SUCCEEDED": "The money was taken.",
        "DECLINED": "The card was refused; see `error`.",
        "REQUIRES_ACTION": "The customer's bank asked for a confirmation.",
        "UNKNOWN": "No answer yet. The gateway is asked until it tells.",
        "ABANDONED": "Given up without an answer that counts.",
    },
)
publish(
    ChargeTrigger,
    "ChargeTrigger",
    "What set off a try.",
    {
        "PURCHASE": "The customer subscribed.",
        "RENEWAL": "A new period began.",
        "DUNNING_RETRY": "A day of the dunning policy has come.",
        "PAYMENT_METHOD_UPDATED": "Another card became the one to charge.",
        "CUSTOMER_RETRY": "The customer tried again.",
        "ADMIN_RETRY": "Staff or the application's back end tried again for the customer.",
        "PLAN_CHANGE": "What is subscribed to was changed.",
    },
)
publish(
    InvoiceStatus,
    "InvoiceStatus",
    "Where an invoice stands.",
    {
        "DRAFT": "Not issued yet.",
        "OPEN": "Issued and to be paid.",
        "PAID": "Paid, or nothing was due.",
        "UNCOLLECTIBLE": "Given up, but still owed.",
        "VOID": "Withdrawn; nothing is owed.",
    },
)
publish(
    InvoiceReason,
    "InvoiceReason",
    "Why an invoice exists.",
    {
        "SUBSCRIPTION_CREATE": "The first period of a subscription.",
        "SUBSCRIPTION_CYCLE": "A further period of a subscription.",
        "SUBSCRIPTION_UPDATE": "A subscription was changed within a period.",
        "SUBSCRIPTION_CANCEL": "What was left to bill when a subscription ended.",
        "MANUAL": "Recorded by the merchant.",
    },
)
publish(
    LineKind,
    "InvoiceLineKind",
    "What a line of an invoice is.",
    {
        "RECURRING": "An item for a period, in advance.",
        "USAGE": "What was used in a period, in arrears.",
        "CREDIT": "What unused time gives back, tax included.",
        "CHARGE": "Anything else that is asked for.",
        "DISCOUNT": "What a coupon takes off.",
        "TAX": "Tax on the lines before it, each after discount.",
    },
)
publish(
    SetupFutureUsage,
    "SetupFutureUsage",
    "Whether a card is kept after it was used.",
    {
        "ON_SESSION": "Kept for payments that the customer is present at.",
        "OFF_SESSION": "Kept for renewals too, when the customer is away.",
    },
)
publish(
    GatewayPlatform,
    "GatewayPlatform",
    "Who keeps the cards and moves the money.",
    {
        "STRIPE": "Stripe.",
        "SANDBOX": "The embedded sandbox: test cards, no money.",
        "MANUAL": "Nobody: the money came another way and was recorded.",
    },
)
publish(
    CardFunding,
    "CardFunding",
    "How a card is funded.",
    {
        "CREDIT": "A credit card.",
        "DEBIT": "A debit card.",
        "PREPAID": "A prepaid card.",
        "UNKNOWN": "The issuer does not tell.",
    },
)
publish(
    CheckResult,
    "CheckResult",
    "What the issuer said of a detail that was given with the card.",
    {
        "PASS": "It is right.",
        "FAIL": "It is wrong.",
        "UNAVAILABLE": "The issuer does not check it.",
        "UNCHECKED": "It was given but not checked, or not given.",
    },
)
publish(
    NextActionType,
    "NextActionType",
    "What the customer must do next.",
    {
        "CONFIRM_WITH_SDK": "Confirm a card in the browser: give `clientSecret` to the gateway's SDK.",
        "REDIRECT": "Visit `redirectUrl`, the bank's challenge, and come back.",
        "ADD_PAYMENT_METHOD": "Save a card: without one the next renewal cannot be paid.",
        "PAY_OFFLINE": "Pay the open invoice in the way that was agreed on: no card is charged for it.",
        "NONE": "Nothing.",
    },
)
publish(
    EffectiveAt,
    "EffectiveAt",
    "When a change takes place.",
    {
        "NOW": "At once.",
        "PERIOD_END": "When the paid period ends; access is kept until then.",
        "AT_DATE": "At a date to come; access is kept until then.",
    },
)
publish(
    ProrationBehavior,
    "ProrationBehavior",
    "What a change within a paid period does about money. Time counts by the microsecond.",
    {
        "PRORATE_NOW": "What is unused of the old is credited and the rest of the period charged, on an invoice at "
        "once. What it comes to below zero goes to the customer's balance.",
        "PRORATE_NEXT_INVOICE": "The same amounts wait for the next invoice.",
        "NONE": "Nothing: the new price counts from the next period on.",
        "FULL_PRICE_RESET": "A new period begins at its full price, invoiced at once. What is unused of the old one "
        "is lost.",
        "USAGE_AWARE": "As PRORATE_NOW, but what has been used of the old is not given back.",
    },
)
publish(
    CancellationReason,
    "CancellationReason",
    "Why a subscription is canceled.",
    {
        "TOO_EXPENSIVE": "It costs too much.",
        "MISSING_FEATURES": "Something is missing.",
        "SWITCHED_SERVICE": "Another service is used.",
        "UNUSED": "It was not used enough.",
        "CUSTOMER_SERVICE": "Customer service was not satisfying.",
        "LOW_QUALITY": "It was not good enough.",
        "TOO_COMPLEX": "It was too hard to use.",
        "PAYMENT_FAILED": "It was not paid.",
        "FRAUD": "Somebody else ordered it.",
        "TERM_ENDED": "Its agreed term was over.",
        "OTHER": "None of these; say more in `comment`.",
    },
)
publish(
    ChallengeOutcome,
    "ChallengeOutcome",
    "How the sandbox's bank shall judge a challenge.",
    {"SUCCEEDED": "The customer proved who they are.", "FAILED": "The customer did not."},
)
publish(
    GatewayEventStatus,
    "GatewayEventStatus",
    "How far a webhook's event has got.",
    {
        "RECEIVED": "It waits to be worked on.",
        "PROCESSED": "Its object was read and applied.",
        "IGNORED_STALE": "Nothing is done about its type, or not any more.",
        "FAILED": "The last try failed; it is tried again for some hours.",
    },
)
publish(
    ErrorCode,
    "ErrorCode",
    "What kind of refusal a user error is.",
    {code.name: meaning for code, meaning in ERROR_MEANINGS.items()},
)
