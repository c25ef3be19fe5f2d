"""What recurs in a month, who left, and which days a span touches."""

from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest

from billing.calendar import Interval
from billing.metrics import Alike, Day, days_of, monthly, months_in, per_head, share_lost
from billing.money import Money
from billing.pricing import BillingScheme, PriceTerms, Tier, TiersMode

USD = PriceTerms("prc_1", "USD", Decimal("12.00"))


def alike(interval: Interval, *, of: int = 1, quantity: int = 1, off: Fraction = Fraction(0)) -> Alike:
    return Alike(USD, quantity, interval, 1, of, off)


@pytest.mark.parametrize(
    ("interval", "count", "months"),
    [
        (Interval.MONTH, 1, Fraction(1)),
        (Interval.MONTH, 3, Fraction(3)),
        (Interval.YEAR, 2, Fraction(24)),
        (Interval.WEEK, 1, Fraction(3, 13)),
        (Interval.WEEK, 2, Fraction(6, 13)),
        (Interval.DAY, 1, Fraction(12, 365)),
    ],
)
def test_how_many_months_a_period_is(interval: Interval, count: int, months: Fraction) -> None:
    assert months_in(interval, count) == months


def test_a_sum_is_rounded_once() -> None:
    thirds = PriceTerms("prc_1", "USD", Decimal("1.00"))
    quarterly = Alike(thirds, 1, Interval.MONTH, 3, 1)
    assert monthly([quarterly], (), "USD") == Money(33, "USD")
    assert monthly([quarterly, quarterly, quarterly], (), "USD") == Money(100, "USD")


def test_quantity_number_and_what_is_taken_off_count() -> None:
    full = [alike(Interval.MONTH, of=3, quantity=2), alike(Interval.YEAR)]
    assert monthly(full, (), "USD") == Money(7300, "USD")
    tenth = alike(Interval.MONTH, of=1, quantity=2, off=Fraction(1, 10))
    assert monthly(full, [tenth], "USD") == Money(7060, "USD")


def test_tiers_count_at_their_quantity() -> None:
    tiers = (Tier(5, Decimal("2.00"), Decimal(0)), Tier(None, Decimal("1.00"), Decimal("3.00")))
    terms = PriceTerms("prc_1", "USD", Decimal(0), BillingScheme.TIERED, TiersMode.GRADUATED, tiers)
    assert monthly([Alike(terms, 7, Interval.MONTH, 1, 1)], (), "USD") == Money(1500, "USD")


def test_currencies_without_decimals() -> None:
    yen = Alike(PriceTerms("prc_1", "JPY", Decimal(1000)), 1, Interval.YEAR, 1, 1)
    assert monthly([yen], (), "JPY") == Money(83, "JPY")
    assert per_head(Money(1000, "JPY"), 3) == Money(333, "JPY")


def test_shares_of_nobody_are_nothing() -> None:
    assert per_head(Money(100, "USD"), 0) == Money(0, "USD")
    assert (share_lost(0, 0), share_lost(3, 0)) == (Decimal("0.0000"), Decimal("0.0000"))
    assert (share_lost(1, 3), share_lost(1, 1)) == (Decimal("0.3333"), Decimal("1.0000"))


def test_days_are_cut_to_the_span_and_as_long_as_they_are_there() -> None:
    berlin = ZoneInfo("Europe/Berlin")  # the clocks go forward on 29 March 2026
    start, end = datetime(2026, 3, 28, 12, tzinfo=UTC), datetime(2026, 3, 30, 1, tzinfo=UTC)
    midnights = [datetime(2026, 3, 28, 23, tzinfo=UTC), datetime(2026, 3, 29, 22, tzinfo=UTC)]
    assert days_of(start, end, berlin) == [
        Day(date(2026, 3, 28), start, midnights[0]),
        Day(date(2026, 3, 29), midnights[0], midnights[1]),
        Day(date(2026, 3, 30), midnights[1], end),
    ]


@pytest.mark.parametrize("end", [datetime(2026, 1, 1, tzinfo=UTC), datetime(2025, 12, 31, tzinfo=UTC)])
def test_a_span_ends_after_its_start(end: datetime) -> None:
    with pytest.raises(ValueError, match="the end is after the start"):
        days_of(datetime(2026, 1, 1, tzinfo=UTC), end, ZoneInfo("UTC"))


def test_a_span_has_400_days_at_most() -> None:
    start = datetime(2025, 1, 1, tzinfo=UTC)
    assert len(days_of(start, datetime(2026, 2, 5, tzinfo=UTC), ZoneInfo("UTC"))) == 400
    with pytest.raises(ValueError, match="at most 400 days"):
        days_of(start, datetime(2026, 2, 5, 1, tzinfo=UTC), ZoneInfo("UTC"))
