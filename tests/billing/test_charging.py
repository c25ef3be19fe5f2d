"""What a gateway's answer means, for each state an intent can be in and each reason a card is refused for."""

from datetime import UTC, datetime, timedelta

import pytest

from billing.charging import (
    CardProblem,
    DeclineClass,
    IntentStatus,
    Verdict,
    classify,
    is_retryable,
    message_for_customer,
    next_try_on_session,
    read_intent,
)
from billing.lifecycle import ATTEMPT, PAYMENT, AttemptEvent, AttemptOutcome, PaymentEvent, PaymentStatus

PROBLEM = CardProblem(code="card_declined", message="Your card was declined.", decline_code="generic_decline")

VERDICTS = {
    IntentStatus.SUCCEEDED: Verdict(PaymentEvent.SUCCEED, AttemptEvent.SUCCEED),
    IntentStatus.CANCELED: Verdict(PaymentEvent.ASK_PAYMENT_METHOD, AttemptEvent.ABANDON),
    IntentStatus.REQUIRES_ACTION: Verdict(PaymentEvent.ASK_CUSTOMER, AttemptEvent.ASK_CUSTOMER),
    IntentStatus.PROCESSING: Verdict(PaymentEvent.PROCESS, None),
    IntentStatus.REQUIRES_CAPTURE: Verdict(PaymentEvent.PROCESS, None),
    IntentStatus.REQUIRES_CONFIRMATION: Verdict(PaymentEvent.START_ATTEMPT, None),
}

DECLINES = {
    DeclineClass.NEW_CARD: """incorrect_number lost_card pickup_card stolen_card revocation_of_authorization
        revocation_of_all_authorizations highest_risk_level transaction_not_allowed restricted_card fraudulent
        stop_payment_order invalid_account card_not_supported currency_not_supported not_permitted merchant_blacklist
        testmode_decline""",
    DeclineClass.CUSTOMER_UPDATES: """expired_card incorrect_cvc invalid_cvc invalid_expiry_month invalid_expiry_year
        incorrect_zip invalid_number""",
    DeclineClass.CUSTOMER_AUTHENTICATES: """authentication_required authentication_not_handled
        payment_intent_authentication_failure setup_intent_authentication_failure""",
    DeclineClass.SOFT: """insufficient_funds card_velocity_exceeded withdrawal_count_limit_exceeded do_not_honor
        generic_decline call_issuer try_again_later no_action_taken service_not_allowed security_violation
        never_heard_of_it""",
    DeclineClass.TECHNICAL: "processing_error issuer_not_available reenter_transaction approve_with_id lock_timeout",
}
REASONS = [(code, decline_class) for decline_class, codes in DECLINES.items() for code in codes.split()]
RETRYABLE = {DeclineClass.SOFT, DeclineClass.TECHNICAL}


def refused(code: str = "card_declined", decline: str | None = None, advice: str | None = None) -> CardProblem:
    return CardProblem(code=code, message="Refused.", decline_code=decline, advice_code=advice)


@pytest.mark.parametrize("problem", [None, PROBLEM], ids=["no problem", "an earlier problem"])
@pytest.mark.parametrize("status", VERDICTS)
def test_an_intents_state_decides_whatever_went_wrong_before(status: IntentStatus, problem: CardProblem | None) -> None:
    assert read_intent(status, problem) == VERDICTS[status]


def test_an_intent_that_asks_for_a_card_after_a_problem_was_declined() -> None:
    verdict = read_intent(IntentStatus.REQUIRES_PAYMENT_METHOD, PROBLEM)
    assert verdict == Verdict(PaymentEvent.DECLINE, AttemptEvent.DECLINE)


def test_an_intent_that_asks_for_a_card_without_a_problem_was_never_tried() -> None:
    verdict = read_intent(IntentStatus.REQUIRES_PAYMENT_METHOD, None)
    assert verdict == Verdict(PaymentEvent.ASK_PAYMENT_METHOD, None)


def test_no_answer_of_the_gateway_is_unknown_and_none_cancels_the_payment() -> None:
    """Only an answer that never came is unknown, and only we cancel what is owed."""
    verdicts = [read_intent(status, problem) for status in IntentStatus for problem in (None, PROBLEM)]
    assert {v.payment for v in verdicts} == set(PaymentEvent) - {PaymentEvent.LOSE_ANSWER, PaymentEvent.CANCEL}
    assert {v.attempt for v in verdicts} == {*AttemptEvent, None} - {AttemptEvent.LOSE_ANSWER}


@pytest.mark.parametrize("problem", [None, PROBLEM], ids=["no problem", "a problem"])
@pytest.mark.parametrize("intent", sorted(set(IntentStatus) - {IntentStatus.REQUIRES_CONFIRMATION}))
def test_an_unknown_payment_and_its_attempt_take_every_answer(
    intent: IntentStatus, problem: CardProblem | None
) -> None:
    verdict = read_intent(intent, problem)
    assert PAYMENT.allows(PaymentStatus.UNKNOWN, verdict.payment)
    assert verdict.attempt is None or ATTEMPT.allows(AttemptOutcome.UNKNOWN, verdict.attempt)


@pytest.mark.parametrize(("code", "expected"), REASONS, ids=[code for code, _ in REASONS])
def test_a_reason_has_its_class_as_decline_code_and_as_code(code: str, expected: DeclineClass) -> None:
    for problem in (refused(decline=code), refused(code=code), refused(code=code, advice="try_again_later")):
        assert classify(problem) is expected
        assert is_retryable(problem) is (expected in RETRYABLE)


@pytest.mark.parametrize(
    ("problem", "expected"),
    [
        (refused(code="expired_card", decline="stolen_card"), DeclineClass.NEW_CARD),
        (refused(code="processing_error", decline="expired_card"), DeclineClass.CUSTOMER_UPDATES),
        (refused(code="incorrect_cvc", decline="generic_decline"), DeclineClass.CUSTOMER_UPDATES),
        (refused(decline="insufficient_funds", advice="do_not_try_again"), DeclineClass.NEW_CARD),
        (refused(decline="generic_decline", advice="confirm_card_data"), DeclineClass.CUSTOMER_UPDATES),
        (refused(decline="generic_decline", advice="try_again_later"), DeclineClass.SOFT),
        (refused(decline="processing_error", advice="do_not_try_again"), DeclineClass.TECHNICAL),
        (refused(decline="lost_card", advice="try_again_later"), DeclineClass.NEW_CARD),
        (refused(advice="unheard_of"), DeclineClass.SOFT),
        (refused(), DeclineClass.SOFT),
    ],
    ids=lambda value: f"{value.code}/{value.decline_code}/{value.advice_code}" if hasattr(value, "code") else None,
)
def test_the_issuers_reason_comes_before_the_code_and_the_advice_last(
    problem: CardProblem, expected: DeclineClass
) -> None:
    assert classify(problem) is expected
    assert is_retryable(problem) is (expected in RETRYABLE)


DECLINED = "Your card was declined."
UNCONFIRMED = "The bank has not confirmed this card."


@pytest.mark.parametrize(
    ("code", "said", "decline_code", "message"),
    [
        ("card_declined", DECLINED, "generic_decline", f"{DECLINED} Try again later, or use another card."),
        ("card_declined", DECLINED, "lost_card", f"{DECLINED} Use another card."),
        ("expired_card", "Expired.", None, "Expired. Check the card's details, or use another card."),
        ("processing_error", "An error occurred.", None, "An error occurred. Try again in a few minutes."),
        (
            "payment_intent_authentication_failure",
            "The provided PaymentMethod has failed.",
            None,
            f"{UNCONFIRMED} Try again and confirm it with the bank, or use another card.",
        ),
    ],
)
def test_a_customer_is_told_what_to_do_next(code: str, said: str, decline_code: str | None, message: str):
    assert message_for_customer(CardProblem(code, said, decline_code)) == message


NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("minutes_ago", "free_in"),
    [
        ([], None),
        ([1, 2, 3, 4], None),
        ([59, 4, 3, 2, 1], 1),
        ([1, 2, 3, 4, 59], 1),
        ([60, 4, 3, 2, 1], None),
        ([50, 40, 30, 20, 10, 5], 20),
        ([0, 0, 0, 0, 0], 60),
        ([600, 500, 400, 300, 200, 100], None),
    ],
)
def test_an_invoice_is_tried_five_times_an_hour_on_session(minutes_ago: list[int], free_in: int | None) -> None:
    tried_at = [NOON - timedelta(minutes=minutes) for minutes in minutes_ago]
    expected = None if free_in is None else NOON + timedelta(minutes=free_in)
    assert next_try_on_session(tried_at, NOON) == expected
