"""The state machines, cell by cell: what follows, and what is refused with nothing changed."""

from copy import deepcopy
from itertools import product

import pytest

from billing.lifecycle import (
    ATTEMPT,
    INVOICE,
    MACHINES,
    PAYMENT,
    REFUND,
    SUBSCRIPTION,
    AttemptEvent,
    AttemptOutcome,
    IllegalTransition,
    InvoiceEvent,
    InvoiceStatus,
    Machine,
    PaymentEvent,
    PaymentStatus,
    RefundEvent,
    RefundStatus,
    SubscriptionEvent,
    SubscriptionStatus,
)

ANSWERS_TO_A_PAYMENT = {
    "ask_payment_method": "requires_payment_method",
    "ask_customer": "requires_action",
    "process": "processing",
    "succeed": "succeeded",
    "decline": "failed",
    "lose_answer": "unknown",
    "cancel": "canceled",
}
OPEN_PAYMENT = {**ANSWERS_TO_A_PAYMENT, "start_attempt": "requires_confirmation"}
OPEN_ATTEMPT = {
    "succeed": "succeeded",
    "decline": "declined",
    "ask_customer": "requires_action",
    "lose_answer": "unknown",
    "abandon": "abandoned",
}

LEGAL = {
    "subscription": {
        "scheduled": {"start": "incomplete", "start_trial": "trialing", "cancel": "canceled"},
        "incomplete": {"activate": "active", "expire": "incomplete_expired", "cancel": "incomplete_expired"},
        "incomplete_expired": {},
        "trialing": {"activate": "active", "pause": "paused", "cancel": "canceled"},
        "active": {"fall_behind": "past_due", "pause": "paused", "cancel": "canceled"},
        "past_due": {"recover": "active", "give_up": "unpaid", "cancel": "canceled"},
        "paused": {"resume": "active", "resume_trial": "trialing", "cancel": "canceled"},
        "unpaid": {"recover": "active", "cancel": "canceled"},
        "canceled": {},
    },
    "invoice": {
        "draft": {"issue": "open", "void": "void"},
        "open": {"pay": "paid", "void": "void", "write_off": "uncollectible"},
        "paid": {},
        "uncollectible": {"pay": "paid", "void": "void"},
        "void": {},
    },
    "payment": {
        "requires_payment_method": OPEN_PAYMENT,
        "requires_confirmation": OPEN_PAYMENT,
        "requires_action": OPEN_PAYMENT,
        "processing": ANSWERS_TO_A_PAYMENT,
        "succeeded": {},
        "failed": OPEN_PAYMENT,
        "canceled": {},
        "unknown": ANSWERS_TO_A_PAYMENT,
    },
    "charge attempt": {
        "pending": OPEN_ATTEMPT,
        "succeeded": {},
        "declined": {},
        "requires_action": OPEN_ATTEMPT,
        "unknown": OPEN_ATTEMPT,
        "abandoned": {},
    },
    "refund": {
        "pending": {"succeed": "succeeded", "fail": "failed", "cancel": "canceled"},
        "succeeded": {"fail": "failed", "cancel": "canceled"},
        "failed": {},
        "canceled": {},
    },
}
VOCABULARY = [
    (SUBSCRIPTION, SubscriptionStatus, SubscriptionEvent),
    (INVOICE, InvoiceStatus, InvoiceEvent),
    (PAYMENT, PaymentStatus, PaymentEvent),
    (ATTEMPT, AttemptOutcome, AttemptEvent),
    (REFUND, RefundStatus, RefundEvent),
]
CELLS = [
    pytest.param(machine, status, event, id=f"{machine.name}: {status}, {event}")
    for machine, statuses, events in VOCABULARY
    for status, event in product(statuses, events)
]


@pytest.mark.parametrize(("machine", "status", "event"), CELLS)
def test_each_event_leads_where_the_table_says_or_is_refused_naming_both(machine: Machine, status, event) -> None:
    before = deepcopy(machine.table)
    follows = LEGAL[machine.name][status.value].get(event.value)
    assert machine.allows(status, event) is (follows is not None)
    if follows is not None:
        assert machine.after(status, event) == follows
    else:
        with pytest.raises(IllegalTransition) as refusal:
            machine.after(status, event)
        assert str(refusal.value) == f"a {machine.name} that is {status.value} cannot {event.value}"
        assert (refusal.value.machine, refusal.value.status, refusal.value.event) == (machine.name, status, event)
    assert machine.table == before


@pytest.mark.parametrize(("machine", "statuses", "events"), VOCABULARY, ids=[m.name for m, _, _ in VOCABULARY])
def test_a_table_has_a_row_for_each_status_and_uses_each_event(machine: Machine, statuses, events) -> None:
    assert set(machine.table) == set(statuses)
    assert {event for row in machine.table.values() for event in row} == set(events)
    assert {type(status) for row in machine.table.values() for status in row.values()} == {statuses}


@pytest.mark.parametrize(
    ("machine", "initial", "final"),
    [
        (
            SUBSCRIPTION,
            ("incomplete", "scheduled", "trialing", "active", "paused", "canceled"),
            {"incomplete_expired", "canceled"},
        ),
        (INVOICE, ("draft", "open"), {"paid", "void"}),
        (PAYMENT, ("requires_payment_method",), {"succeeded", "canceled"}),
        (ATTEMPT, ("pending",), {"succeeded", "declined", "abandoned"}),
        (REFUND, ("pending",), {"failed", "canceled"}),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_a_machine_starts_and_ends_where_it_should(machine: Machine, initial: tuple[str, ...], final: set[str]) -> None:
    assert machine.initial == initial
    assert machine.final == final


def test_every_machine_is_listed_once() -> None:
    assert MACHINES == (SUBSCRIPTION, INVOICE, PAYMENT, ATTEMPT, REFUND)


def test_an_unknown_payment_is_never_tried_anew_before_the_gateway_has_told() -> None:
    assert not PAYMENT.allows(PaymentStatus.UNKNOWN, PaymentEvent.START_ATTEMPT)
    for answer in (PaymentEvent.ASK_PAYMENT_METHOD, PaymentEvent.DECLINE, PaymentEvent.ASK_CUSTOMER):
        assert PAYMENT.allows(PAYMENT.after(PaymentStatus.UNKNOWN, answer), PaymentEvent.START_ATTEMPT)
