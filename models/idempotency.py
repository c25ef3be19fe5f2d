"""Requests that promised to be the same: scope, a hash of the input, and where the answer's rows are."""

from datetime import datetime
from typing import Any

from sqlalchemy import delete
from sqlmodel import Field, SQLModel, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from models.base import DOCUMENT, UTCDateTime


class IdempotencyRecord(SQLModel, table=True):
    """One key of one caller for one mutation, kept 30 days. `answer` names rows, never their contents."""

    __tablename__ = "idempotency_records"

    scope: str = Field(primary_key=True, max_length=64)
    input_hash: str = Field(max_length=64)
    answer: dict[str, Any] | None = Field(default=None, sa_type=DOCUMENT)
    leased_until: datetime | None = Field(default=None, sa_type=UTCDateTime)
    created_at: datetime = Field(sa_type=UTCDateTime)
    expires_at: datetime = Field(sa_type=UTCDateTime, index=True)


async def idempotency_record(session: AsyncSession, scope: str) -> IdempotencyRecord | None:
    return await session.get(IdempotencyRecord, scope, with_for_update=True)


async def delete_expired(session: AsyncSession, now: datetime, limit: int) -> int:
    """Delete at most so many of those whose time is over, the longest ago first: how many. What others hold stays."""
    expired = (
        select(IdempotencyRecord.scope)
        .where(IdempotencyRecord.expires_at <= now)
        .order_by(col(IdempotencyRecord.expires_at))
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    deleted = await session.exec(delete(IdempotencyRecord).where(col(IdempotencyRecord.scope).in_(expired)))
    return deleted.rowcount
