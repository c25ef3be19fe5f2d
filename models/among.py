"""Rows by several columns at once, many in one statement, and by an index on both engines."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import CTE, ColumnElement, column, select, tuple_, values


def among(columns: Sequence[Any], keys: Sequence[tuple[Any, ...]]) -> ColumnElement[bool]:
    """Whether what stands in the columns is one of the keys; there is at least one.

    As a query of its own: where they stand in the list itself, `(a, b) IN (VALUES …)`, SQLite (3.40) reads the whole
    table. Alternatives joined by OR would be too many for it from a thousand on.
    """
    return tuple_(*columns).in_(select(listed(columns, keys)))


def listed(columns: Sequence[Any], keys: Sequence[tuple[Any, ...]]) -> CTE:
    """The keys as a table to join, its columns called and typed as those."""
    typed = [column(each.key, each.type) for each in columns]
    return values(*typed, name="wanted").data(list(keys)).cte(nesting=True)
