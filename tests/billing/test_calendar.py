"""Periods: counted from the anchor in the subscription's own zone, without gap, overlap or drift."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.calendar import Grid, Interval, Period, Span, boundary, grid_on_day

ZONES = [
    "America/New_York",
    "Europe/Berlin",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Asia/Kathmandu",
    "America/Sao_Paulo",
]
CADENCES = {
    "monthly": (Interval.MONTH, 1, 1),
    "quarterly": (Interval.MONTH, 3, 3),
    "yearly": (Interval.YEAR, 1, 12),
}
DAYS = {1: 31, 2: 28, 3: 31, 4: 30, 5: 31, 6: 30, 7: 31, 8: 31, 9: 30, 10: 31, 11: 30, 12: 31}


def period(anchor: datetime, interval: Interval, count: int, zone: ZoneInfo, n: int) -> Period:
    """Period number n, counted from 0 at the anchor."""
    grid = Grid(anchor, interval, count, zone)
    return Period(grid.boundary(n), grid.boundary(n + 1))


def days_in(year: int, month: int) -> int:
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return 29 if leap and month == 2 else DAYS[month]


def anchors(year: int) -> list[date]:
    return [date(year, month, day) for month in DAYS for day in range(1, days_in(year, month) + 1)]


def expected_dates(anchor: date, months_each: int) -> list[date]:
    """Every boundary of four years, walked month by month, the day clamped from the anchor's own."""
    dates, year, month = [], anchor.year, anchor.month
    for _ in range(48 // months_each + 1):
        dates.append(date(year, month, min(anchor.day, days_in(year, month))))
        for _ in range(months_each):
            year, month = (year + 1, 1) if month == 12 else (year, month + 1)
    return dates


@pytest.mark.parametrize("zone_name", ["UTC", *ZONES])
@pytest.mark.parametrize("cadence", CADENCES)
@pytest.mark.parametrize("year", [2023, 2024, 2099], ids=["common", "leap", "into a common century"])
def test_anchors_never_drift(year: int, cadence: str, zone_name: str) -> None:
    interval, count, months_each = CADENCES[cadence]
    zone = ZoneInfo(zone_name)
    for day in anchors(year):
        anchor = datetime(day.year, day.month, day.day, 12, 34, 56, 789, tzinfo=zone)
        dates = expected_dates(day, months_each)
        walls = [datetime(d.year, d.month, d.day, 12, 34, 56, 789, tzinfo=zone) for d in dates]
        periods = [period(anchor, interval, count, zone, n) for n in range(len(dates) - 1)]
        assert [p.start for p in periods] == walls[:-1], day
        assert [p.end for p in periods] == walls[1:], day
        assert all(p.start < p.end for p in periods), day
        grid = Grid(anchor, interval, count, zone)
        assert [grid.span_from(p.start) for p in periods] == [Span(p, p) for p in periods], day


def test_a_day_that_a_month_lacks_comes_back_in_the_next() -> None:
    anchor = datetime(2024, 1, 31, 9, tzinfo=UTC)
    starts = [boundary(anchor, Interval.MONTH, 1, ZoneInfo("UTC"), n) for n in range(5)]
    assert [f"{start:%m-%d}" for start in starts] == ["01-31", "02-29", "03-31", "04-30", "05-31"]


def test_a_leap_day_comes_back_every_fourth_year() -> None:
    anchor = datetime(2024, 2, 29, tzinfo=UTC)
    starts = [boundary(anchor, Interval.YEAR, 1, ZoneInfo("UTC"), n) for n in range(5)]
    assert [f"{start:%Y-%m-%d}" for start in starts] == [
        "2024-02-29",
        "2025-02-28",
        "2026-02-28",
        "2027-02-28",
        "2028-02-29",
    ]


@pytest.mark.parametrize(
    ("interval", "count", "end"),
    [
        (Interval.DAY, 1, "2024-03-02"),
        (Interval.DAY, 30, "2024-03-31"),
        (Interval.WEEK, 1, "2024-03-08"),
        (Interval.WEEK, 2, "2024-03-15"),
        (Interval.MONTH, 1, "2024-04-01"),
        (Interval.MONTH, 6, "2024-09-01"),
        (Interval.MONTH, 18, "2025-09-01"),
        (Interval.YEAR, 1, "2025-03-01"),
        (Interval.YEAR, 2, "2026-03-01"),
    ],
)
def test_a_period_is_as_long_as_its_interval(interval: Interval, count: int, end: str) -> None:
    start = datetime(2024, 3, 1, tzinfo=UTC)
    assert period(start, interval, count, ZoneInfo("UTC"), 0) == Period(start, datetime.fromisoformat(f"{end}T00:00Z"))


# Each case: the anchor's wall time and the instants of the first four monthly boundaries. Worked out by hand from
# the published switches: New York 2024-03-10 02:00 and 11-03 02:00; Berlin 2024-03-31 and 10-27 01:00 UTC; Lord Howe
# (half an hour) 2024-04-07 and 10-06 02:00; Apia 2020-09-27 03:00 and 2021-04-04 04:00, and the whole of 2011-12-30,
# which it never had; Sao Paulo 2018-11-04 and 2019-02-17 00:00. Kathmandu stays at +05:45.
SWITCHES = {
    "New York, 02:30 skipped": (
        ("America/New_York", "2024-01-10T02:30"),
        ["2024-01-10T07:30Z", "2024-02-10T07:30Z", "2024-03-10T07:30Z", "2024-04-10T06:30Z"],
    ),
    "New York, 01:30 twice": (
        ("America/New_York", "2024-09-03T01:30"),
        ["2024-09-03T05:30Z", "2024-10-03T05:30Z", "2024-11-03T05:30Z", "2024-12-03T06:30Z"],
    ),
    "Berlin, 02:30 skipped on a clamped day": (
        ("Europe/Berlin", "2024-01-31T02:30"),
        ["2024-01-31T01:30Z", "2024-02-29T01:30Z", "2024-03-31T01:30Z", "2024-04-30T00:30Z"],
    ),
    "Berlin, 02:30 twice": (
        ("Europe/Berlin", "2024-08-27T02:30"),
        ["2024-08-27T00:30Z", "2024-09-27T00:30Z", "2024-10-27T00:30Z", "2024-11-27T01:30Z"],
    ),
    "Lord Howe, 02:15 skipped": (
        ("Australia/Lord_Howe", "2024-08-06T02:15"),
        ["2024-08-05T15:45Z", "2024-09-05T15:45Z", "2024-10-05T15:45Z", "2024-11-05T15:15Z"],
    ),
    "Lord Howe, 01:45 twice": (
        ("Australia/Lord_Howe", "2024-02-07T01:45"),
        ["2024-02-06T14:45Z", "2024-03-06T14:45Z", "2024-04-06T14:45Z", "2024-05-06T15:15Z"],
    ),
    "Apia, 03:30 skipped": (
        ("Pacific/Apia", "2020-07-27T03:30"),
        ["2020-07-26T14:30Z", "2020-08-26T14:30Z", "2020-09-26T14:30Z", "2020-10-26T13:30Z"],
    ),
    "Apia, 03:30 twice": (
        ("Pacific/Apia", "2021-02-04T03:30"),
        ["2021-02-03T13:30Z", "2021-03-03T13:30Z", "2021-04-03T13:30Z", "2021-05-03T14:30Z"],
    ),
    "Apia, a whole day skipped": (
        ("Pacific/Apia", "2011-10-30T12:00"),
        ["2011-10-30T22:00Z", "2011-11-30T22:00Z", "2011-12-30T22:00Z", "2012-01-29T22:00Z"],
    ),
    "Kathmandu, never switches": (
        ("Asia/Kathmandu", "2024-01-31T00:00"),
        ["2024-01-30T18:15Z", "2024-02-28T18:15Z", "2024-03-30T18:15Z", "2024-04-29T18:15Z"],
    ),
    "Sao Paulo, midnight skipped": (
        ("America/Sao_Paulo", "2018-09-04T00:00"),
        ["2018-09-04T03:00Z", "2018-10-04T03:00Z", "2018-11-04T03:00Z", "2018-12-04T02:00Z"],
    ),
    "Sao Paulo, 23:30 twice": (
        ("America/Sao_Paulo", "2018-12-16T23:30"),
        ["2018-12-17T01:30Z", "2019-01-17T01:30Z", "2019-02-17T01:30Z", "2019-03-17T02:30Z"],
    ),
}


@pytest.mark.parametrize("switch", SWITCHES)
def test_a_month_across_a_switch_ends_at_the_expected_instant(switch: str) -> None:
    (zone_name, wall), instants = SWITCHES[switch]
    zone = ZoneInfo(zone_name)
    anchor = datetime.fromisoformat(wall).replace(tzinfo=zone)
    expected = [datetime.fromisoformat(instant) for instant in instants]
    periods = [period(anchor, Interval.MONTH, 1, zone, n) for n in range(3)]
    assert periods == [Period(start, end) for start, end in pairwise(expected)]


@pytest.mark.parametrize(
    ("zone_name", "wall", "lengths"),
    [
        ("America/New_York", "2024-03-09T12:00", [23, 24]),
        ("America/New_York", "2024-11-02T12:00", [25, 24]),
        ("Europe/Berlin", "2024-03-30T12:00", [23, 24]),
        ("Europe/Berlin", "2024-10-26T12:00", [25, 24]),
        ("Australia/Lord_Howe", "2024-10-05T12:00", [23.5, 24]),
        ("Australia/Lord_Howe", "2024-04-06T12:00", [24.5, 24]),
        ("Pacific/Apia", "2020-09-26T12:00", [23, 24]),
        ("Pacific/Apia", "2021-04-03T12:00", [25, 24]),
        ("Asia/Kathmandu", "2024-03-30T12:00", [24, 24]),
        ("America/Sao_Paulo", "2018-11-03T12:00", [23, 24]),
        ("America/Sao_Paulo", "2019-02-16T12:00", [25, 24]),
        ("America/New_York", "2024-03-09T02:30", [24, 23]),
        ("America/New_York", "2024-11-02T01:30", [24, 25]),
    ],
)
def test_a_day_across_a_switch_is_as_long_as_the_wall_clock_says(
    zone_name: str, wall: str, lengths: list[float]
) -> None:
    zone = ZoneInfo(zone_name)
    anchor = datetime.fromisoformat(wall).replace(tzinfo=zone)
    days = [period(anchor, Interval.DAY, 1, zone, n) for n in range(2)]
    assert [(day.end - day.start) / timedelta(hours=1) for day in days] == lengths


@pytest.mark.parametrize("interval", Interval)
def test_an_anchor_in_an_hour_that_comes_twice_stays_the_instant_it_was(interval: Interval) -> None:
    second_half_past_one = datetime(2024, 11, 3, 6, 30, tzinfo=UTC)
    first = period(second_half_past_one, interval, 1, ZoneInfo("America/New_York"), 0)
    assert first.start == second_half_past_one


@pytest.mark.parametrize(
    ("zone_name", "second_of_two", "interval", "n", "instant"),
    [
        ("Europe/Berlin", "2025-10-26T01:30Z", Interval.MONTH, 29, "2028-03-26T01:30Z"),
        ("America/New_York", "2024-11-03T06:30Z", Interval.YEAR, 6, "2030-11-03T05:30Z"),
    ],
    ids=["02:30 skipped, so 03:30", "01:30 twice, so the first"],
)
def test_an_anchor_in_the_second_of_two_hours_moves_later_boundaries_no_other_way(
    zone_name: str, second_of_two: str, interval: Interval, n: int, instant: str
) -> None:
    zone, anchor = ZoneInfo(zone_name), datetime.fromisoformat(second_of_two)
    assert anchor.astimezone(zone).fold == 1
    assert boundary(anchor, interval, 1, zone, n) == datetime.fromisoformat(instant)


def test_an_anchor_without_a_zone_is_refused_instead_of_read_in_the_machines_own() -> None:
    with pytest.raises(ValueError, match="an anchor needs a time zone: 2024-01-31T00:00:00"):
        period(datetime(2024, 1, 31), Interval.MONTH, 1, ZoneInfo("UTC"), 0)  # noqa: DTZ001 (the point of the test)


@settings(deadline=None, max_examples=300)
@given(
    anchor=st.datetimes(datetime(2012, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 (bounds)
    zone=st.sampled_from([ZoneInfo(name) for name in ZONES]),
    interval=st.sampled_from(Interval),
    count=st.integers(1, 12),
    n=st.integers(0, 60),
)
def test_periods_follow_each_other_from_the_anchor_on(
    anchor: datetime, zone: ZoneInfo, interval: Interval, count: int, n: int
) -> None:
    this, following = (period(anchor, interval, count, zone, m) for m in (n, n + 1))
    assert this.end == following.start
    assert this.start < this.end
    assert (this.start.tzinfo, this.end.tzinfo) == (UTC, UTC)
    assert period(anchor, interval, count, zone, 0).start == anchor


@settings(deadline=None, max_examples=300)
@given(
    anchor=st.datetimes(datetime(2012, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 (bounds)
    zone=st.sampled_from([ZoneInfo(name) for name in ZONES]),
    interval=st.sampled_from(Interval),
    count=st.integers(1, 12),
    off=st.timedeltas(timedelta(days=-4000), timedelta(days=4000)),
)
def test_from_any_instant_the_next_boundary_is_reached_and_none_is_passed(
    anchor: datetime, zone: ZoneInfo, interval: Interval, count: int, off: timedelta
) -> None:
    grid, start = Grid(anchor, interval, count, zone), anchor + off
    span = grid.span_from(start)
    assert span.period.start == start
    assert span.full.start <= start < span.full.end == span.period.end
    assert grid.span_from(span.full.end - timedelta(microseconds=1)).full == span.full
    assert span.is_stub is (start != span.full.start)
    assert grid.span_from(span.period.end).is_stub is False


# From document to date: subscribed at 09:30, billed on a day of the month from then on.
BILLING_DAYS = {
    "the 5th, subscribed on the 31st": ("2026-01-31", 5, ["2026-02-05", "2026-03-05", "2026-04-05"]),
    "the same day: no stub": ("2026-01-05", 5, ["2026-01-05", "2026-02-05", "2026-03-05"]),
    "the 31st, subscribed in a short month": ("2026-02-03", 31, ["2026-02-28", "2026-03-31", "2026-04-30"]),
    "the 31st in a leap year": ("2028-02-03", 31, ["2028-02-29", "2028-03-31", "2028-04-30"]),
    "the 30th, subscribed on the last of February": ("2026-02-28", 30, ["2026-02-28", "2026-03-30", "2026-04-30"]),
    "over the year's end": ("2026-12-20", 10, ["2027-01-10", "2027-02-10", "2027-03-10"]),
}


@pytest.mark.parametrize("case", BILLING_DAYS)
def test_a_billing_day_is_kept_through_short_months(case: str) -> None:
    day, billing_day, dates = BILLING_DAYS[case]
    start = datetime.fromisoformat(f"{day}T09:30Z")
    grid = grid_on_day(start, Interval.MONTH, 1, ZoneInfo("UTC"), billing_day)
    boundaries = [datetime.fromisoformat(f"{each}T09:30Z") for each in dates]
    assert [grid.boundary(n) for n in range(3)] == boundaries
    first = grid.span_from(start)
    if start == boundaries[0]:
        assert first == Span(Period(*boundaries[:2]), Period(*boundaries[:2]))
    else:
        assert (first.is_stub, first.period) == (True, Period(start, boundaries[0]))


def test_a_yearly_plan_with_a_billing_day_begins_with_a_stub_of_a_year() -> None:
    start = datetime(2026, 1, 20, tzinfo=UTC)
    span = grid_on_day(start, Interval.YEAR, 1, ZoneInfo("UTC"), 1).span_from(start)
    assert span.period == Period(start, datetime(2026, 2, 1, tzinfo=UTC))
    assert span.full == Period(datetime(2025, 2, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC))


def test_the_billing_day_is_the_zones_own() -> None:
    """At 23:30 on 4 May in London it is the 5th already in Auckland."""
    start = datetime(2026, 5, 4, 22, 30, tzinfo=UTC)
    auckland, london = ZoneInfo("Pacific/Auckland"), ZoneInfo("Europe/London")
    assert grid_on_day(start, Interval.MONTH, 1, auckland, 5).anchor == start
    assert grid_on_day(start, Interval.MONTH, 1, london, 5).anchor == start + timedelta(days=1)


@pytest.mark.parametrize("interval", [Interval.DAY, Interval.WEEK])
def test_days_and_weeks_have_no_day_of_the_month(interval: Interval) -> None:
    with pytest.raises(ValueError, match=f"a billing day needs months or years, not {interval}s"):
        grid_on_day(datetime(2026, 1, 1, tzinfo=UTC), interval, 1, ZoneInfo("UTC"), 5)


def test_a_span_ends_with_a_fixed_term_that_comes_sooner() -> None:
    grid = Grid(datetime(2026, 1, 1, tzinfo=UTC), Interval.MONTH, 1, ZoneInfo("UTC"))
    span, middle = grid.span_from(grid.anchor), datetime(2026, 1, 10, tzinfo=UTC)
    assert span.until(middle) == Span(Period(grid.anchor, middle), span.full)
    assert [span.until(end) for end in (None, span.period.end)] == [span, span]


@pytest.mark.parametrize(
    ("start", "periods", "end"),
    [
        ("2026-01-31", 1, "2026-02-28"),
        ("2026-01-31", 12, "2027-01-31"),
        ("2026-02-10", 1, "2026-03-31"),
        ("2026-02-28", 2, "2026-04-30"),
    ],
)
def test_a_term_counts_full_periods_and_a_stub_comes_on_top(start: str, periods: int, end: str) -> None:
    grid = Grid(datetime(2026, 1, 31, 9, 30, tzinfo=UTC), Interval.MONTH, 1, ZoneInfo("UTC"), 31)
    assert grid.end_after(datetime.fromisoformat(f"{start}T09:30Z"), periods) == datetime.fromisoformat(f"{end}T09:30Z")
