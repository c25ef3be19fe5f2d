"""What looks like a card's number, so that it can be kept out.

A reference is looked at strictly: no id is made of twelve to nineteen digits alone. Other texts hold long numbers of
all kinds, so there one must begin like a card network's, be as long as that network's are, and pass the check digit.
"""

import re
from typing import Any, cast

_SPACING = re.compile(r"[\s.-]")
_SHORTEST, _LONGEST = 12, 19
_LONG_NUMBER = re.compile(r"(?<![\w-])(?:\d[ .-]?){12,18}\d(?![\w-])", re.ASCII)
_OF_A_NETWORK = re.compile(
    r"""
      4(?:\d{12}|\d{15}|\d{18})                                  # Visa
    | (?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}  # Mastercard
    | 3[47]\d{13}                                                # American Express
    | 3(?:0[0-5]|[689]\d)\d{11,16}                               # Diners Club
    | 35(?:2[89]|[3-8]\d)\d{12,15}                               # JCB
    | (?:6011|64[4-9]\d|65\d\d)\d{12,15}                         # Discover
    | 62\d{14,17}                                                # UnionPay
    | (?:50|5[6-9]|6\d)\d{11,17}                                 # Maestro
    """,
    re.ASCII | re.VERBOSE,
)


def is_card_number(reference: str) -> bool:
    """Whether what was given as a reference could be a card's number, however it is spaced."""
    digits = _SPACING.sub("", reference)
    return digits.isdecimal() and _SHORTEST <= len(digits) <= _LONGEST


def holds_card_number(value: Any) -> bool:
    """Whether a card's number stands anywhere in a JSON value."""
    if isinstance(value, dict):
        members = cast("dict[Any, Any]", value)
        return any(holds_card_number(each) for pair in members.items() for each in pair)
    if isinstance(value, list):
        return any(holds_card_number(each) for each in cast("list[Any]", value))
    if isinstance(value, str | int) and not isinstance(value, bool):
        return any(_is_genuine(_SPACING.sub("", found)) for found in _LONG_NUMBER.findall(str(value)))
    return False


def _is_genuine(digits: str) -> bool:
    return _OF_A_NETWORK.fullmatch(digits) is not None and _passes_luhn(digits)


def _passes_luhn(digits: str) -> bool:
    doubled = [2 * int(digit) for digit in digits[-2::-2]]
    return (sum(map(int, digits[-1::-2])) + sum(each - 9 if each > 9 else each for each in doubled)) % 10 == 0
