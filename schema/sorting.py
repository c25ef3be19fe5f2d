"""The order that lists can be asked for in."""

from enum import StrEnum

from schema.enums import publish


class SortDirection(StrEnum):
    ASC = "asc"
    DESC = "desc"


publish(
    SortDirection,
    "SortDirection",
    "Which end of an order comes first; of equals the id decides, in the same direction.",
    {"ASC": "The least, the earliest, or what is declared first.", "DESC": "The other way round."},
)
