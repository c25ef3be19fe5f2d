"""What differs between our rows and the gateway's intent, case by case."""

from dataclasses import replace

import pytest

from billing.charging import CardProblem, IntentStatus
from billing.lifecycle import PaymentStatus
from billing.money import Money
from billing.reconciling import (
    DRIFT_MEANINGS,
    DriftKind,
    Here,
    There,
    difference,
    difference_of_unknown,
)

SEVEN, NOTHING, NINE = Money(700, "USD"), Money(0, "USD"), Money(900, "USD")
DECLINED = CardProblem("card_declined", "Your card was declined.")
P, S, K = PaymentStatus, IntentStatus, DriftKind

OPEN = Here(
    P.REQUIRES_PAYMENT_METHOD, S.REQUIRES_PAYMENT_METHOD, SEVEN, is_newest=True, awaits_answer=False, knows_charge=True
)
PAID = replace(OPEN, payment=P.SUCCEEDED, intent=S.SUCCEEDED)
CANCELED = replace(OPEN, payment=P.CANCELED, intent=S.CANCELED)
UNKNOWN = replace(OPEN, payment=P.UNKNOWN, awaits_answer=True)

ASKS = There(S.REQUIRES_PAYMENT_METHOD, SEVEN, NOTHING, None)
TOOK = There(S.SUCCEEDED, SEVEN, SEVEN, None)
ENDED = There(S.CANCELED, SEVEN, NOTHING, None)
CHALLENGES = There(S.REQUIRES_ACTION, SEVEN, NOTHING, None)
REFUSED = There(S.REQUIRES_PAYMENT_METHOD, SEVEN, NOTHING, DECLINED)

CASES: dict[str, tuple[Here, There, DriftKind | None]] = {
    "both wait for a card": (OPEN, ASKS, None),
    "both paid": (PAID, TOOK, None),
    "both canceled": (CANCELED, ENDED, None),
    "a decline that both know": (replace(OPEN, payment=P.FAILED), REFUSED, None),
    "a challenge that both know": (
        replace(OPEN, payment=P.REQUIRES_ACTION, intent=S.REQUIRES_ACTION),
        CHALLENGES,
        None,
    ),
    "an answer that nobody has yet": (UNKNOWN, ASKS, None),
    "an old decline while an answer is awaited": (UNKNOWN, REFUSED, None),
    "an answer that the gateway has": (UNKNOWN, TOOK, K.STATE_DIFFERS),
    "a new charge while an answer is awaited": (replace(UNKNOWN, knows_charge=False), REFUSED, K.STATE_DIFFERS),
    "a charge still pending": (
        replace(OPEN, payment=P.PROCESSING, intent=S.PROCESSING, knows_charge=False),
        replace(ASKS, status=S.PROCESSING),
        None,
    ),
    "paid in the browser": (OPEN, TOOK, K.STATE_DIFFERS),
    "declined in the browser": (OPEN, REFUSED, K.STATE_DIFFERS),
    "declined again in the browser": (
        replace(OPEN, payment=P.FAILED, knows_charge=False),
        REFUSED,
        K.STATE_DIFFERS,
    ),
    "challenged in the browser": (OPEN, CHALLENGES, K.STATE_DIFFERS),
    "an intent canceled there": (OPEN, ENDED, K.STATE_DIFFERS),
    "given up here, still open there": (CANCELED, ASKS, K.STATE_DIFFERS),
    "given up here, paid there": (CANCELED, TOOK, K.CANCELED_HERE_PAID_THERE),
    "paid here, open there": (PAID, ASKS, K.PAID_HERE_ONLY),
    "paid here, canceled there": (PAID, ENDED, K.PAID_HERE_ONLY),
    "paid here by the next intent": (replace(PAID, intent=S.CANCELED, is_newest=False), ENDED, None),
    "paid by two intents": (replace(PAID, intent=S.CANCELED, is_newest=False), TOOK, K.PAID_TWICE),
    "an intent that has a successor": (replace(OPEN, is_newest=False), ENDED, None),
    "paid by an intent that has a successor": (replace(OPEN, is_newest=False), TOOK, K.STATE_DIFFERS),
    "another amount asked for": (OPEN, replace(ASKS, amount=NINE), K.AMOUNT_DIFFERS),
    "another amount captured": (OPEN, replace(TOOK, captured=NINE), K.AMOUNT_DIFFERS),
    "another amount captured than was booked": (PAID, replace(TOOK, captured=NINE), K.AMOUNT_DIFFERS),
    "another currency": (OPEN, replace(ASKS, amount=Money(700, "EUR")), K.AMOUNT_DIFFERS),
}


@pytest.mark.parametrize(("here", "there", "kind"), CASES.values(), ids=CASES.keys())
def test_what_differs_has_a_name(here: Here, there: There, kind: DriftKind | None) -> None:
    assert difference(here, there) is kind


UNKNOWN_INTENTS: dict[str, tuple[IntentStatus, PaymentStatus | None, bool, bool, DriftKind | None]] = {
    "canceled there": (S.CANCELED, None, False, False, None),
    "of no invoice of ours": (S.SUCCEEDED, None, False, False, K.INVOICE_UNKNOWN),
    "of no invoice of ours, unpaid": (S.REQUIRES_PAYMENT_METHOD, None, False, False, K.INVOICE_UNKNOWN),
    "of an invoice without one": (S.SUCCEEDED, P.REQUIRES_PAYMENT_METHOD, True, True, K.INTENT_LOST_HERE),
    "of an invoice with another one": (S.SUCCEEDED, P.FAILED, False, True, K.INTENT_UNKNOWN),
    "of an invoice that is paid": (S.SUCCEEDED, P.SUCCEEDED, False, True, K.PAID_TWICE),
    "of an invoice that is paid, unpaid": (S.REQUIRES_ACTION, P.SUCCEEDED, False, True, K.INTENT_UNKNOWN),
    "of an invoice that was given up": (S.SUCCEEDED, P.CANCELED, False, True, K.CANCELED_HERE_PAID_THERE),
    "of an invoice without a payment": (S.SUCCEEDED, None, False, True, K.INTENT_UNKNOWN),
}


@pytest.mark.parametrize(
    ("there", "payment", "is_adoptable", "is_invoice_known", "kind"),
    UNKNOWN_INTENTS.values(),
    ids=UNKNOWN_INTENTS.keys(),
)
def test_an_intent_without_a_row_has_a_name(
    there: IntentStatus,
    payment: PaymentStatus | None,
    is_adoptable: bool,
    is_invoice_known: bool,
    kind: DriftKind | None,
) -> None:
    assert difference_of_unknown(there, payment, is_adoptable=is_adoptable, is_invoice_known=is_invoice_known) is kind


def test_each_kind_is_explained() -> None:
    assert set(DRIFT_MEANINGS) == set(DriftKind)
