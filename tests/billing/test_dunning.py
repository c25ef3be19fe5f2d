"""What is tried again and when: by the class of the decline, the policy's days and the card schemes' bound."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.charging import DECLINE_CODES, CardProblem, DeclineClass
from billing.dunning import (
    AFTER,
    AFTER_MEANINGS,
    APART,
    MAX_TRIES,
    SOON,
    TRIES_SPAN,
    After,
    Card,
    DunningPolicy,
    NextStep,
    Tried,
    after,
    free_at,
    may_try,
    next_step,
    wrong_with_retries,
)

FIRST = datetime(2026, 2, 28, 9, 30, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
POLICY = DunningPolicy()
CARD = Card("pm_1", FIRST - 100 * DAY)
ANOTHER = Card("pm_2", FIRST + 3 * DAY)
END = FIRST + 21 * DAY

SOFT = CardProblem("card_declined", "Your card was declined.", "insufficient_funds")
LOST = CardProblem("card_declined", "Your card was declined.", "lost_card")
EXPIRED = CardProblem("expired_card", "Your card has expired.", None, "confirm_card_data")
ASKS_BANK = CardProblem("authentication_required", "Your bank asks for you.", "authentication_required")
TECHNICAL = CardProblem("processing_error", "An error occurred.", "processing_error")


def tried(days: float, problem: CardProblem | None, card: Card = CARD, *, off_session: bool = True) -> Tried:
    return Tried(FIRST + timedelta(days=days), card.id, off_session, problem)


@pytest.mark.parametrize(
    ("tries", "try_at"),
    [
        ([tried(0, SOFT)], FIRST + 2 * DAY),
        ([tried(0, SOFT), tried(2, SOFT)], FIRST + 7 * DAY),
        ([tried(0, SOFT), tried(2, SOFT), tried(7, SOFT)], FIRST + 14 * DAY),
        ([tried(0, SOFT), tried(2, SOFT), tried(7, SOFT), tried(14, SOFT)], END),
        ([tried(0, SOFT), tried(2, SOFT), tried(7, SOFT), tried(14, SOFT), tried(21, SOFT)], None),
        ([tried(0, SOFT), tried(6.5, SOFT)], FIRST + 14 * DAY),
        ([tried(0, SOFT), tried(10, SOFT)], FIRST + 14 * DAY),
        ([tried(0, SOFT), tried(20.5, SOFT)], None),
        ([tried(0, SOFT), tried(22, SOFT)], None),
        ([], FIRST + 2 * DAY),
    ],
    ids=[
        "first", "second", "third", "fourth", "the last one", "a day is kept free", "a late worker",
        "the last one would come too soon", "the last one came late", "nothing was tried for want of a card",
    ],
)  # fmt: skip
def test_a_soft_decline_is_tried_again_on_the_days_of_the_policy(tries: list[Tried], try_at: datetime | None) -> None:
    assert next_step(POLICY, FIRST, tries, CARD) == NextStep(try_at, END)


@pytest.mark.parametrize("problem", [LOST, EXPIRED, ASKS_BANK], ids=["new card", "data", "authentication"])
def test_what_only_the_customer_can_mend_is_not_tried_again_and_given_up_on_the_last_day(problem: CardProblem) -> None:
    assert next_step(POLICY, FIRST, [tried(0, problem)], CARD) == NextStep(None, END)
    assert may_try(POLICY, [tried(0, problem)], CARD, FIRST + 400 * DAY) is False


@pytest.mark.parametrize("problem", [LOST, EXPIRED, ASKS_BANK, SOFT, TECHNICAL])
def test_another_card_may_be_tried_at_once_whatever_the_first_one_s_decline_was(problem: CardProblem) -> None:
    assert may_try(POLICY, [tried(0, problem)], ANOTHER, FIRST) is True
    assert next_step(POLICY, FIRST, [tried(0, problem), tried(3, SOFT, ANOTHER)], ANOTHER) == NextStep(
        FIRST + 7 * DAY, END
    )


def test_a_refused_card_that_comes_back_after_another_one_is_not_tried_again() -> None:
    tries = [tried(0, LOST), tried(3, SOFT, ANOTHER)]
    assert may_try(POLICY, tries, CARD, FIRST + 4 * DAY) is False
    assert next_step(POLICY, FIRST, tries, CARD) == NextStep(None, END)


def test_a_hard_decline_counts_also_after_the_customer_tried_the_card_again() -> None:
    tries = [tried(0, LOST), tried(1, SOFT, off_session=False)]
    assert next_step(POLICY, FIRST, tries, CARD) == NextStep(None, END)


def test_without_a_card_nothing_is_tried() -> None:
    assert next_step(POLICY, FIRST, [], None) == NextStep(None, END)


def test_a_card_whose_data_changed_since_is_tried_on_the_schedule_again() -> None:
    corrected = Card(CARD.id, FIRST + DAY)
    assert may_try(POLICY, [tried(0, EXPIRED)], corrected, FIRST + DAY) is True
    assert next_step(POLICY, FIRST, [tried(0, EXPIRED)], corrected) == NextStep(FIRST + 2 * DAY, END)
    assert next_step(POLICY, FIRST, [tried(0, LOST)], corrected) == NextStep(None, END)


def test_after_the_customer_acted_the_newest_decline_decides() -> None:
    tries = [tried(0, ASKS_BANK), tried(1, SOFT, off_session=False)]
    assert next_step(POLICY, FIRST, tries, CARD) == NextStep(FIRST + 2 * DAY, END)
    assert next_step(POLICY, FIRST, [*tries, tried(2, ASKS_BANK)], CARD) == NextStep(None, END)


def test_a_stop_code_of_the_policy_ends_the_tries_of_the_card() -> None:
    strict = DunningPolicy(stop_on_decline_codes=frozenset({"insufficient_funds"}))
    assert after(SOFT, strict) is After.NEW_CARD
    assert next_step(strict, FIRST, [tried(0, SOFT)], CARD) == NextStep(None, END)
    assert next_step(POLICY, FIRST, [tried(0, SOFT)], CARD) == NextStep(FIRST + 2 * DAY, END)


def test_technical_declines_are_tried_again_in_an_hour_while_the_days_of_the_policy_keep_their_tries() -> None:
    """Four days are to come: of eight tries the first, three soon after it, and those four."""
    tries: list[Tried] = []
    made = []
    at: datetime | None = FIRST
    while at is not None:
        made.append(at - FIRST)
        tries.append(Tried(at, CARD.id, True, TECHNICAL))
        at = next_step(POLICY, FIRST, tries, CARD).try_at
    assert made == [0 * HOUR, HOUR, 2 * HOUR, 3 * HOUR, 2 * DAY, 7 * DAY, 14 * DAY, 21 * DAY]


def test_asking_again_later_changes_nothing() -> None:
    """A retry that is due stays due until it was made: the answer follows from the tries alone."""
    tries = [tried(0, SOFT), tried(2, SOFT)]
    assert {next_step(POLICY, FIRST, tries, CARD) for _ in range(3)} == {NextStep(FIRST + 7 * DAY, END)}


def test_the_ninth_try_within_thirty_days_waits_until_the_first_one_is_that_old() -> None:
    tries = [tried(n, SOFT) for n in range(MAX_TRIES)]
    assert free_at(tries, CARD) == FIRST + TRIES_SPAN
    assert may_try(POLICY, tries, CARD, FIRST + TRIES_SPAN - timedelta(microseconds=1)) is False
    assert may_try(POLICY, tries, CARD, FIRST + TRIES_SPAN) is True
    longer = DunningPolicy(retry_after_days=(*range(1, 8), 40))
    assert next_step(longer, FIRST, tries, CARD) == NextStep(FIRST + 40 * DAY, FIRST + 40 * DAY)


def test_tries_while_the_customer_is_present_do_not_count() -> None:
    tries = [tried(n, SOFT, off_session=n % 2 == 0) for n in range(MAX_TRIES)]
    assert free_at(tries, CARD) is None


@pytest.mark.parametrize(
    ("days", "wrong"),
    [
        ([2, 7, 14, 21], None),
        ([1], None),
        ([90], None),
        ([1, 2, 3, 4, 5, 6, 7], None),
        ([1, 2, 3, 4, 5, 6, 7, 30], None),
        ([1, 2, 3, 4, 5, 6, 7, 29], "The card schemes allow 8 tries within 30 days, the first one among them."),
        ([30, 31, 32, 33, 34, 35, 36, 37], None),
        (
            [30, 31, 32, 33, 34, 35, 36, 37, 38],
            "The card schemes allow 8 tries within 30 days, the first one among them.",
        ),
        ([], "Give at least one day."),
        ([0, 2], "Each day is from 1 to 90."),
        ([91], "Each day is from 1 to 90."),
        ([2, 2], "The days ascend, each only once."),
        ([7, 2], "The days ascend, each only once."),
    ],
)
def test_the_days_of_a_policy(days: Sequence[int], wrong: str | None) -> None:
    assert wrong_with_retries(days) == wrong


def test_every_class_of_decline_has_its_row_and_every_row_its_words() -> None:
    assert set(AFTER) == set(DeclineClass)
    assert set(AFTER_MEANINGS) == set(After)
    assert len(set(AFTER.values())) == len(AFTER)


# What can happen to an invoice in dunning: the worker comes late, the customer changes card, or tries by herself.
_CODES = sorted({code for codes in DECLINE_CODES.values() for code in codes} | {"insufficient_funds", "do_not_honor"})
_PROBLEMS = st.builds(
    CardProblem,
    code=st.just("card_declined"),
    message=st.just("Declined."),
    decline_code=st.sampled_from(_CODES),
    advice_code=st.sampled_from([None, "do_not_try_again", "confirm_card_data", "try_again_later"]),
)
_POLICIES = (
    st.lists(st.integers(1, 90), min_size=1, max_size=12, unique=True)
    .map(sorted)
    .filter(lambda days: wrong_with_retries(days) is None)
)
_HAPPENINGS = st.lists(
    st.tuples(st.integers(0, 40), st.sampled_from(["worker", "customer", "new card", "old card"]), _PROBLEMS),
    max_size=60,
)


@given(days=_POLICIES, happenings=_HAPPENINGS, stops=st.frozensets(st.sampled_from(_CODES), max_size=3))
def test_never_more_than_eight_tries_in_thirty_days_and_none_after_a_hard_decline(
    days: list[int], happenings: list[tuple[int, str, CardProblem]], stops: frozenset[str]
) -> None:
    policy = DunningPolicy(retry_after_days=tuple(days), stop_on_decline_codes=stops)
    card, now = CARD, FIRST
    tries = [Tried(FIRST, CARD.id, True, happenings[0][2] if happenings else SOFT)]
    for hours_later, what, problem in happenings:
        now += timedelta(hours=hours_later)
        if what == "worker":
            step = next_step(policy, FIRST, tries, card)
            if step.try_at is None:
                continue
            now = max(now, step.try_at)
        elif what == "customer":
            tries.append(Tried(now, card.id, False, problem))
            continue
        else:
            card = ANOTHER if what == "new card" else CARD
        if may_try(policy, tries, card, now):
            tries.append(Tried(now, card.id, True, problem))
    _hold_the_bounds(policy, tries)


@given(days=_POLICIES, problems=st.lists(_PROBLEMS, min_size=40, max_size=40), late=st.integers(0, 72))
def test_dunning_comes_to_an_end_on_its_last_day(days: list[int], problems: list[CardProblem], late: int) -> None:
    """A worker that carries out each step, some hours late, tries only as the engine says and is soon done."""
    policy = DunningPolicy(retry_after_days=tuple(days))
    tries = [Tried(FIRST, CARD.id, True, problems[0])]
    for problem in problems[1:]:
        step = next_step(policy, FIRST, tries, CARD)
        assert step.give_up_at == FIRST + days[-1] * DAY
        if step.try_at is None:
            break
        assert tries[-1].at < step.try_at <= step.give_up_at
        assert step.try_at - tries[-1].at in (SOON,) or step.try_at - tries[-1].at >= APART
        assert may_try(policy, tries, CARD, step.try_at)
        tries.append(Tried(step.try_at + timedelta(hours=late), CARD.id, True, problem))
    else:
        pytest.fail("there are always more tries")
    _hold_the_bounds(policy, tries)


def _hold_the_bounds(policy: DunningPolicy, tries: Sequence[Tried]) -> None:
    for card in (CARD, ANOTHER):
        mine = [t for t in tries if t.card_id == card.id]
        off = [t.at for t in mine if t.off_session]
        assert max([sum(at - TRIES_SPAN < other <= at for other in off) for at in off], default=0) <= MAX_TRIES
        hard = next((n for n, t in enumerate(mine) if t.problem and after(t.problem, policy) is After.NEW_CARD), None)
        assert hard is None or not any(t.off_session for t in mine[hard + 1 :])
