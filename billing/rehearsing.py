"""What a run of the billing would do to one subscription: its outlook taken through the passes of a run.

A run makes passes until nothing is due any more: one happening, then the oldest unpaid invoice whose time to be tried
has come, then the end of dunning. Every card that is tried is taken to pay.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from billing.dunning import TrialEndAction
from billing.forecasting import Outlook, advance
from billing.invoicing import InvoiceDraft
from billing.lifecycle import SubscriptionStatus
from billing.money import Money
from billing.running import OUTCOME_OF_HAPPENING, OUTCOME_OF_TRIAL_END, Deed, RunOutcome
from billing.schedule import Happening, next_happening

_MOST_PASSES = 1_000


@dataclass(frozen=True, slots=True)
class Owed:
    """An unpaid invoice that a gateway collects. `collect_at`: when it is tried, None while it waits for something."""

    amount: Money
    invoice_id: str | None = None
    payment_id: str | None = None
    collect_at: datetime | None = None
    give_up_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Subject:
    """A subscription as a run finds it. `owed` has the oldest first.

    `is_charged`: what it is billed is charged to a card; `has_card`: there is one. `trial_end_action`: what becomes of
    a trial that ends without. `is_billed`: periods are billed when they begin, which those of manual subscriptions are
    not.
    """

    subscription_id: str
    outlook: Outlook
    owed: Sequence[Owed] = ()
    has_card: bool = True
    trial_end_action: TrialEndAction = TrialEndAction.PAST_DUE
    is_charged: bool = True
    is_billed: bool = True


def rehearse(subject: Subject, as_of: datetime) -> Sequence[Deed]:
    """What a run as of then would do, in its order."""
    return list(_Rehearsal(subject, subject.outlook, list(subject.owed), as_of).passes())


@dataclass
class _Rehearsal:
    subject: Subject
    outlook: Outlook | None
    owed: list[Owed]
    as_of: datetime

    def passes(self) -> Iterator[Deed]:
        for _ in range(_MOST_PASSES):
            deeds = [*self._happen(), *self._collect(), *self._give_up()]
            if not deeds:
                return
            yield from deeds

    def _happen(self) -> Iterator[Deed]:
        upcoming = next_happening(self.outlook.schedule) if self.outlook is not None else None
        if self.outlook is None or upcoming is None or upcoming[0] > self.as_of:
            return
        at, happening = upcoming
        outcome = OUTCOME_OF_HAPPENING[happening]
        before, happened = self.outlook, advance(self.outlook, happening)
        self.outlook, draft = happened if happened is not None else (None, None)
        instead = self._instead_of_first_period(before, draft) if happening is Happening.RENEW else None
        if instead is not None:
            self.outlook = None
            yield Deed(self.subject.subscription_id, instead, at)
            return
        if happening is Happening.OVERDUE:
            schedule = replace(before.schedule, status=SubscriptionStatus.PAST_DUE, invoice_due_at=None)
            self.outlook = replace(before, schedule=schedule)
        if happening in (Happening.END, Happening.EXPIRE):
            self.owed.clear()  # What is unpaid is withdrawn.
        if draft is None or not self.subject.is_billed:
            yield Deed(self.subject.subscription_id, outcome, at)
            return
        yield Deed(self.subject.subscription_id, outcome, at, amount=draft.amount_due)
        if happening is Happening.END and self.subject.is_charged and not draft.amount_due.is_zero:
            # It is tried once the subscription has ended.
            self.owed.append(Owed(draft.amount_due, collect_at=at))
            yield self._deed(RunOutcome.SKIPPED, at, self.owed[0])
            return
        yield from self._charge(draft, at, is_first=happening is Happening.START)

    def _instead_of_first_period(self, before: Outlook, draft: InvoiceDraft | None) -> RunOutcome | None:
        """What becomes of a trial without the card that its first period needs; None: the period is billed."""
        is_over = before.schedule.status is SubscriptionStatus.TRIALING and not self.owed
        needs_card = self.subject.is_charged and draft is not None and not draft.amount_due.is_zero
        if not is_over or not needs_card or self.subject.has_card:
            return None
        return OUTCOME_OF_TRIAL_END.get(self.subject.trial_end_action)

    def _charge(self, draft: InvoiceDraft, at: datetime, *, is_first: bool) -> Iterator[Deed]:
        if draft.amount_due.is_zero or not self.subject.is_charged:
            return
        if self.subject.has_card and not self.owed:
            yield self._deed(RunOutcome.CHARGED, at, Owed(draft.amount_due))
            return
        yield self._deed(RunOutcome.SKIPPED, at, Owed(draft.amount_due))
        self.owed.append(Owed(draft.amount_due))
        if is_first:
            self.outlook = None  # Unpaid, it does not go on.

    def _collect(self) -> Iterator[Deed]:
        oldest = self.owed[0] if self.owed else None
        if oldest is None or oldest.collect_at is None or oldest.collect_at > self.as_of:
            return
        if not self.subject.has_card:
            self.owed[0] = replace(oldest, collect_at=None)
            yield self._deed(RunOutcome.SKIPPED, oldest.collect_at, oldest)
            return
        yield self._deed(RunOutcome.CHARGED, oldest.collect_at, oldest)
        self.owed = self.owed[1:]
        if self.owed:
            self.owed[0] = replace(self.owed[0], collect_at=oldest.collect_at)

    def _give_up(self) -> Iterator[Deed]:
        for each in self.owed:
            if each.collect_at is None and each.give_up_at is not None and each.give_up_at <= self.as_of:
                yield Deed(self.subject.subscription_id, RunOutcome.GIVEN_UP, each.give_up_at)
                self.owed, self.outlook = [], None  # What becomes of it then is the policy's.
                return

    def _deed(self, outcome: RunOutcome, at: datetime, owed: Owed) -> Deed:
        return Deed(self.subject.subscription_id, outcome, at, owed.invoice_id, owed.payment_id, owed.amount)
