"""Making events readable: each gets its place in one order, what it tells, and a delivery for each endpoint.

An event's id sorts by when it was written, not by when it was committed: whoever had read past it would never see one
that was committed late. So nobody reads by id. Once an event is committed it gets the next position here, positions
are given in ascending order and become visible in that order, and readers go by them.

Any number of workers may do this, one at a time: a position that became visible after a greater one would be read past.
"""

from collections.abc import Sequence

from sqlalchemy.exc import IntegrityError
from sqlmodel.ext.asyncio.session import AsyncSession

from billing.events import types_named
from models.base import new_id
from models.database import is_unique_violation
from models.endpoints import WebhookDelivery, webhook_endpoints
from models.events import (
    BillingEvent,
    give_positions_alone,
    hold_unpublished,
    last_position,
    unpublished_events,
)
from models.listening import tell_others
from services.app import App
from services.events.bodies import snapshots_of

_BATCH, _MOST_BATCHES = 100, 100


async def publish_events(app: App) -> int:
    """One pass over events that nobody can read yet, a batch to a transaction: how many can be from now on.

    All that there are: a pass renews many subscriptions, each of which tells of several events, and readers would fall
    further behind with every pass that left some.
    """
    published = 0
    for _ in range(_MOST_BATCHES):
        found = await _publish_batch(app)
        published += found
        if found < _BATCH:
            break
    return published


async def _publish_batch(app: App) -> int:
    async with app.database.read() as session:
        waiting = [event.id for event in await unpublished_events(session, limit=_BATCH)]
    if not waiting:
        return 0
    try:
        async with app.database.write() as session:
            await give_positions_alone(session)
            published = await _publish(app, session, waiting)
            await tell_others(session)
    except IntegrityError as error:
        if not is_unique_violation(error):
            raise
        return 0  # Another worker was faster; what it has left is there for the next pass.
    app.hearing.hint()
    return published


async def _publish(app: App, session: AsyncSession, ids: Sequence[str]) -> int:
    """Under the held rows the last position is read: whoever held them before has committed theirs.

    So is what they tell: who is forgotten meanwhile (`models.anonymizing`) must not come back by it. Positions go with
    the machine's time, in microseconds, where that is later: those that a restored database does not know are not given
    again, or who has read past them would miss what they stand for by then.
    """
    events = await hold_unpublished(session, ids)
    snapshots = await snapshots_of(session, events)
    first = max(await last_position(session) + 1, int(app.machine_now().timestamp() * 1_000_000))
    for position, event in enumerate(events, first):
        event.position, event.snapshot = position, snapshots[event.id]
    await _fan_out(app, session, events)
    return len(events)


async def _fan_out(app: App, session: AsyncSession, events: Sequence[BillingEvent]) -> None:
    """With the position, so that each endpoint gets each event that became readable in its time, and gets it once."""
    now = app.machine_now()
    for endpoint in await webhook_endpoints(session, enabled_only=True):
        wanted = types_named(endpoint.event_types)
        session.add_all(
            WebhookDelivery(
                id=new_id("webhook_delivery"), event_id=event.id, endpoint_id=endpoint.id, due_at=now, created_at=now
            )
            for event in events
            if event.type in wanted
        )
