"""What is told outside: nothing happens to a subscription unseen."""

import pytest

from billing.events import event_of_change
from billing.lifecycle import SUBSCRIPTION

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
