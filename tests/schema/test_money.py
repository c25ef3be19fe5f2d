"""Amounts as text for people, exact in every currency."""

import pytest
from babel import Locale

from billing.money import CURRENCIES
from billing.money import Money as Amount
from languages import known_locale
from resolvers.writing import formatted
from schema.money import Money
from tests.support.house import House


@pytest.mark.parametrize(
    ("minor", "currency", "amount"),
    [(700, "USD", "7.00"), (101, "JPY", "101"), (1_230, "KWD", "1.230"), (-5, "EUR", "-0.05"), (100, "ISK", "1.00")],
)
def test_an_amount_has_the_currencys_own_decimals(minor: int, currency: str, amount: str) -> None:
    shown = Money.of(Amount(minor, currency))
    assert (str(shown.amount), shown.amount_minor, shown.currency_code) == (amount, minor, currency)


@pytest.mark.parametrize(
    ("minor", "currency", "locale", "text"),
    [
        (700, "USD", "en", "$7.00"),
        (123_456, "EUR", "de", "1.234,56\u00a0€"),
        (101, "JPY", "ja-JP", "￥101"),
        (1_230, "KWD", "en", "KWD1.230"),
        (100, "ISK", "en", "ISK1"),
        (1_050, "RSD", "en", "RSD10.50"),
        (-700, "USD", "en-US", "-$7.00"),
        (4_900, "AED", "en", "AED49.00"),
        (4_900, "AED", "de", "49,00\u00a0AED"),
        (4_900, "AED", "en-KW", "AED49.00"),
    ],
)
def test_amounts_are_written_as_the_locale_does_and_never_rounded(
    minor: int, currency: str, locale: str, text: str
) -> None:
    amount = Amount(minor, currency)
    known = known_locale(locale)
    assert known is not None
    assert formatted(amount.major, currency, known) == text


def test_every_currency_keeps_its_minor_units() -> None:
    english = Locale.parse("en")
    for currency in CURRENCIES:
        digits = "".join(c for c in formatted(Amount(1_230, currency).major, currency, english) if c.isdigit())
        assert digits in ("1230", "123") if currency not in ("ISK", "UGX") else digits == "1230", currency


@pytest.mark.parametrize("locale", ["xx-invented", "", "../../etc/passwd", "e" * 500, "en_US.UTF-8"])
async def test_an_unknown_locale_is_the_callers_error(small_house: House, locale: str) -> None:
    query = 'query($l: String!) { plan(code: "free") { price { amount { formatted(locale: $l) } } } }'
    answer = (await small_house.post(query, {"l": locale})).json()
    (error,) = answer["errors"]
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
