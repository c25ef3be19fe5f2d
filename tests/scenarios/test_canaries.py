"""A short seed of the canaries that `make soak` sends through every operation many times."""

import io
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from logs import configure_logging
from tests.soak.canaries import METRICS_TOKEN, PLACES, SECRET_KEY, send_canaries
from tests.support.databases import copy_of_file
from tests.support.house import open_house


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    before = logging.getLogger().handlers[:], logging.getLogger().level
    told = io.StringIO()
    configure_logging(json=True, level="DEBUG", stream=told)
    yield told
    logging.getLogger().handlers[:], logging.getLogger().level = before


async def test_no_canary_is_seen_where_it_must_not_be(stocked_file: Path, tmp_path: Path, log: io.StringIO) -> None:
    url = copy_of_file(stocked_file, tmp_path / "canaries.db")
    async with open_house(url, demo=False, secret_key=SECRET_KEY, metrics_token=METRICS_TOKEN) as house:
        found = await send_canaries(house, log, cases=1, seed=1)
    assert found.seen == {place: [] for place in PLACES}
    assert found.logged > 100
    assert found.broken > 0
    assert found.secrets >= 10
