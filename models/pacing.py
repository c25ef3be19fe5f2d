"""The pace of gateway calls, shared by all workers: a row for each endpoint, one for the account as a whole.

Instants are the database's own, the one clock that workers on several machines have in common.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, literal_column, select, type_coerce, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Field, SQLModel
from sqlmodel.ext.asyncio.session import AsyncSession

from billing.pacing import Limits, Row, places, rested
from models.base import UTCDateTime, table_of
from models.database import Database

ACCOUNT = "account"


class GatewayPace(SQLModel, table=True):
    """Of one limit of the gateway's: when its next place is free, and until when nothing is sent after a 429."""

    __tablename__ = "gateway_paces"

    id: str = Field(primary_key=True, max_length=40)
    free_at: datetime = Field(sa_type=UTCDateTime)
    rests_until: datetime = Field(sa_type=UTCDateTime)
    refusals: int = Field(default=0)


_TABLE = table_of(GatewayPace)


class SharedPace:
    """The rows behind `gateways.paced`. `now` stands in for the database's time where tests move it by hand."""

    def __init__(self, database: Database, limits: Limits, now: Callable[[], datetime] | None = None) -> None:
        self._database, self._limits, self._told = database, limits, now

    async def reserve(self, wanted: Mapping[str, int]) -> Mapping[str, Sequence[float]]:
        """For each endpoint as many of the wanted places as begin soon: in how many seconds each does."""
        async with self._database.write() as session:
            now, rows = await self._locked(session, [ACCOUNT, *wanted])
            before, account, given = dict(rows), rows[ACCOUNT], dict[str, Sequence[datetime]]()
            for endpoint, number in wanted.items():
                given[endpoint], rows[endpoint], account = places(rows[endpoint], account, number, self._limits, now)
            rows[ACCOUNT] = account
            await self._keep(session, {key: row for key, row in rows.items() if row != before[key]})
        return {endpoint: [(place - now).total_seconds() for place in each] for endpoint, each in given.items()}

    async def rest(self, endpoint: str | None, at_least: timedelta | None) -> None:
        """The gateway has said 429 to a call of that endpoint (None: to the account as a whole)."""
        key = endpoint or ACCOUNT
        async with self._database.write() as session:
            now, rows = await self._locked(session, [key])
            await self._keep(session, {key: rested(rows[key], now, at_least)})

    async def _locked(self, session: AsyncSession, keys: Sequence[str]) -> tuple[datetime, dict[str, Row]]:
        """The present, and the rows, held until the transaction ends; those that are missing are made."""
        found = await self._read(session, keys)
        if len(found) < len(keys):
            now = await self._now(session)
            insert = sqlite.insert if self._database.is_sqlite else postgresql.insert
            born = [{"id": key, "free_at": now, "rests_until": now, "refusals": 0} for key in sorted(keys)]
            await (await session.connection()).execute(insert(_TABLE).on_conflict_do_nothing(), born)
            found = await self._read(session, keys)
        # Told after the wait for the rows: places are counted from when they are given.
        return await self._now(session), found

    async def _read(self, session: AsyncSession, keys: Sequence[str]) -> dict[str, Row]:
        query = select(_TABLE).where(_TABLE.c.id.in_(keys)).order_by(_TABLE.c.id).with_for_update()
        rows = (await (await session.connection()).execute(query)).all()
        return {row.id: Row(row.free_at, row.rests_until, row.refusals) for row in rows}

    async def _keep(self, session: AsyncSession, rows: Mapping[str, Row]) -> None:
        for key, row in rows.items():
            statement = update(_TABLE).where(_TABLE.c.id == key)
            values: dict[str, Any] = {
                "free_at": row.free_at,
                "rests_until": row.rests_until,
                "refusals": row.refusals,
            }
            await (await session.connection()).execute(statement.values(values))

    async def _now(self, session: AsyncSession) -> datetime:
        if self._told is not None:
            return self._told()
        # Not now(), which PostgreSQL keeps at the transaction's beginning.
        present = (
            func.strftime("%Y-%m-%d %H:%M:%f", literal_column("'now'"))
            if self._database.is_sqlite
            else func.clock_timestamp()
        )
        return (await (await session.connection()).execute(select(type_coerce(present, UTCDateTime)))).scalar_one()
