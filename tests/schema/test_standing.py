"""Whether the money has come and what to do next, case by case."""

from datetime import UTC, datetime
from typing import Any

import pytest

from billing.charging import IntentStatus as I
from billing.confirming import CONFIRMATIONS, PaymentConfirmation, statuses
from billing.lifecycle import PaymentStatus as P
from billing.lifecycle import SubscriptionStatus as S
from models.payments import CollectionIntent, Payment
from models.subscriptions import CollectionMethod, Subscription
from resolvers.standing import (
    NextAction,
    NextActionType,
    action_of_intent,
    action_of_subscription,
    confirmation,
    ends_at,
    will_renew,
)

NOW, END = datetime(2026, 1, 31, tzinfo=UTC), datetime(2026, 2, 28, tzinfo=UTC)
SDK, REDIRECT, ADD, OFFLINE, NONE = NextActionType
BANK, BACK = "https://bank.example/challenge", "https://shop.example/back"


def subscription(status: S, **more: Any) -> Subscription:
    given = {"original_amount_minor": 700, "discount_amount_minor": 0, "period_end": END} | more
    return Subscription(status=status, **given)


def payment(status: P) -> Payment:
    return Payment(status=status, return_url=BACK)


@pytest.mark.parametrize(
    ("status", "latest", "bank", "has_card", "action"),
    [
        (S.INCOMPLETE, P.REQUIRES_PAYMENT_METHOD, None, False, NextAction(SDK, None, BACK)),
        (S.INCOMPLETE, P.REQUIRES_PAYMENT_METHOD, None, True, NextAction(SDK, None, BACK)),
        (S.INCOMPLETE, P.FAILED, None, True, NextAction(SDK, None, BACK)),
        (S.INCOMPLETE, P.REQUIRES_ACTION, BANK, True, NextAction(REDIRECT, BANK, BACK)),
        (S.INCOMPLETE, P.REQUIRES_ACTION, None, True, NextAction(SDK, None, BACK)),
        (S.INCOMPLETE, P.REQUIRES_CONFIRMATION, None, True, NextAction(NONE)),
        (S.INCOMPLETE, P.PROCESSING, None, True, NextAction(NONE)),
        (S.INCOMPLETE, P.UNKNOWN, None, False, NextAction(NONE)),
        (S.ACTIVE, P.SUCCEEDED, None, True, NextAction(NONE)),
        (S.ACTIVE, P.SUCCEEDED, None, False, NextAction(ADD)),
        (S.PAST_DUE, P.FAILED, None, True, NextAction(SDK, None, BACK)),
        (S.CANCELED, P.FAILED, None, False, NextAction(NONE)),
        (S.INCOMPLETE_EXPIRED, P.CANCELED, None, False, NextAction(NONE)),
    ],
)
def test_what_a_customer_does_next(status: S, latest: P, bank: str | None, has_card: bool, action: NextAction) -> None:
    intent = CollectionIntent(next_action_url=bank)
    row, paid = subscription(status), payment(latest)
    assert action_of_subscription(row, paid, intent, awaits_invoice=False, has_card=has_card) == action


def test_only_what_renews_and_costs_needs_a_card() -> None:
    def action(**more: Any) -> NextActionType:
        row = subscription(S.ACTIVE, **more)
        return action_of_subscription(row, None, None, awaits_invoice=False, has_card=False).type

    assert action() is ADD
    assert action(cancel_at_period_end=True) is NONE
    assert action(original_amount_minor=0) is NONE
    assert action(discount_amount_minor=700) is NONE


@pytest.mark.parametrize(
    ("status", "bank", "action"),
    [
        (I.REQUIRES_PAYMENT_METHOD, None, NextAction(SDK, None, BACK)),
        (I.REQUIRES_CONFIRMATION, None, NextAction(SDK, None, BACK)),
        (I.REQUIRES_ACTION, None, NextAction(SDK, None, BACK)),
        (I.REQUIRES_ACTION, BANK, NextAction(REDIRECT, BANK, BACK)),
        (I.PROCESSING, None, NextAction(NONE)),
        (I.REQUIRES_CAPTURE, None, NextAction(NONE)),
        (I.SUCCEEDED, None, NextAction(NONE)),
        (I.CANCELED, None, NextAction(NONE)),
    ],
)
def test_what_an_intent_asks_of_the_browser(status: I, bank: str | None, action: NextAction) -> None:
    assert action_of_intent(status, bank, BACK) == action


def test_every_payment_status_reads_as_one_of_four_words() -> None:
    assert set(CONFIRMATIONS) == set(P)
    assert statuses([PaymentConfirmation.PAID]) == {P.SUCCEEDED}
    assert statuses([PaymentConfirmation.PROCESSING, PaymentConfirmation.CANCELED]) == {P.PROCESSING, P.CANCELED}
    assert statuses([PaymentConfirmation.PENDING]) == {
        P.REQUIRES_PAYMENT_METHOD,
        P.REQUIRES_CONFIRMATION,
        P.REQUIRES_ACTION,
        P.FAILED,
        P.UNKNOWN,
    }


@pytest.mark.parametrize(
    ("status", "activated_at", "word"),
    [
        (S.ACTIVE, NOW, PaymentConfirmation.PAID),
        (S.CANCELED, NOW, PaymentConfirmation.PAID),
        (S.INCOMPLETE, None, PaymentConfirmation.PENDING),
        (S.INCOMPLETE_EXPIRED, None, PaymentConfirmation.CANCELED),
    ],
)
def test_without_a_payment_being_activated_counts_as_paid(
    status: S, activated_at: datetime | None, word: PaymentConfirmation
) -> None:
    assert confirmation(subscription(status, activated_at=activated_at), None, awaits_invoice=False) is word


def test_when_it_renews_and_when_it_ends() -> None:
    assert {status for status in S if will_renew(subscription(status))} == {S.TRIALING, S.ACTIVE, S.PAST_DUE}
    leaving = subscription(S.ACTIVE, cancel_at_period_end=True)
    assert (will_renew(leaving), ends_at(leaving)) == (False, END)
    assert will_renew(subscription(S.PAST_DUE, given_up_at=NOW)) is False
    assert will_renew(subscription(S.ACTIVE, pause_at=END)) is False
    assert ends_at(subscription(S.ACTIVE)) is None
    assert ends_at(subscription(S.CANCELED, ended_at=NOW, cancel_at_period_end=True)) == NOW


def test_what_was_sent_is_paid_in_another_way() -> None:
    def action(latest: P | None, *, awaits: bool) -> NextAction:
        sent = subscription(S.ACTIVE, collection_method=CollectionMethod.SEND_INVOICE)
        return action_of_subscription(sent, latest and payment(latest), None, awaits_invoice=awaits, has_card=False)

    assert (action(None, awaits=True), action(None, awaits=False)) == (NextAction(OFFLINE), NextAction(NONE))
    assert (action(P.SUCCEEDED, awaits=True), action(P.PROCESSING, awaits=True)) == (
        NextAction(OFFLINE),
        NextAction(NONE),
    )
