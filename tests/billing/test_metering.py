"""Usage as numbers and as lines: every way of counting, and that lateness changes nothing of the sum."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.calendar import Interval, Period
from billing.explaining import recompute
from billing.lines import Line, LineKind
from billing.metering import (
    Aggregation,
    BilledSpan,
    Meter,
    UsageEvent,
    aggregate,
    instant_problem,
    late_line,
    measure,
    usage_line,
)
from billing.money import Money
from billing.pricing import BillingScheme, Package, PriceTerms, Rounding, Tier, TiersMode
from billing.recurring import RecurringItem

UTC_ZONE = ZoneInfo("UTC")
START = datetime(2026, 1, 31, tzinfo=UTC)
MONTH = Period(START, datetime(2026, 2, 28, tzinfo=UTC))
PER_CALL = PriceTerms("prc_1", "USD", Decimal("0.01"))
GRADUATED = PriceTerms(
    "prc_1",
    "USD",
    Decimal(0),
    BillingScheme.TIERED,
    TiersMode.GRADUATED,
    [Tier(10, Decimal("0.50")), Tier(None, Decimal("0.25"))],
)
VOLUME = PriceTerms("prc_1", "USD", Decimal(0), BillingScheme.TIERED, TiersMode.VOLUME, GRADUATED.tiers)
PACKAGES = PriceTerms("prc_1", "USD", Decimal(5), package=Package(10, Rounding.UP))


def meter(aggregation: Aggregation, price: PriceTerms = PER_CALL) -> Meter:
    item = RecurringItem("pln_1", "API", price, 1, Interval.MONTH, 1, item_id="sbi_1", product_id="prd_1")
    return Meter(item, "calls", aggregation)


def event(n: int, quantity: str, value: str | None = None) -> UsageEvent:
    return UsageEvent(f"usg_{n:03}", START + timedelta(hours=n), Decimal(quantity), value)


EVENTS = [event(1, "4", "a"), event(3, "2.5", "b"), event(2, "7", "a")]

A = Aggregation


@pytest.mark.parametrize(
    ("aggregation", "number"),
    [(A.SUM, "13.5"), (A.MAX, "7"), (A.LAST_DURING_PERIOD, "2.5"), (A.COUNT, "3"), (A.UNIQUE_COUNT, "2")],
)
def test_a_period_becomes_one_number(aggregation: Aggregation, number: str) -> None:
    assert aggregate(aggregation, EVENTS) == Decimal(number)
    assert aggregate(aggregation, []) == 0


def test_of_two_at_one_instant_the_one_recorded_later_is_the_last() -> None:
    both = [UsageEvent("usg_2", START, Decimal(9)), UsageEvent("usg_1", START, Decimal(5))]
    assert aggregate(A.LAST_DURING_PERIOD, both) == 9


@pytest.mark.parametrize(
    ("price", "billed", "amount"),
    [(PER_CALL, "13.5", 14), (GRADUATED, "13.5", 588), (VOLUME, "13.5", 338), (PACKAGES, "2", 1000)],
)
def test_what_a_meter_shows(price: PriceTerms, billed: str, amount: int) -> None:
    measured = measure(meter(A.SUM, price), EVENTS)
    assert (measured.quantity, measured.billed, measured.amount.minor) == (Decimal("13.5"), Decimal(billed), amount)


def test_a_line_says_what_was_counted_and_how() -> None:
    line = usage_line(meter(A.SUM, GRADUATED), MONTH, EVENTS, UTC_ZONE)
    assert (line.kind, line.quantity, line.amount.minor) == (LineKind.USAGE, Decimal("13.5"), 588)
    assert line.description == "API: calls (2026-01-31 to 2026-02-28)"
    assert line.explanation.text == (
        "13.5 calls, the sum of 3 events: 10 × USD 0.50 + 3.5 × USD 0.25, 2026-01-31 to 2026-02-28."
    )
    assert line.explanation.formula == ("round(tier1UpTo × tier1UnitAmount + (quantity − tier1UpTo) × tier2UnitAmount)")
    assert (line.unit_amount, line.item_id, line.plan_id, line.product_id) == (None, "sbi_1", "pln_1", "prd_1")
    assert recomputed(line) == line.amount


def test_a_period_without_usage_has_its_line_too() -> None:
    line = usage_line(meter(A.MAX), MONTH, [], UTC_ZONE)
    assert (line.quantity, line.amount, line.explanation.formula) == (
        Decimal(0),
        Money.zero("USD"),
        "quantity × unitAmount",
    )


LATE: list[tuple[Aggregation, PriceTerms, list[UsageEvent], str, int]] = [
    (A.SUM, GRADUATED, [event(9, "6")], "6", 150),
    (A.SUM, PACKAGES, [event(9, "6")], "6", 0),
    (A.SUM, PACKAGES, [event(9, "7")], "7", 500),
    (A.COUNT, PER_CALL, [event(9, "100")], "1", 1),
    (A.MAX, PER_CALL, [event(9, "6")], "0", 0),
    (A.MAX, PER_CALL, [event(9, "10")], "3", 3),
    (A.LAST_DURING_PERIOD, PER_CALL, [event(2, "90")], "0", 0),
    (A.LAST_DURING_PERIOD, PER_CALL, [event(9, "90")], "87.5", 87),
    (A.LAST_DURING_PERIOD, PER_CALL, [event(9, "0")], "-2.5", 0),
    (A.UNIQUE_COUNT, PER_CALL, [event(9, "1", "a")], "0", 0),
    (A.UNIQUE_COUNT, PER_CALL, [event(9, "1", "c")], "1", 1),
    (A.SUM, VOLUME, [event(9, "0")], "0", 0),
]


@pytest.mark.parametrize(("aggregation", "price", "late", "quantity", "minor"), LATE)
def test_what_comes_late_costs_what_it_adds_and_never_less_than_nothing(
    aggregation: Aggregation, price: PriceTerms, late: list[UsageEvent], quantity: str, minor: int
) -> None:
    counts = meter(aggregation, price)
    first = usage_line(counts, MONTH, EVENTS, UTC_ZONE)
    line = late_line(counts, BilledSpan(MONTH, first.amount, first.quantity), [*EVENTS, *late], UTC_ZONE)
    assert (line.quantity, line.amount.minor, line.period) == (Decimal(quantity), minor, MONTH)
    assert recomputed(line) == line.amount


def test_a_cheaper_volume_tier_reached_late_gives_nothing_back() -> None:
    counts = meter(A.SUM, VOLUME)
    line = late_line(
        counts, BilledSpan(MONTH, Money(500, "USD"), Decimal(10)), [event(1, "10"), event(2, "1")], UTC_ZONE
    )
    assert (line.amount.minor, line.explanation.formula) == (
        0,
        "max(round(quantity × tier2UnitAmount) − billedBefore, 0)",
    )
    assert recomputed(line) == line.amount


def recomputed(line: Line) -> Money:
    why = line.explanation
    return recompute(why.formula, {i.name: i.value for i in why.inputs}, line.amount.currency)


NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("at", "said"),
    [
        (NOW, None),
        (NOW + timedelta(minutes=1), None),
        (NOW + timedelta(minutes=1) + SECOND, "This has not occurred yet."),
        (NOW - timedelta(days=35), None),
        (NOW - timedelta(days=35) - SECOND, "This is more than 35 days ago."),
    ],
)
def test_usage_is_told_within_35_days_and_not_before_it_occurs(at: datetime, said: str | None) -> None:
    assert instant_problem(at, start=START, end=None, now=NOW) == said


def test_usage_lies_within_the_subscriptions_life() -> None:
    start, end = NOW - timedelta(days=2), NOW - timedelta(days=1)
    said = [
        instant_problem(at, start=start, end=end, now=NOW) for at in (start - SECOND, start, end - SECOND, end, NOW)
    ]
    began = "The subscription began only at 2026-03-29T12:00:00Z."
    over = "The subscription was over at 2026-03-30T12:00:00Z."
    assert said == [began, None, None, over, over]


# ── properties ──

events = st.builds(
    UsageEvent,
    id=st.uuids().map(str),
    occurred_at=st.integers(0, 600).map(lambda h: START + timedelta(hours=h)),
    quantity=st.decimals("0", "50", places=2),
    value=st.sampled_from(["a", "b", "c", "d"]),
)
batches = st.lists(st.lists(events, max_size=6), min_size=1, max_size=5)
GROWING = (A.SUM, A.MAX, A.COUNT, A.UNIQUE_COUNT)


@given(st.sampled_from(GROWING), st.sampled_from([PER_CALL, GRADUATED, PACKAGES]), batches)
def test_however_late_events_come_the_sum_is_the_same(
    aggregation: Aggregation, price: PriceTerms, told: Sequence[Sequence[UsageEvent]]
) -> None:
    counts = meter(aggregation, price)
    first = usage_line(counts, MONTH, told[0], UTC_ZONE)
    known, amount, quantity = list(told[0]), first.amount, first.quantity
    for batch in told[1:]:
        known += batch
        line = late_line(counts, BilledSpan(MONTH, amount, quantity), known, UTC_ZONE)
        assert recomputed(line) == line.amount
        amount, quantity = amount + line.amount, quantity + line.quantity
    whole = usage_line(counts, MONTH, known, UTC_ZONE)
    assert (amount, quantity) == (whole.amount, whole.quantity)


@given(st.sampled_from(Aggregation), st.lists(events, max_size=12), st.randoms())
def test_the_order_in_which_events_are_told_plays_no_part(
    aggregation: Aggregation, told: list[UsageEvent], chance: Random
) -> None:
    shuffled = list(told)
    chance.shuffle(shuffled)
    assert aggregate(aggregation, shuffled) == aggregate(aggregation, told)


@given(st.sampled_from(Aggregation), st.sampled_from([PER_CALL, GRADUATED, VOLUME, PACKAGES]), st.lists(events))
def test_every_usage_line_recomputes(aggregation: Aggregation, price: PriceTerms, told: list[UsageEvent]) -> None:
    line = usage_line(meter(aggregation, price), MONTH, told, UTC_ZONE)
    assert recomputed(line) == line.amount
