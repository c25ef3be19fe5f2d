"""A short form of the crowd that `make soak` lets write ten thousand times."""

from pathlib import Path

from tests.soak.crowd import crowd


def test_two_servers_write_to_one_file_and_a_key_revoked_at_one_is_refused_by_the_other(tmp_path: Path) -> None:
    seen = crowd(tmp_path, writes=40, servers=2, workers=0, clients=8)
    assert (seen.written, dict(seen.refused), seen.locked_in_logs) == (40, {}, 0)
    assert 0 < seen.revoked < 1.0
