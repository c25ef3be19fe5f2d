"""Places in a row: never more than the limit in any second, nothing saved up, rest after a 429."""

from datetime import UTC, datetime, timedelta

from billing.pacing import HORIZON, Limits, Row, places, rested

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LIMITS = Limits(account=100, endpoint=25)
FRESH = Row(free_at=NOW, rests_until=NOW)


def _ms(given: list[datetime]) -> list[float]:
    return [(place - NOW) / timedelta(milliseconds=1) for place in given]


def test_places_are_a_twentieth_of_a_second_apart_and_no_further_ahead_than_the_horizon() -> None:
    given, endpoint, account = places(FRESH, FRESH, 100, LIMITS, NOW)
    assert _ms(list(given)) == [0, 50, 100, 150, 200, 250]
    assert _ms([endpoint.free_at, account.free_at]) == [300, 75]


def test_no_more_than_wanted_is_taken() -> None:
    given, endpoint, account = places(FRESH, FRESH, 2, LIMITS, NOW)
    assert _ms([*given, endpoint.free_at, account.free_at]) == [0, 50, 100, 25]


def test_the_next_who_asks_goes_on_where_the_last_one_ended() -> None:
    _, endpoint, account = places(FRESH, FRESH, 3, LIMITS, NOW)
    assert _ms(list(places(endpoint, account, 9, LIMITS, NOW)[0])) == [150, 200, 250]


def test_what_nobody_took_is_lost() -> None:
    later = NOW + timedelta(minutes=5)
    given, endpoint, _ = places(FRESH, FRESH, 100, LIMITS, later)
    assert (len(given), given[0], endpoint.free_at) == (6, later, later + timedelta(milliseconds=300))


def test_another_endpoint_waits_only_for_the_account() -> None:
    _, _, account = places(FRESH, FRESH, 6, LIMITS, NOW)
    assert _ms(list(places(FRESH, account, 2, LIMITS, NOW)[0])) == [75, 125]


def test_while_a_limit_rests_there_is_no_place_and_no_row_moves() -> None:
    resting = Row(NOW, NOW + timedelta(seconds=1))
    assert places(resting, FRESH, 5, LIMITS, NOW) == ([], resting, FRESH)
    assert places(FRESH, resting, 5, LIMITS, NOW) == ([], FRESH, resting)
    just_over = NOW + timedelta(seconds=1) - HORIZON
    assert len(places(resting, FRESH, 5, LIMITS, just_over)[0]) == 1


def test_refusals_in_a_row_double_the_rest_up_to_thirty_seconds() -> None:
    row, now, rests = FRESH, NOW, []
    for _ in range(7):
        row = rested(row, now)
        rests.append((row.rests_until - now).total_seconds())
        now = row.rests_until
    assert rests == [1, 2, 4, 8, 16, 30, 30]


def test_calls_that_were_refused_together_are_one_refusal() -> None:
    once = rested(FRESH, NOW)
    assert rested(once, NOW + timedelta(milliseconds=900)) == once


def test_a_minute_of_peace_forgives() -> None:
    row = rested(rested(FRESH, NOW), NOW + timedelta(seconds=1))
    assert row.refusals == 2
    again = rested(row, row.rests_until + timedelta(seconds=60))
    assert (again.refusals, again.rests_until - row.rests_until) == (1, timedelta(seconds=61))


def test_the_gateway_may_ask_for_a_longer_rest_within_reason() -> None:
    assert rested(FRESH, NOW, timedelta(seconds=5)).rests_until == NOW + timedelta(seconds=5)
    assert rested(FRESH, NOW, timedelta(hours=5)).rests_until == NOW + timedelta(seconds=30)
    assert rested(FRESH, NOW, timedelta(0)).rests_until == NOW + timedelta(seconds=1)
