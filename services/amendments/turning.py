"""From what a subscription shall consist of to a change as it would be written, and the writing of it.

The act and its preview begin alike: `propose_change` writes nothing, `carry_out` writes the proposal in the caller's
transaction, under the customer's lock.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.agreement import Agreement
from billing.calendar import Grid, Interval, Period, Span, grid_on_day
from billing.errors import ErrorCode, UserProblem
from billing.events import PLAN_CHANGED
from billing.invoicing import InvoiceDraft, InvoiceReason
from billing.lifecycle import SubscriptionStatus
from billing.lines import Line
from billing.pausing import with_its_end
from billing.proration import INVOICED_NOW, Present, ProrationBehavior, Turn, turn_over, turn_within
from billing.recurring import recurring_lines
from models.catalog import Plan
from models.customers import Customer
from models.invoices import Invoice, PendingLine, keep_waiting, open_invoices_of
from models.payments import Payment
from models.subscriptions import Change, Subscription, SubscriptionItem
from services.amendments.billed import present_period
from services.app import App
from services.changes import Why, announce
from services.invoices.discounting import discount_values
from services.invoices.drafting import agreement_with
from services.invoices.issuing import issue
from services.subscriptions.choosing import present_items
from services.subscriptions.places import hold_places
from services.subscriptions.placing import PlacedItem
from services.subscriptions.trials import begin_trial
from services.usage.metering import usage_lines

MACHINE = "items"
"""The machine under which a change of what is subscribed to is remembered, from plan id to plan id."""

UNBILLED = frozenset((SubscriptionStatus.TRIALING, SubscriptionStatus.SCHEDULED))


@dataclass(frozen=True, slots=True)
class Target:
    """What a subscription shall consist of, from when on, and what is done about money.

    `at` is the instant that amounts are computed for; at the period's end nothing is prorated.
    """

    items: Sequence[PlacedItem]
    behavior: ProrationBehavior
    at: datetime

    @property
    def interval(self) -> tuple[Interval, int]:
        return self.items[0].plan.interval, self.items[0].plan.interval_count


@dataclass(frozen=True, slots=True)
class ChangeProposal:
    """A change as it would be written.

    `grid` and `span` are the new ones where a new period begins, with the change (`span`) or at the end of the present
    one. `usage` is what metered items that end with it have measured, `draft` the invoice at once; `waiting` is what
    waits for the next one afterwards, by pending line's id, `later` what comes to it. `amounts` is a full period's
    invoice from now on.
    """

    target: Target
    kept: Sequence[SubscriptionItem]
    ended: Sequence[SubscriptionItem]
    begun: Sequence[SubscriptionItem]
    agreement: Agreement
    amounts: InvoiceDraft
    grid: Grid | None = None
    span: Span | None = None
    usage: Sequence[Line] = ()
    draft: InvoiceDraft | None = None
    waiting: Mapping[str, Line] | None = None
    later: Sequence[Line] = ()


async def propose_change(
    session: AsyncSession, customer: Customer, row: Subscription, target: Target, *, occasion: str
) -> ChangeProposal | None:
    """What `carry_out` writes; None when it consists of just that already.

    Raises INVALID for plans of several intervals and for money that cannot be left for later, INVALID_STATE while an
    invoice is open and money would move.
    """
    _refuse_mixed_intervals(target)
    present = await present_items(session, row)
    kept, ended, begun = _compare(row, [item for item, _ in present], target)
    if not ended and not begun:
        return None
    by_id = {item.id: each for item, each in [*present, *zip(begun, _begun_of(target, kept), strict=True)]}
    items = [(item, by_id[item.id].plan, by_id[item.id].price) for item in [*kept, *begun]]
    discounts = await discount_values(session, row, interval=target.interval[0])
    agreement = _at_interval(await agreement_with(session, customer, row, items, discounts), target)
    plain = ChangeProposal(target, kept, ended, begun, agreement, _full_period(row, agreement, target))
    begins_anew = target.interval != (row.interval, row.interval_count)
    if row.status in UNBILLED or target.at >= row.period_end:
        # Nothing of what is subscribed to has been billed: the change is one of the periods to come. A trial stays.
        is_first = row.status is SubscriptionStatus.SCHEDULED and row.trial_end is None
        start = row.period_start if is_first else row.period_end
        grid = _grid(row, start, target) if begins_anew else None
        return replace(plain, grid=grid, span=grid.span_from(start).until(row.ends_at) if grid and is_first else None)
    refuse_unpriced_period(row, target)
    await _refuse_unpaid_period(session, row, target)
    if target.behavior is ProrationBehavior.NONE:
        return plain
    was = await present_period(
        session,
        row,
        [item for item, _ in present],
        counts_use=target.behavior is ProrationBehavior.USAGE_AWARE,
    )
    is_reset = begins_anew or target.behavior is ProrationBehavior.FULL_PRICE_RESET
    if target.behavior in INVOICED_NOW:
        # What is not invoiced now is on the next invoice, with the ended items' own prices.
        closed = [item for item, _ in present] if is_reset else ended
        goes_on = [by_id[item.id].plan for item in [*kept, *begun]]
        plain = replace(plain, usage=await _measured(session, row, closed, goes_on, target.at))
    return _anew(row, plain, was, occasion) if is_reset else _within(row, plain, was, occasion)


async def _measured(
    session: AsyncSession,
    row: Subscription,
    closed: Sequence[SubscriptionItem],
    goes_on: Sequence[Plan],
    at: datetime,
) -> Sequence[Line]:
    """What these items have measured until the change, at the prices that they had."""
    features = {plan.meter_feature_id for plan in goes_on if plan.meter_feature_id is not None}
    return await usage_lines(session, row, at, only=[item.id for item in closed], measured_on=features)


def _within(row: Subscription, plain: ChangeProposal, was: Present, occasion: str) -> ChangeProposal:
    """The period goes on with other items."""
    target, begun = plain.target, {item.id for item in plain.begun}
    turn = turn_within(
        was,
        ended=frozenset(item.id for item in plain.ended),
        begun=[item for item in plain.agreement.items if item.item_id in begun],
        behavior=target.behavior,
        now=target.at,
        zone=row.grid.zone,
    )
    return _with_money(plain, turn, Period(target.at, row.period_end), occasion)


def _anew(row: Subscription, plain: ChangeProposal, was: Present, occasion: str) -> ChangeProposal:
    """A new period begins at this instant."""
    target = plain.target
    grid = _grid(row, target.at, target)
    span = grid.span_from(target.at).until(row.ends_at)
    turn = turn_over(
        was,
        span=span,
        items=plain.agreement.items,
        behavior=target.behavior,
        now=target.at,
        zone=grid.zone,
    )
    return _with_money(replace(plain, grid=grid, span=span), turn, span.period, occasion)


def _with_money(plain: ChangeProposal, turn: Turn, period: Period, occasion: str) -> ChangeProposal:
    if plain.target.behavior not in INVOICED_NOW:
        return replace(plain, waiting=turn.waiting, later=turn.lines)
    lines = [*plain.usage, *turn.lines]
    if not lines:
        return replace(plain, waiting=turn.waiting)
    billing = replace(plain.agreement, waiting=tuple(turn.waiting.values()))
    draft = billing.draft_lines(
        lines,
        period=period,
        reason=InvoiceReason.SUBSCRIPTION_UPDATE,
        occasion=occasion,
        begins_period=plain.span is not None,
    )
    return replace(plain, waiting=turn.waiting, draft=draft)


def _refuse_mixed_intervals(target: Target) -> None:
    if len({(each.plan.interval, each.plan.interval_count) for each in target.items}) > 1:
        raise UserProblem(
            ErrorCode.INVALID,
            "All plans of a subscription are billed at one interval. Change all its items together.",
            ["items"],
        )


def refuse_unpriced_period(row: Subscription, target: Target) -> None:
    """A new period wants its money at once. Raises INVALID."""
    begins_anew = target.interval != (row.interval, row.interval_count)
    if begins_anew and target.behavior in (ProrationBehavior.NONE, ProrationBehavior.PRORATE_NEXT_INVOICE):
        raise UserProblem(
            ErrorCode.INVALID,
            "Another interval begins a new period, which is invoiced at once. Choose another proration, or PERIOD_END.",
            ["proration"],
        )


async def _refuse_unpaid_period(session: AsyncSession, row: Subscription, target: Target) -> None:
    """What nobody has paid gives nothing back, and would be charged for twice. Raises INVALID_STATE."""
    if target.behavior is not ProrationBehavior.NONE and await open_invoices_of(session, row.id):
        raise UserProblem(
            ErrorCode.INVALID_STATE,
            "An invoice is open. Pay it first, or change at the period's end.",
            ["subscriptionId"],
        )


def _compare(
    row: Subscription, present: Sequence[SubscriptionItem], target: Target
) -> tuple[list[SubscriptionItem], list[SubscriptionItem], list[SubscriptionItem]]:
    """Which items stay as they are, which end, and the new ones."""
    wanted = [(each.price.id, each.quantity, each.unit_amount_minor) for each in target.items]
    kept = [item for item in present if (item.price_id, item.quantity, item.unit_amount_minor) in wanted]
    ended = [item for item in present if item not in kept]
    begun = [each.as_item(row, target.at) for each in _begun_of(target, kept)]
    return kept, ended, begun


def _begun_of(target: Target, kept: Sequence[SubscriptionItem]) -> Sequence[PlacedItem]:
    stays = {item.price_id for item in kept}
    return [each for each in target.items if each.price.id not in stays]


def _at_interval(agreement: Agreement, target: Target) -> Agreement:
    interval, count = target.interval
    items = [replace(item, interval=interval, interval_count=count) for item in agreement.items]
    return replace(agreement, items=items)


def _full_period(row: Subscription, agreement: Agreement, target: Target) -> InvoiceDraft:
    """What a period costs from now on, whatever of it is billed by this change."""
    start = row.period_end
    full = Period(start, Grid(start, *target.interval, row.grid.zone).boundary(1))
    lines = recurring_lines(agreement.items, Span(full, full), agreement.zone)
    plain = replace(agreement, waiting=())
    return plain.draft_lines(lines, period=full, reason=InvoiceReason.SUBSCRIPTION_CYCLE, occasion="")


def _grid(row: Subscription, start: datetime, target: Target) -> Grid:
    """Counted from `start`; a billing day stays unless a full-price period begins."""
    interval, count = target.interval
    keeps_day = row.billing_day is not None and target.behavior is not ProrationBehavior.FULL_PRICE_RESET
    if keeps_day and row.billing_day is not None and interval in (Interval.MONTH, Interval.YEAR):
        return grid_on_day(start, interval, count, row.grid.zone, row.billing_day)
    return Grid(start, interval, count, row.grid.zone)


async def carry_out(
    app: App,
    session: AsyncSession,
    customer: Customer,
    row: Subscription,
    proposal: ChangeProposal,
    change_id: str,
    why: Why,
    *,
    return_url: str | None = None,
) -> tuple[Invoice | None, Payment | None]:
    """Write the proposal: the invoice and the payment that collects it, leased to the caller, where there are any."""
    before, plan = row.plan_id, proposal.target.items[0].plan
    for item in proposal.ended:
        item.ended_at = proposal.target.at
    await session.flush()
    session.add_all(proposal.begun)
    row.plan_id, row.product_id = plan.id, plan.product_id
    row.interval, row.interval_count = proposal.target.interval
    row.original_amount_minor = proposal.amounts.subtotal.minor
    row.discount_amount_minor = proposal.amounts.discount_total.minor
    _move_period(row, proposal)
    await hold_places(session, row, [item.product_id for item in [*proposal.kept, *proposal.begun]])
    await _write_waiting(session, row, proposal, why)
    await session.flush()
    if row.status is SubscriptionStatus.TRIALING and proposal.target.at < row.period_end:
        await begin_trial(session, row, why)  # What it comes to on trial is tried from now on.
    row.due_at = row.next_due()
    row.touch(why.now)
    session.add(
        Change(
            id=change_id,
            machine=MACHINE,
            subject_id=row.id,
            from_status=before,
            to_status=plan.id,
            cause=why.cause,
            actor=str(why.actor),
            at=why.now,
        )
    )
    payload = {
        "plan_before": before,
        "plan": plan.id,
        "items": [{"plan": each.plan_id, "quantity": each.quantity} for each in [*proposal.kept, *proposal.begun]],
        "proration": proposal.target.behavior.value,
    }
    announce(session, PLAN_CHANGED, row.id, why, customer_id=row.customer_id, payload=payload)
    if proposal.draft is None:
        return None, None
    return await issue(app, session, customer, row, proposal.draft, why, return_url=return_url)


def _move_period(row: Subscription, proposal: ChangeProposal) -> None:
    if proposal.grid is not None:
        row.anchor, row.billing_day = proposal.grid.anchor, proposal.grid.day
    if proposal.span is None:
        return
    if row.status is not SubscriptionStatus.SCHEDULED:
        row.period_number += 1
    row.period_start = proposal.span.period.start
    row.move_end(proposal.span.period.end)
    row.pause_at, row.resume_at = with_its_end(row.pause_at, row.resume_at, row.period_end)


async def _write_waiting(session: AsyncSession, row: Subscription, proposal: ChangeProposal, why: Why) -> None:
    """What waited is cut to the time in which there was something to charge for; what is new waits behind it."""
    if proposal.waiting is not None:
        await keep_waiting(session, row.id, proposal.waiting)
    session.add_all(PendingLine.of(row.id, line, why.now) for line in proposal.later)
