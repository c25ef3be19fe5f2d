"""No order of events can break it: what a customer, its browsers, the merchant, the news and the worker do, shuffled.

Every round is one customer's life of random steps, some two at a time, some with lost answers; its seed is printed.
PERENNIAL_TEST_INTERLEAVINGS sets how many rounds are lived, PERENNIAL_TEST_SEED where they begin; for long runs see
`tests/soak/interleavings.py`.
"""

import os

import pytest

from tests.scenarios.lifetimes import live_through
from tests.scenarios.missed_news import miss_all_news
from tests.scenarios.stories import story_of
from tests.support.house import House

ROUNDS = int(os.environ.get("PERENNIAL_TEST_INTERLEAVINGS", "5"))
FIRST_SEED = int(os.environ.get("PERENNIAL_TEST_SEED", "1"))


@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + ROUNDS))
async def test_no_order_of_events_breaks_a_promise(house: House, seed: int) -> None:
    with story_of(seed) as story:
        assert await live_through(house, seed, story) == []


async def test_a_life_of_which_no_news_came_is_put_right_by_one_reconcile(small_house: House) -> None:
    with story_of(FIRST_SEED) as story:
        assert await miss_all_news(small_house, FIRST_SEED, story) == []
