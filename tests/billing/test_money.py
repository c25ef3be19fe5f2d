"""Money: exact, in steps that the card gateways charge, and never a cent lost."""

import os
import random
import secrets
from decimal import ROUND_HALF_UP, Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.money import (
    CURRENCIES,
    CurrencyMismatch,
    Money,
    MoneyError,
    exponent,
    minimum_charge,
    round_to_step,
    step,
    total,
)

ZERO_DECIMALS = "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF".split()
THREE_DECIMALS = "BHD JOD KWD OMR TND".split()
MINIMA = {
    **dict.fromkeys("USD AUD BRL CAD CHF EUR INR NZD SGD JPY KRW".split(), 50),
    "GBP": 30,
    "DKK": 250,
    "NOK": 300,
    "SEK": 300,
    "HKD": 400,
    "MXN": 1000,
    "THB": 1000,
    "CZK": 1500,
    "HUF": 17500,
    "AED": 200,
    "MYR": 200,
    "PLN": 200,
    "RON": 200,
}
LARGEST = 2**63 - 1

currencies = st.sampled_from(sorted(CURRENCIES))
weights = st.lists(st.integers(0, 10**12), min_size=1, max_size=12).filter(any)


@st.composite
def chargeable(draw: st.DrawFn, low: int = -(10**12), high: int = 10**12) -> Money:
    currency = draw(currencies)
    return Money(draw(st.integers(low, high)) * step(currency), currency)


def test_zero_decimal_currencies_are_whole_and_move_by_one() -> None:
    assert {c for c in CURRENCIES if exponent(c) == 0} == set(ZERO_DECIMALS)
    assert {step(c) for c in ZERO_DECIMALS} == {1}


def test_three_decimal_currencies_move_by_ten() -> None:
    assert {c for c in CURRENCIES if exponent(c) == 3} == set(THREE_DECIMALS)
    assert {c for c in CURRENCIES if step(c) == 10} == set(THREE_DECIMALS)


def test_krona_and_shilling_are_written_with_cents_that_are_always_zero() -> None:
    assert {c for c in CURRENCIES if step(c) == 100} == {"ISK", "UGX"}
    assert (exponent("ISK"), exponent("UGX")) == (2, 2)


@pytest.mark.parametrize("currency", sorted(CURRENCIES))
def test_the_minimum_charge_is_the_gateways_or_one_step(currency: str) -> None:
    assert minimum_charge(currency) == MINIMA.get(currency, step(currency))
    assert minimum_charge(currency) % step(currency) == 0


@pytest.mark.parametrize("currency", ["", "usd", "US", "USDT", "XXX", "€", "USD "])
def test_an_unknown_currency_is_refused(currency: str) -> None:
    with pytest.raises(MoneyError, match="is no supported ISO 4217 currency code"):
        Money(1, currency)
    with pytest.raises(MoneyError, match="is no supported ISO 4217 currency code"):
        minimum_charge(currency)


@pytest.mark.parametrize(
    ("major", "currency", "minor", "text"),
    [
        ("9.99", "USD", 999, "USD 9.99"),
        ("7", "USD", 700, "USD 7.00"),
        ("101.00", "CNY", 10100, "CNY 101.00"),
        ("-0.01", "EUR", -1, "EUR -0.01"),
        ("-0.00", "EUR", 0, "EUR 0.00"),
        ("1e2", "USD", 10000, "USD 100.00"),
        ("9.990000000000000000000000000000000000", "USD", 999, "USD 9.99"),
        ("500", "JPY", 500, "JPY 500"),
        ("0", "JPY", 0, "JPY 0"),
        ("-500.0", "KRW", -500, "KRW -500"),
        ("1.5", "KWD", 1500, "KWD 1.500"),
        ("1.25", "TND", 1250, "TND 1.250"),
        ("0", "BHD", 0, "BHD 0.000"),
        ("1500", "ISK", 150000, "ISK 1500.00"),
        ("3700", "UGX", 370000, "UGX 3700.00"),
        ("92233720368547758.07", "USD", LARGEST, "USD 92233720368547758.07"),
        ("-92233720368547758.07", "USD", -LARGEST, "USD -92233720368547758.07"),
        ("9223372036854775807", "JPY", LARGEST, "JPY 9223372036854775807"),
    ],
)
def test_major_units_become_minor_ones_and_back(major: str, currency: str, minor: int, text: str) -> None:
    money = Money.of(major, currency)
    assert money == Money(minor, currency)
    assert Money.of(Decimal(major), currency) == money
    assert str(money) == text
    assert Money.of(money.major, currency) == money


@pytest.mark.parametrize(
    ("major", "currency"),
    [
        ("9.999", "USD"),
        ("0.001", "EUR"),
        ("1.0000000000000000000000000000001", "USD"),
        ("0.5", "JPY"),
        ("1.255", "KWD"),
        ("1.0001", "KWD"),
        ("1500.50", "ISK"),
        ("0.01", "UGX"),
        ("1e-15", "USD"),
    ],
)
def test_an_amount_finer_than_the_currency_can_be_charged_is_refused(major: str, currency: str) -> None:
    with pytest.raises(MoneyError) as refusal:
        Money.of(major, currency)
    assert str(refusal.value) == f"{major} is finer than {currency} can be charged"


@pytest.mark.parametrize(
    ("major", "message"),
    [
        ("", "'' is no decimal number, such as 9.99"),
        ("ten", "'ten' is no decimal number, such as 9.99"),
        ("9,99", "'9,99' is no decimal number, such as 9.99"),
        ("NaN", "NaN is no amount of money"),
        ("sNaN", "sNaN is no amount of money"),
        ("Infinity", "Infinity is no amount of money"),
        ("-Infinity", "-Infinity is no amount of money"),
        ("1e999999999", "1e999999999 is no amount of money"),
        ("1e-999999999", "1e-999999999 is no amount of money"),
        ("92233720368547758.08", "9223372036854775808 USD does not fit 64 bits"),
        ("1e19", "1000000000000000000000 USD does not fit 64 bits"),
    ],
)
def test_what_is_no_amount_is_refused_in_words(major: str, message: str) -> None:
    with pytest.raises(MoneyError) as refusal:
        Money.of(major, "USD")
    assert str(refusal.value) == message


@pytest.mark.parametrize("minor", [LARGEST + 1, -LARGEST - 1])
def test_an_amount_beyond_64_bits_is_refused(minor: int) -> None:
    with pytest.raises(MoneyError, match="does not fit 64 bits"):
        Money(minor, "USD")


def test_a_sum_beyond_64_bits_is_refused() -> None:
    assert Money(LARGEST, "USD") + Money(-1, "USD") == Money(LARGEST - 1, "USD")
    with pytest.raises(MoneyError, match="does not fit 64 bits"):
        Money(LARGEST, "USD") + Money(1, "USD")
    with pytest.raises(MoneyError, match="does not fit 64 bits"):
        Money(LARGEST, "USD").times(2)


@pytest.mark.parametrize(
    "mix",
    [
        lambda a, b: a + b,
        lambda a, b: a - b,
        lambda a, b: a < b,
        lambda a, b: a <= b,
        lambda a, b: a > b,
        lambda a, b: a >= b,
        lambda a, b: total([a, b], a.currency),
        lambda a, b: total([a], b.currency),
    ],
    ids=["plus", "minus", "less", "at most", "more", "at least", "total", "total of another"],
)
def test_two_currencies_never_meet(mix) -> None:
    with pytest.raises(CurrencyMismatch) as refusal:
        mix(Money(0, "USD"), Money(0, "EUR"))
    assert "cannot be added or compared" in str(refusal.value)


def test_the_same_number_of_another_currency_is_not_equal() -> None:
    assert Money(0, "USD") != Money(0, "EUR")


def test_amounts_add_subtract_negate_and_order() -> None:
    a, b = Money(999, "USD"), Money(1, "USD")
    assert (a + b, a - b, -a) == (Money(1000, "USD"), Money(998, "USD"), Money(-999, "USD"))
    assert (b < a, b <= a, a > b, a >= b, a < a, a <= a) == (True, True, True, True, False, True)
    assert (Money(0, "USD").is_zero, a.is_zero, (-b).is_zero) == (True, False, False)
    assert total([a, b, -a], "USD") == b
    assert total([], "JPY") == Money(0, "JPY")


@pytest.mark.parametrize(
    ("minor", "currency", "rounded"),
    [
        (Fraction(1, 2), "USD", 1),
        (Fraction(-1, 2), "USD", -1),
        (Fraction(3, 2), "USD", 2),
        (Fraction(5, 2), "USD", 3),
        (Fraction(-5, 2), "USD", -3),
        (Fraction(49, 100), "USD", 0),
        (Fraction(-49, 100), "USD", 0),
        (Fraction(1, 3), "USD", 0),
        (Fraction(2, 3), "USD", 1),
        (Fraction(1, 2) - Fraction(1, 10**30), "USD", 0),
        (Fraction(1, 2) + Fraction(1, 10**30), "USD", 1),
        (Fraction(1, 2), "JPY", 1),
        (Fraction(5), "KWD", 10),
        (Fraction(-5), "KWD", -10),
        (Fraction(4), "KWD", 0),
        (Fraction(1234), "KWD", 1230),
        (Fraction(1235), "KWD", 1240),
        (Fraction(50), "ISK", 100),
        (Fraction(-50), "UGX", -100),
        (Fraction(149), "ISK", 100),
        (Fraction(15050), "UGX", 15100),
        (Fraction(0), "USD", 0),
    ],
)
def test_rounding_is_half_away_from_zero_to_the_step(minor: Fraction, currency: str, rounded: int) -> None:
    assert round_to_step(minor, currency) == rounded


@settings(deadline=None)
@given(st.integers(-(10**18), 10**18), st.integers(0, 6), currencies)
def test_rounding_agrees_with_decimals_half_up(digits: int, decimals: int, currency: str) -> None:
    written = Decimal(digits).scaleb(-decimals)
    with localcontext(prec=60):
        steps = (written / step(currency)).quantize(Decimal(1), rounding=ROUND_HALF_UP)
    assert round_to_step(Fraction(written), currency) == int(steps) * step(currency)


@pytest.mark.parametrize(
    ("money", "factor", "product"),
    [
        (Money(999, "USD"), 3, Money(2997, "USD")),
        (Money(999, "USD"), 0, Money(0, "USD")),
        (Money(999, "USD"), -1, Money(-999, "USD")),
        (Money(700, "USD"), Fraction(1, 3), Money(233, "USD")),
        (Money(701, "USD"), Fraction(1, 2), Money(351, "USD")),
        (Money(-701, "USD"), Fraction(1, 2), Money(-351, "USD")),
        (Money(101, "JPY"), Fraction(1, 2), Money(51, "JPY")),
        (Money(1010, "KWD"), Fraction(1, 2), Money(510, "KWD")),
        (Money(10100, "ISK"), Fraction(1, 2), Money(5100, "ISK")),
    ],
)
def test_times_is_exact_and_rounded_once(money: Money, factor: Fraction | int, product: Money) -> None:
    assert money.times(factor) == product


@pytest.mark.parametrize(
    ("minor", "currency", "by", "parts"),
    [
        (100, "USD", [1, 1, 1], [34, 33, 33]),
        (-100, "USD", [1, 1, 1], [-34, -33, -33]),
        (101, "USD", [1, 1, 1], [34, 34, 33]),
        (5, "JPY", [1, 2, 2], [1, 2, 2]),
        (1, "JPY", [1, 2, 2], [0, 1, 0]),
        (10, "USD", [0, 3, 0, 7], [0, 3, 0, 7]),
        (1, "USD", [0, 1], [0, 1]),
        (0, "USD", [1, 2], [0, 0]),
        (1000, "KWD", [1, 1, 1], [340, 330, 330]),
        (10000, "ISK", [1, 1, 1], [3400, 3300, 3300]),
        (100, "UGX", [1, 1], [100, 0]),
        (1005, "KWD", [0, 1, 1], [0, 505, 500]),
        (-150, "ISK", [1, 1], [-150, 0]),
        (999, "USD", [10**15, 1], [999, 0]),
    ],
)
def test_a_split_gives_the_odd_steps_to_the_largest_remainders(
    minor: int, currency: str, by: list[int], parts: list[int]
) -> None:
    assert [part.minor for part in Money(minor, currency).split(by)] == parts


@pytest.mark.parametrize("by", [[], [0], [0, 0], [1, -1], [-1]])
def test_a_split_without_weights_is_refused(by: list[int]) -> None:
    with pytest.raises(MoneyError, match="a split needs weights that are not negative and not all zero"):
        Money(100, "USD").split(by)


@settings(deadline=None)
@given(chargeable(), weights)
def test_each_part_is_less_than_one_step_from_its_exact_share(money: Money, by: list[int]) -> None:
    for part, weight in zip(money.split(by), by, strict=True):
        assert abs(part.minor - Fraction(money.minor * weight, sum(by))) < step(money.currency)


@settings(deadline=None)
@given(chargeable(), weights)
def test_a_credit_splits_as_the_charge_does(money: Money, by: list[int]) -> None:
    assert [-part for part in (-money).split(by)] == money.split(by)


@settings(deadline=None)
@given(currencies, st.integers(-LARGEST, LARGEST), weights)
def test_even_an_amount_between_two_steps_is_split_without_loss(currency: str, minor: int, by: list[int]) -> None:
    parts = Money(minor, currency).split(by)
    assert sum(part.minor for part in parts) == minor
    assert all(part.is_zero for part, weight in zip(parts, by, strict=True) if not weight)


def test_no_cent_is_lost_in_a_hundred_thousand_splits() -> None:
    """Half are divisions over lines, half prorations: a price over the used and the remaining microseconds."""
    seed = int(os.environ.get("PERENNIAL_TEST_SEED") or secrets.randbits(32))
    print(f"PERENNIAL_TEST_SEED={seed}")
    chance = random.Random(seed)
    spread = sorted(CURRENCIES) + [*ZERO_DECIMALS, *THREE_DECIMALS, "ISK", "UGX"] * 4
    for turn in range(100_000):
        currency = chance.choice(spread)
        unit = step(currency)
        whole = Money(chance.randrange(-(10**9), 10**9) * unit, currency)
        if turn % 2:
            period = chance.choice((28, 29, 30, 31, 92, 365, 366)) * 86_400_000_000
            used = chance.randrange(period + 1)
            by = [used, period - used]
        else:
            by = [chance.randrange(10**6) for _ in range(chance.randrange(1, 9))] + [chance.randrange(1, 10**6)]
        parts = whole.split(by)
        minors = [part.minor for part in parts]
        assert sum(minors) == whole.minor, (seed, turn, whole, by, parts)
        assert not any(minor % unit for minor in minors), (seed, turn, whole, by, parts)
