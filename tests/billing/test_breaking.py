"""A gateway that does not answer: asked by one, now and then, and by all again at its first answer."""

from datetime import UTC, datetime, timedelta

from billing.breaking import Breaker

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def _broken() -> Breaker:
    breaker = Breaker()
    for _ in range(5):
        assert breaker.admits(NOW)
        breaker.missed(NOW)
    return breaker


def _after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def test_four_silences_and_an_answer_leave_it_closed() -> None:
    breaker = Breaker()
    for _ in range(3):
        for _ in range(4):
            breaker.missed(NOW)
        breaker.heard()
    assert (breaker.is_open, breaker.silences) == (False, 0)


def test_the_fifth_silence_in_a_row_opens_it_for_two_seconds() -> None:
    breaker = _broken()
    assert [breaker.admits(_after(each)) for each in (0, 1.9, 2)] == [False, False, True]


def test_one_probe_at_a_time() -> None:
    breaker = _broken()
    assert [breaker.admits(_after(2)), breaker.admits(_after(2)), breaker.admits(_after(60))] == [True, False, False]


def test_the_first_answer_closes_it() -> None:
    breaker = _broken()
    assert breaker.admits(_after(2))
    breaker.heard()
    assert [breaker.admits(_after(2)) for _ in range(3)] == [True, True, True]


def test_silent_probes_make_the_rest_longer_up_to_thirty_seconds() -> None:
    breaker, now, rests = _broken(), NOW, []
    for _ in range(6):
        assert breaker.asks_again_at is not None
        rests.append((breaker.asks_again_at - now).total_seconds())
        now = breaker.asks_again_at
        assert breaker.admits(now)
        breaker.missed(now)
    assert rests == [2, 4, 8, 16, 30, 30]


def test_a_call_begun_before_it_opened_changes_nothing_by_its_silence_and_closes_it_by_an_answer() -> None:
    breaker = _broken()
    breaker.missed(_after(1))
    assert breaker.asks_again_at == _after(2)
    breaker.heard()
    assert not breaker.is_open


def test_a_probe_that_was_broken_off_leaves_the_next_to_ask() -> None:
    breaker = _broken()
    assert breaker.admits(_after(2))
    breaker.gave_up()
    assert breaker.admits(_after(2))


def test_a_clock_set_back_does_not_keep_it_open() -> None:
    assert _broken().admits(NOW - timedelta(hours=1))
