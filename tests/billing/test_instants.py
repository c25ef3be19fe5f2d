from datetime import UTC, datetime, timedelta, timezone

from billing.instants import written


def test_an_instant_goes_out_in_utc() -> None:
    east = timezone(timedelta(hours=8))
    assert written(datetime(2026, 1, 31, 8, 0, tzinfo=east)) == "2026-01-31T00:00:00Z"
    assert written(datetime(2026, 1, 31, 0, 0, 0, 1, tzinfo=UTC)) == "2026-01-31T00:00:00.000001Z"
