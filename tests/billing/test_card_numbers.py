"""Card numbers are told from other long numbers."""

import pytest

from billing.card_numbers import holds_card_number, is_card_number

NUMBERS = {
    "Visa": "4242424242424242",
    "old Visa": "4222222222222",
    "Visa of 19 digits": "4000000000000000006",
    "Mastercard": "5555555555554444",
    "Mastercard 2": "2223003122003222",
    "American Express": "378282246310005",
    "Diners Club": "3056930009020004",
    "Diners Club of 14 digits": "36227206271667",
    "JCB": "3566002020360505",
    "Discover": "6011111111111117",
    "UnionPay": "6200000000000005",
    "Maestro": "6759649826438453",
}


@pytest.mark.parametrize("number", NUMBERS.values(), ids=NUMBERS)
def test_a_number_of_each_network_is_found_however_it_is_written(number: str) -> None:
    spaced = " ".join(number[n : n + 4] for n in range(0, len(number), 4))
    for text in (number, spaced, spaced.replace(" ", "-"), f"my card is {spaced}, thanks"):
        assert holds_card_number(text), text
    assert is_card_number(number)
    assert is_card_number(spaced)


@pytest.mark.parametrize(
    "value",
    [
        {"note": "4242424242424242"},
        {"4242424242424242": "note"},
        {"a": [{"b": ["x", "4242-4242-4242-4242"]}]},
        {"number": 4242424242424242},
        "4242424242424242",
    ],
)
def test_a_number_is_found_anywhere(value: object) -> None:
    assert holds_card_number(value)


@pytest.mark.parametrize(
    "value",
    [
        "4242424242424241",  # the check digit is wrong
        "1304839938470912",  # no network's
        "1304839938470912008",  # an id of 19 digits
        "424242424242",  # too short
        "42424242424242424242",  # too long
        "pm_4242424242424242",
        "sbs_019424242424242424242000000aaaa",
        "0199a2b3-4242-4242-4242-424242424242",
        "+49 30 901820",
        True,
        None,
        3.5,
        {},
        [],
    ],
)
def test_other_numbers_are_left_alone(value: object) -> None:
    assert not holds_card_number(value)


@pytest.mark.parametrize("reference", ["4242424242424241", "4242 4242 4242 4242", "0" * 12, "1" * 19])
def test_a_reference_of_digits_alone_is_no_reference(reference: str) -> None:
    assert is_card_number(reference)


@pytest.mark.parametrize(
    "reference", ["card_1NXWPnFN6DNo", "pm_1Q0PsIJvEtkwdCNY", "tok_visa", "12345678901", "1" * 20, ""]
)
def test_references_are_opaque_otherwise(reference: str) -> None:
    assert not is_card_number(reference)
