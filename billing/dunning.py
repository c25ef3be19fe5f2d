"""What is tried again, when, and what happens when nothing helps.

Retries are counted in days from an invoice's first failure, and never more than the card schemes allow: so many tries
without the customer within a month per invoice and card, none after a decline that says no. Instants are aware UTC.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise

from billing.charging import CardProblem, DeclineClass, classify
from billing.lifecycle import SubscriptionStatus


class FinalAction(StrEnum):
    """What dunning ends with: the subscription is canceled, unpaid (no access, can be paid), or left past due."""

    CANCEL = "cancel"
    UNPAID = "unpaid"
    LEAVE = "leave"


class TrialEndAction(StrEnum):
    """What becomes of a trial that ends without a card."""

    PAST_DUE = "past_due"
    PAUSE = "pause"
    CANCEL = "cancel"


BEHIND = frozenset((SubscriptionStatus.PAST_DUE, SubscriptionStatus.UNPAID))
"""Where a subscription stands whose money has not come."""

MAX_TRIES = 8
TRIES_SPAN = timedelta(days=30)
"""The card schemes' bound: so many tries without the customer within this span, per invoice and card."""

SOON = timedelta(hours=1)
"""After a technical decline: nothing is wrong with the card."""

APART = timedelta(hours=20)
"""A day apart, by a worker that is a little late: what comes sooner after a try than this is left out."""


@dataclass(frozen=True, slots=True)
class DunningPolicy:
    """Retries are counted in days from the first failure; declines with one of the stop codes are never retried."""

    retry_after_days: tuple[int, ...] = (2, 7, 14, 21)
    stop_on_decline_codes: frozenset[str] = frozenset()
    final_action: FinalAction = FinalAction.CANCEL
    trial_end_action: TrialEndAction = TrialEndAction.PAST_DUE

    def retries(self, first_failed_at: datetime) -> Sequence[datetime]:
        """When is tried again, if nothing speaks against it."""
        return [first_failed_at + timedelta(days=days) for days in self.retry_after_days]

    def give_up_at(self, first_failed_at: datetime) -> datetime:
        """When the last retry is due: if it does not help, or cannot be made, this is the end."""
        return self.retries(first_failed_at)[-1]


MAX_GRACE_DAYS = 90
_LONGEST_DAYS = 90


class After(StrEnum):
    """What a decline lets follow without the customer."""

    SCHEDULE = "schedule"
    SOON = "soon"
    CARD_DATA = "card_data"
    CUSTOMER = "customer"
    NEW_CARD = "new_card"


AFTER: dict[DeclineClass, After] = {
    DeclineClass.SOFT: After.SCHEDULE,
    DeclineClass.TECHNICAL: After.SOON,
    DeclineClass.CUSTOMER_UPDATES: After.CARD_DATA,
    DeclineClass.CUSTOMER_AUTHENTICATES: After.CUSTOMER,
    DeclineClass.NEW_CARD: After.NEW_CARD,
}

AFTER_MEANINGS: dict[After, str] = {
    After.SCHEDULE: "Tried again on the days of the policy.",
    After.SOON: "Tried again in an hour, as long as the days of the policy keep their tries.",
    After.CARD_DATA: "Not tried again before the card's data change, or another card pays.",
    After.CUSTOMER: "Not tried again before the customer acts: on the same intent, with their bank.",
    After.NEW_CARD: "Never tried again with this card. Another one is tried at once.",
}


@dataclass(frozen=True, slots=True)
class Card:
    """A card that could be tried, and since when its data are what they are."""

    id: str
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class Tried:
    """One try at an invoice. `problem` None: it was not declined, or its answer is missing."""

    at: datetime
    card_id: str | None
    off_session: bool
    problem: CardProblem | None = None


@dataclass(frozen=True, slots=True)
class NextStep:
    """`try_at` None: not before the customer does something. `give_up_at`: when dunning ends."""

    try_at: datetime | None
    give_up_at: datetime


def after(problem: CardProblem, policy: DunningPolicy) -> After:
    """The policy's stop codes decide first, then the class of the decline."""
    if {problem.decline_code, problem.code} & policy.stop_on_decline_codes:
        return After.NEW_CARD
    return AFTER[classify(problem)]


def next_step(policy: DunningPolicy, first_failed_at: datetime, tries: Sequence[Tried], card: Card | None) -> NextStep:
    """What follows by itself for an invoice that failed first at that instant, with the card that would pay it now.

    It follows from what was tried, not from when it is asked: asking again changes nothing.
    """
    give_up_at = policy.give_up_at(first_failed_at)
    course = _course(policy, tries, card)
    if card is None or course not in (After.SCHEDULE, After.SOON):
        return NextStep(None, give_up_at)
    last = max((tried.at for tried in tries), default=None)
    to_come = [at for at in policy.retries(first_failed_at) if last is None or at >= last + APART]
    wished = to_come[0] if to_come else None
    if course is After.SOON and last is not None and _has_room(tries, card, last + SOON, to_come):
        wished = last + SOON
    if wished is None:
        return NextStep(None, give_up_at)
    try_at = max(wished, free_at(tries, card) or wished)
    return NextStep(try_at if try_at <= give_up_at else None, give_up_at)


def may_try(policy: DunningPolicy, tries: Sequence[Tried], card: Card, now: datetime) -> bool:
    """Whether the card may be tried without the customer now, on a schedule or because it has become another one."""
    if _course(policy, tries, card) not in (After.SCHEDULE, After.SOON):
        return False
    free = free_at(tries, card)
    return free is None or free <= now


def is_mended(policy: DunningPolicy, tries: Sequence[Tried], card: Card) -> bool:
    """Whether the card's last decline asked for other data, and they have changed since: it is worth a try at once."""
    unchanged = Card(card.id, min((tried.at for tried in tries), default=card.changed_at))
    return _course(policy, tries, unchanged) is After.CARD_DATA is not _course(policy, tries, card)


def free_at(tries: Sequence[Tried], card: Card) -> datetime | None:
    """When the card schemes let this card be tried again; None: nothing hinders it."""
    made = sorted(tried.at for tried in tries if tried.off_session and tried.card_id == card.id)
    return made[-MAX_TRIES] + TRIES_SPAN if len(made) >= MAX_TRIES else None


def _course(policy: DunningPolicy, tries: Sequence[Tried], card: Card | None) -> After:
    """What the declines of this card let follow. One that says no says so for good, of others the newest counts."""
    if card is None:
        return After.NEW_CARD
    declines = [
        (tried.at, after(tried.problem, policy)) for tried in tries if tried.problem and tried.card_id == card.id
    ]
    if any(follows is After.NEW_CARD for _, follows in declines):
        return After.NEW_CARD
    if not declines:
        return After.SCHEDULE
    at, follows = max(declines, key=lambda each: each[0])
    has_changed = follows is After.CARD_DATA and card.changed_at > at
    return After.SCHEDULE if has_changed else follows


def _has_room(tries: Sequence[Tried], card: Card, at: datetime, to_come: Sequence[datetime]) -> bool:
    """Whether a try at that instant leaves the scheduled ones of the following weeks within the schemes' bound."""
    recent = sum(tried.off_session and tried.card_id == card.id and tried.at > at - TRIES_SPAN for tried in tries)
    return recent + 1 + sum(later < at + TRIES_SPAN for later in to_come) <= MAX_TRIES


class Fate(StrEnum):
    """What the end of dunning does to an open invoice."""

    KEEP = "keep"
    VOID = "void"
    WRITE_OFF = "write_off"


def fates(action: FinalAction, period_starts: Sequence[datetime], access_until: datetime) -> Sequence[Fate]:
    """Of the open invoices, oldest first: what gave no access is not asked for.

    What gave access is lost with a cancellation and stays payable otherwise; the oldest one does in any case, for
    paying it is the way back.
    """
    has_access = [start < access_until for start in period_starts]
    if action is FinalAction.CANCEL:
        return [Fate.WRITE_OFF if has else Fate.VOID for has in has_access]
    return [Fate.KEEP if has or n == 0 else Fate.VOID for n, has in enumerate(has_access)]


def wrong_with_retries(days: Sequence[int]) -> str | None:
    """Why such days cannot be a policy's; None: they can. The first try, on day 0, counts too."""
    if not days:
        return "Give at least one day."
    if any(not 1 <= day <= _LONGEST_DAYS for day in days):
        return f"Each day is from 1 to {_LONGEST_DAYS}."
    if any(later <= sooner for sooner, later in pairwise(days)):
        return "The days ascend, each only once."
    tried = [0, *days]
    if any(b - a < TRIES_SPAN.days for a, b in zip(tried, tried[MAX_TRIES:], strict=False)):
        return f"The card schemes allow {MAX_TRIES} tries within {TRIES_SPAN.days} days, the first one among them."
    return None


def is_delinquent(statuses: Iterable[SubscriptionStatus], overdue_since: datetime | None, now: datetime) -> bool:
    """Whether somebody owes what should be paid by now.

    `statuses` are those of their subscriptions; `overdue_since` is when the first of their open invoices was refused or
    should have been paid, None when there is none.
    """
    return not BEHIND.isdisjoint(statuses) or (overdue_since is not None and overdue_since <= now)
