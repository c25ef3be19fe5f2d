"""Work that comes round: one row per kind, due at machine time, leased like any other due work."""

from datetime import datetime

from sqlalchemy.exc import IntegrityError
from sqlmodel import Field, col
from sqlmodel.ext.asyncio.session import AsyncSession

from models.base import Leased
from models.database import Database, is_unique_violation
from models.leases import claim_all_due


class Timer(Leased, table=True):
    """When a recurring step is due next. The row is born with the first look at it."""

    __tablename__ = "timers"

    id: str = Field(primary_key=True, max_length=40)


async def ensure_timer(database: Database, key: str, *, due_at: datetime) -> None:
    """Make the timer, due then, unless it is there already."""
    async with database.read() as session:
        if await session.get(Timer, key) is not None:
            return
    try:
        async with database.write() as session:
            session.add(Timer(id=key, due_at=due_at))
    except IntegrityError as error:
        if not is_unique_violation(error):
            raise


async def claim_timer(session: AsyncSession, key: str, *, machine_now: datetime) -> int | None:
    """Take the lease of a timer whose time has come: its new fence, or None."""
    which = [col(Timer.id) == key]
    claimed = await claim_all_due(session, Timer, now=machine_now, machine_now=machine_now, limit=1, only=which)
    return claimed.get(key)
