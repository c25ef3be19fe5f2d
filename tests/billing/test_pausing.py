"""Pauses: paid time is conserved to the microsecond, whatever the zone, the billing day and the number of pauses."""

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.calendar import Grid, Interval, grid_on_day
from billing.pausing import Course, resumed

ZONES = ("America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kathmandu")
START = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)


def at(day: str) -> datetime:
    return datetime.fromisoformat(day).replace(tzinfo=UTC)


def test_the_end_moves_by_the_pause_and_is_the_new_anchor() -> None:
    course = Course(anchor=START, period_end=at("2026-02-28T09:30"))
    after = resumed(course, at("2026-02-10T00:00"), at("2026-02-20T12:00"), keeps_anchor=False)
    assert after == Course(anchor=at("2026-03-10T21:30"), period_end=at("2026-03-10T21:30"))


def test_with_a_billing_day_the_anchor_stays_and_the_next_period_is_the_stub_up_to_it() -> None:
    zone = ZoneInfo("UTC")
    grid = grid_on_day(at("2026-01-15T00:00"), Interval.MONTH, 1, zone, 15)
    course = Course(anchor=grid.anchor, period_end=at("2026-02-15T00:00"))
    after = resumed(course, at("2026-02-01T00:00"), at("2026-02-08T00:00"), keeps_anchor=True)
    assert after == Course(anchor=grid.anchor, period_end=at("2026-02-22T00:00"))
    stub = grid.span_from(after.period_end)
    assert (stub.is_stub, stub.period.end) == (True, at("2026-03-15T00:00"))


@pytest.mark.parametrize("length", [timedelta(0), timedelta(hours=-1)])
def test_a_pause_of_no_length_changes_nothing_nor_does_one_of_a_clock_set_back(length: timedelta) -> None:
    course = Course(START, at("2026-02-28T09:30"), trial_end=at("2026-02-28T09:30"), change_at=at("2026-02-28T09:30"))
    assert resumed(course, START, START + length, keeps_anchor=False) is course


@pytest.mark.parametrize(
    ("change_at", "moved"),
    [(None, None), ("2026-02-28T09:30", "2026-03-01T09:30"), ("2026-02-20T00:00", "2026-02-20T00:00")],
)
def test_a_change_at_the_periods_end_moves_along_and_one_on_a_day_of_its_own_stays(
    change_at: str | None, moved: str | None
) -> None:
    course = Course(START, at("2026-02-28T09:30"), change_at=at(change_at) if change_at else None)
    after = resumed(course, at("2026-02-10T00:00"), at("2026-02-11T00:00"), keeps_anchor=False)
    assert after.change_at == (at(moved) if moved else None)


def test_a_trial_under_way_goes_on_for_what_was_left_of_it() -> None:
    course = Course(START, at("2026-02-14T09:30"), trial_end=at("2026-02-14T09:30"))
    after = resumed(course, at("2026-02-10T00:00"), at("2026-02-11T00:00"), keeps_anchor=False)
    assert (after.trial_end, after.period_end) == (at("2026-02-15T09:30"), at("2026-02-15T09:30"))


spans = st.integers(0, 400 * 86_400_000_000).map(lambda µs: timedelta(microseconds=µs))


@given(
    zone=st.sampled_from(ZONES).map(ZoneInfo),
    start=st.timedeltas(timedelta(0), timedelta(days=6 * 365)).map(lambda after: at("2024-01-01") + after),
    interval=st.sampled_from((Interval.MONTH, Interval.YEAR)),
    day=st.none() | st.integers(1, 31),
    life=st.lists(st.tuples(st.fractions(0, 1), spans), max_size=6),
)
def test_any_number_of_pauses_conserves_the_paid_time(
    zone: ZoneInfo,
    start: datetime,
    interval: Interval,
    day: int | None,
    life: list[tuple[Fraction, timedelta]],
) -> None:
    """Each pause begins when some part of what was left has been used."""
    grid = Grid(start, interval, 1, zone) if day is None else grid_on_day(start, interval, 1, zone, day)
    paid = grid.span_from(start).period
    course, now, used, paused = Course(grid.anchor, paid.end), start, timedelta(0), timedelta(0)
    for part, length in life:
        step = timedelta(microseconds=int((course.period_end - now) // timedelta(microseconds=1) * part))
        now, used = now + step, used + step
        course = resumed(course, now, now + length, keeps_anchor=day is not None)
        now, paused = now + length, paused + length
        assert used + (course.period_end - now) == paid.length
    assert course.period_end == paid.end + paused
    # The next period begins where this one ends: a full one, or the stub up to the billing day.
    after = Grid(course.anchor, interval, 1, zone, day).span_from(course.period_end)
    assert after.period.start == course.period_end
    assert after.period.end > course.period_end
    if day is None:
        assert not after.is_stub
