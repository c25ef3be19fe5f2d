"""The books: append-only, written in the transaction that moves money, zero in sum per currency."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import UniqueConstraint, func
from sqlalchemy import select as sql_select
from sqlmodel import Field, SQLModel, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from billing.ledger import Account, PostingKind, posting
from billing.lifecycle import PaymentStatus
from billing.money import Money
from models.base import BIG, EnumText, UTCDateTime, new_id
from models.payments import Payment
from models.returns import Dispute, Refund


class LedgerEntry(SQLModel, table=True):
    """One side of one posting. (kind, subject, account) is unique: nothing is booked twice."""

    __tablename__ = "ledger_entries"
    __table_args__ = (UniqueConstraint("kind", "subject_id", "account"),)

    id: str = Field(primary_key=True, max_length=40)
    kind: PostingKind = Field(sa_type=EnumText(PostingKind))
    subject_id: str = Field(max_length=40)
    account: Account = Field(sa_type=EnumText(Account))
    currency: str = Field(max_length=3)
    amount_minor: int = Field(sa_type=BIG)
    customer_id: str = Field(foreign_key="customers.id", index=True)
    at: datetime = Field(sa_type=UTCDateTime, index=True)


def book(
    session: AsyncSession, kind: PostingKind, amount: Money, *, subject_id: str, customer_id: str, at: datetime
) -> None:
    """Write a posting into the running transaction."""
    for entry in posting(kind, amount):
        session.add(
            LedgerEntry(
                id=new_id("ledger_entry"),
                kind=kind,
                subject_id=subject_id,
                account=entry.account,
                currency=entry.amount.currency,
                amount_minor=entry.amount.minor,
                customer_id=customer_id,
                at=at,
            )
        )


async def sums_by_currency(session: AsyncSession) -> dict[str, int]:
    """Per currency the sum of all entries, in minor units: zero when the books are right."""
    query = select(LedgerEntry.currency, func.sum(LedgerEntry.amount_minor)).group_by(LedgerEntry.currency)
    return {currency: int(amount) for currency, amount in (await session.exec(query)).all()}


async def account_by_customer(session: AsyncSession, account: Account) -> dict[tuple[str, str], int]:
    """What stands in an account: (customer id, currency) → minor units."""
    query = (
        sql_select(col(LedgerEntry.customer_id), col(LedgerEntry.currency), func.sum(col(LedgerEntry.amount_minor)))
        .where(col(LedgerEntry.account) == account)
        .group_by(col(LedgerEntry.customer_id), col(LedgerEntry.currency))
    )
    rows = (await (await session.connection()).execute(query)).all()
    return {(customer, currency): int(amount) for customer, currency, amount in rows}


async def captured_of(session: AsyncSession, payment_ids: Sequence[str]) -> dict[str, Money]:
    """What the books say was captured for each of these payments, whatever went back since."""
    query = select(LedgerEntry).where(
        LedgerEntry.kind == PostingKind.PAYMENT_CAPTURED,
        LedgerEntry.account == Account.GATEWAY,
        col(LedgerEntry.subject_id).in_(payment_ids),
    )
    return {entry.subject_id: Money(entry.amount_minor, entry.currency) for entry in (await session.exec(query)).all()}


async def paid_by_payment(session: AsyncSession) -> dict[str, Money]:
    """What the books say each payment stands at: captured or recorded − refunded − disputed."""
    payment = func.coalesce(col(Refund.payment_id), col(Dispute.payment_id), col(LedgerEntry.subject_id))
    query = (
        sql_select(payment, col(LedgerEntry.currency), func.sum(col(LedgerEntry.amount_minor)))
        .outerjoin(Refund, col(Refund.id) == LedgerEntry.subject_id)
        .outerjoin(Dispute, col(Dispute.id) == LedgerEntry.subject_id)
        .where(col(LedgerEntry.account).in_((Account.GATEWAY, Account.OFFLINE)))
        .group_by(payment, col(LedgerEntry.currency))
    )
    rows = (await (await session.connection()).execute(query)).all()
    return {payment_id: Money(int(amount), currency) for payment_id, currency, amount in rows}


async def settled_payments(session: AsyncSession) -> Sequence[Payment]:
    """Those that something was paid of, and those that succeeded."""
    query = (
        select(Payment)
        .where((col(Payment.status) == PaymentStatus.SUCCEEDED) | (col(Payment.amount_paid_minor) != 0))
        .order_by(col(Payment.number))
    )
    return (await session.exec(query)).all()
