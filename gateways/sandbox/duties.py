"""What happens by itself when time passes: one table.

Owns: which duty does what. A duty is planned for a second of the billing clock and carried out at the first look after
it: before any request is answered, and before webhooks are delivered. So nothing moves while that clock stands still,
and whoever looks later sees everything done. The events are of the moment of the look.
"""

from collections.abc import Awaitable, Callable
from datetime import timedelta

from gateways.sandbox import coupons, disputes, payment_intents, promotion_codes, refunds
from gateways.sandbox.calls import Call
from gateways.sandbox.events import LOG_KEPT
from gateways.sandbox.store import Record, Unit

KEYS_KEPT = timedelta(hours=24)
PRUNE = "prune"
PRUNED_EVERY_SECONDS = 24 * 3600

# duty -> (kind of its object, what to do to it)
DUTIES: dict[str, tuple[str, Callable[[Call, Record], Awaitable[None]]]] = {
    "settle_refund": ("refund", refunds.settle),
    "decide_dispute": ("dispute", disputes.decide),
    "miss_dispute": ("dispute", disputes.miss_deadline),
    "expire_authorization": ("charge", payment_intents.expire_authorization),
    "expire_coupon": ("coupon", coupons.expire),
    "expire_promotion_code": ("promotion_code", promotion_codes.expire),
}


async def carry_out(call: Call) -> None:
    """Do everything that is due, in the order it was due."""
    for duty in await call.unit.take_due(call.second):
        if duty.kind == PRUNE:
            await call.unit.prune(
                keys_before=call.second - int(KEYS_KEPT.total_seconds()),
                events_before=call.second - int(LOG_KEPT.total_seconds()),
            )
            _plan_pruning(call.unit, call.second)
            continue
        kind, act = DUTIES[duty.kind]
        if (record := await call.unit.find(kind, duty.object)) is not None:
            await act(call, record)


async def begin(unit: Unit, second: int) -> None:
    """Plan what recurs, if it is not planned yet."""
    if not await unit.planned(PRUNE):
        _plan_pruning(unit, second)


def _plan_pruning(unit: Unit, second: int) -> None:
    unit.plan(PRUNE, "", second + PRUNED_EVERY_SECONDS)
