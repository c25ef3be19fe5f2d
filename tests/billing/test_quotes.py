"""Tokens hold an act to its quote and to nothing else; what time will bill is foreseen by the table of what it does."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.agreement import Agreement
from billing.calendar import Grid, Interval
from billing.forecasting import Foreseen, Outlook, Planned, forecast, gone_on, paused
from billing.invoicing import InvoiceReason
from billing.lifecycle import SubscriptionStatus
from billing.money import Money
from billing.pricing import PriceTerms
from billing.quotes import QUOTE_LIFETIME, Asked, Quote, instant_of, is_token_of, quote, token_of
from billing.recurring import RecurringItem
from billing.schedule import Schedule

START = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
KEY = b"a key of this test, of 32 bytes.."
ZONE = ZoneInfo("UTC")
INSTANTS = st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


def item(amount: str = "7.00") -> RecurringItem:
    return RecurringItem("pln_1", "Reader", PriceTerms("prc_1", "USD", Decimal(amount)), 1, Interval.MONTH, 1)


def outlook(balance: int = 0, **dates: object) -> Outlook:
    grid = Grid(START, Interval.MONTH, 1, ZONE)
    first = grid.span_from(START).period
    schedule = Schedule(SubscriptionStatus.ACTIVE, START, first.start, first.end)
    agreement = Agreement(ZONE, [item()], Money(balance, "USD"))
    return Outlook(replace(schedule, **dates), grid, 0, agreement)  # pyright: ignore[reportArgumentType]


def quoted(at: datetime = START) -> Quote:
    now = outlook(0)
    span = now.grid.span_from(START)
    draft = now.agreement.draft_period(span, reason=InvoiceReason.SUBSCRIPTION_CREATE, occasion="0")
    asked = Asked("subscribe", "a-user", {"plan_code": "reader"}, 1)
    return quote(asked, at, now.agreement.balance, draft, foreseen=forecast(now, 2))


# ── tokens ──


@given(INSTANTS, st.timedeltas(timedelta(0), QUOTE_LIFETIME))
def test_a_token_names_its_instant_for_ten_minutes(at: datetime, later: timedelta) -> None:
    token = token_of(quoted(at), KEY)
    assert instant_of(token, at + later) == at
    assert is_token_of(token, quoted(at), KEY)
    assert instant_of(token, at + QUOTE_LIFETIME + timedelta(microseconds=1)) is None
    assert instant_of(token, at - timedelta(microseconds=1)) is None


@given(st.text())
def test_what_is_no_token_names_no_instant_and_fits_nothing(text: str) -> None:
    assert instant_of(text, START) is None
    assert not is_token_of(text, quoted(), KEY)


BASE = quoted()
LINE = BASE.lines[0]


@pytest.mark.parametrize(
    "other",
    [
        replace(BASE, at=START + timedelta(microseconds=1)),
        replace(BASE, balance=Money(1, "USD")),
        replace(BASE, due_now=Money(701, "USD")),
        replace(BASE, refund_now=Money(1, "USD")),
        replace(BASE, total=Money(701, "USD")),
        replace(BASE, lines=()),
        replace(BASE, lines=[replace(LINE, amount=Money(699, "USD"))]),
        replace(BASE, lines=[replace(LINE, plan_id="pln_2")]),
        replace(BASE, lines=[replace(LINE, tax=Money(1, "USD"))]),
        replace(BASE, schedule=BASE.schedule[:1]),
        replace(BASE, asked=replace(BASE.asked, customer="another")),
        replace(BASE, asked=replace(BASE.asked, version=2)),
        replace(BASE, asked=replace(BASE.asked, act="changePlan")),
        replace(BASE, asked=replace(BASE.asked, wish={"plan_code": "premium"})),
    ],
)
def test_a_token_is_for_one_quote_only(other: Quote) -> None:
    assert not is_token_of(token_of(BASE, KEY), other, KEY)
    assert not is_token_of(token_of(BASE, KEY), BASE, KEY[::-1])


def test_what_moves_no_money_is_not_sealed() -> None:
    told = replace(BASE, warnings=["Mind the gap."], lines=[replace(LINE, item_id="sbi_1")])
    assert is_token_of(token_of(BASE, KEY), told, KEY)


# ── what is to come ──


def days(foreseen: Sequence[Foreseen]) -> list[str]:
    return [f"{each.at:%Y-%m-%d}" for each in foreseen]


def test_month_ends_are_foreseen_from_the_anchor() -> None:
    assert days(forecast(outlook(), 4)) == ["2026-02-28", "2026-03-31", "2026-04-30", "2026-05-31"]


@given(st.integers(-5_000, 5_000), st.integers(1, 36))
def test_the_balance_is_used_up_and_never_made(balance: int, count: int) -> None:
    foreseen = forecast(outlook(balance), count)
    assert len(foreseen) == count
    left = balance
    for each in foreseen:
        assert each.draft.total.minor == 700
        assert each.draft.amount_due.minor + each.draft.credit_applied.minor == 700
        left -= each.draft.credit_applied.minor
    assert sum(each.draft.amount_due.minor for each in foreseen) == 700 * count - balance + left


@pytest.mark.parametrize(
    ("dates", "expected"),
    [
        ({"cancel_at_period_end": True}, []),
        ({"cancel_at": datetime(2026, 4, 15, tzinfo=UTC)}, ["2026-02-28", "2026-03-31"]),
        ({"ends_at": datetime(2026, 3, 31, 9, 30, tzinfo=UTC)}, ["2026-02-28"]),
        ({"is_given_up": True}, []),
        ({"pause_at": datetime(2026, 2, 28, 9, 30, tzinfo=UTC)}, []),
        ({"change_at": datetime(2026, 3, 15, tzinfo=UTC)}, ["2026-02-28"]),  # nobody can tell what it turns into
    ],
)
def test_it_is_foreseen_as_far_as_it_can_be_told(dates: dict[str, object], expected: list[str]) -> None:
    assert days(forecast(outlook(0, **dates), 4)) == expected


def test_a_term_that_ends_within_a_period_bills_its_part() -> None:
    (first, last) = forecast(outlook(ends_at=datetime(2026, 4, 15, 9, 30, tzinfo=UTC)), 9)
    assert (first.draft.total, last.draft.total) == (Money(700, "USD"), Money(350, "USD"))


def test_a_planned_change_bills_the_new_items_from_then_on() -> None:
    planned = replace(outlook(change_at=datetime(2026, 2, 28, 9, 30, tzinfo=UTC)), planned=Planned([item("9.99")], ()))
    assert [each.draft.total.minor for each in forecast(planned, 2)] == [999, 999]


def test_a_pause_moves_all_that_is_to_come_by_its_length() -> None:
    now = outlook(resume_at=datetime(2026, 2, 15, 9, 30, tzinfo=UTC))
    resting = paused(now, datetime(2026, 2, 5, 9, 30, tzinfo=UTC))
    assert days(forecast(resting, 2)) == ["2026-03-10", "2026-04-10"]
    assert days(forecast(gone_on(resting, datetime(2026, 2, 6, 9, 30, tzinfo=UTC)), 2)) == ["2026-03-01", "2026-04-01"]
