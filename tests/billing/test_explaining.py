"""Formulas: what they come to, exactly, and what they refuse to be."""

import string
from collections.abc import Mapping
from contextlib import suppress
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.explaining import UnworkableFormula, recompute
from billing.money import Money


@pytest.mark.parametrize(
    ("formula", "inputs", "currency", "minor"),
    [
        ("amount", {"amount": "USD 7.00"}, "USD", 700),
        ("quantity × unitAmount", {"quantity": "3", "unitAmount": "USD 7.00"}, "USD", 2100),
        ("−min(round(base × percentOff ÷ 100), base)", {"base": "USD 9.95", "percentOff": "10"}, "USD", -100),
        ("round(a ÷ 3)", {"a": "USD 1.00"}, "USD", 33),
        ("round(a ÷ 2)", {"a": "USD 0.01"}, "USD", 1),
        ("−round(a ÷ 2)", {"a": "USD 0.01"}, "USD", -1),
        ("round(a)", {"a": "-0.005"}, "USD", -1),
        ("round(a)", {"a": "1.005"}, "KWD", 1010),  # the step of ten, half away from zero
        ("round(a)", {"a": "1.004"}, "KWD", 1000),
        ("round(a)", {"a": "49.5"}, "ISK", 5000),
        ("quantity × 2.5", {"quantity": "2"}, "JPY", 5),
        ("ceil(used ÷ 100) × price", {"used": "101", "price": "USD 0.30"}, "USD", 60),
        ("max(a − b, 0)", {"a": "USD 1.00", "b": "USD 3.00"}, "USD", 0),
        ("min(a, b, 2)", {"a": "USD 5.00", "b": "USD 3.00"}, "USD", 200),
        ("a + b × c", {"a": "1", "b": "2", "c": "3"}, "USD", 700),
        ("(a + b) × c", {"a": "1", "b": "2", "c": "3"}, "USD", 900),
        ("a", {"a": "USD 1.00", "said": "not a number"}, "USD", 100),
        ("0.1 + 0.2", {}, "USD", 30),  # no binary fractions on the way
        ("round(0.00499999999999999999999)", {}, "USD", 0),
    ],
)
def test_what_a_formula_comes_to(formula: str, inputs: Mapping[str, str], currency: str, minor: int) -> None:
    assert recompute(formula, inputs, currency) == Money(minor, currency)


@pytest.mark.parametrize(
    ("formula", "inputs"),
    [
        ("", {}),
        ("a +", {"a": "1"}),
        ("a", {}),
        ("a", {"a": "USD"}),
        ("a", {"a": "EUR 1.00"}),  # another currency is no number of this one
        ("a", {"a": "2026-01-31T00:00:00+00:00"}),
        ("a ÷ 3", {"a": "1"}),
        ("a ÷ b", {"a": "1", "b": "0"}),
        ("a ** 2", {"a": "2"}),
        ("a % 2", {"a": "2"}),
        ("a // 2", {"a": "2"}),
        ("abs(a)", {"a": "1"}),
        ("round(a, 2)", {"a": "1"}),
        ("round()", {}),
        ("min()", {}),
        ("min(*a)", {"a": "1"}),
        ("round(a=1)", {}),
        ("a.real", {"a": "1"}),
        ("a[0]", {"a": "1"}),
        ("[a]", {"a": "1"}),
        ("'1'", {}),
        ("True", {}),
        ("1j", {}),
        ("1 if a else 2", {"a": "1"}),
        ("a < 2", {"a": "1"}),
        ("lambda: 1", {}),
        ("__import__('os')", {}),
        ("a\nb", {"a": "1", "b": "1"}),
        ("a; a", {"a": "1"}),
        ("inf", {"inf": "inf"}),
        ("a", {"a": "nan"}),
        ("1e999", {}),
        ("1_0", {}),
        ("a", {"a": "1e999999999"}),
        ("a\0", {"a": "1"}),
        ("(" * 300 + "1" + ")" * 300, {}),
        ("−" * 5000 + "1", {}),
        ("99999999999999999999", {}),
    ],
)
def test_what_is_no_formula_is_refused(formula: str, inputs: Mapping[str, str]) -> None:
    with pytest.raises(UnworkableFormula):
        recompute(formula, inputs, "USD")


@given(st.text(alphabet=string.ascii_letters + string.digits + "()[]{}.,:;'\"+-*/%×÷−<>=! \n", max_size=60))
def test_whatever_is_written_it_is_an_amount_or_refused(formula: str) -> None:
    with suppress(UnworkableFormula):
        assert recompute(formula, {"a": "1", "b": "USD 2.00"}, "USD").currency == "USD"


@st.composite
def sums(draw: st.DrawFn, depth: int = 3) -> tuple[str, Fraction]:
    """A formula, and its value reckoned beside it. a = 1.25, b = 3, c = 0.5."""
    if depth == 0 or draw(st.booleans()):
        return draw(
            st.sampled_from((("a", Fraction(5, 4)), ("b", Fraction(3)), ("c", Fraction(1, 2)), ("7", Fraction(7))))
        )
    left, x = draw(sums(depth=depth - 1))
    right, y = draw(sums(depth=depth - 1))
    return draw(
        st.sampled_from(
            (
                (f"({left} + {right})", x + y),
                (f"({left} − {right})", x - y),
                (f"({left} × {right})", x * y),
                (f"min({left}, {right})", min(x, y)),
                (f"max({left}, {right})", max(x, y)),
            )
        )
    )


@given(sums())
def test_arithmetic_is_exact(case: tuple[str, Fraction]) -> None:
    formula, value = case
    cents = abs(value) * 100
    whole, rest = divmod(cents.numerator, cents.denominator)
    rounded = whole + (2 * rest >= cents.denominator)
    minor = -rounded if value < 0 else rounded
    assert recompute(f"round({formula})", {"a": "1.25", "b": "3", "c": "0.5"}, "USD") == Money(minor, "USD")
