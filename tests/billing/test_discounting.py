"""Discounts: percent first, then amounts, in order, on what remains; for how many periods they last."""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.agreement import Agreement
from billing.calendar import Interval, Span
from billing.discounting import Discount, Discounted, after_period, apply_discounts
from billing.explaining import recompute
from billing.invoicing import InvoiceDraft, InvoiceReason, compose
from billing.lines import Line, LineKind
from billing.money import Money, round_to_step, step, total
from billing.pricing import PriceTerms
from billing.recurring import RecurringItem
from tests.billing.lines import PERIOD, line

CURRENCIES = ("USD", "JPY", "KWD", "ISK")


def percent(off: str, *, id: str = "dsc_p", products: Sequence[str] | None = None, left: int | None = None) -> Discount:
    return Discount(
        id,
        "SPRING",
        percent_off=Decimal(off),
        product_ids=None if products is None else frozenset(products),
        periods_left=left,
    )


def amount(
    minor: int,
    currency: str = "USD",
    *,
    id: str = "dsc_a",
    products: Sequence[str] | None = None,
    left: int | None = None,
) -> Discount:
    return Discount(
        id,
        "FIVER",
        amount_off=Money(minor, currency),
        product_ids=None if products is None else frozenset(products),
        periods_left=left,
    )


def shares(result: Discounted) -> list[int]:
    return [each.discount.minor for each in result.lines]


def taken(result: Discounted) -> list[int]:
    return [each.amount.minor for each in result.told]


@pytest.mark.parametrize(
    ("lines", "discounts", "off", "split"),
    [
        ([1000], [percent("10")], [-100], [100]),
        ([999], [percent("10")], [-100], [100]),  # 99.9 cents
        ([995], [percent("10")], [-100], [100]),  # 99.5 cents: half away from zero
        ([994], [percent("10")], [-99], [99]),
        ([1000], [percent("33.3333")], [-333], [333]),
        ([1000], [percent("0.01")], [], [0]),  # a tenth of a cent is nothing, and not told
        ([1000], [percent("100")], [-1000], [1000]),
        ([1000], [amount(300)], [-300], [300]),
        ([1000], [amount(1500)], [-1000], [1000]),
        ([100, 100, 100], [amount(100)], [-100], [34, 33, 33]),
        ([100, 200], [percent("50")], [-150], [50, 100]),
        ([1000], [percent("10", id="1"), percent("10", id="2")], [-100, -90], [190]),
        ([1000], [amount(100), percent("10")], [-90 - 10, -100], [200]),  # the percentage first, on the whole
        ([1000], [percent("100"), amount(100)], [-1000], [1000]),
        ([], [percent("10"), amount(100)], [], []),
        ([0], [percent("10"), amount(100)], [], [0]),
    ],
)
def test_what_discounts_take_off(
    lines: Sequence[int], discounts: Sequence[Discount], off: Sequence[int], split: Sequence[int]
) -> None:
    result = apply_discounts([line(minor) for minor in lines], discounts, PERIOD)
    assert (taken(result), shares(result)) == (off, split)


def test_amounts_are_told_after_percentages_whatever_the_order_of_application() -> None:
    result = apply_discounts([line(1000)], [amount(100), percent("10")], PERIOD)
    assert [each.description for each in result.told] == ["SPRING (10 % off)", "FIVER (USD 1.00 off)"]
    assert [each.id for each in result.used] == ["dsc_p", "dsc_a"]


def test_only_the_products_that_a_discount_is_for_are_discounted() -> None:
    lines = [line(1000, product="coffee"), line(500, product="tea"), line(700, product=None)]
    result = apply_discounts(lines, [percent("10", products=["tea", "milk"]), amount(300, products=["coffee"])], PERIOD)
    assert (taken(result), shares(result)) == ([-50, -300], [300, 50, 0])


def test_credits_are_left_alone() -> None:
    lines = [line(-400, kind=LineKind.CREDIT), line(1000)]
    assert shares(apply_discounts(lines, [percent("50")], PERIOD)) == [0, 500]


def test_usage_and_charges_are_discounted_too() -> None:
    lines = [line(100, kind=LineKind.USAGE), line(100, kind=LineKind.CHARGE)]
    assert shares(apply_discounts(lines, [percent("50")], PERIOD)) == [50, 50]


def test_an_amount_in_another_currency_takes_nothing_off() -> None:
    assert taken(apply_discounts([line(1000, "EUR")], [amount(100, "USD")], PERIOD)) == []


def test_a_discount_explains_itself() -> None:
    told = apply_discounts([line(1999)], [percent("12.50")], PERIOD).told[0]
    assert told.explanation.text == "Coupon SPRING: 12.5 % of USD 19.99."
    assert told.explanation.formula == "−min(round(base × percentOff ÷ 100), base)"
    assert [(i.name, i.value, i.source) for i in told.explanation.inputs] == [
        ("base", "USD 19.99", None),
        ("percentOff", "12.5", "dsc_p"),
    ]


@st.composite
def cases(draw: st.DrawFn) -> tuple[str, list[Line], list[Discount]]:
    currency = draw(st.sampled_from(CURRENCIES))
    unit = step(currency)
    kinds = st.sampled_from((LineKind.RECURRING, LineKind.USAGE, LineKind.CHARGE, LineKind.CREDIT))
    products = st.sampled_from(("coffee", "tea", None))
    lines = [
        line(units * unit if kind is not LineKind.CREDIT else -units * unit, currency, kind=kind, product=product)
        for units, kind, product in draw(st.lists(st.tuples(st.integers(0, 10**6), kinds, products), max_size=6))
    ]
    discounts: list[Discount] = []
    for number in range(draw(st.integers(0, 4))):
        of = draw(st.sampled_from((None, ("coffee",), ("coffee", "tea"))))
        if draw(st.booleans()):
            off = draw(st.decimals("0.0001", "100", places=4))
            discounts.append(percent(str(off), id=str(number), products=of))
        else:
            discounts.append(amount(draw(st.integers(1, 10**6)) * unit, currency, id=str(number), products=of))
    return currency, lines, discounts


@given(cases())
def test_no_line_falls_below_zero_and_shares_sum_to_what_is_told(case: tuple[str, list[Line], list[Discount]]) -> None:
    currency, lines, discounts = case
    result = apply_discounts(lines, discounts, PERIOD)
    for before, after in zip(lines, result.lines, strict=True):
        limit = max(before.amount.minor, 0) if before.is_sold else 0
        assert 0 <= after.discount.minor <= limit
        assert after.discount.minor % step(currency) == 0
        assert after.amount == before.amount
    off = total([each.amount for each in result.told], currency)
    assert off == -total([each.discount for each in result.lines], currency)
    assert all(each.amount.minor < 0 for each in result.told)
    assert len(result.told) == len(result.used)


@given(cases())
def test_every_told_discount_recomputes_to_its_amount(case: tuple[str, list[Line], list[Discount]]) -> None:
    currency, lines, discounts = case
    for told in apply_discounts(lines, discounts, PERIOD).told:
        inputs = {each.name: each.value for each in told.explanation.inputs}
        assert recompute(told.explanation.formula, inputs, currency) == told.amount


@given(cases())
def test_several_discounts_take_off_what_reckoning_one_after_the_other_does(
    case: tuple[str, list[Line], list[Discount]],
) -> None:
    """A model of its own: only those for everything, so that one sum is enough."""
    currency, lines, discounts = case
    wide = [each for each in discounts if each.product_ids is None]
    base = sum(each.amount.minor for each in lines if each.is_sold)
    left = base
    for each in wide:
        if each.percent_off is not None:
            left -= min(round_to_step(left * Fraction(each.percent_off) / 100, currency), left)
    for each in wide:
        if each.amount_off is not None:
            left -= min(each.amount_off.minor, left)
    assert sum(taken(apply_discounts(lines, wide, PERIOD))) == left - base


# ── how long they last ──


def bill(discounts: Sequence[Discount], reason: InvoiceReason, *, begins: bool | None = None) -> InvoiceDraft:
    return compose([line(1000)], reason=reason, occasion="1", period=PERIOD, discounts=discounts, begins_period=begins)


CYCLE, UPDATE = InvoiceReason.SUBSCRIPTION_CYCLE, InvoiceReason.SUBSCRIPTION_UPDATE


def test_an_invoice_that_begins_a_period_uses_up_one_of_each_discount_that_takes_something_off() -> None:
    mine = [percent("10", id="1", left=1), percent("10", id="2", products=["tea"]), amount(100, id="3", left=2)]
    draft = bill(mine, CYCLE)
    assert (draft.discount_total.minor, draft.used_discounts) == (200, ("1", "3"))


def test_what_has_no_period_left_takes_nothing_off_the_next_one() -> None:
    assert bill([percent("10", left=0), amount(100, left=0)], CYCLE).discount_total.minor == 0


@pytest.mark.parametrize("reason", [UPDATE, InvoiceReason.SUBSCRIPTION_CANCEL, InvoiceReason.MANUAL])
def test_within_a_period_its_percentages_count_and_nothing_is_used_up(reason: InvoiceReason) -> None:
    used = after_period([percent("10", id="1", left=1), amount(100, id="2"), percent("50", id="3")], ["1", "2"])
    draft = bill(used, reason)
    assert (draft.discount_total.minor, draft.used_discounts) == (100, ())


def test_a_change_that_begins_a_period_counts_as_one() -> None:
    draft = bill([percent("10", left=1), amount(100)], UPDATE, begins=True)
    assert (draft.discount_total.minor, draft.used_discounts) == (200, ("dsc_p", "dsc_a"))


def test_of_four_periods_a_coupon_of_three_takes_something_off_the_first_three() -> None:
    item = RecurringItem("pln", "Coffee", PriceTerms("prc", "USD", Decimal("10")), 1, Interval.MONTH, 1)
    agreement = Agreement(ZoneInfo("UTC"), [item], Money.zero("USD"), discounts=[percent("25", left=3)])
    totals: list[int] = []
    for number in range(4):
        draft = agreement.draft_period(Span(PERIOD, PERIOD), reason=CYCLE, occasion=str(number))
        totals.append(draft.total.minor)
        agreement = agreement.after_period(draft)
    assert totals == [750, 750, 750, 1000]
    assert agreement.discounts == [percent("25", left=0)]


def test_a_period_that_costs_nothing_uses_nothing_up() -> None:
    free = compose([line(0)], reason=CYCLE, occasion="1", period=PERIOD, discounts=[percent("10", left=1)])
    assert free.used_discounts == ()
