"""Short seeds of the storms over renewals and of a restored backup; the long runs are `make soak`."""

from pathlib import Path

import pytest

from tests.soak.renewals import Storm, ride_out
from tests.soak.restored import live_twice
from tests.soak.surroundings import surroundings

# The SDK hands httpx its form in a way httpx has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_killed_workers_and_lost_answers_leave_one_charge_per_period(engine: str, tmp_path: Path) -> None:
    with surroundings(engine, 20261121, tmp_path) as around:
        after = ride_out(Storm(around, kills=6, subscriptions=6, forgets_keys=True))
    assert (after.twice, after.missed, after.findings, after.books_agree) == (0, 0, [], True)
    assert after.paid == (6 + after.renewals) * 700


def test_a_restored_backup_charges_nobody_twice_and_gives_nothing_back_twice(tmp_path: Path) -> None:
    with surroundings("sqlite", 20261121, tmp_path) as around:
        found = live_twice(Storm(around, kills=2, subscriptions=4, forgets_keys=True))
    assert (found.after.twice, found.after.missed, found.after.findings, found.after.books_agree) == (0, 0, [], True)
    assert (found.refunded_twice, found.told, found.forgotten) == (0, 1, 1)
    assert found.refunds > 0
