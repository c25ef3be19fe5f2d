"""A short round of what `make soak` asks in every size, of a server that watches its own loop."""

from pathlib import Path

from tests.soak.blocking import PROMISED_MS, measure
from tests.support.databases import apart, copy_of_file


def test_what_once_held_the_loop_for_longest_does_no_more(sqlite_file: Path, tmp_path: Path) -> None:
    held = {}
    apart(
        lambda: held.update(
            measure(copy_of_file(sqlite_file, tmp_path / "a.db"), tmp_path, rounds=1, seed=1, short=True)
        )
    )
    assert {kind: each.statuses for kind, each in held.items()} == {kind: {200} for kind in held}
    assert {kind: each.processor for kind, each in held.items() if each.processor >= PROMISED_MS} == {}
