"""What time does to subscriptions: due rows are claimed, asked what happens to them, and that is carried out.

One thing per row and pass, many rows side by side; what is late comes back until it has caught up. The decision is made
again by each step, under the customer's lock.
"""

from collections.abc import Awaitable, Callable, Mapping

import structlog
from sqlmodel.ext.asyncio.session import AsyncSession

from billing.running import OUTCOME_OF_HAPPENING
from billing.schedule import Happening, what_is_due
from models.customers import locked_customer
from models.leases import LeaseLost, check_fence, claim_all_due, release
from models.subscriptions import Subscription, on_timeline
from services.abreast import ABREAST, abreast
from services.amendments.planned import change_when_due
from services.app import WORKER, App
from services.changes import Why
from services.ends.ending import end_when_over
from services.payments.overdue import fall_behind_when_overdue
from services.subscriptions.pausing import pause_when_due, resume_when_due
from services.subscriptions.renewing import renew
from services.subscriptions.starting import start_when_due
from services.subscriptions.trials import announce_trial_end
from services.witnessing import witnessed

log = structlog.get_logger(__name__)

Step = Callable[[App, str, int, Why], Awaitable[bool]]
"""(app, subscription id, the held lease's fence, why) → whether something was done."""

# What carries each happening out, and the cause that is noted for it.
STEPS: Mapping[Happening, tuple[str, Step]] = {
    Happening.EXPIRE: ("incomplete_expired", end_when_over),
    Happening.START: ("start", start_when_due),
    Happening.END: ("period_over", end_when_over),
    Happening.RESUME: ("pause_over", resume_when_due),
    Happening.ANNOUNCE_TRIAL_END: ("trial_ends_soon", announce_trial_end),
    Happening.CHANGE: ("scheduled_change", change_when_due),
    Happening.OVERDUE: ("invoice_overdue", fall_behind_when_overdue),
    Happening.PAUSE: ("scheduled_pause", pause_when_due),
    Happening.RENEW: ("renewal", renew),
}


async def work_on_due_subscriptions(app: App) -> int:
    """One pass over the subscriptions of this timeline to which something is due; to how many it happened."""
    claimed = await app.database.transact(
        claim_all_due,
        Subscription,
        now=app.due(),
        machine_now=app.machine_now(),
        limit=ABREAST,
        only=on_timeline(app.timeline),
    )
    return sum(await abreast(app, claimed, _carry_out))


async def _carry_out(app: App, subscription_id: str, fence: int) -> bool:
    row = await app.database.consult(_seen, subscription_id)
    now = app.now()
    happening = what_is_due(row.schedule, app.due())
    if happening is None:
        await app.database.transact(_release, row, fence)  # the row says when something will, after all
        return False
    cause, step = STEPS[happening]
    outcome = OUTCOME_OF_HAPPENING[happening]
    try:
        return await witnessed(
            app, subscription_id, outcome, step(app, subscription_id, fence, Why(cause, WORKER, now))
        )
    except Exception:  # One subscription's trouble must not keep the others waiting; its lease runs out.
        log.exception("happening_failed", subscription=subscription_id, happening=happening)
        return False


async def _seen(session: AsyncSession, subscription_id: str) -> Subscription:
    return await session.get_one(Subscription, subscription_id)


async def _release(session: AsyncSession, seen: Subscription, fence: int) -> None:
    await locked_customer(session, seen.customer_id)
    row = await session.get_one(Subscription, seen.id, populate_existing=True)
    try:
        check_fence(row, fence)
    except LeaseLost:
        return
    release(row, due_at=row.next_due())
