"""Invoices that are sent and waited for: one that is not paid in time leaves its subscription behind."""

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.schedule import Happening, what_is_due
from models.customers import locked_customer
from models.leases import LeaseLost, check_fence, release
from models.subscriptions import Subscription
from services.app import App
from services.changes import Why
from services.payments.arrears import await_sent_invoices, fall_behind


async def fall_behind_when_overdue(app: App, subscription_id: str, fence: int, why: Why) -> bool:
    """Whether it has fallen behind, under the held lease; what was paid or withdrawn meanwhile is not waited for."""
    try:
        async with app.database.write() as session:
            return await _fall_behind(session, subscription_id, fence, why)
    except LeaseLost:
        return False


async def _fall_behind(session: AsyncSession, subscription_id: str, fence: int, why: Why) -> bool:
    seen = await session.get_one(Subscription, subscription_id)
    await locked_customer(session, seen.customer_id)
    await session.refresh(seen)
    check_fence(seen, fence)
    is_due = what_is_due(seen.schedule, why.now) is Happening.OVERDUE
    if is_due and await await_sent_invoices(session, seen, why.now):
        fall_behind(session, seen, why)
        release(seen, due_at=seen.next_due())
        return True
    release(seen, due_at=seen.next_due())
    return False
