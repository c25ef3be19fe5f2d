"""The merchant's own notes, as every input takes them."""

from strawberry.scalars import JSON

from billing.errors import ErrorCode, UserProblem
from models.base import Notes

METADATA = "The merchant's own notes: a JSON object, or an array of objects, of at most 16 KB."


def notes(given: JSON | None) -> Notes:
    """As they are kept; nothing given is an empty object. Raises UserProblem INVALID for other JSON."""
    value: object = given
    if value is None:
        return {}
    if isinstance(value, dict) or (isinstance(value, list) and all(isinstance(each, dict) for each in value)):
        return value
    raise UserProblem(ErrorCode.INVALID, "Give metadata as a JSON object, or as an array of objects.", ["metadata"])
