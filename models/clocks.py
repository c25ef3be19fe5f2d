"""Test clocks: a time of their own for customers of the sandbox, moved by hand."""

from datetime import datetime
from enum import StrEnum

from sqlmodel import Field, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from models.base import EnumText, Leased, Record, UTCDateTime


class TestClockStatus(StrEnum):
    """ADVANCING and DELETING ones are work to be gone on with; a DELETED one stands still for ever."""

    __test__ = False  # pytest takes classes of this name for tests

    READY = "ready"
    ADVANCING = "advancing"
    DELETING = "deleting"
    DELETED = "deleted"


class TestClock(Record, Leased, table=True):
    """`now` is the present of its customers; while ADVANCING it moves on to `target`. Leases are by machine time."""

    __test__ = False  # pytest takes classes of this name for tests
    __tablename__ = "test_clocks"

    name: str | None = Field(default=None, max_length=250)
    now: datetime = Field(sa_type=UTCDateTime)
    target: datetime = Field(sa_type=UTCDateTime)
    status: TestClockStatus = Field(default=TestClockStatus.READY, sa_type=EnumText(TestClockStatus))


async def locked_clock(session: AsyncSession, clock_id: str) -> TestClock | None:
    """The clock, held until the transaction ends; None when there is none any more."""
    query = select(TestClock).where(TestClock.id == clock_id, col(TestClock.archived_at).is_(None)).with_for_update()
    return (await session.exec(query.execution_options(populate_existing=True))).first()
