"""What is left between a subscription that ends and its customer: unused time, and what was not billed yet.

What is unused of the period that was paid for goes back to the card that paid, as much of it as still can; what the
customer's balance or the credit of a change had paid goes to the balance, on the last invoice with all that waited.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from uuid import NAMESPACE_URL, uuid5

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.calendar import Period, Span
from billing.explaining import Explanation, ExplanationInput
from billing.invoicing import InvoiceDraft, InvoiceReason
from billing.lifecycle import InvoiceStatus, SubscriptionStatus
from billing.lines import Line, LineKind
from billing.money import Money, total
from billing.proration import ProrationBehavior, turn_over, unused_credit
from billing.returning import RefundReason
from models.base import ID_PREFIXES, new_id
from models.customers import Customer
from models.invoices import Invoice, InvoiceLine, keep_waiting, lines_of, recurring_lines_since
from models.leases import release
from models.payments import Payment, payment_of_invoice, payments_of_invoices
from models.returns import Refund, disputes_of, paid_intent, refunds_of
from models.subscriptions import Subscription, items_of
from services.amendments.billed import present_lines, present_period
from services.app import App
from services.changes import Why
from services.invoices.drafting import agreement_of
from services.invoices.issuing import issue
from services.refunds.refunding import COUNTS, refundable_of, reserve
from services.subscriptions.trials import is_paused_trial
from services.usage.metering import usage_lines

_LAST = "end"
_REFUNDS = uuid5(NAMESPACE_URL, "perennial:refund-of-end")
_BILLS = frozenset(
    (SubscriptionStatus.TRIALING, SubscriptionStatus.ACTIVE, SubscriptionStatus.PAST_DUE, SubscriptionStatus.PAUSED)
)


@dataclass(frozen=True, slots=True)
class UnusedPart:
    """What of one paid invoice is unused, and where it goes: `to_card` by a refund of `payment`, `to_balance`.

    `credited` is what earlier credits had paid of the invoice: the customer's balance, and what it gave back itself.
    """

    invoice: Invoice
    payment: Payment | None
    line_ids: Sequence[str]
    unused: Money
    credited: Money
    to_card: Money
    to_balance: Money


@dataclass(frozen=True, slots=True)
class LastBill:
    """All that an end would settle: nothing of it is written. `draft` is None when nothing was left to bill.

    `waiting` is what it bills of the lines that waited, by id, cut to the time that there was; None: all, as it is.
    """

    unused: Sequence[UnusedPart] = ()
    draft: InvoiceDraft | None = None
    waiting: Mapping[str, Line] | None = None


@dataclass(frozen=True, slots=True)
class Settlement:
    """What was written: the refunds, each leased to the caller, and the last invoice."""

    refunds: Sequence[Refund] = field(default=())
    invoice: Invoice | None = None


NOTHING_LEFT = Settlement()


async def settle_up(
    app: App, session: AsyncSession, customer: Customer, row: Subscription, why: Why, *, gives_back: bool
) -> Settlement:
    """Write the refunds and the last invoice into the caller's transaction, which ends the subscription after that.

    The refunds are still to be made at the gateway; the worker collects what is due of the last invoice.
    """
    bill = await last_bill(session, customer, row, why.now, gives_back=gives_back)
    refunds = [
        await reserve(
            app,
            session,
            part.payment,
            part.to_card,
            why,
            refund_id=await _free_id(session, row, part.payment),
            reason=RefundReason.REQUESTED_BY_CUSTOMER,
            line_ids=list(part.line_ids),
            ends_subscription_id=row.id,
        )
        for part in bill.unused
        if part.payment is not None and not part.to_card.is_zero
    ]
    if bill.waiting is not None:
        await keep_waiting(session, row.id, bill.waiting)
    if bill.draft is None:
        return Settlement(refunds)
    invoice, payment = await issue(app, session, customer, row, bill.draft, why)
    if payment is not None:
        payment.collect_at = why.now
        release(payment, due_at=payment.due_at)
    return Settlement(refunds, invoice)


def _refund_id(row: Subscription, payment: Payment) -> str:
    """A subscription ends once: after a restore the refund that its end had made is known again at the gateway."""
    return f"{ID_PREFIXES['refund']}_{uuid5(_REFUNDS, f'{row.id} {payment.id}').hex}"


async def _free_id(session: AsyncSession, row: Subscription, payment: Payment) -> str:
    """One that came to nothing before a restore, or was not enough, keeps its own."""
    wanted = _refund_id(row, payment)
    return wanted if await session.get(Refund, wanted) is None else new_id("refund")


async def last_bill(
    session: AsyncSession, customer: Customer, row: Subscription, now: datetime, *, gives_back: bool
) -> LastBill:
    """What an end at `now` settles; reads only, for the act and its preview."""
    if row.status not in _BILLS:
        return LastBill()
    # A pause has stopped the clock: what was unused when it began still is.
    stopped = row.paused_at if row.status is SubscriptionStatus.PAUSED and row.paused_at is not None else now
    unused = await unused_parts(session, row, stopped) if gives_back else ()
    lines = [_to_balance(part, row, stopped) for part in unused if not part.to_balance.is_zero]
    if not await is_paused_trial(session, row):  # Time stands still in it: all that was used was for nothing.
        lines += await usage_lines(session, row, min(now, row.schedule.end or now), measured_on=())
    agreement = await agreement_of(session, customer, row)
    waiting = await _waiting_until(session, row, stopped) if gives_back else None
    if waiting is not None:
        agreement = replace(agreement, waiting=tuple(waiting.values()))
    if not lines and not agreement.waiting:
        return LastBill(unused, waiting=waiting)
    period = Period(row.period_start, row.period_end)
    draft = agreement.draft_lines(lines, period=period, reason=InvoiceReason.SUBSCRIPTION_CANCEL, occasion=_LAST)
    return LastBill(unused, draft, waiting)


async def unused_parts(session: AsyncSession, row: Subscription, now: datetime) -> Sequence[UnusedPart]:
    """What of the present period was paid for and is unused, by invoice."""
    by_invoice: dict[str, list[InvoiceLine]] = {}
    for line in await present_lines(session, row, await items_of(session, [row.id])):
        by_invoice.setdefault(line.invoice_id, []).append(line)
    parts = [await _unused_of(session, row, id, lines, now) for id, lines in by_invoice.items()]
    return [part for part in parts if part is not None and not part.unused.is_zero]


async def _unused_of(
    session: AsyncSession, row: Subscription, invoice_id: str, lines: Sequence[InvoiceLine], now: datetime
) -> UnusedPart | None:
    """None of an invoice that was not paid: what was never paid gives nothing back."""
    invoice = await session.get_one(Invoice, invoice_id)
    if invoice.status is not InvoiceStatus.PAID:
        return None
    payment = await payment_of_invoice(session, invoice_id)
    nothing = Money.zero(row.currency)
    unused = total([unused_credit(each.line, row.period_end, now) for each in lines], row.currency)
    unused = max(unused - await _given_before_restore(session, row, payment), nothing)
    is_paid_there = payment is not None and await paid_intent(session, payment.id) is not None
    refundable = await refundable_of(session, payment) if payment is not None and is_paid_there else nothing
    to_card = min(unused, refundable)
    credited = await _credited(session, row, invoice)
    to_balance = min(unused - to_card, credited)
    return UnusedPart(invoice, payment, [each.id for each in lines], unused, credited, to_card, to_balance)


async def _given_before_restore(session: AsyncSession, row: Subscription, payment: Payment | None) -> Money:
    """What this very end has given back of it already, though a restored database does not know that it ended."""
    made = await session.get(Refund, _refund_id(row, payment)) if payment is not None else None
    return made.amount if made is not None and made.status in COUNTS else Money.zero(row.currency)


async def _credited(session: AsyncSession, row: Subscription, invoice: Invoice) -> Money:
    """What no card had to pay of its charges: a change is paid by what it gives back, and by the balance.

    What it gave back beyond its charges is on the balance already. Nor does anything go back twice: what was unused
    of an earlier invoice and paid of this one counts for nothing once that invoice's own money went back.
    """
    given = -total([each.line.cost for each in await _credits_on(session, [invoice.id])], invoice.currency)
    returned = await _returned_since(session, await _paid_from(session, row, invoice), invoice)
    credited = Money(invoice.credit_applied_minor, invoice.currency) + given - returned
    return max(credited, Money.zero(invoice.currency))


async def _credits_on(session: AsyncSession, invoice_ids: Sequence[str]) -> Sequence[InvoiceLine]:
    return [each for each in await lines_of(session, invoice_ids) if each.kind is LineKind.CREDIT]


async def _paid_from(session: AsyncSession, row: Subscription, invoice: Invoice) -> Sequence[str]:
    """The invoices whose unused time paid of it, over a chain of changes."""
    found: set[str] = {invoice.id}
    newest = [invoice.id]
    while newest:
        items = {each.item_id for each in await _credits_on(session, newest) if each.item_id is not None}
        lines = await recurring_lines_since(session, sorted(items), row.started_at)
        billed = {line.item_id: line.invoice_id for line in lines}
        newest = sorted(set(billed.values()) - found)
        found |= set(newest)
    return sorted(found - {invoice.id})


async def _returned_since(session: AsyncSession, invoice_ids: Sequence[str], invoice: Invoice) -> Money:
    """What of those invoices' payments went back since this one was issued; what did before, its credits count."""
    payments = [payment.id for payment in await payments_of_invoices(session, invoice_ids)]
    refunded = [
        row.amount
        for row in await refunds_of(session, payments)
        if row.status in COUNTS and row.created_at >= invoice.issued_at
    ]
    disputed = [
        row.withdrawn - row.reinstated
        for row in await disputes_of(session, payments)
        if row.created_at >= invoice.issued_at
    ]
    return total([*refunded, *disputed], invoice.currency)


def _to_balance(part: UnusedPart, row: Subscription, now: datetime) -> Line:
    """What credits had paid goes back to the balance."""
    nothing = Money.zero(row.currency)
    payer = "the balance" if part.credited.minor == part.invoice.credit_applied_minor else "earlier credits"
    return Line(
        kind=LineKind.CREDIT,
        description=f"Unused of invoice {part.invoice.number}, back to the balance",
        quantity=Decimal(1),
        amount=-part.to_balance,
        discount=nothing,
        tax=nothing,
        period=Period(min(now, row.period_end), row.period_end),
        explanation=Explanation(
            text=f"{part.unused} is unused, {part.to_card} of it goes back to the card; "
            f"{payer} had paid {part.credited}.",
            formula="−min(unused − refunded, credited)",
            inputs=(
                ExplanationInput("unused", str(part.unused), part.invoice.id),
                ExplanationInput("refunded", str(part.to_card)),
                ExplanationInput("credited", str(part.credited), part.invoice.id),
            ),
        ),
        is_proration=True,
    )


async def _waiting_until(session: AsyncSession, row: Subscription, now: datetime) -> Mapping[str, Line]:
    """What waits for the next invoice, by its id, each charge cut to the time in which there was what it is for."""
    present = await present_period(session, row, await items_of(session, [row.id]), counts_use=False)
    rest = Period(now, max(now, row.period_end))
    turn = turn_over(
        present,
        span=Span(rest, rest),
        items=(),
        behavior=ProrationBehavior.PRORATE_NOW,
        now=now,
        zone=row.grid.zone,
    )
    return turn.waiting
