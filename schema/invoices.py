"""What was billed, and why."""

from datetime import datetime
from decimal import Decimal

import strawberry
from strawberry.scalars import JSON

from billing.invoicing import InvoiceReason
from billing.lifecycle import InvoiceStatus
from billing.lines import LineKind
from billing.money import Money as Amount
from models.invoices import Invoice as InvoiceRow
from models.invoices import InvoiceLine as LineRow
from models.payments import MANUAL
from resolvers.document_links import DocumentKind
from resolvers.standing import action_of_invoice
from schema import customers, payments, subscriptions
from schema.actions import NextAction
from schema.catalog import Plan
from schema.credit_notes import CreditNote
from schema.fields import PDF_URL, CustomerRef, Info, PaymentRef, PlanRef, PlanSubscriptionRef, described
from schema.interfaces import Node, Record, record_fields
from schema.money import Money
from schema.periods import Period
from schema.scalars import URL


@strawberry.type(description="A number that an amount was made of.")
class ExplanationInput:
    name: str = described("What it is called in the formula.")
    value: str = described("Its value.")
    source: strawberry.ID | None = described("The id of the object that it came from, if there is one.")


@strawberry.type(description="Why an amount is what it is.")
class AmountExplanation:
    text: str = described("A sentence for the customer.")
    formula: str = described("The formula over `inputs`.")
    inputs: list[ExplanationInput] = described("The formula's named numbers.")


@strawberry.type(description="One amount of an invoice.")
class InvoiceLine:
    id: strawberry.ID = described("Opaque and ours.")
    kind: LineKind = described("What it is.")
    description: str = described("What it is for.")
    quantity: Decimal = described("How many.")
    unit_amount: Money | None = described("The price of one; null where there is none to name.")
    amount: Money = described("The line's amount, before discount and tax, which have lines of their own.")
    discount: Money = described("What of the invoice's discounts falls to this line.")
    tax: Money = described("What of the invoice's tax falls to this line.")
    is_proration: bool = described("Whether it is for part of a period only.")
    period: Period = described("The time that it is for.")
    explanation: AmountExplanation = described("Why the amount is what it is.")
    plan_id: strawberry.Private[str | None]

    @classmethod
    def of(cls, row: LineRow) -> "InvoiceLine":
        return cls(
            id=strawberry.ID(row.id),
            kind=row.kind,
            description=row.description,
            quantity=row.quantity,
            unit_amount=(
                Money.of(Amount(row.unit_amount_minor, row.currency)) if row.unit_amount_minor is not None else None
            ),
            amount=Money.of(Amount(row.amount_minor, row.currency)),
            discount=Money.of(Amount(row.discount_minor, row.currency)),
            tax=Money.of(Amount(row.tax_minor, row.currency)),
            is_proration=row.is_proration,
            period=Period(start=row.period_start, end=row.period_end),
            explanation=AmountExplanation(
                text=row.explanation_text,
                formula=row.explanation_formula,
                inputs=[
                    ExplanationInput(name=each["name"], value=each["value"], source=each.get("source"))
                    for each in row.explanation_inputs
                ],
            ),
            plan_id=row.plan_id,
        )

    @strawberry.field(description="The plan that it is for; null if it is for none.")
    async def plan(self, info: Info) -> PlanRef | None:
        row = await info.context.loaders.plan.load(self.plan_id) if self.plan_id is not None else None
        return Plan.of(row) if row is not None else None


@strawberry.type(description="One bill. Its lines say what for, and why each amount is what it is.")
class Invoice(Node, Record):
    number: str = described("Its number for people, counted per customer.")
    status: InvoiceStatus = described("Where it stands.")
    reason: InvoiceReason = described("Why it exists.")
    period: Period = described("The time that it bills.")
    subtotal: Money = described("The lines' sum.")
    discount_total: Money = described("What discounts take off.")
    tax_total: Money = described("The tax on it.")
    total: Money = described("subtotal − discountTotal + taxTotal.")
    credit_applied: Money = described("What the customer's balance has paid of it.")
    amount_paid: Money = described("What has been collected.")
    amount_due: Money = described("What is still to be collected: total − creditApplied − amountPaid.")
    issued_at: datetime = described("When it was issued.")
    due_at: datetime | None = described("When one that is sent must be paid; null for one that is charged.")
    paid_at: datetime | None = described("When it was paid; null if it is not.")
    voided_at: datetime | None = described("When it was withdrawn; null if it was not.")
    metadata: JSON = described("The merchant's own notes.")
    customer_id: strawberry.Private[str]
    subscription_id: strawberry.Private[str]
    currency: strawberry.Private[str]

    @classmethod
    def of(cls, row: InvoiceRow) -> "Invoice":
        def money(minor: int) -> Money:
            return Money.of(Amount(minor, row.currency))

        return cls(
            **record_fields(row),
            number=row.number,
            status=row.status,
            reason=row.reason,
            period=Period(start=row.period_start, end=row.period_end),
            subtotal=money(row.subtotal_minor),
            discount_total=money(row.discount_total_minor),
            tax_total=money(row.tax_total_minor),
            total=money(row.total_minor),
            credit_applied=money(row.credit_applied_minor),
            amount_paid=money(row.amount_paid_minor),
            amount_due=Money.of(row.amount_due),
            issued_at=row.issued_at,
            due_at=row.due_at,
            paid_at=row.paid_at,
            voided_at=row.voided_at,
            metadata=JSON(row.meta),
            customer_id=row.customer_id,
            subscription_id=row.subscription_id,
            currency=row.currency,
        )

    @strawberry.field(description="Who owes it.")
    async def customer(self, info: Info) -> CustomerRef:
        return await customers.customer_of(info, self.customer_id)

    @strawberry.field(description="The subscription that it is for.")
    async def subscription(self, info: Info) -> PlanSubscriptionRef | None:
        return await subscriptions.subscription_of(info, self.subscription_id)

    @strawberry.field(description="What was given back of what had been collected.")
    async def amount_refunded(self, info: Info) -> Money:
        rows = await info.context.loaders.payments_of_invoice.load(self.id)
        return Money.of(Amount(sum(row.amount_refunded_minor for row in rows), self.currency))

    @strawberry.field(description="When a card is tried for it next; null if none is before the customer acts.")
    async def next_payment_attempt_at(self, info: Info) -> datetime | None:
        rows = await info.context.loaders.payments_of_invoice.load(self.id)
        return min((row.collect_at for row in rows if row.collect_at is not None), default=None)

    @strawberry.field(description="What the customer must do about it; its `type` is NONE when nothing.")
    async def next_action(self, info: Info) -> NextAction:
        loaders = info.context.loaders
        collected = next(
            (row for row in await loaders.payments_of_invoice.load(self.id) if row.platform != MANUAL), None
        )
        intent = await loaders.newest_intent(collected.id) if collected is not None else None
        return NextAction.of(action_of_invoice(self.status, collected, intent))

    @strawberry.field(description="How often a card was tried for it.")
    async def attempt_count(self, info: Info) -> int:
        loaders = info.context.loaders
        rows = await loaders.payments_of_invoice.load(self.id)
        return sum(map(len, await loaders.attempts_of_payment.load_many([row.id for row in rows])))

    @strawberry.field(description=PDF_URL)
    def pdf_url(self, info: Info) -> URL | None:
        url = info.context.document_url(DocumentKind.INVOICE, self.id)
        return URL(url) if url is not None else None

    @strawberry.field(description="What was taken back of it, the oldest first.")
    async def credit_notes(self, info: Info) -> list[CreditNote]:
        return [CreditNote.of(row) for row in await info.context.loaders.credit_notes_of_invoice.load(self.id)]

    @strawberry.field(description="Its amounts, each with its reason.")
    async def lines(self, info: Info) -> list[InvoiceLine]:
        return [InvoiceLine.of(row) for row in await info.context.loaders.lines_of_invoice.load(self.id)]

    @strawberry.field(
        description="The collecting of it, and what was recorded by hand, the oldest first; empty if nothing was due."
    )
    async def payments(self, info: Info) -> list[PaymentRef]:
        rows = await info.context.loaders.payments_of_invoice.load(self.id)
        return [payments.Payment.of(row) for row in rows]
