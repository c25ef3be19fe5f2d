"""What was billed and why."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import UniqueConstraint
from sqlmodel import Field, SQLModel, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from billing.invoicing import InvoiceReason
from billing.lifecycle import InvoiceStatus
from billing.money import Money
from models.base import BIG, DOCUMENT, EnumText, Record, UTCDateTime


class Invoice(Record, table=True):
    """One bill. Its id is derived from (subscription, reason, occasion), so nobody can bill an occasion twice."""

    __tablename__ = "invoices"
    __table_args__ = (UniqueConstraint("subscription_id", "reason", "occasion"), UniqueConstraint("number"))

    number: str = Field(max_length=40)
    customer_id: str = Field(foreign_key="customers.id", index=True)
    subscription_id: str = Field(foreign_key="subscriptions.id", index=True)
    reason: InvoiceReason = Field(sa_type=EnumText(InvoiceReason))
    occasion: str = Field(max_length=255)
    status: InvoiceStatus = Field(sa_type=EnumText(InvoiceStatus))
    currency: str = Field(max_length=3)
    period_start: datetime = Field(sa_type=UTCDateTime)
    period_end: datetime = Field(sa_type=UTCDateTime)
    subtotal_minor: int = Field(sa_type=BIG)
    discount_total_minor: int = Field(sa_type=BIG)
    tax_total_minor: int = Field(sa_type=BIG)
    total_minor: int = Field(sa_type=BIG)
    credit_applied_minor: int = Field(sa_type=BIG)
    amount_paid_minor: int = Field(default=0, sa_type=BIG)
    issued_at: datetime = Field(sa_type=UTCDateTime)
    paid_at: datetime | None = Field(default=None, sa_type=UTCDateTime)
    voided_at: datetime | None = Field(default=None, sa_type=UTCDateTime)

    @property
    def amount_due(self) -> Money:
        """What is still to be collected: total − credit applied − paid."""
        return Money(self.total_minor - self.credit_applied_minor - self.amount_paid_minor, self.currency)


class InvoiceLine(SQLModel, table=True):
    """One amount of an invoice, with the sentence, the formula and the inputs that explain it."""

    __tablename__ = "invoice_lines"
    __table_args__ = (UniqueConstraint("invoice_id", "position"),)

    id: str = Field(primary_key=True, max_length=40)
    invoice_id: str = Field(foreign_key="invoices.id")
    position: int
    plan_id: str | None = Field(default=None, foreign_key="plans.id")
    description: str
    quantity: int
    currency: str = Field(max_length=3)
    unit_amount_minor: int = Field(sa_type=BIG)
    amount_minor: int = Field(sa_type=BIG)
    is_proration: bool = False
    period_start: datetime = Field(sa_type=UTCDateTime)
    period_end: datetime = Field(sa_type=UTCDateTime)
    explanation_text: str
    explanation_formula: str
    explanation_inputs: list[dict[str, Any]] = Field(default_factory=list, sa_type=DOCUMENT)


async def lines_of(session: AsyncSession, invoice_ids: Sequence[str]) -> Sequence[InvoiceLine]:
    query = (
        select(InvoiceLine)
        .where(col(InvoiceLine.invoice_id).in_(invoice_ids))
        .order_by(col(InvoiceLine.invoice_id), col(InvoiceLine.position))
    )
    return (await session.exec(query)).all()


async def open_invoices_of(session: AsyncSession, subscription_id: str) -> Sequence[Invoice]:
    """Oldest first."""
    query = (
        select(Invoice)
        .where(Invoice.subscription_id == subscription_id, Invoice.status == InvoiceStatus.OPEN)
        .order_by(col(Invoice.period_start), col(Invoice.id))
    )
    return (await session.exec(query)).all()


async def first_invoice_of(session: AsyncSession, subscription_id: str) -> Invoice | None:
    query = select(Invoice).where(
        Invoice.subscription_id == subscription_id, Invoice.reason == InvoiceReason.SUBSCRIPTION_CREATE
    )
    return (await session.exec(query)).first()
