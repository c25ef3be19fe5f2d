"""What differs between a payment as we know it and as the gateway does, and what that is called.

Only what `settle` would change by itself may be repaired; everything else is a person's to judge.
"""

from dataclasses import dataclass
from enum import StrEnum

from billing.charging import ASKS_FOR_CARD, CardProblem, IntentStatus, read_intent
from billing.lifecycle import PAYMENT, PaymentStatus
from billing.money import Money


class DriftKind(StrEnum):
    """What differs. DRIFT_MEANINGS says what each means."""

    STATE_DIFFERS = "state_differs"
    AMOUNT_DIFFERS = "amount_differs"
    PAID_HERE_ONLY = "paid_here_only"
    CANCELED_HERE_PAID_THERE = "canceled_here_paid_there"
    PAID_TWICE = "paid_twice"
    INTENT_LOST_HERE = "intent_lost_here"
    INTENT_LOST_THERE = "intent_lost_there"
    INTENT_UNKNOWN = "intent_unknown"
    INVOICE_UNKNOWN = "invoice_unknown"
    RETURNS_DIFFER = "returns_differ"
    CARD_MISSING_HERE = "card_missing_here"
    CARD_MISSING_THERE = "card_missing_there"
    CARD_DIFFERS = "card_differs"
    CARD_OF_ANOTHER = "card_of_another"
    DEFAULT_CARD_DIFFERS = "default_card_differs"
    SETUP_DIFFERS = "setup_differs"
    CUSTOMER_DELETED = "customer_deleted"
    COUPON_MISSING_HERE = "coupon_missing_here"
    COUPON_MISSING_THERE = "coupon_missing_there"
    COUPON_DIFFERS = "coupon_differs"
    COUPON_REMADE = "coupon_remade"
    COUPON_OF_OURS = "coupon_of_ours"
    COUPON_NOT_HELD = "coupon_not_held"
    PROMOTION_CODE_DIFFERS = "promotion_code_differs"
    PROMOTION_CODE_NOT_HELD = "promotion_code_not_held"


DRIFT_MEANINGS: dict[DriftKind, str] = {
    DriftKind.STATE_DIFFERS: "The gateway knows more of the payment than we do. Repaired by applying it.",
    DriftKind.AMOUNT_DIFFERS: "The intent asks for, or captured, another amount than the invoice. A person's to judge.",
    DriftKind.PAID_HERE_ONLY: "We hold the payment for paid and the gateway does not. A person's to judge.",
    DriftKind.CANCELED_HERE_PAID_THERE: "We gave the payment up and the gateway took the money. To be refunded there.",
    DriftKind.PAID_TWICE: "Another intent has paid the invoice already. To be refunded at the gateway.",
    DriftKind.INTENT_LOST_HERE: "An invoice of ours has no intent and the gateway has one for it. Repaired: adopted.",
    DriftKind.INTENT_LOST_THERE: "The gateway does not know the intent of an unpaid invoice. A person's to judge.",
    DriftKind.INTENT_UNKNOWN: "An intent for an invoice that has another one. A person's to judge.",
    DriftKind.INVOICE_UNKNOWN: "An intent for an invoice that we do not know: lost with a restored database.",
    DriftKind.RETURNS_DIFFER: "The gateway knows refunds, disputes or their ends that we do not. Repaired: applied.",
    DriftKind.CARD_MISSING_HERE: "The gateway keeps a card of the customer that we do not. Repaired: kept.",
    DriftKind.CARD_MISSING_THERE: "We keep a card that the gateway detached. Repaired: dropped.",
    DriftKind.CARD_DIFFERS: "The gateway knows a card's newer details, such as its expiry. Repaired: copied.",
    DriftKind.CARD_OF_ANOTHER: "A card that we keep for another customer than the gateway does. A person's to judge.",
    DriftKind.DEFAULT_CARD_DIFFERS: "Another default card was chosen at the gateway. Repaired by following it.",
    DriftKind.SETUP_DIFFERS: "The gateway knows more of a setup intent than we do. Repaired by applying it.",
    DriftKind.CUSTOMER_DELETED: "The gateway has deleted the customer. Repaired: its cards are dropped.",
    DriftKind.COUPON_MISSING_HERE: "The dashboard has a coupon that we do not know. Repaired: taken over.",
    DriftKind.COUPON_MISSING_THERE: "The dashboard's coupon was deleted. Repaired: nobody redeems it any more.",
    DriftKind.COUPON_DIFFERS: "The dashboard's coupon has another name or terms. Repaired: copied.",
    DriftKind.COUPON_REMADE: "Deleted there and made anew with other terms; what was redeemed keeps the old ones.",
    DriftKind.COUPON_OF_OURS: "The dashboard has a coupon with the code of one that was made here. Ours is kept.",
    DriftKind.COUPON_NOT_HELD: "A coupon of the dashboard that cannot be taken over. The local side says why.",
    DriftKind.PROMOTION_CODE_DIFFERS: "The dashboard's promotion code is new or differs. Repaired: copied.",
    DriftKind.PROMOTION_CODE_NOT_HELD: "A promotion code there that cannot be taken over. The local side says why.",
}


@dataclass(frozen=True, slots=True)
class Here:
    """An intent and its payment as our rows show them.

    `is_newest`: no later intent of the invoice has taken its place. `awaits_answer`: a try has no outcome yet.
    `knows_charge`: the gateway's newest charge, if there is one, is among our tries.
    """

    payment: PaymentStatus
    intent: IntentStatus
    amount: Money
    is_newest: bool
    awaits_answer: bool
    knows_charge: bool


@dataclass(frozen=True, slots=True)
class There:
    """The same intent as the gateway shows it."""

    status: IntentStatus
    amount: Money
    captured: Money
    problem: CardProblem | None


def difference(here: Here, there: There) -> DriftKind | None:
    """What differs; None when both agree, or when an answer is still awaited that the gateway does not have either."""
    if there.status is IntentStatus.SUCCEEDED:
        return _paid_there(here, there)
    if here.payment is PaymentStatus.SUCCEEDED:
        return DriftKind.PAID_HERE_ONLY if here.intent is IntentStatus.SUCCEEDED else None
    if not here.is_newest or (here.payment is PaymentStatus.CANCELED and there.status is IntentStatus.CANCELED):
        return None
    if there.amount != here.amount:
        return DriftKind.AMOUNT_DIFFERS
    return DriftKind.STATE_DIFFERS if here.payment in PAYMENT.final or _tells_more(here, there) else None


def _paid_there(here: Here, there: There) -> DriftKind | None:
    if there.captured != here.amount:
        return DriftKind.AMOUNT_DIFFERS
    if here.payment is PaymentStatus.CANCELED:
        return DriftKind.CANCELED_HERE_PAID_THERE
    if here.payment is not PaymentStatus.SUCCEEDED:
        return DriftKind.STATE_DIFFERS
    return None if here.intent is IntentStatus.SUCCEEDED else DriftKind.PAID_TWICE


def _tells_more(here: Here, there: There) -> bool:
    """Whether settling by the gateway's state would move an open payment."""
    if not here.knows_charge and there.status is not IntentStatus.PROCESSING:
        return True
    if here.awaits_answer and there.status in ASKS_FOR_CARD:
        return False
    event = read_intent(there.status, there.problem).payment
    moves = PAYMENT.allows(here.payment, event) and PAYMENT.after(here.payment, event) is not here.payment
    return moves or here.intent is not there.status


def difference_of_unknown(
    there: IntentStatus, payment: PaymentStatus | None, *, is_adoptable: bool, is_invoice_known: bool
) -> DriftKind | None:
    """What an intent without a row is. `payment`: of its invoice; `is_adoptable`: that one has no usable intent."""
    if there is IntentStatus.CANCELED:
        return None
    if not is_invoice_known:
        return DriftKind.INVOICE_UNKNOWN
    if there is IntentStatus.SUCCEEDED and payment is PaymentStatus.SUCCEEDED:
        return DriftKind.PAID_TWICE
    if there is IntentStatus.SUCCEEDED and payment is PaymentStatus.CANCELED:
        return DriftKind.CANCELED_HERE_PAID_THERE
    return DriftKind.INTENT_LOST_HERE if is_adoptable else DriftKind.INTENT_UNKNOWN
