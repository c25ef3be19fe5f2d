"""A random life lived, brought to rest and ended: what was broken on the way."""

from collections.abc import Sequence
from datetime import timedelta

from structlog.processors import format_exc_info
from structlog.testing import capture_logs

from billing.errors import UserProblem
from services.books.reconciling import reconcile_payments
from services.ends.canceling import CancelWish, cancel_subscription
from tests.scenarios.invariants import books_of, broken, left_over, unfinished
from tests.scenarios.random_life import Life
from tests.scenarios.random_terms import ACTS, open_shop
from tests.support.bank import bank
from tests.support.house import House
from tests.support.outside import sandbox_of

STEPS = 18
HUNG_UP = "request failed"
"""How the edge tells that the sandbox hung up on a browser, as it was told to."""

LIFETIME = timedelta(days=1000)

REST = tuple(timedelta(seconds=s) for s in (60, 7_200, 86_400, 120))
"""Leases run out, late news come, what is unpaid at first is given up."""

_MONTHS = tuple(timedelta(days=days) for days in (1, 2, 4, 7, 7, 20, 20, 20))
"""Longer than any dunning."""


async def live_through(house: House, seed: int, story: list[str]) -> Sequence[str]:
    """One life in a house of its own: all that was broken; what happened is appended to `story`."""
    with bank(), capture_logs([format_exc_info]) as logs:
        broken = list(await _live(house, seed, story))
    # Steps outlive one row's trouble by telling the log of it: whatever raised there is broken too.
    errors = [log for log in logs if log["log_level"] in ("error", "critical") and log["event"] != HUNG_UP]
    return broken + [f"{log['event']}: {log.get('exception', log)}" for log in errors]


async def _live(house: House, seed: int, story: list[str]) -> Sequence[str]:
    await open_shop(house)
    life = Life(house, seed, story=story)
    await life.live(ACTS, STEPS)
    found = await _broken(house, life, is_at_rest=False)
    await _pass(house, *REST)
    if life.was_at_dashboard:
        # The news of it were dropped, or nobody listened for so long that the gateway has forgotten them.
        since = house.machine.now() - LIFETIME
        await reconcile_payments(house.app, life.merchant, since=since, repair=True)
    found += await _broken(house, life, is_at_rest=True)
    found += await house.audit()
    if found:
        return found
    story.append("the end")
    await _end_all(house, life)
    await _pass(house, *_MONTHS, *REST)
    found += await _broken(house, life, is_at_rest=True)
    found += await house.audit()
    books = await books_of(house, life.user)
    return found + (left_over(books) if books is not None else [])


async def _broken(house: House, life: Life, *, is_at_rest: bool) -> list[str]:
    books = await books_of(house, life.user)
    if books is None:
        return []
    return broken(books) + (unfinished(books, house.machine.now()) if is_at_rest else [])


async def _pass(house: House, *pauses: timedelta) -> None:
    """The gateway is well again, the news that are left come, and the worker looks in after each pause."""
    sandbox_of(house).faults.clear()
    for pause in pauses:
        house.pass_time(pause)
        await sandbox_of(house).deliver_due()
        await house.work()


async def _end_all(house: House, life: Life) -> None:
    """Whatever still runs is canceled now by the merchant; what is just ending by itself may refuse."""
    for chosen in life.subscriptions:
        try:
            await cancel_subscription(house.app, life.merchant, CancelWish(chosen))
        except UserProblem:
            continue
