"""What clients give as references and notes, looked at before any step begins: a card's number goes no further."""

from strawberry.scalars import JSON

from billing.card_numbers import holds_card_number, is_card_number
from billing.errors import ErrorCode, UserProblem
from models.base import Notes

METADATA = "The merchant's own notes: a JSON object, or an array of objects, of at most 16 KB."


def references(**given: str | None) -> None:
    """Raises UserProblem INVALID for a card's number where a card is named; the names are the input's own fields."""
    for field, text in given.items():
        if text is not None and is_card_number(text):
            raise UserProblem(
                ErrorCode.INVALID,
                f"{field}: this looks like a card's number, which must never come here. Let the browser give the card "
                "to the gateway and send what it gets for it.",
                [field],
            )


def notes(given: JSON | None) -> Notes:
    """As they are kept; nothing given is an empty object.

    Raises UserProblem INVALID for other JSON, and for what holds a card's number.
    """
    value: object = given
    if value is None:
        return {}
    if not isinstance(value, dict) and not (isinstance(value, list) and all(isinstance(each, dict) for each in value)):
        raise UserProblem(ErrorCode.INVALID, "Give metadata as a JSON object, or as an array of objects.", ["metadata"])
    if holds_card_number(value):
        message = "metadata: this holds what looks like a card's number, which must never come here. Leave it out."
        raise UserProblem(ErrorCode.INVALID, message, ["metadata"])
    return value
