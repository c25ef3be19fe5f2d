"""What every end of a subscription does, in the caller's transaction and under the customer's lock."""

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.ledger import PostingKind
from billing.lifecycle import SubscriptionEvent, SubscriptionStatus
from models.customers import balances_of, change_balance
from models.leases import release
from models.ledger import book
from models.subscriptions import Subscription, live_subscriptions_of
from services.amendments.unplanning import drop_planned_change
from services.changes import Why, move_subscription
from services.invoices.redeeming import end_discounts
from services.subscriptions.places import hold_places

TERM_ENDED = "term_ended"
"""The reason of an end that was agreed on from the beginning."""

_NOT_BEGUN = (SubscriptionStatus.SCHEDULED, SubscriptionStatus.INCOMPLETE)


async def close(session: AsyncSession, row: Subscription, event: SubscriptionEvent, why: Why) -> None:
    """It is over: nothing is due or planned any more, and the product may be subscribed to again."""
    if row.ends_at is not None and row.ends_at <= why.now and row.schedule.end == row.ends_at:
        row.cancellation_reason = row.cancellation_reason or TERM_ENDED
    if row.change_at is not None:
        await drop_planned_change(session, row, why)
    await end_discounts(session, row, why, was_begun=row.status not in _NOT_BEGUN)
    move_subscription(session, row, event, why)
    row.ended_at = why.now
    release(row, due_at=None)
    await hold_places(session, row, ())
    await session.flush()
    await write_balances_off(session, row, row.id, why)


async def write_balances_off(session: AsyncSession, row: Subscription, subject_id: str, why: Why) -> None:
    """What was too little to be charged will be on no later invoice of a customer whose last subscription has ended.

    `subject_id`: what has left it over.
    """
    if await live_subscriptions_of(session, row.customer_id):
        return
    for balance in await balances_of(session, row.customer_id):
        owed = -balance.amount
        if owed.minor > 0:
            await change_balance(session, row.customer_id, owed)
            book(
                session,
                PostingKind.BALANCE_WRITTEN_OFF,
                owed,
                subject_id=f"{subject_id}:{owed.currency}",
                customer_id=row.customer_id,
                at=why.now,
            )
