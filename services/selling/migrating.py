"""Moving present subscribers from one price to another, one subscription and one transaction at a time.

Whoever has been moved, or is planned to be, is no longer found: what is repeated or was interrupted moves the rest.
Left alone are subscriptions that were agreed by hand or at a price of their own, that end with their period, or that
have another change planned.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.errors import ErrorCode, UserProblem
from billing.money import Money
from billing.proration import ProrationBehavior
from models.base import new_id
from models.catalog import Plan, Price
from models.customers import Customer
from models.price_moves import count_at_price, ids_at_price
from models.subscriptions import ScheduledChange, Subscription
from services.amendments.changing import Act, change_now
from services.amendments.planned import plan_change, target_to_come
from services.amendments.turning import Target, propose_change
from services.app import Actor, App
from services.changes import Why
from services.owned import locked_subscription
from services.subscriptions.choosing import present_items
from services.subscriptions.placing import PlacedItem
from services.timelines import in_time_of

PREVIEWED = 20
LONGEST_NOTICE = 365
_CAUSE = "migratePlanSubscribers"
_AT_ONCE = 20
_BUDGET = timedelta(seconds=5)
"""Of a request, after which the rest is left to its repetition."""


@dataclass(frozen=True, slots=True)
class MigrationWish:
    """`is_now`: at once, the rest of the period on the next invoice; else when the period ends, without proration.

    `notice_days`: periods that end sooner are followed by another one at the old price. `is_dry`: only tell.
    """

    from_price_id: str
    to_price_id: str
    is_now: bool
    notice_days: int | None = None
    is_dry: bool = True


@dataclass(frozen=True, slots=True)
class Move:
    """One subscription: from when on it costs how much a period, after discounts and before tax."""

    subscription: Subscription
    at: datetime
    before: Money
    after: Money


@dataclass(frozen=True, slots=True)
class Migration:
    """How many were moved, or would be; the first of them; how many this call did not come to, or could not move."""

    affected: int = 0
    remaining: int = 0
    skipped: int = 0
    preview: Sequence[Move] = ()


@dataclass(frozen=True, slots=True)
class _Way:
    """From one price to another, and how."""

    old: Price
    new: Price
    plan: Plan
    wish: MigrationWish


async def migrate_plan_subscribers(app: App, actor: Actor, wish: MigrationWish) -> Migration:
    """Move as many as a request has time for. Raises UserProblem NOT_FOUND, INVALID, CURRENCY_MISMATCH."""
    if wish.notice_days is not None and wish.is_now:
        raise UserProblem(ErrorCode.INVALID, "Notice goes with PERIOD_END only.", ["noticeDays"])
    way = await _way(app, wish)
    if wish.is_dry:
        return await _told(app, way)
    until, last = app.machine_now() + _BUDGET, ""
    moved = skipped = 0
    preview: list[Move] = []
    while app.machine_now() < until:
        async with app.database.read() as session:
            found = await ids_at_price(session, way.old.id, after=last, limit=_AT_ONCE)
        if not found:
            return Migration(moved, 0, skipped, preview)
        for subscription_id in found:
            try:
                if len(preview) < PREVIEWED:
                    preview.append(await _move_of(app, way, subscription_id))
                await _move(app, actor, way, subscription_id)
                moved += 1
            except UserProblem:
                # It is just being renewed, or owes something: the next call finds it again.
                preview = [move for move in preview if move.subscription.id != subscription_id]
                skipped += 1
            last = subscription_id
    async with app.database.read() as session:
        remaining = await count_at_price(session, way.old.id, after=last)
    return Migration(moved, remaining, skipped, preview)


async def _told(app: App, way: _Way) -> Migration:
    async with app.database.read() as session:
        affected = await count_at_price(session, way.old.id)
        first = await ids_at_price(session, way.old.id, limit=PREVIEWED)
    preview: list[Move] = []
    for subscription_id in first:
        try:
            preview.append(await _move_of(app, way, subscription_id))
        except UserProblem:
            continue
    return Migration(affected, affected, 0, preview)


async def _way(app: App, wish: MigrationWish) -> _Way:
    async with app.database.read() as session:
        old, old_plan = await _priced(session, wish.from_price_id, "fromPriceId")
        new, plan = await _priced(session, wish.to_price_id, "toPriceId")
    if new.id == old.id:
        raise UserProblem(ErrorCode.INVALID, "Give two different prices.", ["toPriceId"])
    if not new.is_active:
        raise UserProblem(ErrorCode.INVALID, "This price has been replaced. Choose one that is active.", ["toPriceId"])
    if new.currency != old.currency:
        raise UserProblem(
            ErrorCode.CURRENCY_MISMATCH, f"Subscriptions are paid in {old.currency}, for good.", ["toPriceId"]
        )
    if plan.product_id != old_plan.product_id:
        raise UserProblem(ErrorCode.INVALID, "Both prices must be of plans of one product.", ["toPriceId"])
    if (plan.interval, plan.interval_count) != (old_plan.interval, old_plan.interval_count):
        raise UserProblem(ErrorCode.INVALID, "Both plans must bill equally often.", ["toPriceId"])
    return _Way(old, new, plan, wish)


async def _priced(session: AsyncSession, price_id: str, field: str) -> tuple[Price, Plan]:
    price = await session.get(Price, price_id)
    if price is None:
        raise UserProblem(ErrorCode.NOT_FOUND, "There is no such price.", [field])
    return price, await session.get_one(Plan, price.plan_id)


async def _move(app: App, actor: Actor, way: _Way, subscription_id: str) -> None:
    """Raises UserProblem when it cannot be moved just now."""
    async with app.database.read() as session:
        seen = await session.get_one(Subscription, subscription_id)
    present = await in_time_of(app, seen.test_clock_id)
    why = Why(_CAUSE, actor, present.now())
    if way.wish.is_now:

        async def choose(session: AsyncSession, row: Subscription) -> Sequence[PlacedItem]:
            return await _moved_items(session, way, row)

        act = Act(seen, choose, ProrationBehavior.PRORATE_NEXT_INVOICE, new_id("change"))
        await change_now(present, act, why)
        return
    async with present.database.write() as session:
        row, customer = await locked_subscription(session, seen, None)
        items, at = await _moved_items(session, way, row), _when(way, row, why.now)
        await plan_change(present, session, customer, row, items, ProrationBehavior.NONE, at, why, is_migration=True)


async def _move_of(app: App, way: _Way, subscription_id: str) -> Move:
    """What moving it comes to. Raises UserProblem."""
    async with app.database.read() as session:
        row = await session.get_one(Subscription, subscription_id)
        customer = await session.get_one(Customer, row.customer_id)
        present = await in_time_of(app, row.test_clock_id)
        now, items = present.now(), await _moved_items(session, way, row)
        if way.wish.is_now:
            target = at = Target(items, ProrationBehavior.PRORATE_NEXT_INVOICE, now)
        else:
            at = target_to_come(present, row, items, ProrationBehavior.NONE, _when(way, row, now), now)
            target = replace(at, at=row.period_end)
        proposal = await propose_change(session, customer, row, target, occasion="")
        before = Money(row.original_amount_minor - row.discount_amount_minor, row.currency)
        after = proposal.amounts.subtotal - proposal.amounts.discount_total if proposal is not None else before
        return Move(row, at.at, before, after)


def _when(way: _Way, row: Subscription, now: datetime) -> datetime:
    """The end of the first period that leaves the notice."""
    heard, at = now + timedelta(days=way.wish.notice_days or 0), row.period_end
    while at < heard:
        at = row.grid.span_from(at).period.end
    return at


async def _moved_items(session: AsyncSession, way: _Way, row: Subscription) -> Sequence[PlacedItem]:
    """All that it consists of, the old price replaced. Raises INVALID_STATE when it is not to be moved any more."""
    items = [placed for _, placed in await present_items(session, row)]
    moving = [each for each in items if each.price.id == way.old.id and each.unit_amount_minor is None]
    is_planned = await session.get(ScheduledChange, row.id) is not None
    if not moving or is_planned or any(each.price.id == way.new.id for each in items):
        raise UserProblem(ErrorCode.INVALID_STATE, "It has changed meanwhile.", ["fromPriceId"])
    return [replace(each, plan=way.plan, price=way.new) if each in moving else each for each in items]
