"""Changes to come: at the period's end, or at a date. One is planned at a time, and it can be taken back."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.errors import ErrorCode, UserProblem
from billing.events import CHANGE_SCHEDULED, CHANGE_UNSCHEDULED
from billing.lifecycle import SubscriptionStatus
from billing.proration import ProrationBehavior
from models.base import ID_PREFIXES
from models.catalog import Plan, Price
from models.customers import Customer
from models.invoices import open_invoices_of
from models.payments import Payment
from models.subscriptions import ScheduledChange, Subscription, items_of
from services.amendments.turning import Target, carry_out, propose_change, refuse_unpriced_period
from services.amendments.unplanning import drop_planned_change, tell_of_plan
from services.app import ActorKind, App
from services.changes import Why
from services.payments.arrears import try_at_once
from services.subscriptions.places import hold_places
from services.subscriptions.placing import PlacedItem

_PLANNED = uuid5(NAMESPACE_URL, "perennial:planned-change")
_GOES_ON = frozenset((SubscriptionStatus.TRIALING, SubscriptionStatus.ACTIVE, SubscriptionStatus.PAST_DUE))


async def plan_change(
    app: App,
    session: AsyncSession,
    customer: Customer,
    row: Subscription,
    items: Sequence[PlacedItem],
    behavior: ProrationBehavior | None,
    at: datetime | None,
    why: Why,
    *,
    is_migration: bool = False,
) -> None:
    """Plan the change for `at`, None: the period's end, in the place of what was planned. Writes nothing else.

    To what it is already, nothing is planned. Raises INVALID, INVALID_STATE, ALREADY_SUBSCRIBED, and as
    `take_back_planned_change` does.
    """
    target = target_to_come(app, row, items, behavior, at, why.now)
    when, chosen = target.at, target.behavior
    if not await would_change(session, customer, row, items):
        await take_back_planned_change(session, row, why)
        return
    wanted = _documents(items)
    planned = await session.get(ScheduledChange, row.id)
    if planned is not None and (row.change_at, planned.items, planned.proration) == (when, wanted, chosen.value):
        return
    await drop_planned_change(session, row, why)
    await session.flush()
    await hold_places(session, row, [*await _products(session, row), *(each.plan.product_id for each in items)])
    session.add(
        ScheduledChange(
            subscription_id=row.id,
            plan_id=items[0].plan.id,
            items=wanted,
            proration=chosen.value,
            requested_by=str(why.actor),
            is_migration=is_migration,
            created_at=why.now,
        )
    )
    row.change_at = when
    row.due_at = row.next_due()
    row.touch(why.now)
    tell_of_plan(session, CHANGE_SCHEDULED, row, items[0].plan.id, when, why)


async def would_change(
    session: AsyncSession, customer: Customer, row: Subscription, items: Sequence[PlacedItem]
) -> bool:
    """Whether it does not consist of just these items. Raises INVALID for what it cannot consist of."""
    at_the_end = Target(items, ProrationBehavior.NONE, row.period_end)
    return await propose_change(session, customer, row, at_the_end, occasion="") is not None


async def waits_for_period(session: AsyncSession, row: Subscription, target: Target) -> bool:
    """Whether a change within the period, as things are, would only be made at its end.

    What has not been paid can be neither given back nor charged for twice: the next period begins with it.
    """
    if target.at >= row.period_end or target.behavior is ProrationBehavior.NONE:
        return False
    return row.given_up_at is not None or bool(await open_invoices_of(session, row.id))


def target_to_come(
    app: App,
    row: Subscription,
    items: Sequence[PlacedItem],
    behavior: ProrationBehavior | None,
    at: datetime | None,
    now: datetime,
) -> Target:
    """What is planned, for the act and its preview. Raises INVALID, INVALID_STATE."""
    refuse_if_over(app, row)
    if row.status not in _GOES_ON:
        raise UserProblem(ErrorCode.INVALID_STATE, f"It is {row.status}. Change it at once.", ["effectiveAt"])
    when = row.period_end if at is None else at
    if when <= now:
        raise UserProblem(ErrorCode.INVALID, "The date is past. Give one to come, or change now.", ["date"])
    end = row.schedule.end
    if end is not None and end <= when:
        raise UserProblem(
            ErrorCode.INVALID_STATE, "It ends before that. Let it go on first, or change now.", ["effectiveAt"]
        )
    target = Target(items, _behavior(row, behavior, when), when)
    if when != row.period_end:
        refuse_unpriced_period(row, target)
    return target


def _behavior(row: Subscription, given: ProrationBehavior | None, when: datetime) -> ProrationBehavior:
    if when != row.period_end:
        return given or ProrationBehavior.PRORATE_NOW
    if given not in (None, ProrationBehavior.NONE):
        raise UserProblem(
            ErrorCode.INVALID, "At the period's end there is nothing to prorate: leave it out.", ["proration"]
        )
    return ProrationBehavior.NONE


async def take_back_planned_change(session: AsyncSession, row: Subscription, why: Why) -> None:
    """Somebody wants it to stay as it is. Raises NOT_PERMITTED for customers who would stay at a price that is past."""
    planned = await session.get(ScheduledChange, row.id)
    if planned is None:
        return
    if planned.is_migration and why.actor.kind is ActorKind.CUSTOMER:
        raise UserProblem(
            ErrorCode.NOT_PERMITTED,
            "The merchant moves this subscription to another price. Choose another plan, or cancel it.",
            ["subscriptionId"],
        )
    await drop_planned_change(session, row, why)
    await hold_places(session, row, await _products(session, row))


def refuse_if_over(app: App, row: Subscription) -> None:
    """Once something is due the worker does it: nobody may change its mind in the middle. Raises INVALID_STATE."""
    is_held = row.leased_until is not None and row.leased_until > app.machine_now()
    if is_held or (row.due_at is not None and row.due_at <= app.now()):
        raise UserProblem(
            ErrorCode.INVALID_STATE, "Its period is just ending. Read it again in a minute.", ["subscriptionId"]
        )


async def _products(session: AsyncSession, row: Subscription) -> list[str]:
    return [item.product_id for item in await items_of(session, [row.id])]


def _documents(items: Sequence[PlacedItem]) -> list[dict[str, Any]]:
    return [
        {
            "price_id": each.price.id,
            "quantity": each.quantity,
            "unit_amount_minor": each.unit_amount_minor,
            "metadata": dict(each.metadata),
        }
        for each in items
    ]


async def planned_items(session: AsyncSession, planned: ScheduledChange) -> Sequence[PlacedItem]:
    """What it will consist of."""
    found: list[PlacedItem] = []
    for each in planned.items:
        price = await session.get_one(Price, each["price_id"])
        plan = await session.get_one(Plan, price.plan_id)
        found.append(PlacedItem(plan, price, each["quantity"], each["unit_amount_minor"], each["metadata"]))
    return found


async def change_as_planned(
    app: App, session: AsyncSession, customer: Customer, row: Subscription, why: Why
) -> Payment | bool:
    """Carry out what was planned."""
    planned, at = await session.get(ScheduledChange, row.id), row.change_at
    if planned is None or at is None:
        row.change_at = None
        return False
    target = Target(await planned_items(session, planned), ProrationBehavior(planned.proration), at)
    if await waits_for_period(session, row, target):
        row.change_at = row.period_end
        tell_of_plan(session, CHANGE_SCHEDULED, row, planned.plan_id, row.change_at, why)
        return True
    change_id = f"{ID_PREFIXES['change']}_{uuid5(_PLANNED, f'{row.id}/{planned.created_at}/{at}').hex}"
    await session.delete(planned)
    row.change_at = None
    await session.flush()
    proposal = await propose_change(session, customer, row, target, occasion=change_id)
    if proposal is None:
        tell_of_plan(session, CHANGE_UNSCHEDULED, row, planned.plan_id, at, why)
        return True
    _, payment = await carry_out(app, session, customer, row, proposal, change_id, why)
    return True if payment is None else await try_at_once(session, customer, row, payment, why)
