"""Changes, pauses and ends in any order cost what was had; long runs: `tests/soak/fair_shares.py`."""

import pytest

from tests.scenarios.fair_shares import pay_fairly
from tests.scenarios.stories import story_of
from tests.support.house import House


@pytest.mark.parametrize("seed", range(1, 4))
async def test_what_is_paid_is_what_was_had(small_house: House, seed: int) -> None:
    with story_of(seed) as story:
        assert await pay_fairly(small_house, seed, story) == []
