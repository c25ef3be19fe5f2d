"""What a GraphQL request asks for, read from a body or a query string.

Owns: the shape of the four parameters and of the JSON around them. Does not own: the body's size and content
type (the guard), the document (`documents.py`).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import orjson

MAX_JSON_DEPTH = 32
# What an object becomes costs 25 µs, for which nobody else is served: this many are a tenth of a second, and a batch of
# a thousand events holds two thousand at most.
MOST_OBJECTS = 4_000
LARGEST_INTEGER = 2**53
# No database column holds it, so no argument may: written out, or as an escape in the document.
NULL_CHARACTER = "\x00"
_NULL_ESCAPE = re.compile(r"\\u(?:0000|\{0+\})")
PARAMETERS = ("query", "operationName", "variables", "extensions")


class BadParameters(Exception):
    """The request is no GraphQL request; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """One operation to run. `variables` and `extensions` are JSON objects or None."""

    query: str
    operation_name: str | None
    variables: dict[str, Any] | None
    extensions: dict[str, Any] | None


def from_body(body: bytes) -> Parameters:
    """The parameters of a POST. BadParameters for anything but one JSON object with a query."""
    if not body:
        raise BadParameters("The body is empty; send a JSON object with 'query'.")
    document = read_json(body, "The body")
    if isinstance(document, list):
        raise BadParameters("Batching is not served; send one operation per request.")
    return from_object(document, "The body")


def from_object(document: object, what: str) -> Parameters:
    """The parameters in what `read_json` found."""
    if not isinstance(document, dict):
        raise BadParameters(f"{what} is not a JSON object with 'query'.")
    return _checked(document)


def from_query_string(query_string: bytes) -> Parameters:
    """The parameters of a GET; `variables` and `extensions` are JSON in text. BadParameters as for a body."""
    try:
        text = query_string.decode("ascii")
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=20)
    except ValueError:
        raise BadParameters("The query string is not URL-encoded UTF-8.") from None
    given: dict[str, Any] = {}
    for name, value in pairs:
        if name in given and name in PARAMETERS:
            raise BadParameters(f"'{name}' is given twice.")
        given[name] = value
    for name in ("variables", "extensions"):
        if given.get(name):
            given[name] = read_json(given[name].encode(), f"'{name}'")
        else:
            given.pop(name, None)
    return _checked(given)


def _checked(given: Mapping[str, Any]) -> Parameters:
    query = given.get("query")
    if not isinstance(query, str) or not query.strip():
        raise BadParameters("'query' must be a string that holds a GraphQL document.")
    if NULL_CHARACTER in query or _NULL_ESCAPE.search(query):
        raise BadParameters("'query' holds the null character, which is not accepted.")
    name = given.get("operationName")
    if not isinstance(name, str | None):
        raise BadParameters("'operationName' must be a string.")
    for parameter in ("variables", "extensions"):
        if not isinstance(given.get(parameter), dict | None):
            raise BadParameters(f"'{parameter}' must be a JSON object.")
    return Parameters(query, name or None, given.get("variables"), given.get("extensions"))


def read_json(text: bytes, what: str) -> Any:
    """What `text`, called `what`, holds. BadParameters for what is no JSON, too deep or cannot be carried."""
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise BadParameters(f"{what} is not valid JSON in UTF-8.") from None
    check_values(document, what)
    return document


def check_values(document: object, what: str) -> None:
    """BadParameters for what would take too long or exhaust recursion, and for numbers that JSON cannot carry exactly.

    A number literal too large for 64 bits arrives as a float, hence floats are held to the same bound.
    """
    level: list[object] = [document]
    objects = 0
    for _ in range(MAX_JSON_DEPTH):
        below: list[object] = []
        for value in level:
            if isinstance(value, dict):
                objects += 1
                below.extend(value.values())
                below.extend(value)
            elif isinstance(value, list):
                below.extend(value)
            elif isinstance(value, int | float) and abs(value) > LARGEST_INTEGER:
                raise BadParameters(f"{what} holds a number beyond ±2^53; send it as a string.")
            elif isinstance(value, str) and NULL_CHARACTER in value:
                raise BadParameters(f"{what} holds the null character, which is not accepted.")
        if objects > MOST_OBJECTS:
            raise BadParameters(f"{what} holds more than {MOST_OBJECTS} objects; send less at once.")
        if not below:
            return
        level = below
    raise BadParameters(f"{what} is nested more than {MAX_JSON_DEPTH} levels deep.")
