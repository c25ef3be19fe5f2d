"""All that has a due time in billing time: one table of steps, each with the column that says when it is due.

Whoever moves time on, the worker, a run or a test clock, carries out these and no others.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlmodel.ext.asyncio.session import AsyncSession

from models.audit_log import authored
from models.payments import Payment
from models.subscriptions import Subscription
from models.timelines import DueTime, earliest_after, is_any_held
from services.app import App
from services.ends.giving_up import give_up_due_payments
from services.payments.retrying import collect_due_payments
from services.subscriptions.happening import work_on_due_subscriptions

_MOST_PASSES = 1_000


@dataclass(frozen=True, slots=True)
class BillingStep:
    """`run` makes one pass over what is due on the app's timeline and counts what it did; `due` is its due time."""

    run: Callable[[App], Awaitable[int]]
    due: DueTime


# In the order in which they go at one instant.
BILLING_STEPS: Mapping[str, BillingStep] = {
    "happened": BillingStep(work_on_due_subscriptions, DueTime(Subscription, "due_at")),
    "collected": BillingStep(collect_due_payments, DueTime(Payment, "collect_at")),
    "given_up": BillingStep(give_up_due_payments, DueTime(Payment, "give_up_at")),
}


async def work_off(app: App) -> Mapping[str, int]:
    """Passes over the app's timeline until nothing more is done at its present (bounded): what each step did."""
    worked = dict.fromkeys(BILLING_STEPS, 0)
    with authored(None):  # Time does it, whoever asked for the time to pass.
        for _ in range(_MOST_PASSES):
            counts = {name: await step.run(app) for name, step in BILLING_STEPS.items()}
            for name, count in counts.items():
                worked[name] += count
            if not any(counts.values()):
                break
    return worked


async def next_due(session: AsyncSession, app: App) -> datetime | None:
    """When something is due next on the app's timeline, after its present; None when nothing ever is."""
    instants = [
        await earliest_after(session, step.due, timeline=app.timeline, now=app.now()) for step in BILLING_STEPS.values()
    ]
    return min((instant for instant in instants if instant is not None), default=None)


async def is_held_up(session: AsyncSession, app: App) -> bool:
    """Whether something due at the present of the app's timeline is held by somebody, dead or alive: wait for them."""
    return any(
        [
            await is_any_held(session, step.due, timeline=app.timeline, now=app.now(), machine_now=app.machine_now())
            for step in BILLING_STEPS.values()
        ]
    )
