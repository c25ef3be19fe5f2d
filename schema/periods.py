"""Spans of time."""

from datetime import datetime

import strawberry

from models.batches import ANYTIME, Between
from schema.fields import described, optional


@strawberry.type(description="A span of time. The end is no longer part of it.")
class Period:
    start: datetime = described("Its first instant.")
    end: datetime = described("The first instant after it.")


@strawberry.input(description="A span of time. The end is no longer part of it.")
class PeriodInput:
    start: datetime = described("Its first instant.")
    end: datetime = described("The first instant after it.")


@strawberry.input(description="Instants of a span of time. Leave a side out to leave it open.")
class DateTimeRange:
    gte: datetime | None = optional("From this instant on.")
    lt: datetime | None = optional("Before this instant.")


def between(given: DateTimeRange | None) -> Between:
    """Open on both sides if none is given."""
    return ANYTIME if given is None else Between(given.gte, given.lt)
