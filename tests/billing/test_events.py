"""What is told outside: nothing happens to a subscription unseen."""

import pytest

from billing import events
from billing.events import EVENT_MEANINGS, EVERY, event_of_change, types_named, unknown_among
from billing.lifecycle import INVOICE, PAYMENT, REFUND, SUBSCRIPTION

MOVES = [(before, after) for before, events in SUBSCRIPTION.table.items() for after in events.values()]
NAMES = {
    ("scheduled", "incomplete"): "subscription.started",
    ("scheduled", "trialing"): "subscription.trial_started",
    ("scheduled", "canceled"): "subscription.canceled",
    ("incomplete", "active"): "subscription.activated",
    ("incomplete", "incomplete_expired"): "subscription.expired",
    ("trialing", "active"): "subscription.activated",
    ("trialing", "paused"): "subscription.paused",
    ("trialing", "canceled"): "subscription.canceled",
    ("active", "past_due"): "subscription.past_due",
    ("active", "paused"): "subscription.paused",
    ("active", "canceled"): "subscription.canceled",
    ("past_due", "active"): "subscription.recovered",
    ("past_due", "unpaid"): "subscription.unpaid",
    ("past_due", "canceled"): "subscription.canceled",
    ("paused", "active"): "subscription.resumed",
    ("paused", "trialing"): "subscription.resumed",
    ("paused", "canceled"): "subscription.canceled",
    ("unpaid", "active"): "subscription.recovered",
    ("unpaid", "canceled"): "subscription.canceled",
}


def test_every_change_of_a_subscriptions_status_is_told() -> None:
    assert {(before, after): event_of_change("subscription", before, after) for before, after in MOVES} == NAMES


@pytest.mark.parametrize("status", SUBSCRIPTION.initial)
def test_a_subscription_is_created_whatever_it_is_born_as(status: str) -> None:
    assert event_of_change("subscription", None, status) == "subscription.created"


ANNOUNCED = {value for name, value in vars(events).items() if name.isupper() and isinstance(value, str)} - {EVERY}


def test_every_event_that_is_ever_told_is_named_with_its_meaning() -> None:
    machines = (SUBSCRIPTION, INVOICE, PAYMENT, REFUND)
    told = {
        event_of_change(machine.name, before, after)
        for machine in machines
        for before in (None, *machine.table)
        for after in machine.table
    } - {None}
    assert set(EVENT_MEANINGS) == told | ANNOUNCED


@pytest.mark.parametrize(
    ("names", "types"),
    [
        (["invoice.paid"], {"invoice.paid"}),
        (["refund.*"], {"refund.created", "refund.succeeded", "refund.failed", "refund.canceled"}),
        (["invoice.paid", "invoice.paid", "payment.failed"], {"invoice.paid", "payment.failed"}),
        (["*"], set(EVENT_MEANINGS)),
        ([], set()),
    ],
)
def test_a_name_means_a_type_all_of_a_kind_or_all(names: list[str], types: set[str]) -> None:
    assert types_named(names) == types
    assert unknown_among(names) == []


@pytest.mark.parametrize(
    "name", ["", "invoice", "invoice.", "invoice.p*", "in*", "**", ".*", "invoice.*.*", "INVOICE.*"]
)
def test_a_name_that_means_nothing_is_told(name: str) -> None:
    assert unknown_among(["invoice.*", name]) == [name]
