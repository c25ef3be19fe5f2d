"""Spans of time."""

from datetime import datetime

import strawberry

from schema.fields import described


@strawberry.type(description="A span of time. The end is no longer part of it.")
class Period:
    start: datetime = described("Its first instant.")
    end: datetime = described("The first instant after it.")


@strawberry.input(description="A span of time. The end is no longer part of it.")
class PeriodInput:
    start: datetime = described("Its first instant.")
    end: datetime = described("The first instant after it.")
