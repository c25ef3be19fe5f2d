"""What a run would do to one subscription, pass by pass."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.agreement import Agreement
from billing.calendar import Grid, Interval
from billing.forecasting import Outlook
from billing.lifecycle import SubscriptionStatus
from billing.money import Money
from billing.pricing import PriceTerms
from billing.recurring import RecurringItem
from billing.rehearsing import Owed, Subject, rehearse
from billing.running import Deed, RunOutcome, counts_of
from billing.schedule import Schedule

START = datetime(2027, 1, 31, 9, tzinfo=UTC)
PRICE = Money(700, "USD")
R = RunOutcome


def subject(*, days_owed: int | None = None, **dates: object) -> Subject:
    """A monthly subscription of $7.00 in its first period; `days_owed` after its start an unpaid invoice is due."""
    zone = ZoneInfo("UTC")
    grid = Grid(START, Interval.MONTH, 1, zone)
    schedule = Schedule(SubscriptionStatus.ACTIVE, START, START, grid.span_from(START).period.end)
    item = RecurringItem("pln", "Reader", PriceTerms("prc", "USD", PRICE.major), 1, Interval.MONTH, 1)
    outlook = Outlook(replace(schedule, **dates), grid, 0, Agreement(zone, [item], Money.zero("USD")))
    owed = () if days_owed is None else (Owed(PRICE, "inv", "pay", START + timedelta(days=days_owed)),)
    return Subject("sbs", outlook, owed)


def told(deeds: list[Deed]) -> list[tuple[RunOutcome, str]]:
    return [(deed.outcome, f"{deed.at:%d %b}") for deed in deeds]


def after(months: int) -> datetime:
    return datetime(2027, 1 + months, 28, 23, tzinfo=UTC)


def test_each_period_is_billed_and_charged_at_its_own_time() -> None:
    assert told(list(rehearse(subject(), after(2)))) == [(R.RENEWED, "28 Feb"), (R.CHARGED, "28 Feb")]
    assert told(list(rehearse(subject(), after(3)))) == [
        (R.RENEWED, "28 Feb"),
        (R.CHARGED, "28 Feb"),
        (R.RENEWED, "31 Mar"),
        (R.CHARGED, "31 Mar"),
    ]
    assert list(rehearse(subject(), START)) == []


def test_without_a_card_nothing_is_tried() -> None:
    cardless = replace(subject(), has_card=False)
    assert told(list(rehearse(cardless, after(1)))) == [(R.RENEWED, "28 Feb"), (R.SKIPPED, "28 Feb")]


def test_what_is_sent_is_never_charged_and_what_is_recorded_by_hand_never_billed() -> None:
    sent = rehearse(replace(subject(), is_charged=False), after(1))
    assert [(deed.outcome, deed.amount) for deed in sent] == [(R.RENEWED, PRICE)]
    manual = rehearse(replace(subject(), is_billed=False), after(1))
    assert [(deed.outcome, deed.amount) for deed in manual] == [(R.RENEWED, None)]


def test_the_oldest_invoice_goes_first_and_the_next_one_follows_it() -> None:
    behind = subject(days_owed=10)
    assert told(list(rehearse(behind, after(1)))) == [
        (R.RENEWED, "28 Feb"),
        (R.SKIPPED, "28 Feb"),
        (R.CHARGED, "10 Feb"),
        (R.CHARGED, "10 Feb"),
    ]


def test_the_end_withdraws_what_is_unpaid() -> None:
    ending = subject(days_owed=60, cancel_at_period_end=True)
    assert told(list(rehearse(ending, after(6)))) == [(R.ENDED, "28 Feb")]
    unpaid = subject(days_owed=60, status=SubscriptionStatus.INCOMPLETE)
    assert told(list(rehearse(unpaid, after(6)))) == [(R.EXPIRED, "01 Feb")]


def test_the_end_of_dunning_is_told_and_nothing_after_it() -> None:
    owed = Owed(PRICE, "inv", "pay", None, START + timedelta(days=21))
    given_up = replace(subject(status=SubscriptionStatus.PAST_DUE), owed=(owed,))
    assert told(list(rehearse(given_up, START + timedelta(days=22)))) == [(R.GIVEN_UP, "21 Feb")]


@pytest.mark.parametrize("months", [1, 12])
def test_a_sent_invoice_that_is_overdue_does_not_stop_the_next_ones(months: int) -> None:
    overdue = replace(subject(invoice_due_at=START + timedelta(days=14)), is_charged=False)
    outcomes = [deed.outcome for deed in rehearse(overdue, datetime(2027, 2, 28, 23, tzinfo=UTC).replace(month=months))]
    assert outcomes == ([] if months == 1 else [R.FELL_BEHIND, *[R.RENEWED] * 10])


@given(st.integers(0, 1_000), st.booleans(), st.integers(0, 60) | st.none())
def test_every_cent_that_is_billed_is_charged_or_left_and_said_so(
    days: int, has_card: bool, days_owed: int | None
) -> None:
    deeds = rehearse(replace(subject(days_owed=days_owed), has_card=has_card), START + timedelta(days=days))
    counts = counts_of(deed.outcome for deed in deeds)
    is_collected = days_owed is not None and days_owed <= days
    if not has_card:
        assert counts.charged == 0
    elif days_owed is None:
        assert (counts.charged, counts.skipped) == (counts.renewed, 0)
    elif is_collected:
        assert counts.charged == counts.renewed + 1
    else:
        assert (counts.charged, counts.skipped) == (0, counts.renewed)
