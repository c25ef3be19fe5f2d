"""Events out: what happened, written in the transaction that causes it."""

from datetime import datetime
from typing import Any

from sqlmodel import Field, SQLModel

from models.base import DOCUMENT, UTCDateTime


class BillingEvent(SQLModel, table=True):
    """`type` is `subject.what`, such as `invoice.paid`; the id sorts by time."""

    __tablename__ = "billing_events"

    id: str = Field(primary_key=True, max_length=40)
    type: str = Field(max_length=100, index=True)
    subject_id: str = Field(max_length=40, index=True)
    customer_id: str | None = Field(default=None, foreign_key="customers.id", index=True)
    payload: dict[str, Any] = Field(default_factory=dict, sa_type=DOCUMENT)
    at: datetime = Field(sa_type=UTCDateTime)
