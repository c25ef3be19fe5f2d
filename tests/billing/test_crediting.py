"""Credit notes: parts sum to the whole, no line gives back more than it cost, tax is taken back to the cent."""

from hypothesis import given
from hypothesis import strategies as st

from billing.crediting import CARRIED, CreditableLine, credit, left_of
from billing.money import Money, step, total


def usd(minor: int) -> Money:
    return Money(minor, "USD")


def line(id: str, cost: int, tax: int = 0, credited: int = 0) -> CreditableLine:
    return CreditableLine(id, f"line {id}", usd(cost), usd(tax), usd(credited))


def told(amount: int, *lines: CreditableLine, chosen: list[str] | None = None) -> list[tuple[str | None, int, int]]:
    return [(part.line_id, part.amount.minor, part.tax.minor) for part in credit(usd(amount), lines, chosen)]


def test_an_amount_falls_on_the_lines_in_proportion_to_what_they_cost() -> None:
    assert told(300, line("a", 400), line("b", 200)) == [("a", 200, 0), ("b", 100, 0)]


def test_the_odd_cent_goes_to_the_largest_remainder() -> None:
    assert told(100, line("a", 500), line("b", 500), line("c", 500)) == [("a", 34, 0), ("b", 33, 0), ("c", 33, 0)]


def test_each_part_has_its_share_of_the_lines_tax() -> None:
    assert told(541, line("a", 1082, tax=82)) == [("a", 541, 41)]


def test_what_was_taken_back_before_is_left_alone() -> None:
    assert told(100, line("a", 400, credited=400), line("b", 200)) == [("b", 100, 0)]


def test_chosen_lines_give_first_and_the_others_the_rest() -> None:
    assert told(250, line("a", 400), line("b", 200), chosen=["b"]) == [("b", 200, 0), ("a", 50, 0)]


def test_what_no_line_has_cost_is_told_as_carried() -> None:
    parts = credit(usd(730), [line("a", 700)])
    assert [(part.line_id, part.description, part.amount.minor) for part in parts] == [
        ("a", "line a", 700),
        (None, CARRIED, 30),
    ]


currencies = st.sampled_from(("USD", "JPY", "KWD", "ISK"))


@st.composite
def invoices(draw: st.DrawFn) -> tuple[str, list[CreditableLine], list[Money]]:
    """Lines, and amounts that take all of them back one after another."""
    currency = draw(currencies)
    unit = step(currency)
    lines: list[CreditableLine] = []
    for number in range(draw(st.integers(1, 5))):
        cost = draw(st.integers(1, 10_000)) * unit
        tax = draw(st.integers(0, cost // unit)) * unit
        lines.append(CreditableLine(str(number), "", Money(cost, currency), Money(tax, currency), Money.zero(currency)))
    left, amounts = left_of(lines, currency).minor // unit, list[Money]()
    while left:
        taken = draw(st.integers(1, left))
        amounts.append(Money(taken * unit, currency))
        left -= taken
        if len(amounts) == 6 and left:
            amounts.append(Money(left * unit, currency))
            break
    return currency, lines, amounts


@given(invoices())
def test_whatever_the_order_of_refunds_each_line_ends_at_its_cost_and_its_tax(
    case: tuple[str, list[CreditableLine], list[Money]],
) -> None:
    currency, lines, amounts = case
    credited = {each.id: Money.zero(currency) for each in lines}
    taxes = dict(credited)
    for amount in amounts:
        present = [CreditableLine(x.id, x.description, x.cost, x.tax, credited[x.id]) for x in lines]
        parts = credit(amount, present)
        assert total([part.amount for part in parts], currency) == amount
        for part in parts:
            assert part.line_id is not None
            assert part.tax.minor >= 0
            credited[part.line_id] += part.amount
            taxes[part.line_id] += part.tax
    assert credited == {each.id: each.cost for each in lines}
    assert taxes == {each.id: each.tax for each in lines}
