"""What clients give as references and notes, looked at before any step begins: a card's number goes no further."""

from typing import Any

from strawberry.scalars import JSON

from billing.card_numbers import holds_card_number, is_card_number
from billing.errors import ErrorCode, UserProblem


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


def notes(given: JSON | None) -> dict[str, Any] | None:
    """The notes as given. Raises UserProblem INVALID when they are no object or hold a card's number."""
    if given is None:
        return None
    if not isinstance(given, dict):
        raise UserProblem(ErrorCode.INVALID, "Give metadata as a JSON object.", ["metadata"])
    if holds_card_number(given):
        message = "metadata: this holds what looks like a card's number, which must never come here. Leave it out."
        raise UserProblem(ErrorCode.INVALID, message, ["metadata"])
    return given
