"""What a customer may do before and after an act, gathered from the rows: limits add up over its subscriptions."""

from collections.abc import Sequence
from datetime import datetime

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.access import has_access
from billing.entitlements import Grant, Source, sum_up
from billing.lifecycle import SubscriptionStatus
from billing.quotes import EntitlementChange, entitlement_changes
from models.catalog import entitlements_of
from models.subscriptions import Subscription, items_of, subscriptions_with_status
from services.app import App
from services.policies import grace_in_force

_GIVES = frozenset((SubscriptionStatus.TRIALING, SubscriptionStatus.ACTIVE, SubscriptionStatus.PAST_DUE))

Held = Sequence[tuple[str, int]]
"""Plans (their ids) and how many of each."""

NOTHING: Held = ()


async def _giving_now(app: App, session: AsyncSession, rows: Sequence[Subscription]) -> Sequence[Subscription]:
    is_overdue = any(each.status is SubscriptionStatus.PAST_DUE for each in rows)
    grace = await grace_in_force(session, app) if is_overdue else app.grace
    return [
        each for each in rows if has_access(each.status, past_due_since=each.past_due_since, grace=grace, now=app.now())
    ]


async def held_by(session: AsyncSession, row: Subscription) -> Held:
    """What a subscription contains."""
    return [(item.plan_id, item.quantity) for item in await items_of(session, [row.id])]


async def changes_of_access(
    app: App, session: AsyncSession, customer_id: str, row: Subscription | None, after: Held, at: datetime
) -> Sequence[EntitlementChange]:
    """What changes at `at` when the subscription `row` (None: a new one) gives access to `after` instead of its own.

    One whose grace is over gives none before it is paid, whatever it contains.
    """
    giving = await _giving_now(app, session, await subscriptions_with_status(session, customer_id, _GIVES))
    others = [each for each in giving if row is None or each.id != row.id]
    before = NOTHING
    if row is not None and row.id in {each.id for each in giving}:
        before = await held_by(session, row)
    elif row is not None and row.status is SubscriptionStatus.PAST_DUE:
        after = NOTHING
    rest = [held for each in others for held in await held_by(session, each)]
    plan_ids = sorted({plan_id for plan_id, _ in [*rest, *before, *after]})
    allowed: dict[str, list[tuple[str, bool, int | None]]] = {}
    for each in await entitlements_of(session, plan_ids):
        allowed.setdefault(each.plan_id, []).append((each.feature_id, each.is_enabled, each.limit))

    def source(held: Held) -> Source:
        grants = [Grant(*told, quantity) for plan_id, quantity in held for told in allowed.get(plan_id, ())]
        return Source("", at, grants)

    return entitlement_changes(sum_up([source(rest), source(before)]), sum_up([source(rest), source(after)]), at)
