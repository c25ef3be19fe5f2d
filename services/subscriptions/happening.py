"""What time does to subscriptions: due rows are claimed, asked what happens to them, and that is carried out.

One thing per row and pass, many rows side by side; what is late comes back until it has caught up. What is due is
decided again under the customer's lock.
"""

from collections.abc import Awaitable, Callable, Mapping

import structlog
from sqlmodel.ext.asyncio.session import AsyncSession

from billing.running import OUTCOME_OF_HAPPENING
from billing.schedule import Happening, what_is_due
from models.customers import Customer, locked_customer
from models.leases import claim_all_due
from models.payments import Payment
from models.subscriptions import Subscription, on_timeline
from services.abreast import ABREAST, abreast
from services.amendments.planned import change_as_planned
from services.app import WORKER, App
from services.changes import Why
from services.ends.ending import end_when_over, give_back
from services.payments.arrears import fall_behind_when_overdue
from services.payments.retrying import collect
from services.subscriptions.pausing import pause_as_planned, resume_as_planned
from services.subscriptions.renewing import renew
from services.subscriptions.starting import start
from services.subscriptions.trials import announce_trial_end
from services.witnessing import witnessed

log = structlog.get_logger(__name__)

Step = Callable[[App, str, int, Why], Awaitable[bool]]
"""(app, subscription id, the held lease's fence, why) → whether something was done."""

Act = Callable[[App, AsyncSession, Customer, Subscription, Why], Awaitable[Payment | bool]]
"""What one transaction does to the row, under its customer's lock: the payment that is to be tried right after it, or
else whether something was done. It gives no lease of the row's back, nor says when that is due again."""


def _step_of(happening: Happening, act: Act) -> Step:
    """The step that carries out the act, if that is still due under the lock, and tries what is to be paid for it."""

    async def transaction(
        session: AsyncSession, app: App, subscription_id: str, fence: int, why: Why
    ) -> Payment | bool:
        row = await session.get_one(Subscription, subscription_id)
        customer = await locked_customer(session, row.customer_id)
        await session.refresh(row)
        if customer is None or row.fence != fence:
            return False  # Whoever took over goes on.
        row.leased_until = None
        done = what_is_due(row.schedule, why.now) is happening and await act(app, session, customer, row, why)
        row.due_at = row.next_due()
        return done

    async def step(app: App, subscription_id: str, fence: int, why: Why) -> bool:
        done = await app.database.transact(transaction, app, subscription_id, fence, why)
        if isinstance(done, Payment):
            await collect(app, done.id, done.fence)
        return done is not False

    return step


_ACTS: Mapping[Happening, tuple[str, Act]] = {
    Happening.START: ("start", start),
    Happening.RESUME: ("pause_over", resume_as_planned),
    Happening.ANNOUNCE_TRIAL_END: ("trial_ends_soon", announce_trial_end),
    Happening.CHANGE: ("scheduled_change", change_as_planned),
    Happening.OVERDUE: ("invoice_overdue", fall_behind_when_overdue),
    Happening.PAUSE: ("scheduled_pause", pause_as_planned),
    Happening.RENEW: ("renewal", renew),
}

# What carries each happening out, and the cause that is noted for it. An end asks the gateway before it writes.
STEPS: Mapping[Happening, tuple[str, Step]] = {
    Happening.EXPIRE: ("incomplete_expired", end_when_over),
    Happening.END: ("period_over", end_when_over),
    **{happening: (cause, _step_of(happening, act)) for happening, (cause, act) in _ACTS.items()},
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
    try:
        if happening is None:
            await give_back(app, row, fence)  # the row says when something will, after all
            return False
        cause, step = STEPS[happening]
        outcome = OUTCOME_OF_HAPPENING[happening]
        return await witnessed(
            app, subscription_id, outcome, step(app, subscription_id, fence, Why(cause, WORKER, now))
        )
    except Exception:  # One subscription's trouble must not keep the others waiting; its lease runs out.
        log.exception("happening_failed", subscription=subscription_id, happening=happening)
        return False


async def _seen(session: AsyncSession, subscription_id: str) -> Subscription:
    return await session.get_one(Subscription, subscription_id)
