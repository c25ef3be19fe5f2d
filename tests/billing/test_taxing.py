"""Tax: exclusive, on each discounted line, rounded there, told on one line per rate."""

from collections.abc import Sequence
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.discounting import Discount
from billing.explaining import recompute
from billing.invoicing import InvoiceReason, compose
from billing.lines import Line, LineKind
from billing.money import Money, step, total
from billing.taxing import apply_tax
from tests.billing.lines import PERIOD, line


@pytest.mark.parametrize(
    ("lines", "each", "told"),
    [
        ([line(1000)], [0], []),
        ([line(1000, tax="8.25")], [83], [("Tax (8.25 %)", 83)]),  # 82.5 cents: half away from zero
        ([line(1000, tax="0")], [0], []),
        ([line(0, tax="19")], [0], []),
        ([line(-500, kind=LineKind.CREDIT, tax="19")], [0], []),  # a credit gives its tax back already
        ([line(10, tax="5"), line(10, tax="5")], [1, 1], [("Tax (5 %)", 2)]),  # each rounded: not 5 % of 20
        (
            [line(100, tax="19"), line(100, tax="7"), line(100, tax="19.0")],
            [19, 7, 19],
            [("Tax (7 %)", 7), ("Tax (19 %)", 38)],
        ),
        ([line(1000, "JPY", tax="10")], [100], [("Tax (10 %)", 100)]),
        ([line(1230, "KWD", tax="5")], [60], [("Tax (5 %)", 60)]),  # 61.5 of the step of ten
    ],
)
def test_what_tax_comes_to(lines: Sequence[Line], each: Sequence[int], told: Sequence[tuple[str, int]]) -> None:
    taxed, taxes = apply_tax(lines, PERIOD)
    assert [one.tax.minor for one in taxed] == each
    assert [(one.description, one.amount.minor) for one in taxes] == told


def test_tax_is_on_what_a_discount_leaves() -> None:
    draft = compose(
        [line(1000, tax="10"), line(500, product="tea", tax="10")],
        reason=InvoiceReason.SUBSCRIPTION_CREATE,
        occasion="0",
        period=PERIOD,
        discounts=[Discount("dsc", "HALF", percent_off=Decimal(50), product_ids=frozenset(["tea"]))],
    )
    assert [each.tax.minor for each in draft.lines if each.is_sold] == [100, 25]
    sums = (draft.subtotal, draft.discount_total, draft.tax_total, draft.total)
    assert [amount.minor for amount in sums] == [1500, 250, 125, 1375]


@st.composite
def taxed_lines(draw: st.DrawFn) -> list[Line]:
    currency = draw(st.sampled_from(("USD", "JPY", "KWD", "ISK")))
    rates = st.sampled_from((None, "0", "7", "8.25", "19", "100"))
    drawn = draw(st.lists(st.tuples(st.integers(0, 10**7), rates), min_size=1, max_size=6))
    return [line(units * step(currency), currency, tax=rate) for units, rate in drawn]


@given(taxed_lines())
def test_the_lines_tax_sums_to_what_is_told_and_every_rate_recomputes(lines: list[Line]) -> None:
    currency = lines[0].amount.currency
    taxed, told = apply_tax(lines, PERIOD)
    assert total([each.tax for each in taxed], currency) == total([each.amount for each in told], currency)
    for each in told:
        inputs = {given.name: given.value for given in each.explanation.inputs}
        assert recompute(each.explanation.formula, inputs, currency) == each.amount
        assert each.amount > Money.zero(currency)
