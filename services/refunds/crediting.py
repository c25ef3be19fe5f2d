"""Credit notes as rows: written when a refund has succeeded, withdrawn when its money came home again.

All in the caller's transaction, under the customer's lock, which numbers them without gaps.
"""

from collections.abc import Sequence

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.crediting import CreditableLine, credit, with_taken
from billing.lifecycle import RefundStatus
from billing.money import Money
from models.base import new_id
from models.customers import Customer
from models.invoices import CreditNote, credit_notes_of_refund, credited_by_line, lines_of
from models.payments import Payment
from models.returns import Refund, refunds_of
from services.changes import Why


async def creditable_lines(session: AsyncSession, invoice_id: str) -> Sequence[CreditableLine]:
    """The invoice's lines that cost something, with what has been taken back of each."""
    credited = await credited_by_line(session, [invoice_id])
    rows = [(row.id, row.line) for row in await lines_of(session, [invoice_id])]
    return [
        CreditableLine(id, line.description, line.cost, line.tax, Money(credited.get(id, 0), line.cost.currency))
        for id, line in rows
        if line.is_sold and line.cost.minor > 0
    ]


async def lines_to_refund(session: AsyncSession, payment: Payment) -> Sequence[CreditableLine]:
    """The lines of the payment's invoice as they will stand when what is on its way has arrived."""
    lines = await creditable_lines(session, payment.invoice_id)
    for refund in await refunds_of(session, [payment.id]):
        if refund.status is RefundStatus.PENDING:
            lines = with_taken(lines, credit(refund.amount, lines, refund.line_ids))
    return lines


async def issue_credit_note(
    session: AsyncSession, customer: Customer, payment: Payment, refund: Refund, why: Why
) -> CreditNote:
    """What the refund gives back of the payment's invoice."""
    parts = credit(refund.amount, await creditable_lines(session, payment.invoice_id), refund.line_ids)
    customer.last_credit_note_number += 1
    note = CreditNote(
        id=new_id("credit_note"),
        number=f"{customer.invoice_prefix}-C{customer.last_credit_note_number:04}",
        invoice_id=payment.invoice_id,
        customer_id=customer.id,
        refund_id=refund.id,
        reason=refund.reason,
        currency=refund.currency,
        total_minor=refund.amount_minor,
        lines=[
            {
                "line_id": part.line_id,
                "description": part.description,
                "amount_minor": part.amount.minor,
                "tax_minor": part.tax.minor,
            }
            for part in parts
        ],
        created_at=why.now,
    )
    session.add(note)
    # The next one in this transaction counts with it.
    await session.flush()
    return note


async def void_credit_note(session: AsyncSession, refund: Refund, why: Why) -> None:
    """The refund's money came home again: nothing of the invoice is taken back by it. Its number is not used again."""
    for note in await credit_notes_of_refund(session, refund.id):
        note.voided_at = note.voided_at or why.now
    await session.flush()
