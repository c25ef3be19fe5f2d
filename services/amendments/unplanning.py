"""Plans for a subscription: telling of them, and taking a change out of the way that was planned."""

from datetime import datetime

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.events import CHANGE_UNSCHEDULED
from models.subscriptions import ScheduledChange, Subscription
from services.changes import Why, announce


async def drop_planned_change(session: AsyncSession, row: Subscription, why: Why) -> None:
    """Nothing is planned any more. Which products the subscription stands for now, the caller says."""
    planned = await session.get(ScheduledChange, row.id)
    if planned is None:
        return
    await session.delete(planned)
    tell_of_plan(session, CHANGE_UNSCHEDULED, row, planned.plan_id, row.change_at, why)
    row.change_at = None
    row.due_at = row.next_due()
    row.touch(why.now)


def tell_of_plan(
    session: AsyncSession, event: str, row: Subscription, plan_id: str, at: datetime | None, why: Why
) -> None:
    """`event`: that a change to the plan is scheduled for then, or no longer."""
    payload = {"plan": plan_id, "at": at}
    announce(session, event, row.id, why, customer_id=row.customer_id, payload=payload)


def tell_of_pause(session: AsyncSession, event: str, row: Subscription, why: Why) -> None:
    """Of a pause that is planned, or no longer, or whose end is another one now, by the dates that the row carries."""
    at = row.pause_at or row.paused_at
    payload = {"at": at, "until": row.resume_at}
    announce(session, event, row.id, why, customer_id=row.customer_id, payload=payload)
