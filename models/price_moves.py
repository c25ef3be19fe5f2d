"""Which subscriptions can be moved from a price to another one."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, or_
from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from billing.lifecycle import SubscriptionStatus
from models.subscriptions import ScheduledChange, Subscription, SubscriptionItem, SubscriptionOrigin

_RENEW = (SubscriptionStatus.TRIALING, SubscriptionStatus.ACTIVE, SubscriptionStatus.PAST_DUE)


async def ids_at_price(session: AsyncSession, price_id: str, *, after: str = "", limit: int) -> Sequence[str]:
    """Those that go on at the price, with nothing planned, by id from `after` on."""
    query = select(Subscription.id).where(*_movable(price_id, after)).order_by(col(Subscription.id)).limit(limit)
    return (await session.exec(query)).all()


async def count_at_price(session: AsyncSession, price_id: str, *, after: str = "") -> int:
    query = select(func.count()).select_from(Subscription).where(*_movable(price_id, after))
    return (await session.exec(query)).one()


def _movable(price_id: str, after: str) -> list[ColumnElement[bool]]:
    """Agreed by hand, at a price of their own, given up, or ending with the period: left as they are."""
    at_price = select(SubscriptionItem.subscription_id).where(
        SubscriptionItem.price_id == price_id,
        col(SubscriptionItem.ended_at).is_(None),
        col(SubscriptionItem.unit_amount_minor).is_(None),
    )
    ends = [
        or_(col(end).is_(None), col(end) > Subscription.period_end)
        for end in (Subscription.cancel_at, Subscription.ends_at)
    ]
    return [
        col(Subscription.id) > after,
        col(Subscription.id).in_(at_price),
        col(Subscription.status).in_(_RENEW),
        col(Subscription.origin) != SubscriptionOrigin.MANUAL,
        col(Subscription.given_up_at).is_(None),
        col(Subscription.cancel_at_period_end).is_(False),
        *ends,
        col(Subscription.id).not_in(select(ScheduledChange.subscription_id)),
    ]
