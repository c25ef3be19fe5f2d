"""Another plan for a subscription: at once, when its period ends, or at a date; and taking the last two back."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.errors import ErrorCode, UserProblem
from billing.proration import ProrationBehavior
from models.subscriptions import Subscription
from services.amendments.changing import (
    CHANGE_OUTCOMES,
    Act,
    ChangeOutcome,
    change_id_of,
    change_now,
    refuse_gift,
    refuse_status,
)
from services.amendments.planned import plan_change, refuse_if_over, take_back_planned_change
from services.app import Actor, App
from services.changes import Why
from services.idempotency import answer_with, once
from services.owned import locked_subscription, own_subscription
from services.quotes.changes import ChangeAsked, quote_change
from services.quotes.quoting import Hold, at_quote, hold_to_quote
from services.subscriptions.choosing import with_another_plan
from services.subscriptions.ordering import WishedItem
from services.subscriptions.placing import PlacedItem
from services.subscriptions.trials import refuse_tried
from services.timelines import in_time_of

_CAUSE = "changePlan"


@dataclass(frozen=True, slots=True)
class ChangePlanWish:
    """Which plan, one of `plan_id` and `plan_code`, takes the place of the subscription's own.

    `is_now`: at once; else at `date`, None: when the period ends.
    """

    subscription_id: str
    plan_id: str | None = None
    plan_code: str | None = None
    currency: str | None = None
    is_now: bool = False
    date: datetime | None = None
    proration: ProrationBehavior | None = None
    return_url: str | None = None
    expected_version: int | None = None
    quote_token: str | None = None
    idempotency_key: str | None = None


async def change_plan(app: App, actor: Actor, wish: ChangePlanWish) -> ChangeOutcome:
    """Change at once and collect what that costs, or plan it. Other items stay as they are.

    A decline or an answer that is missing is beside the outcome. Raises UserProblem when nothing was changed.
    """
    seen = await own_subscription(app, actor, wish.subscription_id)
    present = await in_time_of(app, seen.test_clock_id)
    why = Why(_CAUSE, actor, at_quote(present, wish.quote_token).now())
    change = change_asked(actor, wish)

    async def hold(session: AsyncSession) -> None:
        await hold_to_quote(present, session, wish.quote_token, partial(quote_change, change))

    async def run() -> ChangeOutcome:
        if not wish.is_now:
            return await _plan(present, actor, seen, wish, hold, why)
        act = Act(
            seen=seen,
            choose=partial(_chosen, actor, wish),
            behavior=wish.proration or ProrationBehavior.PRORATE_NOW,
            change_id=change_id_of(actor, seen, _CAUSE, wish.idempotency_key),
            is_keyed=wish.idempotency_key is not None,
            expected_version=wish.expected_version,
            return_url=wish.return_url,
            hold=hold,
        )
        return await change_now(present, act, why)

    return await once(
        present, actor, seen.customer_id, _CAUSE, wish.idempotency_key, asdict(wish), CHANGE_OUTCOMES, run
    )


def change_asked(actor: Actor, wish: ChangePlanWish) -> ChangeAsked:
    """The wish as what is quoted. Raises NOT_PERMITTED for what is not the customer's to choose."""
    refuse_gift(actor, wish.proration)
    return ChangeAsked(
        act=_CAUSE,
        subscription_id=wish.subscription_id,
        wish=asdict(wish),
        choose=partial(_chosen, actor, wish),
        behavior=wish.proration,
        is_now=wish.is_now,
        date=wish.date,
    )


async def _chosen(actor: Actor, wish: ChangePlanWish, session: AsyncSession, row: Subscription) -> Sequence[PlacedItem]:
    """What it shall consist of. Raises UserProblem, CURRENCY_MISMATCH for another currency than the subscription's."""
    if wish.currency is not None and wish.currency != row.currency:
        raise UserProblem(
            ErrorCode.CURRENCY_MISMATCH,
            f"The subscription is paid in {row.currency}, for good. Cancel it and subscribe in {wish.currency}.",
            ["currencyCode"],
        )
    items = await with_another_plan(session, actor, row, WishedItem(plan_id=wish.plan_id, plan_code=wish.plan_code))
    if wish.is_now or (wish.date is not None and wish.date < row.period_end):
        await refuse_tried(session, actor, row, [each.plan for each in items], "planId")
    return items


async def _plan(
    app: App, actor: Actor, seen: Subscription, wish: ChangePlanWish, hold: Hold, why: Why
) -> ChangeOutcome:
    async with app.database.write() as session:
        row, customer = await locked_subscription(session, seen, wish.expected_version)
        refuse_status(row)
        await hold(session)
        items = await _chosen(actor, wish, session, row)
        await plan_change(app, session, customer, row, items, wish.proration, wish.date, why)
        planned = ChangeOutcome(row)
        answer = CHANGE_OUTCOMES.keep(planned)
        await answer_with(session, actor, row.customer_id, _CAUSE, wish.idempotency_key, answer)
        return planned


async def cancel_scheduled_change(
    app: App, actor: Actor, *, subscription_id: str, expected_version: int | None
) -> Subscription:
    """Take back what is planned. Repeating it changes nothing.

    Raises NOT_FOUND, VERSION_CONFLICT, INVALID_STATE when it is just being carried out, and NOT_PERMITTED for customers
    who would stay at a price that is past.
    """
    seen = await own_subscription(app, actor, subscription_id)
    present = await in_time_of(app, seen.test_clock_id)
    async with present.database.write() as session:
        row, _ = await locked_subscription(session, seen, expected_version)
        if row.change_at is not None:
            refuse_if_over(present, row)
            await take_back_planned_change(session, row, Why("cancelScheduledChange", actor, present.now()))
        return row
