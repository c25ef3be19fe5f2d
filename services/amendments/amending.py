"""Changing a subscription that goes on: its name, notes, dates and items, and taking a cancellation back."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import partial

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.calendar import Grid, Interval, grid_on_day
from billing.errors import ErrorCode, UserProblem
from billing.events import CANCEL_SCHEDULED, CANCEL_UNSCHEDULED, UPDATED
from billing.lifecycle import SUBSCRIPTION, SubscriptionStatus
from billing.pausing import with_its_end
from billing.proration import ProrationBehavior
from models.base import Notes
from models.subscriptions import CollectionMethod, Subscription, SubscriptionOrigin
from services.amendments.changing import CHANGE_OUTCOMES, Act, ChangeOutcome, change_id_of, change_now, refuse_gift
from services.amendments.planned import refuse_if_over
from services.app import Actor, ActorKind, App
from services.changes import Why, announce
from services.ends.ending import Ending
from services.idempotency import answer_with, once
from services.owned import already_ended, locked_subscription, own_subscription
from services.quotes.changes import ChangeAsked, quote_change
from services.quotes.quoting import Hold, at_quote, hold_to_quote
from services.subscriptions.choosing import wished_items
from services.subscriptions.ordering import WishedItem
from services.subscriptions.placing import PlacedItem
from services.subscriptions.trials import refuse_tried
from services.timelines import in_time_of

_CAUSE = "updateSubscription"
_LONGEST_TRIAL = timedelta(days=730)


@dataclass(frozen=True, slots=True)
class UpdateWish:
    """What to change; None leaves it as it is. `items` are all that it shall consist of from now on.

    An empty name takes the name away. `billing_day` is 1 to 31, `days_until_due` 1 to 365; a `trial_end` that is past
    ends the trial now.
    """

    subscription_id: str
    name: str | None = None
    metadata: Notes | None = None
    auto_renew: bool | None = None
    billing_day: int | None = None
    ends_at: datetime | None = None
    trial_end: datetime | None = None
    days_until_due: int | None = None
    items: Sequence[WishedItem] | None = None
    proration: ProrationBehavior | None = None
    return_url: str | None = None
    expected_version: int | None = None
    quote_token: str | None = None
    idempotency_key: str | None = None


async def update_subscription(app: App, actor: Actor, wish: UpdateWish) -> ChangeOutcome:
    """Change what is given, all of it or nothing. Raises NOT_FOUND, NOT_PERMITTED, INVALID, INVALID_STATE,
    VERSION_CONFLICT, QUOTE_STALE, IDEMPOTENCY_CONFLICT, and what a change of items raises."""
    refuse_wish(wish, actor)
    seen = await own_subscription(app, actor, wish.subscription_id)
    present = await in_time_of(app, seen.test_clock_id)

    async def hold(session: AsyncSession) -> None:
        await hold_to_quote(present, session, wish.quote_token, partial(quote_change, update_asked(actor, wish)))

    async def run() -> ChangeOutcome:
        why = Why(_CAUSE, actor, at_quote(present, wish.quote_token).now())
        if wish.items is not None:
            return await _with_items(present, actor, seen, wish, wish.items, hold, why)
        async with present.database.write() as session:
            row, _ = await locked_subscription(session, seen, wish.expected_version)
            await hold(session)
            _amend_and_tell(present, session, row, wish, why)
            amended = ChangeOutcome(row)
            answer = CHANGE_OUTCOMES.keep(amended)
            await answer_with(session, actor, row.customer_id, _CAUSE, wish.idempotency_key, answer)
            return amended

    return await once(
        present, actor, seen.customer_id, _CAUSE, wish.idempotency_key, asdict(wish), CHANGE_OUTCOMES, run
    )


def update_asked(actor: Actor, wish: UpdateWish) -> ChangeAsked:
    """The wish as what is quoted."""

    def amend(app: App, row: Subscription) -> None:
        _amend(app, row, wish, Why(_CAUSE, actor, app.now()))

    return ChangeAsked(
        act=_CAUSE,
        subscription_id=wish.subscription_id,
        wish=asdict(wish),
        choose=None if wish.items is None else partial(_chosen, actor, wish.items),
        behavior=wish.proration,
        is_now=True,
        amend=amend,
    )


async def _chosen(
    actor: Actor, items: Sequence[WishedItem], session: AsyncSession, row: Subscription
) -> Sequence[PlacedItem]:
    chosen = await wished_items(session, actor, row, items)
    await refuse_tried(session, actor, row, [each.plan for each in chosen], "items")
    return chosen


async def _with_items(
    app: App, actor: Actor, seen: Subscription, wish: UpdateWish, items: Sequence[WishedItem], hold: Hold, why: Why
) -> ChangeOutcome:
    act = Act(
        seen=seen,
        choose=partial(_chosen, actor, items),
        behavior=wish.proration or ProrationBehavior.PRORATE_NOW,
        change_id=change_id_of(actor, seen, _CAUSE, wish.idempotency_key),
        is_keyed=wish.idempotency_key is not None,
        expected_version=wish.expected_version,
        return_url=wish.return_url,
        amend=lambda session, row: _amend_and_tell(app, session, row, wish, why),
        hold=hold,
    )
    return await change_now(app, act, why)


def refuse_wish(wish: UpdateWish, actor: Actor) -> None:
    """The terms of the contract are the merchant's to change. Raises NOT_PERMITTED, naming the field, and INVALID for
    what does not go together."""
    merchants = {"endsAt": wish.ends_at, "trialEnd": wish.trial_end, "daysUntilDue": wish.days_until_due}
    given = next((name for name, value in merchants.items() if value is not None), None)
    if actor.kind is ActorKind.CUSTOMER and given is not None:
        raise UserProblem(ErrorCode.NOT_PERMITTED, f"Customers do not choose {given}: leave it out.", [given])
    if wish.proration is not None and wish.items is None:
        raise UserProblem(ErrorCode.INVALID, "proration goes with items only.", ["proration"])
    refuse_gift(actor, wish.proration)


def _amend(app: App, row: Subscription, wish: UpdateWish, why: Why) -> None:
    if row.status in SUBSCRIPTION.final:
        raise already_ended(row)
    before = _amendable(row)
    for amend in _AMENDMENTS:
        amend(app, row, wish, why)
    if _amendable(row) != before:
        row.due_at = row.next_due()
        row.touch(why.now)


def _amend_and_tell(app: App, session: AsyncSession, row: Subscription, wish: UpdateWish, why: Why) -> None:
    """Whether it renews is a matter of its own; of the rest it is told what changed."""
    was_to_end, shown = row.cancel_at_period_end, _shown(row)
    _amend(app, row, wish, why)
    changed = [name for name, value in _shown(row).items() if value != shown[name]]
    if changed:
        announce(session, UPDATED, row.id, why, customer_id=row.customer_id, payload={"changed": changed})
    if row.cancel_at_period_end and not was_to_end:
        payload = {"at": row.period_end}
        announce(session, CANCEL_SCHEDULED, row.id, why, customer_id=row.customer_id, payload=payload)
    elif was_to_end and not row.cancel_at_period_end:
        announce(session, CANCEL_UNSCHEDULED, row.id, why, customer_id=row.customer_id)


def _shown(row: Subscription) -> Mapping[str, object]:
    """What an update changes, by the names that clients know it by."""
    return {
        "name": row.name,
        "metadata": row.meta,
        "billingDay": row.billing_day,
        "trialEnd": row.trial_end,
        "endsAt": row.ends_at,
        "daysUntilDue": row.days_until_due,
    }


def _amendable(row: Subscription) -> tuple[object, ...]:
    dates = (row.anchor, row.billing_day, row.period_end, row.trial_end, row.ends_at, row.change_at)
    return (row.name, row.meta, row.cancel_at_period_end, row.days_until_due, *dates)


def _rename(app: App, row: Subscription, wish: UpdateWish, why: Why) -> None:
    if wish.name is not None:
        row.name = wish.name or None
    if wish.metadata is not None:
        row.meta = wish.metadata


def _renew_or_not(app: App, row: Subscription, wish: UpdateWish, why: Why) -> None:
    if wish.auto_renew is None or wish.auto_renew is not row.cancel_at_period_end:
        return
    if wish.auto_renew:
        refuse_if_over(app, row)
    row.cancel_at_period_end = not wish.auto_renew
    if not wish.auto_renew:
        Ending().note(row, why)
    elif row.cancel_at is None:
        _forget_cancellation(row)


def _move_billing_day(app: App, row: Subscription, wish: UpdateWish, why: Why) -> None:
    """The next period that is billed is a stub up to that day."""
    day = wish.billing_day
    if day is None or day == (row.billing_day or row.anchor.astimezone(row.grid.zone).day):
        return
    if row.interval not in (Interval.MONTH, Interval.YEAR):
        raise UserProblem(ErrorCode.INVALID, "Only months and years have a billing day.", ["billingDay"])
    if row.status is SubscriptionStatus.PAUSED:
        raise UserProblem(ErrorCode.INVALID_STATE, "It is paused. Resume it first.", ["billingDay"])
    refuse_if_over(app, row)
    _count_from(row, row.period_start if _bills_at_start(row) else row.period_end, day)
    _fit_first_period(row)


def _bills_at_start(row: Subscription) -> bool:
    """Whether the period that it carries has not begun, and is billed when it does."""
    is_agreed_by_hand = row.origin is SubscriptionOrigin.MANUAL
    return row.status is SubscriptionStatus.SCHEDULED and row.trial_end is None and not is_agreed_by_hand


def _fit_first_period(row: Subscription) -> None:
    """What is billed at a start to come goes as far as its days and its term say by then."""
    if _bills_at_start(row) and (row.ends_at is None or row.ends_at > row.period_start):
        row.move_end(row.grid.span_from(row.period_start).until(row.ends_at).period.end)


def _count_from(row: Subscription, start: datetime, day: int | None) -> None:
    """Periods from `start` on: on the billing day, if there is one."""
    interval, count, zone = row.interval, row.interval_count, row.grid.zone
    grid = Grid(start, interval, count, zone) if day is None else grid_on_day(start, interval, count, zone, day)
    row.anchor, row.billing_day = grid.anchor, grid.day


def _fix_end(app: App, row: Subscription, wish: UpdateWish, why: Why) -> None:
    if wish.ends_at is None or wish.ends_at == row.ends_at:
        return
    if wish.ends_at <= why.now:
        raise UserProblem(ErrorCode.INVALID, "The date is past. Give one to come, or cancel now.", ["endsAt"])
    refuse_if_over(app, row)
    row.ends_at = wish.ends_at
    _fit_first_period(row)


def _move_trial_end(app: App, row: Subscription, wish: UpdateWish, why: Why) -> None:
    """The first period begins then; what is past means now."""
    if wish.trial_end is None:
        return
    if row.status is not SubscriptionStatus.TRIALING:
        raise UserProblem(ErrorCode.INVALID_STATE, f"It is {row.status}, not on trial.", ["trialEnd"])
    refuse_if_over(app, row)
    # Not before it began either, should the clock have been set back.
    at = max(wish.trial_end, why.now, row.period_start)
    if row.trial_start is not None and at - row.trial_start > _LONGEST_TRIAL:
        raise UserProblem(
            ErrorCode.INVALID, f"A trial lasts at most {_LONGEST_TRIAL.days} days from its start.", ["trialEnd"]
        )
    if row.trial_end is not None and at > row.trial_end:
        row.trial_end_announced_at = None
    row.trial_end = at
    row.move_end(at)
    row.pause_at, row.resume_at = with_its_end(row.pause_at, row.resume_at, at)
    _count_from(row, at, row.billing_day)


def _allow_days(app: App, row: Subscription, wish: UpdateWish, why: Why) -> None:
    if wish.days_until_due is None:
        return
    if row.collection_method is not CollectionMethod.SEND_INVOICE:
        raise UserProblem(ErrorCode.INVALID, "daysUntilDue goes with SEND_INVOICE only.", ["daysUntilDue"])
    row.days_until_due = wish.days_until_due


# Each changes what its own fields of the wish say, or raises UserProblem; the trial's end goes before what counts
# from it.
_AMENDMENTS: Sequence[Callable[[App, Subscription, UpdateWish, Why], None]] = (
    _rename,
    _renew_or_not,
    _move_trial_end,
    _move_billing_day,
    _fix_end,
    _allow_days,
)


async def uncancel_subscription(
    app: App, actor: Actor, *, subscription_id: str, expected_version: int | None
) -> Subscription:
    """Let a subscription go on that would end at its period's end or at a date. Repeating it changes nothing.

    Raises NOT_FOUND, INVALID_STATE, VERSION_CONFLICT.
    """
    seen = await own_subscription(app, actor, subscription_id)
    present = await in_time_of(app, seen.test_clock_id)
    now = present.now()
    async with present.database.write() as session:
        row, _ = await locked_subscription(session, seen, expected_version)
        if row.status in SUBSCRIPTION.final:
            raise already_ended(row)
        if row.cancel_at_period_end or row.cancel_at is not None:
            refuse_if_over(present, row)
            row.cancel_at_period_end, row.cancel_at = False, None
            _forget_cancellation(row)
            row.due_at = row.next_due()
            row.touch(now)
            why = Why("uncancelSubscription", actor, now)
            announce(session, CANCEL_UNSCHEDULED, row.id, why, customer_id=row.customer_id)
        return row


def _forget_cancellation(row: Subscription) -> None:
    row.canceled_at = row.cancellation_reason = row.cancellation_comment = row.cancellation_requested_by = None
