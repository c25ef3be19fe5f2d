"""Webhooks as they arrived: stored once under the gateway's event id, worked on apart."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Index, text
from sqlmodel import Field
from sqlmodel.ext.asyncio.session import AsyncSession

from models import inserting
from models.audit_log import Audited
from models.base import DOCUMENT, EnumText, Leased, UTCDateTime, index_where_set


class GatewayEventStatus(StrEnum):
    RECEIVED = "received"
    PROCESSED = "processed"
    IGNORED_STALE = "ignored"
    FAILED = "failed"


class GatewayEvent(Leased, table=True):
    """A verified hint that an object changed at the gateway. `due_at` is None when nothing is left to do."""

    __tablename__ = "gateway_events"
    __audited__ = Audited(told=frozenset(("status",)))
    __table_args__ = (
        index_where_set("gateway_events", "due_at"),
        Index(
            "ix_gateway_events_unprocessed",
            "status",
            "id",
            sqlite_where=text("status <> 'processed'"),
            postgresql_where=text("status <> 'processed'"),
        ),
    )

    id: str = Field(primary_key=True, max_length=40)
    gateway_ref: str = Field(unique=True, max_length=255)
    type: str = Field(max_length=100, index=True)
    object_kind: str | None = Field(default=None, max_length=40)
    object_ref: str | None = Field(default=None, max_length=255)
    payload: dict[str, Any] = Field(default_factory=dict, sa_type=DOCUMENT)
    status: GatewayEventStatus = Field(sa_type=EnumText(GatewayEventStatus))
    error: str | None = None
    received_at: datetime = Field(sa_type=UTCDateTime)
    processed_at: datetime | None = Field(default=None, sa_type=UTCDateTime)


async def insert_unknown(session: AsyncSession, events: Sequence[GatewayEvent]) -> set[str]:
    """Store these but for those whose gateway id is known: the ids stored."""
    return await inserting.insert_missing(session, GatewayEvent, events, unique=["gateway_ref"])
