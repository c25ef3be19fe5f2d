"""A short seed of the stops that `make soak` does many times."""

from pathlib import Path

from tests.soak.stopping import stop_often


async def test_a_server_told_to_stop_answers_what_was_asked_and_ends_by_itself(tmp_path: Path) -> None:
    seen = await stop_often(stops=1, clients=10, processes=1, seed=1, folder=tmp_path)
    assert seen.lost == []
    assert seen.answered >= 30
    assert (seen.stopped, dict(seen.exits)) == (1, {0: 1})
    assert dict(seen.streams) == {"sse without complete": 1, "1012": 1}
