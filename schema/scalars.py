"""Scalars of our own: strict on the way in, plain JSON on the way out."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, NewType
from urllib.parse import urlsplit

import orjson
import strawberry
from graphql import GraphQLError
from strawberry.scalars import JSON
from strawberry.types.scalar import ScalarDefinition

from billing.instants import written
from billing.money import CURRENCIES
from schema.parameters import BadParameters, check_values

MAX_SAFE_INTEGER = 2**53
MAX_JSON_BYTES = 16 * 1024
MAX_URL_LENGTH = 2_048
MAX_DECIMAL_LENGTH = 40
# West of Greenwich the calendar's very first day is none.
_FIRST = datetime(1, 1, 2, tzinfo=UTC)
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE)
_DECIMAL = re.compile(r"-?\d+(\.\d+)?", re.ASCII)
_COUNTRY = re.compile(r"[A-Z]{2}", re.ASCII)

BigInt = NewType("BigInt", int)
CurrencyCode = NewType("CurrencyCode", str)
CountryCode = NewType("CountryCode", str)
URL = NewType("URL", str)


def instant_in(value: Any) -> datetime:
    if not isinstance(value, str) or not _RFC_3339.fullmatch(value):
        raise GraphQLError("DateTime: expected RFC 3339 with an offset, such as 2026-01-31T00:00:00Z.")
    try:
        at = datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise GraphQLError("DateTime: there is no such instant.") from None
    if at < _FIRST:
        raise GraphQLError("DateTime: there is no such instant in every zone.")
    return at


def big_int(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > MAX_SAFE_INTEGER:
        raise GraphQLError("BigInt: expected an integer within ±2^53, which JSON readers keep exactly.")
    return value


def decimal_in(value: Any) -> Decimal:
    """Text or an integer; a float has already lost digits."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or len(text) > MAX_DECIMAL_LENGTH or not _DECIMAL.fullmatch(text):
        raise GraphQLError('Decimal: expected a decimal number as text, such as "9.99".')
    try:
        return Decimal(text)
    except InvalidOperation:
        raise GraphQLError('Decimal: expected a decimal number as text, such as "9.99".') from None


def decimal_out(value: Decimal) -> str:
    return format(value, "f")


def currency_in(value: Any) -> str:
    if not isinstance(value, str) or value not in CURRENCIES:
        raise GraphQLError("CurrencyCode: expected a supported ISO 4217 code in upper case, such as USD.")
    return value


def country_in(value: Any) -> str:
    if not isinstance(value, str) or not _COUNTRY.fullmatch(value):
        raise GraphQLError("CountryCode: expected an ISO 3166-1 alpha-2 code in upper case, such as DE.")
    return value


def json_in(value: Any) -> Any:
    """Written out in a document it is held to what a variable may hold: 1e999 is infinite, which no JSON is."""
    try:
        check_values(value, "the value")
    except BadParameters as bad:
        raise GraphQLError(f"JSON: {bad}") from None
    try:
        size = len(orjson.dumps(value))
    except (TypeError, ValueError, RecursionError):
        raise GraphQLError("JSON: the value cannot be kept as JSON.") from None
    if size > MAX_JSON_BYTES:
        raise GraphQLError(f"JSON: {size} bytes are too many, at most {MAX_JSON_BYTES} are kept.")
    return value


def url_in(value: Any) -> str:
    if isinstance(value, str) and len(value) <= MAX_URL_LENGTH and value.isprintable() and " " not in value:
        try:
            parts = urlsplit(value)
            if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
                return value
        except ValueError:
            pass
    raise GraphQLError("URL: expected an absolute http or https address of at most 2048 characters.")


def same(value: Any) -> Any:
    return value


def _scalar(
    name: str, description: str, parse: Callable[[Any], Any], serialize: Callable[[Any], Any] = same
) -> ScalarDefinition:
    return strawberry.scalar(name=name, description=description, parse_value=parse, serialize=serialize)


SCALARS: dict[object, ScalarDefinition] = {
    datetime: _scalar(
        "DateTime",
        "An instant by RFC 3339, always UTC on output: `2026-01-31T00:00:00Z`. Inputs must carry an offset.",
        instant_in,
        written,
    ),
    Decimal: _scalar("Decimal", 'A decimal number as text, never a float: `"9.99"`.', decimal_in, decimal_out),
    BigInt: _scalar("BigInt", "An integer beyond 32 bits as a JSON number, within ±2^53.", big_int, big_int),
    CurrencyCode: _scalar("CurrencyCode", "A currency by ISO 4217 in upper case: `USD`.", currency_in),
    CountryCode: _scalar("CountryCode", "A country by ISO 3166-1 alpha-2 in upper case: `DE`.", country_in),
    URL: _scalar("URL", "An absolute http or https address of at most 2048 characters.", url_in),
    JSON: _scalar("JSON", "Any JSON value of at most 16 KB, kept as it is given.", json_in),
}
