"""Whose present it is: customers on a test clock live by it, all others by the billing clock."""

from datetime import datetime

from sqlmodel.ext.asyncio.session import AsyncSession

from models.clocks import TestClock
from models.customers import Customer
from services.app import App


async def in_time_of(app: App, test_clock_id: str | None) -> App:
    """The app at the present of that clock's customers; the same one for those who have none."""
    if test_clock_id is None or app.timeline == test_clock_id:
        return app
    async with app.database.read() as session:
        return await in_time_within(app, session, test_clock_id)


async def in_time_within(app: App, session: AsyncSession, test_clock_id: str | None) -> App:
    """The same, inside a session."""
    if test_clock_id is None or app.timeline == test_clock_id:
        return app
    clock = await session.get_one(TestClock, test_clock_id, populate_existing=True)
    return app.at(clock.now, test_clock_id)


def in_its_time(app: App, at: datetime) -> datetime:
    """When something was that the gateway dates `at`: now for whoever lives by a test clock, which it does not know."""
    return at if app.timeline is None else app.now()


async def present_of(app: App, session: AsyncSession, customer: Customer | None) -> datetime:
    """The customer's present instant, inside a session; the billing clock's where there is no customer."""
    clock_id = customer.test_clock_id if customer is not None else None
    return (await in_time_within(app, session, clock_id)).now()
