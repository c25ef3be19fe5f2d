"""A short seed of the renewal storm; the long run is `make soak`."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.soak.renewals import Storm, database, gateway_process, ride_out


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


# The SDK hands httpx its form in a way httpx has deprecated.
@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_killed_workers_and_lost_answers_leave_one_charge_per_period(
    engine: str, stack: ExitStack, tmp_path: Path
) -> None:
    storm = Storm(
        stack.enter_context(database(engine, tmp_path)),
        stack.enter_context(gateway_process(tmp_path)),
        kills=6,
        subscriptions=6,
        seed=20261121,
    )
    after = ride_out(storm)
    assert after.kills > 0, "the storm killed nobody"
    assert (after.twice, after.missed, after.findings) == (0, 0, [])
    assert after.our_books == after.gateway_books
    assert sum(after.our_books.values()) == 6 * 2 * 700
