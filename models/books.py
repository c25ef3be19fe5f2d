"""Our books held together: intents with the payments that they collect, what was captured, what was paid how often."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Select, func, or_
from sqlalchemy import select as sql_select
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from billing.charging import IntentStatus
from billing.invoicing import InvoiceReason
from billing.lifecycle import PAYMENT, InvoiceStatus
from models.customers import CustomerBalance
from models.invoices import Invoice, InvoiceLine
from models.payments import ChargeAttempt, CollectionIntent, Payment, attempts_of
from models.subscriptions import Subscription

_PERIODIC = (InvoiceReason.SUBSCRIPTION_CREATE, InvoiceReason.SUBSCRIPTION_CYCLE)


@dataclass(frozen=True, slots=True)
class Collection:
    """An intent's row with its payment and all tries at that. `newest_n`: the number of the payment's last intent."""

    intent: CollectionIntent
    payment: Payment
    attempts: Sequence[ChargeAttempt]
    newest_n: int


async def collections_of(session: AsyncSession, platform: str, refs: Sequence[str]) -> dict[str, Collection]:
    """By the gateway's references; those without a row are left out."""
    query = (
        select(CollectionIntent, Payment)
        .join(Payment, col(Payment.id) == CollectionIntent.payment_id)
        .where(CollectionIntent.platform == platform, col(CollectionIntent.gateway_ref).in_(refs))
    )
    pairs = (await session.exec(query)).all()
    ids = [payment.id for _, payment in pairs]
    newest = select(CollectionIntent.payment_id, func.max(CollectionIntent.n)).where(
        col(CollectionIntent.payment_id).in_(ids)
    )
    last = dict((await session.exec(newest.group_by(CollectionIntent.payment_id))).all())
    tries: dict[str, list[ChargeAttempt]] = {}
    for attempt in await attempts_of(session, ids):
        tries.setdefault(attempt.payment_id, []).append(attempt)
    return {
        intent.gateway_ref: Collection(intent, payment, tries.get(payment.id, ()), last[payment.id])
        for intent, payment in pairs
        if intent.gateway_ref is not None
    }


async def refs_to_look_up(
    session: AsyncSession, platform: str, *, since: datetime, after: str, limit: int
) -> Sequence[tuple[str, str]]:
    """(row id, gateway reference) of the intents of open payments, and of all made since; ids grow beyond `after`."""
    query = (
        select(CollectionIntent.id, CollectionIntent.gateway_ref)
        .join(Payment, col(Payment.id) == CollectionIntent.payment_id)
        .where(
            CollectionIntent.platform == platform,
            col(CollectionIntent.gateway_ref).is_not(None),
            or_(col(Payment.status).not_in(PAYMENT.final), col(CollectionIntent.created_at) >= since),
            col(CollectionIntent.id) > after,
        )
        .order_by(col(CollectionIntent.id))
        .limit(limit)
    )
    return [(id, ref) for id, ref in (await session.exec(query)).all() if ref is not None]


async def succeeded_refs(session: AsyncSession, platform: str) -> Sequence[str]:
    """The gateway's references of all intents that we hold for paid."""
    query = select(CollectionIntent.gateway_ref).where(
        CollectionIntent.platform == platform,
        CollectionIntent.status == IntentStatus.SUCCEEDED,
        col(CollectionIntent.gateway_ref).is_not(None),
    )
    return [ref for ref in (await session.exec(query)).all() if ref is not None]


async def paid_periods(session: AsyncSession) -> int:
    """How many (subscription, period) have been paid for."""
    spans = _paid_invoices().subquery()
    return (await session.exec(select(func.count()).select_from(spans))).one()


async def periods_paid_twice(session: AsyncSession) -> Sequence[tuple[str, datetime, int]]:
    """(subscription, period's start, number of paid invoices) wherever that number is above one."""
    query = _paid_invoices().having(func.count() > 1)
    rows = (await (await session.connection()).execute(query)).all()
    return [(row[0], row[1], row[2]) for row in rows]


async def invoices_paid_twice(session: AsyncSession) -> Sequence[tuple[str, int]]:
    """(invoice, number of succeeded intents) wherever that number is above one."""
    query = (
        select(CollectionIntent.invoice_id, func.count())
        .where(CollectionIntent.status == IntentStatus.SUCCEEDED)
        .group_by(CollectionIntent.invoice_id)
        .having(func.count() > 1)
        .order_by(CollectionIntent.invoice_id)
    )
    return [(invoice, count) for invoice, count in (await session.exec(query)).all()]


CustomerAmounts = dict[tuple[str, str], int]
"""(customer id, currency) → minor units."""


async def receivable_by_customer(session: AsyncSession) -> CustomerAmounts:
    """What open invoices still ask for."""
    due = col(Invoice.total_minor) - col(Invoice.credit_applied_minor) - col(Invoice.amount_paid_minor)
    query = (
        sql_select(col(Invoice.customer_id), col(Invoice.currency), func.sum(due))
        .where(col(Invoice.status) == InvoiceStatus.OPEN)
        .group_by(col(Invoice.customer_id), col(Invoice.currency))
    )
    rows = (await (await session.connection()).execute(query)).all()
    return {(customer, currency): int(amount) for customer, currency, amount in rows}


async def balances_by_customer(session: AsyncSession) -> CustomerAmounts:
    rows = (await session.exec(select(CustomerBalance))).all()
    return {(row.customer_id, row.currency): row.amount_minor for row in rows}


async def invoices_off_their_lines(session: AsyncSession) -> Sequence[tuple[str, int, int]]:
    """(invoice, its total, the sum of its lines) wherever they differ, in minor units."""
    lines = func.coalesce(func.sum(col(InvoiceLine.amount_minor)), 0)
    whole = col(Invoice.subtotal_minor) - col(Invoice.discount_total_minor) + col(Invoice.tax_total_minor)
    query = (
        sql_select(col(Invoice.id), col(Invoice.total_minor), lines)
        .outerjoin(InvoiceLine, col(InvoiceLine.invoice_id) == Invoice.id)
        .group_by(col(Invoice.id), col(Invoice.total_minor), whole)
        .having(or_(col(Invoice.total_minor) != lines, col(Invoice.total_minor) != whole))
        .order_by(col(Invoice.id))
    )
    rows = (await (await session.connection()).execute(query)).all()
    return [(invoice, total, int(summed)) for invoice, total, summed in rows]


async def amounts_off_their_discounts(session: AsyncSession) -> Sequence[Subscription]:
    """Those whose discount takes off more than there is, or less than nothing."""
    original, discount = col(Subscription.original_amount_minor), col(Subscription.discount_amount_minor)
    query = select(Subscription).where(or_(discount < 0, discount > original)).order_by(col(Subscription.id))
    return (await session.exec(query)).all()


async def lines_after(session: AsyncSession, after: str, *, limit: int) -> Sequence[InvoiceLine]:
    """Lines of all invoices by id, those beyond `after`."""
    query = select(InvoiceLine).where(col(InvoiceLine.id) > after).order_by(col(InvoiceLine.id)).limit(limit)
    return (await session.exec(query)).all()


def _paid_invoices() -> Select[str, datetime, int]:
    period = (col(Invoice.subscription_id), col(Invoice.period_start))
    return (
        sql_select(*period, func.count())
        .where(
            col(Invoice.status) == InvoiceStatus.PAID, col(Invoice.total_minor) > 0, col(Invoice.reason).in_(_PERIODIC)
        )
        .group_by(*period)
        .order_by(*period)
    )
