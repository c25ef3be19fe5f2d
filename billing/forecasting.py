"""What a subscription will bill, as far as can be known now: time's happenings applied to a value, one after another.

Nothing that somebody may still do is foreseen; each invoice is taken to be paid.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from billing.agreement import Agreement
from billing.calendar import Grid, Period, Span
from billing.discounting import Discount
from billing.invoicing import InvoiceDraft, InvoiceReason
from billing.lifecycle import SubscriptionStatus
from billing.lines import Line, LineKind
from billing.metering import Meter
from billing.pausing import Course, is_put_off, resumed, with_its_end
from billing.recurring import RecurringItem
from billing.schedule import RUNNING, Happening, Schedule, next_happening


@dataclass(frozen=True, slots=True)
class Planned:
    """What a subscription turns into at its schedule's `change_at`.

    `items` are billed from then on, less `discounts`, and `meters` measure; `unused` are lines of those that begin to
    within a period. `grid` and `span` are the new ones where another interval begins; `draft` is the invoice that the
    change brings at once, `waiting` what waits for the next one after it (None: as before).
    """

    items: Sequence[RecurringItem]
    discounts: Sequence[Discount]
    meters: Sequence[Meter] = ()
    unused: Sequence[Line] = ()
    grid: Grid | None = None
    span: Span | None = None
    draft: InvoiceDraft | None = None
    waiting: Sequence[Line] | None = None


@dataclass(frozen=True, slots=True)
class Outlook:
    """A subscription as far as its bills follow from it. `period_number` is that of the period under way.

    `planned` is None where nothing is planned, or where that follows from periods which are not billed yet. A paused
    one rests since `paused_at`; `pauses_trial`: it was on trial then.
    """

    schedule: Schedule
    grid: Grid
    period_number: int
    agreement: Agreement
    planned: Planned | None = None
    paused_at: datetime | None = None
    pauses_trial: bool = False

    def bill(self, span: Span, *, reason: InvoiceReason) -> tuple["Outlook", InvoiceDraft]:
        """The invoice of the period with this outlook's number, and what is left then."""
        draft = self.agreement.draft_period(span, reason=reason, occasion=str(self.period_number))
        return replace(self, agreement=self.agreement.after_period(draft)), draft


@dataclass(frozen=True, slots=True)
class Foreseen:
    """An invoice to come, and when it will be issued."""

    at: datetime
    draft: InvoiceDraft


def next_span(grid: Grid, schedule: Schedule) -> Span:
    """The period after the present one; the last one is over with the subscription's term."""
    return grid.span_from(schedule.period_end).until(schedule.ends_at)


_FARTHEST = datetime(9000, 1, 1, tzinfo=UTC)
"""Nothing is foreseen from then on: the calendar has an end, and a pause may be planned until near it."""

Happened = tuple[Outlook, InvoiceDraft | None] | None
"""The outlook afterwards and the invoice that it brought; None: what comes of it cannot be told yet."""


def forecast(outlook: Outlook, count: int) -> Sequence[Foreseen]:
    """The next `count` invoices; fewer when the subscription ends before, or rests until somebody resumes it."""
    found: list[Foreseen] = []
    while len(found) < count:
        upcoming = next_happening(outlook.schedule)
        if upcoming is None or upcoming[0] >= _FARTHEST or upcoming[1] not in _STEPS:
            break
        happened = _STEPS[upcoming[1]](outlook)
        if happened is None:
            break
        outlook, draft = happened
        if draft is not None:
            found.append(Foreseen(upcoming[0], draft))
    return found


def advance(outlook: Outlook, happening: Happening) -> Happened:
    """What the next happening makes of the outlook; None also for one that ends what can be foreseen."""
    step = _STEPS.get(happening)
    return step(outlook) if step is not None else None


def _renew(outlook: Outlook) -> Happened:
    span = next_span(outlook.grid, outlook.schedule)
    schedule = replace(
        outlook.schedule,
        status=SubscriptionStatus.ACTIVE,
        period_start=span.period.start,
        period_end=span.period.end,
    )
    begun = replace(outlook, schedule=schedule, period_number=outlook.period_number + 1)
    return begun.bill(span, reason=InvoiceReason.SUBSCRIPTION_CYCLE)


def _start(outlook: Outlook) -> Happened:
    if outlook.schedule.trial_end is not None:
        return replace(outlook, schedule=replace(outlook.schedule, status=SubscriptionStatus.TRIALING)), None
    begun = replace(outlook, schedule=replace(outlook.schedule, status=SubscriptionStatus.ACTIVE))
    if begun.schedule.is_given_up:
        return begun, None
    span = outlook.grid.span_from(begun.schedule.period_start).until(begun.schedule.ends_at)
    return begun.bill(span, reason=InvoiceReason.SUBSCRIPTION_CREATE)


def _announce(outlook: Outlook) -> Happened:
    return replace(outlook, schedule=replace(outlook.schedule, is_trial_end_announced=True)), None


def _change(outlook: Outlook) -> Happened:
    planned = outlook.planned
    return None if planned is None else (changed(outlook, planned), planned.draft)


def changed(outlook: Outlook, planned: Planned) -> Outlook:
    """What is left once the change has been made and its invoice, if it brings one, is issued."""
    before = {discount.id: discount for discount in outlook.agreement.discounts}
    discounts = [before.get(discount.id, discount) for discount in planned.discounts]
    agreement = replace(outlook.agreement, items=planned.items, discounts=discounts, meters=planned.meters)
    schedule, number = replace(outlook.schedule, change_at=None), outlook.period_number
    usage = agreement.usage
    if planned.draft is not None:  # What has been used of the items that end is on it already.
        billed = {line.item_id for line in planned.draft.lines if line.kind is LineKind.USAGE}
        usage = [line for line in usage if line.item_id not in billed]
    if planned.waiting is not None:
        agreement = replace(agreement, waiting=planned.waiting)
    if planned.draft is not None and planned.span is not None:
        agreement = agreement.after_period(planned.draft)
    elif planned.draft is not None:
        agreement = replace(agreement, balance=agreement.balance - planned.draft.credit_applied, waiting=())
    if planned.span is not None:
        period = planned.span.period
        pause_at, resume_at = with_its_end(schedule.pause_at, schedule.resume_at, period.end)
        schedule = replace(
            schedule, period_start=period.start, period_end=period.end, pause_at=pause_at, resume_at=resume_at
        )
        number += schedule.status is not SubscriptionStatus.SCHEDULED
    return replace(
        outlook,
        schedule=schedule,
        grid=planned.grid or outlook.grid,
        period_number=number,
        agreement=replace(agreement, usage=[*usage, *planned.unused]),
        planned=None,
    )


def _pay_in_time(outlook: Outlook) -> Happened:
    return replace(outlook, schedule=replace(outlook.schedule, invoice_due_at=None)), None


def _pause(outlook: Outlook) -> Happened:
    return paused(outlook, outlook.schedule.pause_at), None


def paused(outlook: Outlook, at: datetime | None) -> Outlook:
    """What is left of it when it rests as of `at`, until its schedule's `resume_at`."""
    schedule = replace(outlook.schedule, status=SubscriptionStatus.PAUSED, pause_at=None)
    on_trial = outlook.schedule.status is SubscriptionStatus.TRIALING
    return replace(outlook, schedule=schedule, paused_at=at, pauses_trial=on_trial)


def _resume(outlook: Outlook) -> Happened:
    at = outlook.schedule.resume_at
    return None if at is None else (gone_on(outlook, at), None)


def gone_on(outlook: Outlook, at: datetime) -> Outlook:
    """What is left of a paused one when it goes on `at`: its dates have moved by the pause."""
    schedule, grid = outlook.schedule, outlook.grid
    trial_end = schedule.trial_end if outlook.pauses_trial else None
    course = Course(grid.anchor, schedule.period_end, trial_end, schedule.change_at)
    course = resumed(course, outlook.paused_at or schedule.since, at, keeps_anchor=grid.day is not None)
    schedule = replace(
        schedule,
        status=SubscriptionStatus.TRIALING if outlook.pauses_trial else SubscriptionStatus.ACTIVE,
        period_end=course.period_end,
        trial_end=course.trial_end or schedule.trial_end,
        is_trial_end_announced=schedule.is_trial_end_announced and not is_put_off(trial_end, course.trial_end, at),
        change_at=course.change_at,
        resume_at=None,
    )
    grid = replace(grid, anchor=course.anchor)
    planned = outlook.planned
    if planned is not None and (planned.draft is not None or planned.waiting is not None):
        planned = None  # What was reckoned of it was for the time without the pause.
    return replace(outlook, schedule=schedule, grid=grid, planned=planned, paused_at=None, pauses_trial=False)


def _end(outlook: Outlook) -> Happened:
    """What was used and what waited for the next invoice is asked for at last."""
    agreement, schedule = outlook.agreement, outlook.schedule
    ended = replace(outlook, schedule=replace(schedule, status=SubscriptionStatus.CANCELED))
    has_begun = schedule.status in RUNNING or schedule.status is SubscriptionStatus.PAUSED
    if not has_begun or not (agreement.usage or agreement.waiting):
        return ended, None
    period, reason = Period(schedule.period_start, schedule.period_end), InvoiceReason.SUBSCRIPTION_CANCEL
    return ended, agreement.draft_lines(agreement.usage, period=period, reason=reason, occasion="end")


_STEPS: Mapping[Happening, Callable[[Outlook], Happened]] = {
    Happening.START: _start,
    Happening.ANNOUNCE_TRIAL_END: _announce,
    Happening.RESUME: _resume,
    Happening.CHANGE: _change,
    Happening.PAUSE: _pause,
    Happening.OVERDUE: _pay_in_time,
    Happening.RENEW: _renew,
    Happening.END: _end,
}
"""What each happening does to the outlook, and the invoice that it brings; another one ends what can be foreseen."""
