"""A short seed of the canaries that `make soak` sends through every operation many times."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.soak.canaries import METRICS_TOKEN, PLACES, SECRET_KEY, send_canaries
from tests.support.databases import copy_of_file
from tests.support.house import open_house
from tests.support.written import written_logs


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    with written_logs(level="DEBUG") as told:
        yield told


async def test_no_canary_is_seen_where_it_must_not_be(stocked_file: Path, tmp_path: Path, log: io.StringIO) -> None:
    url = copy_of_file(stocked_file, tmp_path / "canaries.db")
    async with open_house(url, demo=False, secret_key=SECRET_KEY, metrics_token=METRICS_TOKEN) as house:
        found = await send_canaries(house, log, cases=1, seed=1)
    assert found.seen == {place: [] for place in PLACES}
    assert found.logged > 100
    assert found.broken > 0
    assert found.secrets >= 10
