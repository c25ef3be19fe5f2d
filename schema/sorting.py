"""The directions of lists that clients put in order."""

from enum import StrEnum

from schema.enums import publish


class SortDirection(StrEnum):
    ASC = "asc"
    DESC = "desc"


publish(
    SortDirection,
    "SortDirection",
    "Which end of a list comes first.",
    {"ASC": "The smallest or earliest first.", "DESC": "The largest or latest first."},
)
