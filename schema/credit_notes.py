"""What of a paid invoice was taken back."""

from datetime import datetime

import strawberry

from billing.money import Money as Amount
from billing.returning import RefundReason
from models.invoices import CreditNote as CreditNoteRow
from resolvers.document_links import DocumentKind
from schema.fields import PDF_URL, Info, described
from schema.interfaces import Node
from schema.money import Money
from schema.returns import Refund
from schema.scalars import URL


@strawberry.type(description="What is taken back of one line of an invoice.")
class CreditNoteLine:
    invoice_line_id: strawberry.ID | None = described("The invoice's line; null for what was carried onto the invoice.")
    description: str = described("What it was for.")
    amount: Money = described("How much, with its tax.")
    tax: Money = described("The tax in it.")


@strawberry.type(description="A correction of a paid invoice: what was given back of it, line by line.")
class CreditNote(Node):
    number: str = described("Its number for people, counted per customer.")
    reason: RefundReason = described("Why.")
    total: Money = described("How much in all.")
    lines: list[CreditNoteLine] = described("What it takes back of each line; they sum to `total`.")
    created_at: datetime = described("When the money had gone back.")
    voided_at: datetime | None = described("When the money came home again, and it was withdrawn; null if it was not.")
    refund_id: strawberry.Private[str | None]

    @classmethod
    def of(cls, row: CreditNoteRow) -> "CreditNote":
        def money(minor: int) -> Money:
            return Money.of(Amount(minor, row.currency))

        return cls(
            id=strawberry.ID(row.id),
            number=row.number,
            reason=row.reason,
            total=money(row.total_minor),
            lines=[
                CreditNoteLine(
                    invoice_line_id=line["line_id"],
                    description=line["description"],
                    amount=money(line["amount_minor"]),
                    tax=money(line["tax_minor"]),
                )
                for line in row.lines
            ],
            created_at=row.created_at,
            voided_at=row.voided_at,
            refund_id=row.refund_id,
        )

    @strawberry.field(description=PDF_URL)
    def pdf_url(self, info: Info) -> URL | None:
        url = info.context.document_url(DocumentKind.CREDIT_NOTE, self.id)
        return URL(url) if url is not None else None

    @strawberry.field(description="The refund that gave the money.")
    async def refund(self, info: Info) -> Refund | None:
        row = await info.context.loaders.refund.load(self.refund_id) if self.refund_id is not None else None
        return Refund.of(row) if row is not None else None
