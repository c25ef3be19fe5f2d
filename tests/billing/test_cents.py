"""No cent is lost: a short run of tests/soak/cents.py."""

import random

from tests.soak.cents import round_of

SEED = 20261121
ROUNDS = 500


def test_all_parts_of_random_invoices_changes_and_refunds_sum_to_their_wholes() -> None:
    rng = random.Random(SEED)
    for _ in range(ROUNDS):
        round_of(rng)
