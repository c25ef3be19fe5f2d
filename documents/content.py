"""What stands on an invoice and on a credit note: texts, ready to be set."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from babel import Locale
from sqlmodel.ext.asyncio.session import AsyncSession

from billing.lifecycle import InvoiceStatus
from billing.lines import LineKind
from billing.money import Money
from languages import known_locale
from models.customers import Customer
from models.invoices import CreditNote, Invoice, InvoiceLine, lines_of
from models.organization import organization, organization_name
from models.payments import payments_of_invoices
from resolvers.document_links import DocumentKind
from resolvers.writing import formatted, named_balance, written_day

_ENGLISH = Locale.parse("en")
_STAMPS = {
    InvoiceStatus.DRAFT: "Draft",
    InvoiceStatus.OPEN: "Open",
    InvoiceStatus.PAID: "Paid",
    InvoiceStatus.UNCOLLECTIBLE: "Uncollectible",
    InvoiceStatus.VOID: "Void",
}

_BELOW = frozenset((LineKind.DISCOUNT, LineKind.TAX))
"""Lines that follow from the others: they stand with the totals."""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the document's table."""

    text: str
    amount: str
    quantity: str = ""
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Total:
    """A sum below the table."""

    name: str
    amount: str
    is_strong: bool = False


@dataclass(frozen=True, slots=True)
class Document:
    """A document as its template takes it: nothing is computed there.

    `stamp` says where it stands, `facts` are names and values, `locale` decides which glyphs Han characters have.
    """

    kind: str
    number: str
    stamp: str
    seller: str
    buyer: Sequence[str]
    facts: Sequence[tuple[str, str]]
    rows: Sequence[Row]
    totals: Sequence[Total]
    locale: str
    dated: datetime
    has_quantities: bool = True


class _Writer:
    """Amounts and days as the customer reads them."""

    def __init__(self, customer: Customer) -> None:
        self.locale = known_locale(customer.locale) or _ENGLISH
        self._zone = ZoneInfo(customer.timezone)

    def money(self, minor: int, currency: str) -> str:
        return self._apart(formatted(Money(minor, currency).major, currency, self.locale))

    def day(self, at: datetime) -> str:
        return self._apart(written_day(at, self._zone, self.locale))

    def _apart(self, text: str) -> str:
        """Read from right to left where the language is, although the page is not: 31 January, not 2026 first."""
        return f"\u2067{text}\u2069" if self.locale.text_direction == "rtl" else text


async def document_of(session: AsyncSession, kind: DocumentKind, document_id: str) -> Document | None:
    """The invoice or credit note, as it stands now; None if there is none."""
    if kind is DocumentKind.INVOICE:
        invoice = await session.get(Invoice, document_id)
        return await _invoice(session, invoice) if invoice is not None else None
    note = await session.get(CreditNote, document_id)
    return await _credit_note(session, note) if note is not None else None


async def _invoice(session: AsyncSession, invoice: Invoice) -> Document:
    customer = await _customer(session, invoice.customer_id)
    writer = _Writer(customer)
    lines = await lines_of(session, [invoice.id])
    payments = await payments_of_invoices(session, [invoice.id])
    refunded = sum(payment.amount_refunded_minor for payment in payments)
    period = f"{writer.day(invoice.period_start)} – {writer.day(invoice.period_end)}"
    dates = (
        ("Issued", invoice.issued_at),
        ("Due", invoice.due_at),
        ("Paid", invoice.paid_at),
        ("Withdrawn", invoice.voided_at),
    )
    return Document(
        kind="Invoice",
        number=invoice.number,
        stamp=_STAMPS[invoice.status],
        seller=organization_name(await organization(session)),
        buyer=_buyer(customer, writer.locale),
        facts=[
            *((name, writer.day(at)) for name, at in dates if at is not None),
            ("Period", period),
        ],
        rows=[_row(line, writer) for line in lines if line.kind not in _BELOW],
        totals=_totals(invoice, [line for line in lines if line.kind in _BELOW], refunded, writer),
        locale=str(writer.locale),
        dated=invoice.issued_at,
    )


def _row(line: InvoiceLine, writer: _Writer) -> Row:
    return Row(
        text=line.description,
        quantity=f"{line.quantity.normalize():f}",
        unit=writer.money(line.unit_amount_minor, line.currency) if line.unit_amount_minor is not None else "",
        amount=writer.money(line.amount_minor, line.currency),
    )


def _totals(
    invoice: Invoice, discounts_and_taxes: Sequence[InvoiceLine], refunded: int, writer: _Writer
) -> Sequence[Total]:
    """What makes the total, and what has become of it; what is nothing is left out, but for what matters always."""
    due = 0 if invoice.voided_at is not None else invoice.amount_due.minor
    told = [
        Total("Subtotal", writer.money(invoice.subtotal_minor, invoice.currency)),
        *(Total(line.description, writer.money(line.amount_minor, invoice.currency)) for line in discounts_and_taxes),
        Total("Total", writer.money(invoice.total_minor, invoice.currency), is_strong=True),
    ]
    if invoice.credit_applied_minor:
        name = named_balance(invoice.total_minor, invoice.credit_applied_minor)
        told.append(Total(name, writer.money(-invoice.credit_applied_minor, invoice.currency)))
    told += [
        Total("Paid", writer.money(invoice.amount_paid_minor, invoice.currency)),
        Total("Amount due", writer.money(due, invoice.currency), is_strong=True),
    ]
    if refunded:
        told.append(Total("Refunded", writer.money(refunded, invoice.currency)))
    return told


async def _credit_note(session: AsyncSession, note: CreditNote) -> Document:
    customer = await _customer(session, note.customer_id)
    writer = _Writer(customer)
    invoice = await session.get(Invoice, note.invoice_id)
    assert invoice is not None  # held by a foreign key
    tax = sum(line["tax_minor"] for line in note.lines)
    totals = [Total("Total credited", writer.money(note.total_minor, note.currency), is_strong=True)]
    return Document(
        kind="Credit note",
        number=note.number,
        stamp="Withdrawn" if note.voided_at is not None else "",
        seller=organization_name(await organization(session)),
        buyer=_buyer(customer, writer.locale),
        facts=[
            ("Issued", writer.day(note.created_at)),
            *([("Withdrawn", writer.day(note.voided_at))] if note.voided_at is not None else []),
            ("Of invoice", invoice.number),
            ("Reason", note.reason.value.replace("_", " ").capitalize()),
        ],
        rows=[Row(line["description"], writer.money(line["amount_minor"], note.currency)) for line in note.lines],
        totals=[*totals, *([Total("Tax in it", writer.money(tax, note.currency))] if tax else [])],
        locale=str(writer.locale),
        dated=note.created_at,
        has_quantities=False,
    )


async def _customer(session: AsyncSession, customer_id: str) -> Customer:
    customer = await session.get(Customer, customer_id)
    assert customer is not None  # held by a foreign key
    return customer


def _buyer(customer: Customer, locale: Locale) -> Sequence[str]:
    """Who it is for, with the address for bills; the user's id where nobody has said who that is."""
    address = customer.addresses[0] if customer.addresses else {}
    place = " ".join(part for part in (address.get("postal_code"), address.get("city")) if part)
    country = address.get("country")
    return [
        line
        for line in (
            customer.full_name or customer.email or customer.user_id,
            address.get("line1"),
            address.get("line2"),
            place,
            address.get("state"),
            locale.territories.get(country, country) if country else None,
            f"VAT ID {customer.business_vat_id}" if customer.business_vat_id else None,
            customer.email if customer.full_name else None,
        )
        if line
    ]
