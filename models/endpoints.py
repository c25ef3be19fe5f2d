"""Merchants' endpoints, and what was sent to each."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Index, LargeBinary, UniqueConstraint
from sqlmodel import Field, col, func, or_, select
from sqlmodel.ext.asyncio.session import AsyncSession

from billing.delivering import DeliveryStatus
from models.audit_log import Audited
from models.base import DOCUMENT, EnumText, Leased, Record, UTCDateTime, index_where_set


class WebhookEndpoint(Record, table=True):
    """An address that is told of events. All its instants are of the security clock.

    `event_types` are types, beginnings of types (`invoice.*`) or `*`. `secret` and `previous_secret` are sealed; the
    latter signs too until `previous_until`.
    """

    __tablename__ = "webhook_endpoints"
    # That the secret is another one is news of its own.
    __audited__ = Audited(masked=frozenset(("secret",)), unseen=frozenset(("previous_secret",)))

    url: str = Field(max_length=2048)
    event_types: list[str] = Field(sa_type=DOCUMENT)
    is_enabled: bool = True
    secret: bytes = Field(sa_type=LargeBinary, repr=False)
    previous_secret: bytes | None = Field(default=None, sa_type=LargeBinary, repr=False)
    previous_until: datetime | None = Field(default=None, sa_type=UTCDateTime)
    created_by: str = Field(max_length=300)

    @property
    def takes(self) -> bool:
        """Whether anything is sent to it."""
        return self.is_enabled and self.archived_at is None


class WebhookDelivery(Leased, table=True):
    """One event for one endpoint. `due_at` (machine time) is when it is tried next, None when no more."""

    __tablename__ = "webhook_deliveries"
    __audited__ = Audited()
    __table_args__ = (
        UniqueConstraint("event_id", "endpoint_id"),
        Index("ix_webhook_deliveries_endpoint_id_id", "endpoint_id", "id"),
        index_where_set("webhook_deliveries", "due_at"),
        index_where_set("webhook_deliveries", "endpoint_id", "due_at"),
    )

    id: str = Field(primary_key=True, max_length=40)
    event_id: str = Field(foreign_key="billing_events.id")
    endpoint_id: str = Field(foreign_key="webhook_endpoints.id")
    status: DeliveryStatus = Field(default=DeliveryStatus.PENDING, sa_type=EnumText(DeliveryStatus))
    http_status: int | None = None
    error: str | None = Field(default=None, max_length=300)
    created_at: datetime = Field(sa_type=UTCDateTime)


async def webhook_endpoints(session: AsyncSession, *, enabled_only: bool = False) -> Sequence[WebhookEndpoint]:
    """Those that were not deleted, the oldest first."""
    query = select(WebhookEndpoint).where(col(WebhookEndpoint.archived_at).is_(None))
    if enabled_only:
        query = query.where(WebhookEndpoint.is_enabled)
    return (await session.exec(query.order_by(col(WebhookEndpoint.id)))).all()


async def locked_endpoint(session: AsyncSession, endpoint_id: str) -> WebhookEndpoint | None:
    """The endpoint as it is now, held until the transaction ends; also a deleted one."""
    return await session.get(WebhookEndpoint, endpoint_id, with_for_update=True, populate_existing=True)


async def locked_delivery(session: AsyncSession, delivery_id: str) -> WebhookDelivery | None:
    return await session.get(WebhookDelivery, delivery_id, with_for_update=True, populate_existing=True)


async def endpoints_with_due(session: AsyncSession, *, machine_now: datetime) -> Sequence[tuple[str, int]]:
    """Endpoints for which something is due and free, each with how much."""
    query = (
        select(WebhookDelivery.endpoint_id, func.count())
        .where(
            col(WebhookDelivery.due_at) <= machine_now,
            or_(col(WebhookDelivery.leased_until).is_(None), col(WebhookDelivery.leased_until) <= machine_now),
        )
        .group_by(WebhookDelivery.endpoint_id)
        .order_by(WebhookDelivery.endpoint_id)
    )
    return (await session.exec(query)).all()


def for_endpoint(endpoint_id: str) -> Sequence[ColumnElement[bool]]:
    """Which due deliveries are an endpoint's."""
    return [col(WebhookDelivery.endpoint_id) == endpoint_id]
