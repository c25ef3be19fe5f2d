"""Pauses: no access, nothing renews, and time stands still until it goes on, by itself or when told to."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.errors import ErrorCode, UserProblem
from billing.events import PAUSE_SCHEDULED, PAUSE_UNSCHEDULED
from billing.lifecycle import SUBSCRIPTION, SubscriptionEvent, SubscriptionStatus
from billing.pausing import Course, is_put_off, resumed
from billing.quotes import Quote
from models.customers import Customer
from models.invoices import open_invoices_of
from models.subscriptions import Subscription, changes_of
from services.amendments.planned import refuse_if_over
from services.amendments.unplanning import tell_of_pause
from services.app import Actor, ActorKind, App
from services.changes import Why, move_subscription
from services.idempotency import Memory, answer_with, once
from services.owned import already_ended, locked_subscription, own_subscription
from services.quotes.quoting import at_quote, hold_to_quote
from services.quotes.rests import quote_pause, quote_resume
from services.subscriptions.trials import is_paused_trial
from services.timelines import in_time_of


@dataclass(frozen=True, slots=True)
class PauseWish:
    """Pause now or `at_period_end`, `until` then, None: until somebody resumes it."""

    subscription_id: str
    at_period_end: bool = False
    until: datetime | None = None
    expected_version: int | None = None
    quote_token: str | None = None
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class ResumeWish:
    subscription_id: str
    expected_version: int | None = None
    quote_token: str | None = None
    idempotency_key: str | None = None


async def pause_subscription(app: App, actor: Actor, wish: PauseWish) -> Subscription:
    """Pause it, or plan to. Of one that is paused only `until` can change; repeating a wish changes nothing.

    Raises UserProblem NOT_FOUND, NOT_PERMITTED, INVALID, INVALID_STATE, VERSION_CONFLICT, QUOTE_STALE,
    IDEMPOTENCY_CONFLICT.
    """
    seen = await own_subscription(app, actor, wish.subscription_id)
    app = await in_time_of(app, seen.test_clock_id)
    why = Why("pauseSubscription", actor, at_quote(app, wish.quote_token).now())

    async def run() -> Subscription:
        async with app.database.write() as session:
            row, _ = await locked_subscription(session, seen, wish.expected_version)
            await _refuse_to_pause(app, session, row, actor, wish, why.now)
            await hold_to_quote(app, session, wish.quote_token, partial(quote_pausing, actor, wish))
            before = (row.status, row.pause_at, row.resume_at)
            begin_pause(session, row, wish, why)
            if (row.status, row.pause_at, row.resume_at) != before:
                row.due_at = row.next_due()
                row.touch(why.now)
                if row.status is before[0]:
                    tell_of_pause(session, PAUSE_SCHEDULED, row, why)
            await answer_with(session, actor, seen.customer_id, why.cause, wish.idempotency_key, _kept(row))
            return row

    return await once(app, actor, seen.customer_id, why.cause, wish.idempotency_key, asdict(wish), _ROWS, run)


async def resume_subscription(app: App, actor: Actor, wish: ResumeWish) -> Subscription:
    """Let it go on now, or take a planned pause back.

    Raises UserProblem NOT_FOUND, NOT_PERMITTED, INVALID_STATE, VERSION_CONFLICT, QUOTE_STALE, IDEMPOTENCY_CONFLICT.
    """
    seen = await own_subscription(app, actor, wish.subscription_id)
    app = await in_time_of(app, seen.test_clock_id)
    why = Why("resumeSubscription", actor, at_quote(app, wish.quote_token).now())

    async def run() -> Subscription:
        async with app.database.write() as session:
            row, _ = await locked_subscription(session, seen, wish.expected_version)
            await _refuse_to_resume(app, session, row, actor)
            await hold_to_quote(app, session, wish.quote_token, partial(quote_resuming, actor, wish))
            if row.status is SubscriptionStatus.PAUSED:
                await end_pause(session, row, why.now, why)
            else:
                tell_of_pause(session, PAUSE_UNSCHEDULED, row, why)
                row.pause_at = row.resume_at = None
            row.due_at = row.next_due()
            row.touch(why.now)
            await answer_with(session, actor, seen.customer_id, why.cause, wish.idempotency_key, _kept(row))
            return row

    return await once(app, actor, seen.customer_id, why.cause, wish.idempotency_key, asdict(wish), _ROWS, run)


async def quote_pausing(actor: Actor, wish: PauseWish, app: App, session: AsyncSession) -> Quote:
    """What the pause does to what is to come. Raises UserProblem as it would."""
    row = await session.get_one(Subscription, wish.subscription_id)
    await _refuse_to_pause(app, session, row, actor, wish, app.now())
    return await quote_pause(row.id, asdict(wish), wish.at_period_end, wish.until, app, session)


async def quote_resuming(actor: Actor, wish: ResumeWish, app: App, session: AsyncSession) -> Quote:
    """What going on does to what is to come. Raises UserProblem as it would."""
    row = await session.get_one(Subscription, wish.subscription_id)
    await _refuse_to_resume(app, session, row, actor)
    return await quote_resume(row.id, asdict(wish), app, session)


def begin_pause(session: AsyncSession, row: Subscription, wish: PauseWish, why: Why) -> None:
    """What a wish that was not refused does to the row."""
    row.resume_at = wish.until
    if row.status is SubscriptionStatus.PAUSED:
        return
    if wish.at_period_end:
        row.pause_at = row.period_end
        return
    row.pause_at, row.paused_at = None, why.now
    move_subscription(session, row, SubscriptionEvent.PAUSE, why)


async def end_pause(session: AsyncSession, row: Subscription, at: datetime, why: Why) -> None:
    """It goes on as of `at`, however late that is noticed."""
    course = await course_after(session, row, at)
    row.anchor, row.period_end, row.change_at = course.anchor, course.period_end, course.change_at
    if is_put_off(row.trial_end, course.trial_end, at):
        row.trial_end_announced_at = None
    row.trial_end = course.trial_end or row.trial_end
    row.paused_at = row.resume_at = None
    event = SubscriptionEvent.RESUME if course.trial_end is None else SubscriptionEvent.RESUME_TRIAL
    move_subscription(session, row, event, why)


async def course_after(session: AsyncSession, row: Subscription, at: datetime) -> Course:
    """The dates of a paused subscription were it to go on `at`; reads only, for the act and its preview."""
    trial_end = row.trial_end if await is_paused_trial(session, row) else None
    course = Course(row.anchor, row.period_end, trial_end, row.change_at)
    return resumed(course, row.paused_at or row.status_updated_at, at, keeps_anchor=row.billing_day is not None)


async def _refuse_to_pause(
    app: App, session: AsyncSession, row: Subscription, actor: Actor, wish: PauseWish, now: datetime
) -> None:
    if row.status in SUBSCRIPTION.final:
        raise already_ended(row)
    refuse_if_over(app, row)
    await _refuse_what_the_merchant_paused(session, row, actor)
    begins = row.period_end if wish.at_period_end else now
    if wish.until is not None and wish.until <= begins:
        raise UserProblem(ErrorCode.INVALID, "A pause ends after it begins. Give a later date.", ["until"])
    if row.status is SubscriptionStatus.PAUSED and not wish.at_period_end:
        return
    if not SUBSCRIPTION.allows(row.status, SubscriptionEvent.PAUSE):
        raise UserProblem(ErrorCode.INVALID_STATE, f"The subscription is {row.status}.", ["subscriptionId"])
    if await open_invoices_of(session, row.id):
        raise UserProblem(
            ErrorCode.INVALID_STATE, "An invoice is open. It can be paused once that is paid.", ["subscriptionId"]
        )
    end = row.schedule.end
    if wish.at_period_end and end is not None and end <= begins:
        raise UserProblem(ErrorCode.INVALID_STATE, "It ends with its period. Let it go on first.", ["effectiveAt"])


async def _refuse_to_resume(app: App, session: AsyncSession, row: Subscription, actor: Actor) -> None:
    if row.status in SUBSCRIPTION.final:
        raise already_ended(row)
    refuse_if_over(app, row)
    await _refuse_what_the_merchant_paused(session, row, actor)
    if row.status is not SubscriptionStatus.PAUSED and row.pause_at is None:
        raise UserProblem(
            ErrorCode.INVALID_STATE, f"The subscription is {row.status} and not paused.", ["subscriptionId"]
        )


async def _refuse_what_the_merchant_paused(session: AsyncSession, row: Subscription, actor: Actor) -> None:
    """One that was written down as not active gives no access before the merchant says so. Raises NOT_PERMITTED."""
    if actor.kind is not ActorKind.CUSTOMER or row.status is not SubscriptionStatus.PAUSED:
        return
    if (await changes_of(session, SUBSCRIPTION.name, [row.id]))[-1].from_status is None:
        message = "The merchant wrote this subscription down as not active, and alone lets it go on."
        raise UserProblem(ErrorCode.NOT_PERMITTED, message, ["subscriptionId"])


async def pause_as_planned(_app: App, session: AsyncSession, _customer: Customer, row: Subscription, why: Why) -> bool:
    """The pause begins at the instant that it was planned for.

    With an invoice open there is none: the plan is dropped, and the next period is billed.
    """
    if SUBSCRIPTION.allows(row.status, SubscriptionEvent.PAUSE) and not await open_invoices_of(session, row.id):
        row.paused_at, row.pause_at = row.pause_at, None
        move_subscription(session, row, SubscriptionEvent.PAUSE, why)
    else:
        tell_of_pause(session, PAUSE_UNSCHEDULED, row, why)
        row.pause_at = row.resume_at = None
        row.touch(why.now)
    return True


async def resume_as_planned(_app: App, session: AsyncSession, _customer: Customer, row: Subscription, why: Why) -> bool:
    """It goes on at the instant that it was paused until."""
    await end_pause(session, row, row.resume_at or why.now, why)
    return True


def _kept(row: Subscription) -> Mapping[str, Any]:
    return {"subscription": row.id}


async def _told_again(app: App, answer: Mapping[str, Any]) -> Subscription:
    async with app.database.read() as session:
        return await session.get_one(Subscription, answer["subscription"])


_ROWS = Memory(_kept, _told_again)
