"""What waits for the worker, by the step that will work on it: for those who watch whether it keeps up."""

from datetime import datetime

from gauges import Standing
from models.backlog import Backlog, due_in_billing_time, due_in_machine_time, unknown_payments, unpublished
from models.base import Leased
from models.endpoints import WebhookDelivery
from models.inbox import GatewayEvent
from models.payments import Payment
from models.returns import Refund
from services.app import App
from services.runs.due_work import BILLING_STEPS

_IN_MACHINE_TIME: dict[str, type[Leased]] = {
    "resolved": Payment,
    "refunded": Refund,
    "inbox": GatewayEvent,
    "delivered": WebhookDelivery,
}


async def read_standing(app: App) -> Standing:
    """What is due now, each kind with how late its first is, on its own clock."""
    now, machine_now = app.now(), app.machine_now()
    waiting: dict[str, tuple[Backlog, datetime]] = {}
    async with app.database.read() as session:
        for step, billing in BILLING_STEPS.items():
            waiting[step] = await due_in_billing_time(session, billing.due, now), now
        for step, row in _IN_MACHINE_TIME.items():
            waiting[step] = await due_in_machine_time(session, row, machine_now), machine_now
        waiting["published"] = await unpublished(session), machine_now
        unknown = await unknown_payments(session)
    return Standing(
        due={step: backlog.rows for step, (backlog, _) in waiting.items()},
        late_seconds={step: _late(backlog, now) for step, (backlog, now) in waiting.items()},
        unknown_payments=unknown,
    )


def _late(backlog: Backlog, now: datetime) -> float:
    return max((now - backlog.since).total_seconds(), 0.0) if backlog.since is not None else 0.0
