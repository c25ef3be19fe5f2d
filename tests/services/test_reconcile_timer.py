"""The worker reconciles on a timer: once however many workers there are, from the last finished pass on."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from gateways.sandbox import Fault
from models.base import metadata
from services.books.reconciling import reconcile_when_due
from tests.scenarios.shopping import Channel, Shopper
from tests.support.breaking import only
from tests.support.house import House, open_house
from tests.support.meanwhile import just_after
from tests.support.outside import VISA, faults_always, sandbox_of
from worker import Worker

LOST = Channel("webhooks off", (Fault.WEBHOOKS_OFF,))
MINUTES = timedelta(minutes=1)


@pytest.fixture
async def timed_house(database_url: str) -> AsyncIterator[House]:
    """The product whose worker reconciles every 15 minutes."""
    async with open_house(database_url, reconcile_minutes=15) as house:
        faults_always(house, Fault.WEBHOOKS_OFF)
        yield house


async def passes(house: House) -> list[tuple[str, str | None, bool]]:
    """Since when each pass looked, by whom it was asked for, and whether it ended."""
    table = metadata().tables["reconciliation_reports"]
    async with house.app.database.read() as session:
        rows = (await (await session.connection()).execute(table.select().order_by(table.c.id))).mappings().all()
    return [(row["since"].isoformat(), row["requested_by"], row["finished_at"] is not None) for row in rows]


async def test_the_timer_makes_a_lost_webhook_good(timed_house: House) -> None:
    house = timed_house
    assert (await house.work())["reconciled"] == 1
    shopper = Shopper(house, "demo-new", LOST)
    told = await shopper.subscribe()
    await shopper.browser.confirm(told["paymentIntent"]["clientSecret"], VISA)
    # Only the worker's timer moves on: the time at which payments are asked about does not come.
    table = metadata().tables["timers"]
    async with house.app.database.write() as session:
        await (await session.connection()).execute(table.update().values(due_at=house.machine.now()))
    assert (await house.work())["reconciled"] == 1
    assert (await only(house, "subscriptions"))["status"] == "active"


async def test_a_pass_comes_every_quarter_of_an_hour_and_looks_an_hour_behind_the_one_before(
    timed_house: House,
) -> None:
    house = timed_house
    assert (await house.work())["reconciled"] == 1
    assert (await house.work())["reconciled"] == 0
    house.pass_time(15 * MINUTES - timedelta(seconds=1))
    assert (await house.work())["reconciled"] == 0
    house.pass_time(timedelta(seconds=1))
    assert (await house.work())["reconciled"] == 1
    house.pass_time(30 * MINUTES)
    assert (await house.work())["reconciled"] == 1
    assert await passes(house) == [
        ("2026-01-01T09:30:00+00:00", None, True),
        ("2026-01-31T08:30:00+00:00", None, True),
        ("2026-01-31T08:45:00+00:00", None, True),
    ]


async def test_two_workers_make_one_pass(timed_house: House, database_url: str) -> None:
    async with open_house(database_url, demo=False, reconcile_minutes=15) as other:
        for house in (timed_house, other, timed_house, other):
            await Worker(house.app).once()
        assert len(await passes(timed_house)) == 1


async def test_a_pass_that_broke_off_comes_again_after_a_minute_from_where_it_began(timed_house: House) -> None:
    house = timed_house
    sandbox_of(house).faults.arm(Fault.TIMEOUT_BEFORE, count=2, path_contains="/v1/payment_intents")
    assert (await house.work())["reconciled"] == 1
    house.pass_time(timedelta(seconds=59))
    assert (await house.work())["reconciled"] == 0
    house.pass_time(timedelta(seconds=1))
    assert (await house.work())["reconciled"] == 1
    assert await passes(house) == [
        ("2026-01-01T09:30:00+00:00", None, False),
        ("2026-01-01T09:31:00+00:00", None, True),
    ]


async def test_a_worker_that_died_in_its_pass_is_replaced_when_its_lease_has_run_out(timed_house: House) -> None:
    house = timed_house
    await house.work()
    timers = metadata().tables["timers"]
    until = house.machine.now() + timedelta(seconds=40)
    async with house.app.database.write() as session:
        claimed = timers.update().values(due_at=house.machine.now(), leased_until=until, fence=timers.c.fence + 1)
        await (await session.connection()).execute(claimed)
    assert (await house.work())["reconciled"] == 0
    house.pass_time(timedelta(seconds=40))
    assert (await house.work())["reconciled"] == 1


async def test_without_minutes_it_never_comes(small_house: House) -> None:
    small_house.pass_time(timedelta(days=30))
    assert (await small_house.work())["reconciled"] == 0
    assert await passes(small_house) == []


async def test_a_slow_worker_that_was_replaced_stops_and_leaves_the_timer_to_its_successor(timed_house: House) -> None:
    house = timed_house
    timers = metadata().tables["timers"]

    async def replaced() -> None:
        async with house.app.database.write() as session:
            await (await session.connection()).execute(timers.update().values(fence=timers.c.fence + 1))

    slow = just_after(house.app, "list_payment_intents", replaced)
    assert await reconcile_when_due(slow) == 1
    assert await passes(house) == [("2026-01-01T09:30:00+00:00", None, False)]
    timer = await only(house, "timers")
    assert (timer["fence"], timer["leased_until"] is None) == (2, False)
