"""A simulated year: a thousand subscriptions × 365 days, each invoice as an oracle written by hand has it."""

import random

from tests.support.year import billed, expected, sold

SEED = 20260131
SUBSCRIPTIONS = 1000


def test_a_simulated_year_bills_what_a_hand_written_oracle_bills() -> None:
    rng = random.Random(SEED)
    invoices = 0
    for number in range(SUBSCRIPTIONS):
        each = sold(rng)
        wanted = expected(each)
        assert billed(each) == wanted, f"seed {SEED}, subscription {number}: {each}"
        invoices += len(wanted)
    assert invoices > 5 * SUBSCRIPTIONS
