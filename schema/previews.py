"""What an act would do to money, told before: quotes as clients see them."""

from datetime import datetime

import strawberry

from billing.forecasting import Foreseen
from billing.lines import Line
from billing.quotes import EntitlementChange as ChangeValue
from billing.quotes import ScheduledCharge as ChargeValue
from models.invoices import InvoiceLine as LineRow
from schema import invoices
from schema.arguments import refuse_arguments
from schema.fields import Info, InvoiceLineRef, described
from schema.money import Money
from schema.periods import Period
from schema.plan_terms import Feature, feature_of
from schema.scalars import BigInt
from services.quotes.forecasting import upcoming_invoices
from services.quotes.quoting import Quoted

MOST_UPCOMING = 36


@strawberry.type(description="An amount that will be collected.")
class ScheduledCharge:
    at: datetime = described("When.")
    amount: Money = described("How much, the balance taken off; zero when the balance covers it.")
    description: str = described("What for.")

    @classmethod
    def of(cls, charge: ChargeValue) -> "ScheduledCharge":
        return cls(at=charge.at, amount=Money.of(charge.amount), description=charge.description)


@strawberry.type(description="What is gained or lost of a feature.")
class EntitlementChange:
    before: BigInt | None = described("The limit before; null for none at all, or when it was without limit.")
    after: BigInt | None = described("The limit after; null for none at all, or when it is without limit.")
    was_unlimited: bool = described("Whether there was no limit before.")
    is_unlimited: bool = described("Whether there is no limit after.")
    at: datetime = described("When it changes.")
    feature_id: strawberry.Private[str]

    @classmethod
    def of(cls, change: ChangeValue) -> "EntitlementChange":
        return cls(
            before=BigInt(change.before) if change.before is not None else None,
            after=BigInt(change.after) if change.after is not None else None,
            was_unlimited=change.unlimited_before,
            is_unlimited=change.unlimited_after,
            at=change.at,
            feature_id=change.feature_id,
        )

    @strawberry.field(description="The feature.")
    async def feature(self, info: Info) -> Feature:
        return await feature_of(info, self.feature_id)


@strawberry.type(
    description="What an act would do to money at this very instant. Give `quoteToken` to the mutation: it then does "
    "exactly this, or is refused with QUOTE_STALE and a fresh quote."
)
class MoneyPreview:
    due_now: Money = described("What is collected at once.")
    refund_now: Money = described("What is given back at once.")
    due_next: Money | None = described("What is collected next after that; null if nothing will be.")
    due_next_at: datetime | None = described("When that is.")
    lines: list[InvoiceLineRef] = described("The lines of the invoice that it makes, each with its reason.")
    subtotal: Money = described("The lines' sum.")
    discount_total: Money = described("What discounts take off.")
    tax_total: Money = described("The tax on it.")
    credit_applied: Money = described("What the customer's balance pays of it; negative: what goes to the balance.")
    total: Money = described("subtotal − discountTotal + taxTotal.")
    schedule: list[ScheduledCharge] = described("The charges to come as far as they are known, at most 12.")
    entitlement_changes: list[EntitlementChange] = described("What is gained and lost of features.")
    warnings: list[str] = described("What the customer should know before, in sentences.")
    quote_token: str = described("Holds the mutation to this quote. Opaque; of use to this caller and input only.")
    expires_at: datetime = described("How long it does, by the customer's own present: ten minutes.")

    @classmethod
    def of(cls, quoted: Quoted) -> "MoneyPreview":
        quote = quoted.quote
        return cls(
            due_now=Money.of(quote.due_now),
            refund_now=Money.of(quote.refund_now),
            due_next=Money.of(quote.due_next) if quote.due_next is not None else None,
            due_next_at=quote.due_next_at,
            lines=[_line(position, line) for position, line in enumerate(quote.lines)],
            subtotal=Money.of(quote.subtotal),
            discount_total=Money.of(quote.discount_total),
            tax_total=Money.of(quote.tax_total),
            credit_applied=Money.of(quote.credit_applied),
            total=Money.of(quote.total),
            schedule=[ScheduledCharge.of(charge) for charge in quote.schedule],
            entitlement_changes=[EntitlementChange.of(change) for change in quote.entitlement_changes],
            warnings=list(quote.warnings),
            quote_token=quoted.token,
            expires_at=quote.expires_at,
        )


@strawberry.type(description="An invoice to come, if nothing is changed before. Amounts are exact.")
class UpcomingInvoice:
    at: datetime = described("When it will be issued.")
    period: Period = described("The time that it bills.")
    lines: list[InvoiceLineRef] = described("Its lines, each with its reason.")
    subtotal: Money = described("The lines' sum.")
    discount_total: Money = described("What discounts take off.")
    tax_total: Money = described("The tax on it.")
    credit_applied: Money = described("What the customer's balance will pay of it, as far as it lasts until then.")
    total: Money = described("subtotal − discountTotal + taxTotal.")
    amount_due: Money = described("What will be collected: total − creditApplied.")

    @classmethod
    def of(cls, foreseen: Foreseen) -> "UpcomingInvoice":
        draft = foreseen.draft
        return cls(
            at=foreseen.at,
            period=Period(start=draft.period.start, end=draft.period.end),
            lines=[_line(position, line) for position, line in enumerate(draft.lines)],
            subtotal=Money.of(draft.subtotal),
            discount_total=Money.of(draft.discount_total),
            tax_total=Money.of(draft.tax_total),
            credit_applied=Money.of(draft.credit_applied),
            total=Money.of(draft.total),
            amount_due=Money.of(draft.amount_due),
        )


def _line(position: int, line: Line) -> "invoices.InvoiceLine":
    """A line that is no row; its id is of this answer alone."""
    return invoices.InvoiceLine.of(LineRow.of("", position, line))


async def upcoming_of(info: Info, subscription_id: str, first: int) -> list[UpcomingInvoice]:
    if not 1 <= first <= MOST_UPCOMING:
        raise refuse_arguments(info, f"first: expected 1 to {MOST_UPCOMING}.", "first")
    foreseen = await upcoming_invoices(info.context.app, subscription_id, first)
    return [UpcomingInvoice.of(each) for each in foreseen]
