"""What was used: one row per event that the application reported, never changed."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import Index, UniqueConstraint
from sqlmodel import Field, SQLModel

from models.base import DecimalText, UTCDateTime


class UsageRecord(SQLModel, table=True):
    """`invoice_id`: the invoice that counted it, None until then. `unique_value`: what unique counts tell apart."""

    __tablename__ = "usage_records"
    __table_args__ = (
        UniqueConstraint("subscription_id", "idempotency_key"),
        Index("ix_usage_records_unbilled", "subscription_id", "feature_id", "invoice_id"),
    )

    id: str = Field(primary_key=True, max_length=40)
    subscription_id: str = Field(foreign_key="subscriptions.id")
    customer_id: str = Field(foreign_key="customers.id", index=True)
    feature_id: str = Field(foreign_key="features.id")
    quantity: Decimal = Field(sa_type=DecimalText)
    unique_value: str | None = Field(default=None, max_length=255)
    occurred_at: datetime = Field(sa_type=UTCDateTime)
    idempotency_key: str = Field(max_length=255)
    input_hash: str = Field(max_length=64)
    invoice_id: str | None = Field(default=None, foreign_key="invoices.id")
    recorded_at: datetime = Field(sa_type=UTCDateTime)
