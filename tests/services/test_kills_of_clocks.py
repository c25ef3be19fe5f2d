"""Killed at every commit and gateway call of a test clock's way: a worker takes it up, and each period is paid once."""

import asyncio
from datetime import UTC, datetime, timedelta

from sqlmodel import col, select

from billing.lifecycle import InvoiceStatus
from models.clocks import TestClock, TestClockStatus
from models.invoices import Invoice
from services.people.registering import NewCustomer, create_customer
from services.runs.moving_time import advance_test_clock, create_test_clock
from services.subscriptions.ordering import SubscribeWish
from services.subscriptions.subscribing import subscribe
from services.wallet.cards import attach_payment_method
from tests.services.conftest import Fresh
from tests.support.house import House, open_house
from tests.support.kills import EVER, Points, deadly_points, in_child, killed, mortal
from tests.support.outside import charges_by_invoice

ADMIN = "demo-admin"
START = datetime(2030, 1, 31, tzinfo=UTC)
TO = datetime(2030, 3, 1, tzinfo=UTC)


def test_a_clock_killed_at_every_point_is_taken_up_and_charges_each_period_once(fresh: Fresh) -> None:
    """The gateway's dates are years before the clock's: what was made there is found by our invoice's id alone."""
    prepared = fresh()
    asyncio.run(_prepared(prepared))
    points = in_child(lambda points: _advancing(fresh(prepared), points), EVER)
    assert points is not None
    assert points >= 20, "the way has lost its points"
    for deadly in deadly_points(points):
        url = fresh(prepared)
        killed(lambda points, url=url: _advancing(url, points), deadly, url)
        asyncio.run(_recovered(url))


async def _prepared(url: str) -> None:
    async with open_house(url, demo=False) as house:
        made = await create_test_clock(house.app, START, None)
        customer = await create_customer(house.app, NewCustomer("u-1", test_clock_id=made.id))
        card = await attach_payment_method(
            house.app, house.actor(ADMIN), reference="pm_card_visa", make_default=True, customer_id=customer.id
        )
        wish = SubscribeWish(plan_code="reader-pro", payment_method_id=card.id, customer_id=customer.id)
        assert (await subscribe(house.app, house.actor(ADMIN), wish)).problems == ()


async def _advancing(url: str, points: Points) -> None:
    async with open_house(url, demo=False) as house:
        await advance_test_clock(mortal(house.app, url, points), house.actor(ADMIN), await _clock_id(house), TO)


async def _recovered(url: str) -> None:
    async with open_house(url, demo=False) as house:
        house.pass_time(timedelta(seconds=60))
        await house.work()
        clock = await _clock(house)
        if clock.now == START and clock.status is TestClockStatus.READY:
            # Killed before anything was wished for: the caller asks again.
            await advance_test_clock(house.app, house.actor(ADMIN), clock.id, TO)
            clock = await _clock(house)
        assert (clock.status, clock.now) == (TestClockStatus.READY, TO)
        async with house.app.database.read() as session:
            invoices = (await session.exec(select(Invoice).order_by(col(Invoice.period_start)))).all()
        assert [(row.status, row.period_start.day) for row in invoices] == [
            (InvoiceStatus.PAID, 31),
            (InvoiceStatus.PAID, 28),
        ]
        assert sorted((await charges_by_invoice(house)).values()) == [1, 1]
        assert await house.audit() == []


async def _clock(house: House) -> TestClock:
    async with house.app.database.read() as session:
        return (await session.exec(select(TestClock))).one()


async def _clock_id(house: House) -> str:
    return (await _clock(house)).id
