"""What was billed and why."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Index, UniqueConstraint
from sqlmodel import Field, SQLModel, col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from billing.calendar import Period
from billing.explaining import Explanation, ExplanationInput
from billing.invoicing import InvoiceReason
from billing.lifecycle import InvoiceStatus
from billing.lines import Line, LineKind
from billing.money import Money
from billing.returning import RefundReason
from models.audit_log import Audited
from models.base import BIG, DOCUMENT, DecimalText, EnumText, Record, UTCDateTime, new_id
from models.lockstep import for_each, grouped


class Invoice(Record, table=True):
    """One bill. Its id is derived from (subscription, reason, occasion), so nobody can bill an occasion twice.

    `due_at` is when an invoice that is sent must be paid; `first_failed_at` when its collection first failed, from
    where dunning counts.
    """

    __tablename__ = "invoices"
    __audited__ = Audited(masked=frozenset(("meta",)))
    __table_args__ = (
        UniqueConstraint("subscription_id", "reason", "occasion"),
        UniqueConstraint("number"),
        Index("ix_invoices_issued", "created_at", "period_start", "number"),
        Index("ix_invoices_status_issued", "status", "created_at", "period_start", "number"),
    )

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
    due_at: datetime | None = Field(default=None, sa_type=UTCDateTime)
    first_failed_at: datetime | None = Field(default=None, sa_type=UTCDateTime)
    paid_at: datetime | None = Field(default=None, sa_type=UTCDateTime)
    voided_at: datetime | None = Field(default=None, sa_type=UTCDateTime)

    @property
    def amount_due(self) -> Money:
        """What is still to be collected: total − credit applied − paid."""
        return Money(self.total_minor - self.credit_applied_minor - self.amount_paid_minor, self.currency)


class InvoiceLine(SQLModel, table=True):
    """One amount of an invoice, with the sentence, the formula and the inputs that explain it.

    `discount_minor` and `tax_minor` are what of the invoice's discount and tax fall to this line.
    """

    __tablename__ = "invoice_lines"
    __table_args__ = (UniqueConstraint("invoice_id", "position"),)

    id: str = Field(primary_key=True, max_length=40)
    invoice_id: str = Field(foreign_key="invoices.id")
    position: int
    kind: LineKind = Field(default=LineKind.RECURRING, sa_type=EnumText(LineKind))
    plan_id: str | None = Field(default=None, foreign_key="plans.id")
    product_id: str | None = Field(default=None, foreign_key="products.id")
    item_id: str | None = Field(default=None, foreign_key="subscription_items.id", index=True)
    description: str
    quantity: Decimal = Field(sa_type=DecimalText)
    currency: str = Field(max_length=3)
    unit_amount_minor: int | None = Field(default=None, sa_type=BIG)
    amount_minor: int = Field(sa_type=BIG)
    discount_minor: int = Field(default=0, sa_type=BIG)
    tax_minor: int = Field(default=0, sa_type=BIG)
    tax_percent: Decimal | None = Field(default=None, sa_type=DecimalText)
    is_proration: bool = False
    period_start: datetime = Field(sa_type=UTCDateTime)
    period_end: datetime = Field(sa_type=UTCDateTime)
    explanation_text: str
    explanation_formula: str
    explanation_inputs: list[dict[str, Any]] = Field(default_factory=list, sa_type=DOCUMENT)

    @classmethod
    def of(cls, invoice_id: str, position: int, line: Line) -> "InvoiceLine":
        """The engine's line as a row."""
        return cls(
            id=new_id("invoice_line"),
            invoice_id=invoice_id,
            position=position,
            kind=line.kind,
            plan_id=line.plan_id,
            product_id=line.product_id,
            item_id=line.item_id,
            description=line.description,
            quantity=line.quantity,
            currency=line.amount.currency,
            unit_amount_minor=line.unit_amount.minor if line.unit_amount is not None else None,
            amount_minor=line.amount.minor,
            discount_minor=line.discount.minor,
            tax_minor=line.tax.minor,
            tax_percent=line.tax_percent,
            is_proration=line.is_proration,
            period_start=line.period.start,
            period_end=line.period.end,
            explanation_text=line.explanation.text,
            explanation_formula=line.explanation.formula,
            explanation_inputs=[
                {"name": i.name, "value": i.value, "source": i.source} for i in line.explanation.inputs
            ],
        )

    @property
    def line(self) -> Line:
        """The row as the engine's line."""

        def money(minor: int) -> Money:
            return Money(minor, self.currency)

        return Line(
            kind=self.kind,
            description=self.description,
            quantity=self.quantity,
            amount=money(self.amount_minor),
            discount=money(self.discount_minor),
            tax=money(self.tax_minor),
            period=Period(self.period_start, self.period_end),
            explanation=Explanation(
                self.explanation_text,
                self.explanation_formula,
                [ExplanationInput(i["name"], i["value"], i["source"]) for i in self.explanation_inputs],
            ),
            unit_amount=money(self.unit_amount_minor) if self.unit_amount_minor is not None else None,
            plan_id=self.plan_id,
            product_id=self.product_id,
            item_id=self.item_id,
            tax_percent=self.tax_percent,
            is_proration=self.is_proration,
        )


class PendingLine(SQLModel, table=True):
    """A line that waits for the subscription's next invoice; `invoice_id` once it is on one.

    `line` is an invoice line's columns as JSON; amounts are in minor units, instants and decimals are text.
    """

    __tablename__ = "pending_lines"

    id: str = Field(primary_key=True, max_length=40)
    subscription_id: str = Field(foreign_key="subscriptions.id", index=True)
    invoice_id: str | None = Field(default=None, foreign_key="invoices.id")
    line: dict[str, Any] = Field(sa_type=DOCUMENT)
    created_at: datetime = Field(sa_type=UTCDateTime)

    @classmethod
    def of(cls, subscription_id: str, line: Line, now: datetime) -> "PendingLine":
        """The engine's line, to wait."""
        return cls(
            id=new_id("pending_line"), subscription_id=subscription_id, line=_line_document(line), created_at=now
        )

    @property
    def as_line(self) -> Line:
        """What waits, as the engine's line."""
        return InvoiceLine.model_validate({**self.line, "id": self.id, "invoice_id": "", "position": 0}).line

    def rewrite(self, line: Line) -> None:
        """Let another line wait in its place."""
        self.line = _line_document(line)


def _line_document(line: Line) -> dict[str, Any]:
    return InvoiceLine.of("", 0, line).model_dump(mode="json", exclude={"id", "invoice_id", "position"})


class CreditNote(SQLModel, table=True):
    """What of a paid invoice was taken back by a refund, with its lines; withdrawn when the refund came home again.

    `lines` are objects of line_id, description, amount_minor and tax_minor, the tax being part of the amount.
    """

    __tablename__ = "credit_notes"
    __table_args__ = (UniqueConstraint("number"),)

    id: str = Field(primary_key=True, max_length=40)
    number: str = Field(max_length=40)
    invoice_id: str = Field(foreign_key="invoices.id", index=True)
    customer_id: str = Field(foreign_key="customers.id", index=True)
    refund_id: str | None = Field(default=None, foreign_key="refunds.id", index=True)
    reason: RefundReason = Field(sa_type=EnumText(RefundReason))
    currency: str = Field(max_length=3)
    total_minor: int = Field(sa_type=BIG)
    lines: list[dict[str, Any]] = Field(default_factory=list, sa_type=DOCUMENT)
    voided_at: datetime | None = Field(default=None, sa_type=UTCDateTime)
    created_at: datetime = Field(sa_type=UTCDateTime)


async def overdue_since(session: AsyncSession, customer_ids: Sequence[str]) -> dict[str, datetime]:
    """When the first of a customer's open invoices was refused or must be paid, for those who have such a one."""
    since = func.min(func.coalesce(Invoice.first_failed_at, Invoice.due_at))
    query = (
        select(Invoice.customer_id, since)
        .where(col(Invoice.customer_id).in_(customer_ids), Invoice.status == InvoiceStatus.OPEN)
        .group_by(col(Invoice.customer_id))
    )
    return {owner: instant for owner, instant in (await session.exec(query)).all() if instant is not None}


async def lines_of(session: AsyncSession, invoice_ids: Sequence[str]) -> Sequence[InvoiceLine]:
    query = (
        select(InvoiceLine)
        .where(col(InvoiceLine.invoice_id).in_(invoice_ids))
        .order_by(col(InvoiceLine.invoice_id), col(InvoiceLine.position))
    )
    return (await session.exec(query)).all()


@for_each
async def waiting_lines_of(
    session: AsyncSession, subscription_ids: Sequence[str]
) -> Mapping[str, Sequence[PendingLine]]:
    """What waits for the subscription's next invoice, in the order in which it came."""
    query = (
        select(PendingLine)
        .where(col(PendingLine.subscription_id).in_(subscription_ids), col(PendingLine.invoice_id).is_(None))
        .order_by(col(PendingLine.id))
    )
    return grouped(subscription_ids, (await session.exec(query)).all(), lambda row: row.subscription_id)


async def keep_waiting(session: AsyncSession, subscription_id: str, kept: Mapping[str, Line]) -> None:
    """Of what waits for the subscription's next invoice only that goes on waiting, by its id, as it stands there."""
    for pending in await waiting_lines_of(session, subscription_id):
        left = kept.get(pending.id)
        if left is None:
            await session.delete(pending)
        elif left != pending.as_line:
            pending.rewrite(left)


async def pending_lines_on(session: AsyncSession, invoice_id: str) -> Sequence[PendingLine]:
    """What had waited and is on that invoice."""
    return (await session.exec(select(PendingLine).where(PendingLine.invoice_id == invoice_id))).all()


@for_each
async def open_invoices_of(session: AsyncSession, subscription_ids: Sequence[str]) -> Mapping[str, Sequence[Invoice]]:
    """Of a subscription, oldest first."""
    query = (
        select(Invoice)
        .where(col(Invoice.subscription_id).in_(subscription_ids), Invoice.status == InvoiceStatus.OPEN)
        .order_by(col(Invoice.period_start), col(Invoice.number))
    )
    return grouped(subscription_ids, (await session.exec(query)).all(), lambda row: row.subscription_id)


async def has_open_invoice(session: AsyncSession, subscription_ids: Sequence[str]) -> Mapping[str, bool]:
    """Those of the subscriptions that have an open invoice; the others are left out."""
    query = select(Invoice.subscription_id).where(
        col(Invoice.subscription_id).in_(subscription_ids), Invoice.status == InvoiceStatus.OPEN
    )
    return dict.fromkeys((await session.exec(query)).all(), True)


async def invoice_of(
    session: AsyncSession, subscription_id: str, reason: InvoiceReason, occasion: str
) -> Invoice | None:
    """The one that was issued for the occasion."""
    query = select(Invoice).where(
        Invoice.subscription_id == subscription_id, Invoice.reason == reason, Invoice.occasion == occasion
    )
    return (await session.exec(query)).first()


async def manual_invoice(session: AsyncSession, customer_id: str, occasion: str) -> Invoice | None:
    """What was recorded by hand for the customer on that occasion."""
    query = select(Invoice).where(
        Invoice.customer_id == customer_id, Invoice.reason == InvoiceReason.MANUAL, Invoice.occasion == occasion
    )
    return (await session.exec(query)).first()


async def manual_invoice_from(session: AsyncSession, subscription_id: str, start: datetime) -> Invoice | None:
    """What was recorded by hand for the time from `start` on."""
    query = select(Invoice).where(
        Invoice.subscription_id == subscription_id,
        Invoice.reason == InvoiceReason.MANUAL,
        Invoice.period_start == start,
    )
    return (await session.exec(query)).first()


async def credit_notes_of(session: AsyncSession, invoice_ids: Sequence[str]) -> Sequence[CreditNote]:
    """Each invoice's, the withdrawn ones too, in the order of their numbers."""
    query = (
        select(CreditNote)
        .where(col(CreditNote.invoice_id).in_(invoice_ids))
        .order_by(col(CreditNote.invoice_id), col(CreditNote.created_at), col(CreditNote.number))
    )
    return (await session.exec(query)).all()


async def credit_notes_of_refund(session: AsyncSession, refund_id: str) -> Sequence[CreditNote]:
    return (await session.exec(select(CreditNote).where(CreditNote.refund_id == refund_id))).all()


async def credited_by_line(session: AsyncSession, invoice_ids: Sequence[str]) -> dict[str, int]:
    """Invoice line id → what of its cost credit notes have taken back, in minor units; tax is part of it."""
    credited: dict[str, int] = {}
    for note in await credit_notes_of(session, invoice_ids):
        for line in note.lines if note.voided_at is None else ():
            if line["line_id"] is not None:
                credited[line["line_id"]] = credited.get(line["line_id"], 0) + line["amount_minor"]
    return credited


async def recurring_lines_since(
    session: AsyncSession, item_ids: Sequence[str], since: datetime
) -> Sequence[InvoiceLine]:
    """What these items were billed in advance for periods from that instant on, in the order of billing.

    Lines of invoices that were withdrawn are left out.
    """
    query = (
        select(InvoiceLine)
        .join(Invoice, col(Invoice.id) == InvoiceLine.invoice_id)
        .where(
            col(InvoiceLine.item_id).in_(item_ids),
            InvoiceLine.kind == LineKind.RECURRING,
            InvoiceLine.period_start >= since,
            Invoice.status != InvoiceStatus.VOID,
        )
        .order_by(col(InvoiceLine.id))
    )
    return (await session.exec(query)).all()
