"""Entitlements add up over subscriptions; without limit wins; the highest role holds until its last source ends."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.entitlements import Entitled, Grant, Source, highest_role, sum_up

NOW = datetime(2026, 3, 1, tzinfo=UTC)
LATER = NOW + timedelta(days=30)


def source(name: str, *grants: Grant, roles: tuple[int, ...] = (), ends_at: datetime | None = None) -> Source:
    return Source(name, LATER, grants, roles, ends_at)


def test_limits_add_up_over_subscriptions_items_and_quantities() -> None:
    first = source("a", Grant("seats", True, 5, quantity=2), Grant("seats", True, 1))
    second = source("b", Grant("seats", True, 3))
    assert sum_up([first, second]) == [Entitled("seats", True, 14, (first, second))]


def test_limits_add_up_to_no_more_than_can_be_told() -> None:
    most = Grant("seats", True, 2**53 - 1, quantity=3)
    assert [each.limit for each in sum_up([source("a", most), source("b", most)])] == [2**53 - 1]


def test_one_without_limit_wins() -> None:
    few, all_of_it = source("a", Grant("seats", True, 5)), source("b", Grant("seats", True, None))
    (seats,) = sum_up([few, all_of_it])
    assert (seats.limit, seats.is_unlimited) == (None, True)


def test_what_is_switched_off_gives_nothing_and_takes_nothing_away() -> None:
    off, on = source("a", Grant("export", False, None)), source("b", Grant("export", True, 2))
    assert sum_up([off]) == [Entitled("export", False, 0)]
    assert sum_up([off, on]) == [Entitled("export", True, 2, (on,))]
    assert sum_up([off])[0].is_unlimited is False


def test_nothing_gives_nothing() -> None:
    assert (sum_up([]), highest_role([])) == ([], None)


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ([source("a", roles=(10,)), source("b", roles=(20,), ends_at=NOW)], (20, NOW)),
        ([source("a", roles=(20,), ends_at=NOW), source("b", roles=(20,), ends_at=LATER)], (20, LATER)),
        ([source("a", roles=(20,), ends_at=NOW), source("b", roles=(20, 10))], (20, None)),
        ([source("a")], None),
    ],
)
def test_the_highest_role_holds_as_long_as_anything_grants_it(
    sources: list[Source], expected: tuple[int, datetime | None] | None
) -> None:
    assert highest_role(sources) == expected


GRANTS = st.builds(
    Grant,
    st.sampled_from(["seats", "export"]),
    st.booleans(),
    st.none() | st.integers(0, 1000),
    st.integers(1, 50),
)
SOURCES = st.lists(st.builds(lambda g: source("s", *g), st.lists(GRANTS, max_size=4)), max_size=4)


@given(SOURCES, SOURCES)
def test_more_never_allows_less(some: list[Source], more: list[Source]) -> None:
    before = {each.feature_id: each for each in sum_up(some)}
    after = {each.feature_id: each for each in sum_up([*some, *more])}
    for feature, had in before.items():
        has = after[feature]
        assert has.is_enabled >= had.is_enabled
        if not has.is_unlimited:
            assert not had.is_unlimited
            assert (has.limit or 0) >= (had.limit or 0)
