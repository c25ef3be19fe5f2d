"""Changes within a period: exact to the cent however often, never more back than was paid, and explained."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.calendar import Grid, Interval, Period, Span
from billing.discounting import Discount
from billing.explaining import recompute
from billing.invoicing import InvoiceReason, compose
from billing.lines import Line, LineKind
from billing.money import Money, exponent, step, total
from billing.pricing import PriceTerms
from billing.proration import (
    Billed,
    Present,
    ProrationBehavior,
    Turn,
    price_of_used,
    turn_over,
    turn_within,
)
from billing.recurring import RecurringItem, recurring_lines

UTC_ZONE = ZoneInfo("UTC")
NOW, NEXT, NONE = ProrationBehavior.PRORATE_NOW, ProrationBehavior.PRORATE_NEXT_INVOICE, ProrationBehavior.NONE
RESET, USAGE = ProrationBehavior.FULL_PRICE_RESET, ProrationBehavior.USAGE_AWARE
APRIL = Period(datetime(2026, 4, 1, tzinfo=UTC), datetime(2026, 5, 1, tzinfo=UTC))


def item(name: str, price: str, currency: str = "USD", quantity: int = 1, tax: str | None = None) -> RecurringItem:
    return RecurringItem(
        f"plan_{name}",
        name,
        PriceTerms(f"price_{name}", currency, Decimal(price)),
        quantity,
        Interval.MONTH,
        1,
        item_id=name,
        product_id="product",
        tax_percent=Decimal(tax) if tax else None,
    )


def billed(lines: Sequence[Line], *, returned: int = 0, used: int = 0) -> list[Billed]:
    return [
        Billed(line, True, Money(returned, line.amount.currency), Money(used, line.amount.currency))
        for line in lines
        if line.kind is LineKind.RECURRING
    ]


def present(lines: Sequence[Line], period: Period = APRIL, *, returned: int = 0, used: int = 0) -> Present:
    return Present(period.start, period.end, period.length, billed(lines, returned=returned, used=used))


def in_full(items: Sequence[RecurringItem], period: Period = APRIL) -> Sequence[Line]:
    return recurring_lines(items, Span(period, period), UTC_ZONE)


def change(
    was: Present, ended: Sequence[str], begun: Sequence[RecurringItem], at: datetime, behavior: ProrationBehavior = NOW
) -> Turn:
    return turn_within(was, ended=frozenset(ended), begun=begun, behavior=behavior, now=at, zone=UTC_ZONE)


def explained(lines: Sequence[Line]) -> bool:
    return all(
        recompute(line.explanation.formula, {i.name: i.value for i in line.explanation.inputs}, line.amount.currency)
        == line.amount
        for line in lines
    )


# ── worked examples of other engines, where our rule is the same ──

HALF = datetime(2026, 4, 16, tzinfo=UTC)


@pytest.mark.parametrize(
    ("old", "new", "currency", "at", "credit", "charge"),
    [
        # docs.stripe.com/billing/subscriptions/prorations: 10 USD to 20 USD halfway through, 5 USD more to pay
        ("10", "20", "USD", HALF, -500, 1000),
        # docs.useautumn.com/documentation/modelling-pricing/proration: 20 to 50 halfway through, 15 to pay
        ("20", "50", "USD", HALF, -1000, 2500),
        # chargebee.com/docs/proration-old.html, example 1: 60 to 30 on 21 April of 1 April to 1 May, 10 left over
        ("60", "30", "USD", datetime(2026, 4, 21, tzinfo=UTC), -2000, 1000),
        # support.chargebee.com, "Pro-ration logic in subscriptions": 30 to 100 with 15 of 30 days left, 35 to pay
        ("30", "100", "USD", HALF, -1500, 5000),
        # changelog.baremetrics.com, "Proration Charge Fixes": 12 to 24 a quarter through, 9 back and 18 to pay
        ("12", "24", "USD", datetime(2026, 4, 8, 12, tzinfo=UTC), -900, 1800),
        # Ours: no cents where a currency has none, and the last digit of three is 0.
        ("1000", "2500", "JPY", datetime(2026, 4, 11, tzinfo=UTC), -667, 1667),
        ("1.25", "3.75", "KWD", datetime(2026, 4, 11, tzinfo=UTC), -830, 2500),
    ],
    ids=["stripe", "autumn", "chargebee down", "chargebee up", "baremetrics", "yen", "dinar"],
)
def test_a_change_gives_back_and_charges_by_the_time_that_is_left(
    old: str, new: str, currency: str, at: datetime, credit: int, charge: int
) -> None:
    was = present(in_full([item("old", old, currency)]))
    turn = change(was, ["old"], [item("new", new, currency)], at)
    assert [(line.kind, line.amount.minor) for line in turn.lines] == [
        (LineKind.CREDIT, credit),
        (LineKind.RECURRING, charge),
    ]
    assert explained(turn.lines)
    assert [(line.is_proration, line.period) for line in turn.lines] == [(True, Period(at, APRIL.end))] * 2


def test_lines_tell_what_they_are_for() -> None:
    was = present(in_full([item("Reader", "7.00")]))
    credit, charge = change(was, ["Reader"], [item("Writer", "10.00", quantity=2)], HALF).lines
    assert (credit.description, credit.explanation.text, credit.explanation.formula) == (
        "Unused: Reader (2026-04-01 to 2026-05-01)",
        "50.0 % of USD 7.00 for Reader (2026-04-01 to 2026-05-01) is unused.",
        "−round((amount) × remainingMicroseconds ÷ periodMicroseconds)",
    )
    assert (charge.description, charge.explanation.text, charge.amount.minor) == (
        "Writer (2026-04-16 to 2026-05-01)",
        "2 × Writer at USD 10.00 for 1 month, 2026-04-16 to 2026-05-01: 50.0 % of a full period.",
        1000,
    )


# ── what was paid ──


def test_discount_and_tax_are_given_back_with_the_price() -> None:
    whole = compose(
        in_full([item("old", "10.00", tax="20")]),
        reason=InvoiceReason.SUBSCRIPTION_CYCLE,
        occasion="1",
        period=APRIL,
        discounts=[Discount("dsc", "HALF", percent_off=Decimal(50))],
    )
    assert whole.total.minor == 600
    (credit,) = change(present(whole.lines), ["old"], [], HALF).lines
    assert (credit.amount.minor, credit.explanation.text) == (
        -300,
        "50.0 % of USD 10.00 − USD 5.00 discount + USD 1.00 tax for old (2026-04-01 to 2026-05-01) is unused.",
    )
    assert explained([credit])


@pytest.mark.parametrize(
    ("more", "credit"),
    [
        ({"returned": 200}, -300),
        ({"returned": 500}, 0),
        ({"returned": 1000}, 0),
        ({"used": 300}, -500),
        ({"used": 700}, -300),
        ({"used": 1000}, 0),
        ({"used": 4000}, 0),
        ({"used": 700, "returned": 100}, -200),
    ],
)
def test_never_more_is_given_back_than_is_left_of_what_was_paid(more: dict[str, int], credit: int) -> None:
    was = present(in_full([item("old", "10.00")]), returned=more.get("returned", 0), used=more.get("used", 0))
    turn = change(was, ["old"], [], HALF, USAGE)
    assert total([line.amount for line in turn.credits], "USD").minor == credit
    assert len(turn.credits) == (credit != 0)
    assert explained(turn.credits)


@pytest.mark.parametrize(
    ("used", "granted", "price"), [(0, 10, 0), (3, 10, 300), (12, 10, 1000), (1, 3, 333), (5, 0, 0)]
)
def test_the_price_of_what_was_used_is_its_share(used: int, granted: int, price: int) -> None:
    assert price_of_used(Money(1000, "USD"), used, granted).minor == price


def test_items_that_stay_are_left_alone() -> None:
    was = present(in_full([item("seat", "10.00"), item("extra", "4.00")]))
    turn = change(was, ["extra"], [item("more", "6.00")], HALF)
    assert [(line.item_id, line.amount.minor) for line in turn.lines] == [("extra", -200), ("more", 300)]


# ── what is done about money ──


def test_without_money_there_is_no_line() -> None:
    was = present(in_full([item("old", "10.00")]))
    assert change(was, ["old"], [item("new", "20.00")], HALF, NONE).lines == []


def test_a_new_period_at_full_price_gives_nothing_back() -> None:
    was = present(in_full([item("old", "10.00")]))
    fresh = Span(Period(HALF, datetime(2026, 5, 16, tzinfo=UTC)), Period(HALF, datetime(2026, 5, 16, tzinfo=UTC)))
    turn = turn_over(was, span=fresh, items=[item("new", "20.00")], behavior=RESET, now=HALF, zone=UTC_ZONE)
    assert [(line.amount.minor, line.is_proration) for line in turn.lines] == [(2000, False)]


def test_another_interval_gives_all_that_is_unused_back_and_begins_a_period() -> None:
    year = Grid(HALF, Interval.YEAR, 1, UTC_ZONE).span_from(HALF)
    was = present(in_full([item("seat", "10.00"), item("extra", "4.00")]))
    turn = turn_over(was, span=year, items=[item("yearly", "100.00")], behavior=NOW, now=HALF, zone=UTC_ZONE)
    assert [(line.kind, line.amount.minor) for line in turn.lines] == [
        (LineKind.CREDIT, -500),
        (LineKind.CREDIT, -200),
        (LineKind.RECURRING, 10000),
    ]
    assert turn.lines[-1].period.end == datetime(2027, 4, 16, tzinfo=UTC)


def test_a_quarter_of_a_year_used_gives_three_quarters_back() -> None:
    year = Period(datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
    at = year.start + year.length / 4
    month = Grid(at, Interval.MONTH, 1, UTC_ZONE).span_from(at)
    was = present(in_full([item("yearly", "120.00")], year), year)
    turn = turn_over(was, span=month, items=[item("monthly", "15.00")], behavior=NOW, now=at, zone=UTC_ZONE)
    assert [line.amount.minor for line in turn.lines] == [-9000, 1500]


def test_after_a_pause_only_the_time_that_is_left_counts() -> None:
    """Ten days of standing still moved the end from 1 to 11 May; at 21 April twenty days are left of thirty."""
    moved = replace(present(in_full([item("old", "30.00")])), end=APRIL.end + timedelta(days=10))
    turn = change(moved, ["old"], [item("new", "60.00")], datetime(2026, 4, 21, tzinfo=UTC))
    assert [line.amount.minor for line in turn.lines] == [-2000, 4000]


def test_what_waits_for_the_next_invoice_is_cut_where_its_item_ends() -> None:
    was = present(in_full([item("a", "30.00")]))
    first = change(was, ["a"], [item("b", "60.00")], datetime(2026, 4, 11, tzinfo=UTC), NEXT)
    assert [line.amount.minor for line in first.lines] == [-2000, 4000]
    waits = replace(was, billed=(), waiting={str(at): line for at, line in enumerate(first.lines)})
    second = change(waits, ["b"], [item("c", "90.00")], datetime(2026, 4, 21, tzinfo=UTC), NEXT)
    assert [line.amount.minor for line in second.waiting.values()] == [-2000, 2000]
    assert [line.amount.minor for line in second.lines] == [3000]
    assert explained([*second.waiting.values(), *second.lines])
    at_once = change(waits, ["b"], [item("a", "30.00")], datetime(2026, 4, 11, tzinfo=UTC), NEXT)
    assert total([line.amount for line in [*at_once.waiting.values(), *at_once.lines]], "USD").is_zero


def test_what_was_cut_is_not_cut_again_when_a_new_period_begins() -> None:
    """Ten days of 60 a month and ten of 90: both are asked for, and of the first one's 30 days ten."""
    was = present(in_full([item("a", "30.00")]))
    waiting: dict[str, Line] = {}
    for day, ended, begun in ((11, "a", item("b", "60.00")), (21, "b", item("c", "90.00"))):
        now = datetime(2026, 4, day, tzinfo=UTC)
        turn = change(replace(was, waiting=waiting), [ended], [begun], now, NEXT)
        waiting = {**turn.waiting, **{f"{day}.{at}": line for at, line in enumerate(turn.lines)}}
        was = replace(was, billed=())
    year = Span(*[Period(APRIL.end, APRIL.end + timedelta(days=365))] * 2)
    present_now = replace(was, waiting=waiting, items=frozenset(("c",)))
    turn = turn_over(present_now, span=year, items=[], behavior=NOW, now=APRIL.end, zone=UTC_ZONE)
    assert [line.amount.minor for line in turn.waiting.values()] == [-2000, 2000, 3000]


# ── however often ──


@dataclass
class Books:
    """One subscription through a chain of changes: what is subscribed to, what it was asked for, all its lines."""

    behavior: ProrationBehavior
    was: Present
    current: RecurringItem
    asked: list[Line]
    rounded: int = 1

    def change_to(self, new: RecurringItem, at: datetime) -> None:
        turn = change(self.was, [str(self.current.item_id)], [new], at, self.behavior)
        assert explained([*turn.lines, *turn.waiting.values()])
        if self.behavior is NEXT:
            waiting = {**turn.waiting, **{f"{self.rounded}.{n}": line for n, line in enumerate(turn.lines)}}
            self.was = replace(self.was, billed=(), waiting=waiting)
        else:
            self.asked.extend(turn.lines)
            self.was = replace(self.was, billed=billed(turn.charges))
        self.rounded += 3
        self.current = new

    @property
    def total(self) -> Money:
        lines = [*self.asked, *self.was.waiting.values()]
        return total([line.amount for line in lines], str(self.current.price.currency))


CURRENCIES = st.sampled_from(("USD", "JPY", "KWD", "ISK"))


@st.composite
def chains(draw: st.DrawFn) -> tuple[str, list[tuple[int, int]], Period]:
    """A currency, and prices (in the currency's steps) with the microsecond of the period at which each begins."""
    currency = draw(CURRENCIES)
    length = draw(
        st.sampled_from((timedelta(days=28), timedelta(days=31), timedelta(days=30, hours=1), timedelta(days=365)))
    )
    period = Period(APRIL.start, APRIL.start + length)
    span = length // timedelta(microseconds=1)
    instants = sorted(draw(st.lists(st.integers(0, span - 1), min_size=1, max_size=6)))
    prices = draw(st.lists(st.integers(0, 10**7), min_size=len(instants) + 1, max_size=len(instants) + 1))
    return currency, [(price, at) for price, at in zip(prices, [0, *instants], strict=True)], period


def priced(at: int, steps: int, currency: str) -> RecurringItem:
    amount = Money(steps * step(currency), currency)
    return item(f"item{at}", str(amount.major), currency)


@given(chains(), st.sampled_from((NOW, NEXT)))
def test_a_chain_of_changes_costs_what_its_parts_of_the_period_cost(
    chain: tuple[str, list[tuple[int, int]], Period], behavior: ProrationBehavior
) -> None:
    currency, steps, period = chain
    items = [priced(n, price, currency) for n, (price, _) in enumerate(steps)]
    first = in_full([items[0]], period)
    books = Books(behavior, present(first, period), items[0], list(first))
    for new, (_, at) in zip(items[1:], steps[1:], strict=True):
        books.change_to(new, period.start + timedelta(microseconds=at))
    span = period.length // timedelta(microseconds=1)
    ends = [at for _, at in steps[1:]] + [span]
    exact = sum(
        Fraction(each.price.unit_amount) * 10 ** exponent(currency) * (end - begin) / span
        for each, (_, begin), end in zip(items, steps, ends, strict=True)
    )
    assert abs(books.total.minor - exact) <= Fraction(step(currency) * books.rounded, 2)


@given(chains(), st.sampled_from((NOW, NEXT)))
def test_a_change_that_is_undone_at_once_costs_nothing(
    chain: tuple[str, list[tuple[int, int]], Period], behavior: ProrationBehavior
) -> None:
    currency, steps, period = chain
    (price, _), (other, at) = steps[0], steps[1]
    instant = period.start + timedelta(microseconds=at)
    first = in_full([priced(0, price, currency)], period)
    books = Books(behavior, present(first, period), priced(0, price, currency), list(first))
    books.change_to(priced(1, other, currency), instant)
    books.change_to(priced(2, price, currency), instant)
    assert books.total == first[0].amount


@given(chains(), st.integers(0, 100), st.integers(0, 30), st.integers(0, 10**8), st.integers(0, 10**8))
def test_a_credit_is_never_above_what_was_paid(
    chain: tuple[str, list[tuple[int, int]], Period], off: int, tax: int, returned: int, used: int
) -> None:
    currency, steps, period = chain
    draft = compose(
        in_full([replace(priced(0, steps[0][0], currency), tax_percent=Decimal(tax))], period),
        reason=InvoiceReason.SUBSCRIPTION_CYCLE,
        occasion="1",
        period=period,
        discounts=[Discount("dsc", "OFF", percent_off=Decimal(off))],
    )
    for behavior in (NOW, USAGE):
        was = present(draft.lines, period, returned=returned, used=used if behavior is USAGE else 0)
        turn = change(was, ["item0"], [], period.start + timedelta(microseconds=steps[1][1]), behavior)
        back = -total([line.amount for line in turn.credits], currency)
        assert 0 <= back.minor <= max(draft.total.minor - returned, 0)
        assert explained(turn.credits)
