"""How many credits a period grants, and how many may go on a day: tables and properties."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.calendar import Period
from billing.consuming import CreditTerms, Grant, Holding, consume, granted
from billing.errors import ErrorCode, UserProblem

UTC_ZONE = ZoneInfo("UTC")
TODAY, TOMORROW = date(2026, 1, 31), date(2026, 2, 1)


def days(n: int) -> Period:
    start = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
    return Period(start, start + timedelta(days=n))


@pytest.mark.parametrize(
    ("terms", "period", "grant"),
    [
        ([CreditTerms(1, None)], days(365), Grant(1, 365)),
        ([CreditTerms(2, None)], days(30), Grant(2, 60)),
        ([CreditTerms(2, None, quantity=3)], days(28), Grant(6, 168)),
        ([CreditTerms(2, 60)], days(365), Grant(2, 60)),
        ([CreditTerms(2, 60, quantity=2)], days(365), Grant(4, 120)),
        ([CreditTerms(None, 10)], days(28), Grant(None, 10)),
        ([CreditTerms(1, None), CreditTerms(2, 5)], days(28), Grant(3, 33)),
        ([CreditTerms(1, None), CreditTerms(None, 5)], days(28), Grant(None, 33)),
        ([CreditTerms(3, None)], Period(days(1).start, days(1).start + timedelta(hours=2)), Grant(3, 3)),
    ],
)
def test_what_a_period_grants(terms: list[CreditTerms], period: Period, grant: Grant) -> None:
    assert granted(terms, period, UTC_ZONE) == grant


def test_days_are_those_of_the_zone() -> None:
    """Over the night in which Berlin loses an hour, and from late evening in UTC, which is the next day there."""
    period = Period(datetime(2026, 3, 28, 23, tzinfo=UTC), datetime(2026, 3, 30, 22, tzinfo=UTC))
    assert granted([CreditTerms(1, None)], period, ZoneInfo("Europe/Berlin")) == Grant(1, 2)


@pytest.mark.parametrize(
    ("holding", "quantity", "after"),
    [
        (Holding(5), 5, Holding(0, None, 5, TODAY)),
        (Holding(5, 2), 2, Holding(3, 2, 2, TODAY)),
        (Holding(5, 2, 1, TODAY), 1, Holding(4, 2, 2, TODAY)),
        (Holding(5, 2, 2, date(2026, 1, 30)), 2, Holding(3, 2, 2, TODAY)),
    ],
)
def test_what_is_left(holding: Holding, quantity: int, after: Holding) -> None:
    assert consume(holding, quantity, TODAY) == after


@pytest.mark.parametrize(
    ("holding", "quantity", "code", "said"),
    [
        (Holding(0), 1, ErrorCode.OUT_OF_CREDITS, "0 are left, not 1."),
        (Holding(4, 9), 5, ErrorCode.OUT_OF_CREDITS, "4 are left, not 5."),
        (Holding(5, 2), 3, ErrorCode.DAILY_LIMIT_REACHED, "2 are left for today, not 3. There are more tomorrow."),
        (
            Holding(5, 2, 2, TODAY),
            1,
            ErrorCode.DAILY_LIMIT_REACHED,
            "0 are left for today, not 1. There are more tomorrow.",
        ),
        (
            Holding(5, 2, 9, TODAY),
            1,
            ErrorCode.DAILY_LIMIT_REACHED,
            "0 are left for today, not 1. There are more tomorrow.",
        ),
    ],
)
def test_what_is_refused(holding: Holding, quantity: int, code: ErrorCode, said: str) -> None:
    with pytest.raises(UserProblem) as refusal:
        consume(holding, quantity, TODAY)
    assert (refusal.value.code, refusal.value.message, refusal.value.field) == (code, said, ["quantity"])


def test_a_day_that_comes_again_after_the_clock_was_put_back_is_no_new_one() -> None:
    used = consume(Holding(9, 2), 1, TOMORROW)
    assert used.left_on(TODAY) == 1
    back = consume(used, 1, TODAY)
    assert back == Holding(7, 2, 2, TOMORROW)
    assert (back.left_on(TODAY), back.left_on(TOMORROW), back.left_on(date(2026, 2, 2))) == (0, 0, 2)


@given(
    st.integers(0, 50),
    st.none() | st.integers(1, 10),
    st.lists(st.tuples(st.integers(1, 6), st.sampled_from([TODAY, TOMORROW])), max_size=30),
)
def test_never_more_than_there_are_nor_than_a_day_allows(
    total: int, daily: int | None, wishes: list[tuple[int, date]]
) -> None:
    holding, gone = Holding(total, daily), dict.fromkeys((TODAY, TOMORROW), 0)
    for quantity, day in sorted(wishes, key=lambda wish: wish[1]):
        may = holding.left_on(day)
        try:
            holding = consume(holding, quantity, day)
        except UserProblem:
            assert quantity > may
        else:
            assert quantity <= may
            gone[day] += quantity
    assert holding.remaining == total - sum(gone.values())
    assert all(daily is None or used <= daily for used in gone.values())
    assert holding.remaining >= 0
