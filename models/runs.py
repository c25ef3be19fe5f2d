"""What a run of the billing did, or would do: one row each, and one per subscription that it touched."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlmodel import Field, SQLModel, and_, col, func, or_, select
from sqlmodel.ext.asyncio.session import AsyncSession

from billing.money import Money
from billing.running import RunOutcome
from models.base import BIG, UTCDateTime
from models.invoices import Invoice
from models.lockstep import for_each
from models.payments import MANUAL, ChargeAttempt, Payment
from models.subscriptions import Subscription, on_timeline


class BillingRun(SQLModel, table=True):
    """`as_of` is the billing instant that it worked up to. `test_clock_id`: the clock whose customers it was about."""

    __tablename__ = "billing_runs"

    id: str = Field(primary_key=True, max_length=40)
    as_of: datetime = Field(sa_type=UTCDateTime)
    is_dry_run: bool
    test_clock_id: str | None = Field(default=None, foreign_key="test_clocks.id", index=True)
    requested_by: str = Field(max_length=300)
    started_at: datetime = Field(sa_type=UTCDateTime)
    finished_at: datetime | None = Field(default=None, sa_type=UTCDateTime)
    renewed: int = 0
    charged: int = 0
    failed: int = 0
    skipped: int = 0


class BillingRunItem(SQLModel, table=True):
    """One thing that happened, or would: `outcome` says what, `amount_minor` what it was about."""

    __tablename__ = "billing_run_items"

    id: str = Field(primary_key=True, max_length=40)
    run_id: str = Field(foreign_key="billing_runs.id", index=True)
    subscription_id: str = Field(foreign_key="subscriptions.id")
    invoice_id: str | None = Field(default=None, foreign_key="invoices.id")
    payment_id: str | None = Field(default=None, max_length=40)
    outcome: str = Field(max_length=100)
    currency: str | None = Field(default=None, max_length=3)
    amount_minor: int | None = Field(default=None, sa_type=BIG)
    at: datetime = Field(sa_type=UTCDateTime)


async def newest_run_of_clock(session: AsyncSession, clock_id: str) -> BillingRun | None:
    query = select(BillingRun).where(BillingRun.test_clock_id == clock_id).order_by(col(BillingRun.id).desc()).limit(1)
    return (await session.exec(query)).first()


async def runs_of_clock(session: AsyncSession, clock_id: str, *, after: str | None, limit: int) -> Sequence[BillingRun]:
    """The clock's runs since the one called `after`, in their order."""
    query = select(BillingRun).where(BillingRun.test_clock_id == clock_id)
    if after is not None:
        query = query.where(col(BillingRun.id) > after)
    return (await session.exec(query.order_by(col(BillingRun.id)).limit(limit))).all()


async def totals_of_runs(session: AsyncSession, run_ids: Sequence[str]) -> Mapping[str, Sequence[Money]]:
    """What each run charged, or would, by currency."""
    query = (
        select(BillingRunItem.run_id, BillingRunItem.currency, func.sum(BillingRunItem.amount_minor))
        .where(col(BillingRunItem.run_id).in_(run_ids), BillingRunItem.outcome == RunOutcome.CHARGED.value)
        .group_by(col(BillingRunItem.run_id), col(BillingRunItem.currency))
        .order_by(col(BillingRunItem.currency))
    )
    totals: dict[str, list[Money]] = {run_id: [] for run_id in run_ids}
    for run_id, currency, minor in (await session.exec(query)).all():
        if currency is not None and minor is not None:
            totals[run_id].append(Money(int(minor), currency))
    return totals


Since = tuple[str, datetime]
"""A subscription, and an instant."""


@for_each
async def invoices_since(
    session: AsyncSession, wanted: Sequence[Since]
) -> Mapping[Since, Sequence[tuple[Invoice, Payment | None]]]:
    """A subscription's invoices written since an instant, each with the payment that a gateway collects."""
    query = (
        select(Invoice, Payment)
        .join(Payment, and_(col(Payment.invoice_id) == Invoice.id, Payment.platform != MANUAL), isouter=True)
        .where(
            col(Invoice.subscription_id).in_([id for id, _ in wanted]),
            col(Invoice.created_at) >= min(since for _, since in wanted),
        )
        .order_by(col(Invoice.created_at), col(Invoice.number))
    )
    rows = (await session.exec(query)).all()
    return {
        (id, since): [(row, paid) for row, paid in rows if row.subscription_id == id and row.created_at >= since]
        for id, since in wanted
    }


@for_each
async def attempts_since(
    session: AsyncSession, wanted: Sequence[Since]
) -> Mapping[Since, Sequence[tuple[ChargeAttempt, Payment]]]:
    """A subscription's tries begun or answered since an instant, each with its payment, in their order."""
    first = min(since for _, since in wanted)
    query = (
        select(ChargeAttempt, Payment)
        .join(Payment, col(Payment.id) == ChargeAttempt.payment_id)
        .where(
            col(Payment.subscription_id).in_([id for id, _ in wanted]),
            or_(col(ChargeAttempt.started_at) >= first, col(ChargeAttempt.finished_at) >= first),
        )
        .order_by(col(ChargeAttempt.started_at), col(ChargeAttempt.id))
    )
    rows = (await session.exec(query)).all()
    return {
        (id, since): [
            (row, payment)
            for row, payment in rows
            if payment.subscription_id == id
            and (row.started_at >= since or (row.finished_at is not None and row.finished_at >= since))
        ]
        for id, since in wanted
    }


async def subscriptions_with_work(
    session: AsyncSession, as_of: datetime, *, after: str, limit: int
) -> Sequence[Subscription]:
    """Subscriptions of the billing clock's customers to which, or for which, something is due by then, by their ids."""
    is_collected = (
        select(Payment.id)
        .where(
            Payment.subscription_id == Subscription.id,
            or_(col(Payment.collect_at) <= as_of, col(Payment.give_up_at) <= as_of),
        )
        .exists()
    )
    query = (
        select(Subscription)
        .where(
            *on_timeline(None),
            col(Subscription.id) > after,
            or_(col(Subscription.due_at) <= as_of, is_collected),
        )
        .order_by(col(Subscription.id))
        .limit(limit)
    )
    return (await session.exec(query)).all()
