"""What a customer may do before and after an act, gathered from the rows: limits add up over its subscriptions."""

from collections.abc import Sequence
from datetime import datetime

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.entitlements import Grant, Source, sum_up
from billing.lifecycle import SubscriptionStatus
from billing.quotes import EntitlementChange, entitlement_changes
from models.catalog import entitlements_of
from models.subscriptions import Subscription, items_of, subscriptions_with_status

_GIVES = frozenset((SubscriptionStatus.TRIALING, SubscriptionStatus.ACTIVE, SubscriptionStatus.PAST_DUE))

Held = Sequence[tuple[str, int]]
"""Plans (their ids) and how many of each."""

NOTHING: Held = ()


async def held_by(session: AsyncSession, row: Subscription) -> Held:
    """What a subscription contains."""
    return [(item.plan_id, item.quantity) for item in await items_of(session, [row.id])]


async def changes_of_access(
    session: AsyncSession, customer_id: str, row: Subscription | None, after: Held, at: datetime
) -> Sequence[EntitlementChange]:
    """What changes at `at` when the subscription `row` (None: a new one) gives access to `after` instead of its own."""
    others = [
        each
        for each in await subscriptions_with_status(session, customer_id, _GIVES)
        if row is None or each.id != row.id
    ]
    before = await held_by(session, row) if row is not None and row.status in _GIVES else NOTHING
    rest = [held for each in others for held in await held_by(session, each)]
    plan_ids = sorted({plan_id for plan_id, _ in [*rest, *before, *after]})
    allowed: dict[str, list[tuple[str, bool, int | None]]] = {}
    for each in await entitlements_of(session, plan_ids):
        allowed.setdefault(each.plan_id, []).append((each.feature_id, each.is_enabled, each.limit))

    def source(held: Held) -> Source:
        grants = [Grant(*told, quantity) for plan_id, quantity in held for told in allowed.get(plan_id, ())]
        return Source("", at, grants)

    return entitlement_changes(sum_up([source(rest), source(before)]), sum_up([source(rest), source(after)]), at)
