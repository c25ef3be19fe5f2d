"""Scalars: what comes in is checked, what goes out is plain."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from graphql import GraphQLError

from schema.scalars import (
    big_int,
    country_in,
    currency_in,
    decimal_in,
    decimal_out,
    instant_in,
    json_in,
    url_in,
)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-01-31T00:00:00Z", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31t00:00:00z", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T01:30:00.5+01:30", datetime(2026, 1, 31, 0, 0, 0, 500_000, tzinfo=UTC)),
    ],
)
def test_an_instant_comes_in_with_its_offset(text: str, instant: datetime) -> None:
    assert instant_in(text) == instant


REFUSED: list[tuple[Any, Any]] = [
    (instant_in, "2026-01-31T00:00:00"),
    (instant_in, "2026-01-31"),
    (instant_in, "2026-02-30T00:00:00Z"),
    (instant_in, "0001-01-01T00:00:00+14:00"),
    (instant_in, "0001-01-01T23:59:59Z"),
    (instant_in, "2026-01-31T00:00:00+99:00"),
    (instant_in, "٢٠٢٦-01-31T00:00:00Z"),
    (instant_in, 1769817600),
    (big_int, 2**53 + 1),
    (big_int, -(2**53) - 1),
    (big_int, "7"),
    (big_int, 7.0),
    (big_int, True),
    (decimal_in, 9.99),
    (decimal_in, True),
    (decimal_in, "NaN"),
    (decimal_in, "1e9"),
    (decimal_in, "٣"),
    (decimal_in, "1" * 41),
    (currency_in, "usd"),
    (currency_in, "XXX"),
    (currency_in, 840),
    (country_in, "de"),
    (country_in, "DEU"),
    (json_in, "x" * (16 * 1024 - 1)),
    (json_in, {"a": "\ud800"}),
    (json_in, 2**64),
    (json_in, [2**53 + 1]),
    (json_in, {"a": float("inf")}),
    (json_in, "a\0b"),
    (url_in, "javascript:alert(1)"),
    (url_in, "https://"),
    (url_in, "/path"),
    (url_in, "https://example.com/a b"),
    (url_in, "https://example.com/\n"),
    (url_in, "https://example.com:99999/"),
    (url_in, "https://[::1"),
    (url_in, "https://example.com/" + "a" * 2_048),
    (url_in, 7),
]


@pytest.mark.parametrize(("parse", "value"), REFUSED)
def test_what_makes_no_sense_is_refused(parse: Any, value: Any) -> None:
    with pytest.raises(GraphQLError):
        parse(value)


@pytest.mark.parametrize("value", [2**53, -(2**53), 0])
def test_integers_that_json_readers_keep_pass(value: int) -> None:
    assert big_int(value) == value


def test_decimals_are_text() -> None:
    assert decimal_in("-9.990") == Decimal("-9.990")
    assert decimal_in(7) == Decimal(7)
    assert decimal_out(Decimal("1E+3")) == "1000"
    assert decimal_out(Decimal("0.0000001")) == "0.0000001"


def test_the_rest_passes_as_it_is() -> None:
    assert currency_in("KWD") == "KWD"
    assert country_in("DE") == "DE"
    assert json_in([{"a": None}]) == [{"a": None}]
    assert json_in("x" * (16 * 1024 - 2)) == "x" * (16 * 1024 - 2)
    assert url_in("https://example.com:8443/x?y=1#z") == "https://example.com:8443/x?y=1#z"
