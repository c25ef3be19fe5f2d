"""The simulation of scale: what it rests on is what is said, and the page holds the table that it prints."""

from dataclasses import replace

from bench.scale import CLAIM_BATCH, FIRST, MIDNIGHT, MONTH, PLANS, Plan, simulate, table
from tests.readme.snippets import ROOT

ONE = Plan(1_000_000, MIDNIGHT, accounts=1, workers=4)


def test_the_page_holds_the_table_that_the_simulation_prints() -> None:
    """Whoever changes a constant runs `python -m bench.scale` again."""
    assert table(seed=1) in (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")


def test_who_falls_due_at_one_moment_waits_for_the_gateways_pace() -> None:
    minutes = -(-ONE.due // (20 * 60)) - 1
    assert simulate(ONE, seed=1).latest == minutes * 60 + round(CLAIM_BATCH * 4 / 20)


def test_spread_over_the_month_nobody_waits_longer_than_for_the_batches_under_way() -> None:
    assert simulate(replace(ONE, spread=MONTH), seed=1).latest == round(CLAIM_BATCH * 4 / 20)


def test_nobody_is_lost_between_two_minutes() -> None:
    from random import Random

    from bench.scale import arrivals

    for spread in (MONTH, FIRST, MIDNIGHT):
        assert abs(arrivals(replace(ONE, spread=spread), Random(7)).total() - ONE.due) <= 1


def test_more_than_the_pace_takes_in_a_month_is_told_as_left_over() -> None:
    assert ONE.behind == 0
    assert replace(ONE, subscriptions=100_000_000).behind == 108_000_000 - 20 * 30 * 86_400
    assert [plan.behind > 0 for plan in PLANS] == [False] * 6 + [True] * 3 + [False] * 3
