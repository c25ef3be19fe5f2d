"""No order of events can break it: what a customer, its browsers, the merchant, the news and the worker do, shuffled.

Every round is one customer's life of random steps, some two at a time, some with lost answers; its seed is printed.
PERENNIAL_TEST_INTERLEAVINGS sets how many rounds are lived, PERENNIAL_TEST_SEED where they begin; for long runs see
`tests/soak/interleavings.py`.
"""

import os

import pytest

from tests.scenarios.lifetimes import live_through
from tests.scenarios.missed_news import miss_all_news
from tests.support.house import House

ROUNDS = int(os.environ.get("PERENNIAL_TEST_INTERLEAVINGS", "5"))
FIRST_SEED = int(os.environ.get("PERENNIAL_TEST_SEED", "1"))


@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + ROUNDS))
async def test_no_order_of_events_breaks_a_promise(house: House, seed: int) -> None:
    story: list[str] = []
    try:
        assert await live_through(house, seed, story) == []
    except BaseException:
        print(f"seed {seed}:", *story, sep="\n  ")
        raise


async def test_a_life_of_which_no_news_came_is_put_right_by_one_reconcile(small_house: House) -> None:
    story: list[str] = []
    try:
        assert await miss_all_news(small_house, FIRST_SEED, story) == []
    except BaseException:
        print(f"seed {FIRST_SEED}:", *story, sep="\n  ")
        raise
