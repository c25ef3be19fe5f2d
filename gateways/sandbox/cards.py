"""The test cards: what each one does, as data, and the two judgements made from it.

Owns: numbers, tokens, brands and behaviours of Stripe's documented test cards. A card that is not here is refused, so
no real card number is ever stored. Does not own: what a judgement does to an intent.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class Asks(StrEnum):
    """When a card wants its holder to authenticate (3-D Secure)."""

    NEVER = "never"
    UNLESS_SET_UP = "unless_set_up"
    ALWAYS = "always"
    ON_SESSION_ONLY = "on_session_only"
    WHEN_REQUESTED = "when_requested"


class Refunding(StrEnum):
    """What becomes of money sent back to a card."""

    ARRIVES = "arrives"
    ARRIVES_LATER = "arrives_later"
    FAILS_LATER = "fails_later"


@dataclass(frozen=True)
class Objection:
    """A dispute that every charge of a card brings: its reason, the network's code for it, and whether the bank only
    inquires before it takes the money back."""

    reason: str
    network_code: str
    inquiry: bool = False


@dataclass(frozen=True)
class Decline:
    """Why an issuer said no. `code` is the class, `decline_code` the reason, `advice` what to do next."""

    code: str
    decline_code: str
    message: str
    advice: str | None = "try_again_later"
    network_decline_code: str | None = None
    network_advice_code: str | None = None
    param: str | None = None
    outcome: str = "issuer_declined"


GENERIC = Decline("card_declined", "generic_decline", "Your card was declined.", network_decline_code="01")
INSUFFICIENT_FUNDS = Decline(
    "card_declined", "insufficient_funds", "Your card has insufficient funds.", network_decline_code="51"
)
LOST = Decline("card_declined", "lost_card", "Your card was declined.", "do_not_try_again", network_decline_code="41")
STOLEN = Decline(
    "card_declined", "stolen_card", "Your card was declined.", "do_not_try_again", network_decline_code="43"
)
VELOCITY = Decline(
    "card_declined",
    "card_velocity_exceeded",
    "Your card was declined for making repeated attempts too frequently or exceeding its amount limit.",
    network_decline_code="65",
)
EXPIRED = Decline(
    "expired_card", "expired_card", "Your card has expired.", "confirm_card_data", "54", "03", param="exp_month"
)
INCORRECT_CVC = Decline(
    "incorrect_cvc",
    "incorrect_cvc",
    "Your card's security code is incorrect.",
    "confirm_card_data",
    "N7",
    param="cvc",
)
PROCESSING_ERROR = Decline(
    "processing_error",
    "processing_error",
    "An error occurred while processing your card. Try again in a little bit.",
    network_decline_code="96",
)
BLOCKED = Decline("card_declined", "fraudulent", "Your card was declined.", "do_not_try_again", outcome="blocked")
AUTHENTICATION_REQUIRED = Decline(
    "authentication_required",
    "authentication_required",
    "Your card was declined. This transaction requires authentication.",
    None,
    network_decline_code="65",
)


@dataclass(frozen=True)
class Card:
    """One test card. `decline` is what a charge answers; unless `attachable`, saving the card answers it too.
    `decline_if_asked` answers a merchant who requests 3-D Secure of a card that does not manage it."""

    number: str
    token: str
    brand: str = "visa"
    country: str = "US"
    funding: str = "credit"
    attachable: bool = True
    decline: Decline | None = None
    asks: Asks = Asks.NEVER
    decline_if_asked: Decline | None = None
    cvc_check: str = "pass"
    objection: Objection | None = None
    refunding: Refunding = Refunding.ARRIVES


def _refused(number: str, token: str, decline: Decline) -> Card:
    return Card(number, token, attachable=False, decline=decline)


CARDS = (
    Card("4242424242424242", "pm_card_visa"),
    Card("4000056655665556", "pm_card_visa_debit", funding="debit"),
    Card("5555555555554444", "pm_card_mastercard", "mastercard"),
    Card("5200828282828210", "pm_card_mastercard_debit", "mastercard", funding="debit"),
    Card("5105105105105100", "pm_card_mastercard_prepaid", "mastercard", funding="prepaid"),
    Card("378282246310005", "pm_card_amex", "amex"),
    Card("6011111111111117", "pm_card_discover", "discover"),
    Card("3056930009020004", "pm_card_diners", "diners"),
    Card("3566002020360505", "pm_card_jcb", "jcb"),
    Card("6200000000000005", "pm_card_unionpay", "unionpay"),
    _refused("4000000000000002", "pm_card_visa_chargeDeclined", GENERIC),
    _refused("4000000000009995", "pm_card_visa_chargeDeclinedInsufficientFunds", INSUFFICIENT_FUNDS),
    _refused("4000000000009987", "pm_card_visa_chargeDeclinedLostCard", LOST),
    _refused("4000000000009979", "pm_card_visa_chargeDeclinedStolenCard", STOLEN),
    _refused("4000000000006975", "pm_card_visa_chargeDeclinedVelocityLimitExceeded", VELOCITY),
    _refused("4000000000000069", "pm_card_chargeDeclinedExpiredCard", EXPIRED),
    _refused("4000000000000127", "pm_card_chargeDeclinedIncorrectCvc", INCORRECT_CVC),
    _refused("4000000000000119", "pm_card_chargeDeclinedProcessingError", PROCESSING_ERROR),
    Card("4000000000000341", "pm_card_chargeCustomerFail", decline=GENERIC),
    Card("4000002500003155", "pm_card_authenticationRequiredOnSetup", asks=Asks.UNLESS_SET_UP),
    Card("4000002760003184", "pm_card_authenticationRequired", asks=Asks.ALWAYS),
    Card("4000003800000446", "pm_card_authenticationRequiredSetupForOffSession", asks=Asks.ON_SESSION_ONLY),
    Card(
        "4000008260003178",
        "pm_card_authenticationRequiredChargeDeclinedInsufficientFunds",
        asks=Asks.UNLESS_SET_UP,
        decline=INSUFFICIENT_FUNDS,
    ),
    Card("4000000000003220", "pm_card_threeDSecure2Required", country="IE", asks=Asks.ALWAYS),
    Card("4000008400001629", "pm_card_threeDSecureRequiredChargeDeclined", asks=Asks.ALWAYS, decline=GENERIC),
    Card("4000008400001280", "pm_card_threeDSecureRequiredProcessingError", decline=GENERIC),
    Card("4000000000003055", "pm_card_threeDSecureOptional", asks=Asks.WHEN_REQUESTED),
    Card("4000000000003097", "pm_card_threeDSecureOptionalProcessingError", decline_if_asked=GENERIC),
    Card("4000000000000259", "pm_card_createDispute", objection=Objection("fraudulent", "10.4")),
    Card(
        "4000000000002685",
        "pm_card_createDisputeProductNotReceived",
        objection=Objection("product_not_received", "13.1"),
    ),
    Card("4000000000001976", "pm_card_createDisputeInquiry", objection=Objection("fraudulent", "10", inquiry=True)),
    Card("4000000000007726", "pm_card_pendingRefund", refunding=Refunding.ARRIVES_LATER),
    Card("4000000000005126", "pm_card_refundFail", refunding=Refunding.FAILS_LATER),
    Card("4100000000000019", "pm_card_radarBlock", decline=BLOCKED),
    Card("4000000000000101", "pm_card_cvcCheckFail", cvc_check="fail"),
)

# The documented names miss the brand here and there; these spellings are wide-spread and accepted.
ALIASES = {
    alias: f"pm_card_visa_{alias.removeprefix('pm_card_')}"
    for alias in (
        "pm_card_chargeDeclined",
        "pm_card_chargeDeclinedInsufficientFunds",
        "pm_card_chargeDeclinedLostCard",
        "pm_card_chargeDeclinedStolenCard",
        "pm_card_chargeDeclinedVelocityLimitExceeded",
    )
}

BY_NUMBER = {card.number: card for card in CARDS}
_BY_TOKEN = {card.token: card for card in CARDS}


def card_of_payment_method(token: str) -> Card | None:
    """The card behind a `pm_card_...` name, if it is one."""
    return _BY_TOKEN.get(ALIASES.get(token, token))


def card_of_token(token: str) -> Card | None:
    """The card behind a `tok_...` name: the same names with the other prefix."""
    return card_of_payment_method(f"pm_card_{token.removeprefix('tok_')}") if token.startswith("tok_") else None


Verdict = Decline | Literal["approve", "challenge"]


def judge_charge(card: Card, *, off_session: bool, set_up: bool, requested: bool, authenticated: bool) -> Verdict:
    """What the issuer says to a charge. `requested`: the merchant asked for 3-D Secure itself."""
    wants = {
        Asks.NEVER: False,
        Asks.UNLESS_SET_UP: not set_up,
        Asks.ALWAYS: True,
        Asks.ON_SESSION_ONLY: not off_session,
        Asks.WHEN_REQUESTED: requested and not off_session,
    }[card.asks]
    if wants and not authenticated:
        return AUTHENTICATION_REQUIRED if off_session else "challenge"
    if requested and not off_session and card.decline_if_asked:
        return card.decline_if_asked
    return card.decline or "approve"


def judge_setup(card: Card, *, requested: bool, authenticated: bool) -> Verdict:
    """What the issuer says to saving the card for later."""
    if not card.attachable and card.decline:
        return card.decline
    if requested and card.decline_if_asked:
        return card.decline_if_asked
    wants = card.asks in (Asks.UNLESS_SET_UP, Asks.ALWAYS) or (card.asks == Asks.WHEN_REQUESTED and requested)
    return "challenge" if wants and not authenticated else "approve"
