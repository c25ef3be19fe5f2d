"""Collecting invoices: payments, the intents that stand for them at the gateway, and each try."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import Column, ColumnElement, ForeignKey, Index, String, UniqueConstraint, or_, text, union_all
from sqlalchemy.orm import aliased
from sqlmodel import Field, SQLModel, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from billing.charging import CardProblem, IntentStatus, SetupFutureUsage
from billing.lifecycle import PAYMENT, AttemptOutcome, PaymentStatus
from billing.money import Money
from billing.returning import PaymentStanding, standing
from models.audit_log import Audited
from models.base import BIG, DOCUMENT, SERIAL, EnumText, Leased, Notes, UTCDateTime, index_where_set
from models.lockstep import by_platform, first_of, for_each, grouped


class Payment(Leased, table=True):
    """The collecting of one invoice. `number` counts up over all payments.

    `due_at` (machine time) is when the worker asks the gateway how it stands, `collect_at` (billing time) when it tries
    the card again, `give_up_at` (billing time) when dunning ends. One of platform MANUAL was recorded by hand:
    `reference` is the merchant's own, and an invoice may have several; `gateway_status` is what a record of the ledger
    says in its own words, and no two such records that stand have one reference. `amount_refunded_minor` is the sum of
    its succeeded refunds, `amount_disputed_minor` what banks hold back: withdrawn − reinstated.
    """

    __tablename__ = "payments"
    __audited__ = Audited(
        masked=frozenset(("reference", "return_url", "error_url", "meta")), when=lambda row: row.platform == MANUAL
    )
    __table_args__ = (
        Index(
            "uq_payments_collected_invoice",
            "invoice_id",
            unique=True,
            sqlite_where=text("platform <> 'manual'"),
            postgresql_where=text("platform <> 'manual'"),
        ),
        Index(
            "uq_payments_standing_record",
            "reference",
            unique=True,
            sqlite_where=text("gateway_status IS NOT NULL AND archived_at IS NULL"),
            postgresql_where=text("gateway_status IS NOT NULL AND archived_at IS NULL"),
        ),
        index_where_set("payments", "due_at"),
        index_where_set("payments", "collect_at"),
        index_where_set("payments", "give_up_at"),
        index_where_set("payments", "test_clock_id"),
        index_where_set("payments", "reference"),
        Index("ix_payments_status_number", "status", "number"),
    )

    number: int | None = Field(default=None, primary_key=True, sa_type=SERIAL)
    # The sentinel tells which number was given to which of many rows that one statement has inserted.
    id: str = Field(unique=True, max_length=40, sa_column_kwargs={"insert_sentinel": True})
    invoice_id: str = Field(foreign_key="invoices.id", index=True)
    customer_id: str = Field(foreign_key="customers.id", index=True)
    subscription_id: str = Field(foreign_key="subscriptions.id", index=True)
    platform: str = Field(max_length=20)
    status: PaymentStatus = Field(sa_type=EnumText(PaymentStatus))
    currency: str = Field(max_length=3)
    amount_minor: int = Field(sa_type=BIG)
    amount_paid_minor: int = Field(default=0, sa_type=BIG)
    amount_refunded_minor: int = Field(default=0, sa_type=BIG)
    amount_disputed_minor: int = Field(default=0, sa_type=BIG)
    setup_future_usage: SetupFutureUsage | None = Field(default=None, sa_type=EnumText(SetupFutureUsage))
    payment_method_id: str | None = Field(default=None, foreign_key="payment_methods.id")
    error_code: str | None = Field(default=None, max_length=100)
    error_decline_code: str | None = Field(default=None, max_length=100)
    error_advice_code: str | None = Field(default=None, max_length=100)
    error_message: str | None = None
    return_url: str | None = None
    error_url: str | None = None
    collect_at: datetime | None = Field(default=None, sa_type=UTCDateTime)
    give_up_at: datetime | None = Field(default=None, sa_type=UTCDateTime)
    test_clock_id: str | None = Field(default=None, foreign_key="test_clocks.id")
    reference: str | None = Field(default=None, max_length=255)
    gateway_status: str | None = Field(default=None, max_length=100)
    meta: Notes = Field(default_factory=dict, sa_type=DOCUMENT, sa_column_kwargs={"name": "metadata"})
    paid_at: datetime | None = Field(default=None, sa_type=UTCDateTime)
    version: int = 1
    created_at: datetime = Field(sa_type=UTCDateTime)
    updated_at: datetime = Field(sa_type=UTCDateTime)
    archived_at: datetime | None = Field(default=None, sa_type=UTCDateTime)

    @property
    def amount(self) -> Money:
        return Money(self.amount_minor, self.currency)

    @property
    def amount_kept(self) -> Money:
        """captured − refunded − disputed."""
        gone = self.amount_refunded_minor + self.amount_disputed_minor
        return Money(self.amount_paid_minor - gone, self.currency)

    @property
    def standing(self) -> PaymentStanding:
        """How it is seen: its status, and what became of the money since."""
        return standing(
            self.status,
            paid=self.amount_paid_minor,
            refunded=self.amount_refunded_minor,
            disputed=self.amount_disputed_minor,
        )

    def touch(self, now: datetime) -> None:
        self.version += 1
        self.updated_at = now


MANUAL = "manual"
"""The platform of payments that no gateway knows of."""


class CollectionIntent(SQLModel, table=True):
    """An invoice's n-th intent at the gateway; the next one only after the gateway called this one canceled.

    The row exists before the intent does; its reference is saved before the intent is confirmed.
    """

    __tablename__ = "collection_intents"
    __table_args__ = (UniqueConstraint("invoice_id", "n"), UniqueConstraint("platform", "gateway_ref"))

    id: str = Field(primary_key=True, max_length=40)
    invoice_id: str = Field(foreign_key="invoices.id")
    payment_id: str = Field(sa_column=Column(String(40), ForeignKey("payments.id"), nullable=False, index=True))
    n: int
    platform: str = Field(max_length=20)
    gateway_ref: str | None = Field(default=None, max_length=255, index=True)
    status: IntentStatus = Field(default=IntentStatus.REQUIRES_PAYMENT_METHOD, sa_type=EnumText(IntentStatus))
    payment_method_ref: str | None = Field(default=None, max_length=255)
    next_action_url: str | None = None
    created_at: datetime = Field(sa_type=UTCDateTime)
    updated_at: datetime = Field(sa_type=UTCDateTime)


class ChargeAttempt(SQLModel, table=True):
    """One try at one intent. At most one per payment is unanswered at a time."""

    __tablename__ = "charge_attempts"
    __table_args__ = (
        UniqueConstraint("payment_id", "sequence"),
        UniqueConstraint("charge_ref"),
        Index(
            "uq_charge_attempts_unanswered",
            "payment_id",
            unique=True,
            sqlite_where=text("outcome IN ('pending', 'unknown')"),
            postgresql_where=text("outcome IN ('pending', 'unknown')"),
        ),
    )

    id: str = Field(primary_key=True, max_length=40)
    payment_id: str = Field(foreign_key="payments.id", index=True)
    intent_id: str = Field(foreign_key="collection_intents.id")
    sequence: int
    trigger: str = Field(max_length=40)
    idempotency_key: str = Field(max_length=255)
    off_session: bool = False
    outcome: AttemptOutcome = Field(sa_type=EnumText(AttemptOutcome))
    payment_method_id: str | None = Field(default=None, foreign_key="payment_methods.id")
    charge_ref: str | None = Field(default=None, max_length=255)
    error_code: str | None = Field(default=None, max_length=100)
    error_decline_code: str | None = Field(default=None, max_length=100)
    error_advice_code: str | None = Field(default=None, max_length=100)
    error_message: str | None = None
    started_at: datetime = Field(sa_type=UTCDateTime)
    finished_at: datetime | None = Field(default=None, sa_type=UTCDateTime)


def problem_of(row: Payment | ChargeAttempt) -> CardProblem | None:
    """Why the card was refused, if it was."""
    if row.error_code is None:
        return None
    return CardProblem(
        code=row.error_code,
        message=row.error_message or "The card was refused.",
        decline_code=row.error_decline_code,
        advice_code=row.error_advice_code,
    )


_UNDER_WAY = (PaymentStatus.REQUIRES_CONFIRMATION, PaymentStatus.PROCESSING, PaymentStatus.UNKNOWN)
UNANSWERED = frozenset((AttemptOutcome.PENDING, AttemptOutcome.UNKNOWN))


@for_each
async def payment_of_invoice(session: AsyncSession, invoice_ids: Sequence[str]) -> Mapping[str, Payment | None]:
    """The one that a gateway collects; what was recorded by hand stands beside it."""
    query = select(Payment).where(col(Payment.invoice_id).in_(invoice_ids), Payment.platform != MANUAL)
    return first_of(invoice_ids, (await session.exec(query)).all(), lambda row: row.invoice_id)


async def payments_of_invoices(session: AsyncSession, invoice_ids: Sequence[str]) -> Sequence[Payment]:
    """All that collects or was recorded for those invoices, the oldest first; deleted records aside."""
    query = (
        select(Payment)
        .where(col(Payment.invoice_id).in_(invoice_ids), col(Payment.archived_at).is_(None))
        .order_by(col(Payment.number))
    )
    return (await session.exec(query)).all()


@for_each
async def payment_by_id(session: AsyncSession, payment_ids: Sequence[str]) -> Mapping[str, Payment | None]:
    rows = (await session.exec(select(Payment).where(col(Payment.id).in_(payment_ids)))).all()
    return first_of(payment_ids, rows, lambda row: row.id)


def collected_on(timeline: str | None) -> Sequence[ColumnElement[bool]]:
    """Which payments are a timeline's: a test clock's, or with None those of the billing clock."""
    return [col(Payment.test_clock_id) == timeline]


async def payments_to_give_up(
    session: AsyncSession, now: datetime, *, timeline: str | None, limit: int
) -> Sequence[str]:
    """Ids of the timeline's payments whose dunning is over by `now`, once a try that is due has been made.

    What may be under way at the gateway is waited for.
    """
    query = (
        select(Payment.id)
        .where(
            col(Payment.give_up_at) <= now,
            col(Payment.collect_at).is_(None),
            col(Payment.status).not_in((*PAYMENT.final, *_UNDER_WAY)),
            col(Payment.test_clock_id) == timeline,
        )
        .order_by(col(Payment.give_up_at), col(Payment.number))
        .limit(limit)
    )
    return (await session.exec(query)).all()


async def unanswered_on_timeline(session: AsyncSession, timeline: str, *, limit: int) -> Sequence[str]:
    """Ids of the payments of a test clock's customers that may have happened without our knowing."""
    query = (
        select(Payment.id)
        .join(ChargeAttempt, col(ChargeAttempt.payment_id) == Payment.id)
        .where(Payment.test_clock_id == timeline, col(ChargeAttempt.outcome).in_(UNANSWERED))
        .order_by(col(Payment.number))
        .limit(limit)
    )
    return (await session.exec(query)).all()


@for_each
async def newest_intent(session: AsyncSession, payment_ids: Sequence[str]) -> Mapping[str, CollectionIntent | None]:
    query = (
        select(CollectionIntent)
        .where(col(CollectionIntent.payment_id).in_(payment_ids))
        .order_by(col(CollectionIntent.n).desc())
    )
    return first_of(payment_ids, (await session.exec(query)).all(), lambda row: row.payment_id)


async def intent_of(session: AsyncSession, platform: str, gateway_ref: str) -> CollectionIntent | None:
    """The intent of that reference, if it is one of ours."""
    return await _intent(session, (platform, gateway_ref))


@for_each
async def _intent(
    session: AsyncSession, places: Sequence[tuple[str, str]]
) -> Mapping[tuple[str, str], CollectionIntent | None]:
    rows: list[CollectionIntent] = []
    for platform, refs in by_platform(places).items():
        here = select(CollectionIntent).where(CollectionIntent.platform == platform)
        rows += (await session.exec(here.where(col(CollectionIntent.gateway_ref).in_(refs)))).all()
    return first_of(places, rows, lambda row: (row.platform, row.gateway_ref or ""))


@for_each
async def attempts_at(session: AsyncSession, payment_ids: Sequence[str]) -> Mapping[str, Sequence[ChargeAttempt]]:
    """A payment's, in the order of their sequence."""
    return grouped(payment_ids, await attempts_of(session, payment_ids), lambda row: row.payment_id)


async def attempts_of(session: AsyncSession, payment_ids: Sequence[str]) -> Sequence[ChargeAttempt]:
    """In the order of their sequence."""
    query = (
        select(ChargeAttempt)
        .where(col(ChargeAttempt.payment_id).in_(payment_ids))
        .order_by(col(ChargeAttempt.payment_id), col(ChargeAttempt.sequence))
    )
    return (await session.exec(query)).all()


async def latest_payment_of(session: AsyncSession, order_id: str) -> Payment | None:
    """Of a subscription or an invoice, deleted records aside."""
    return await _newest(session, of_order(order_id))


async def payment_of_gateway_id(session: AsyncSession, gateway_payment_id: str) -> Payment | None:
    """By the gateway's id of any of its intents, or by the reference under which it was recorded."""
    return await _newest(session, known_as(gateway_payment_id))


async def standing_record(session: AsyncSession, reference: str) -> Payment | None:
    """The record of the ledger that has this reference."""
    query = select(Payment).where(
        Payment.reference == reference, col(Payment.gateway_status).is_not(None), col(Payment.archived_at).is_(None)
    )
    return (await session.exec(query)).first()


def of_order(order_id: str) -> ColumnElement[bool]:
    """Which payments are for this order: an invoice, or a subscription with all its invoices."""
    return or_(col(Payment.invoice_id) == order_id, col(Payment.subscription_id) == order_id)


def known_as(gateway_payment_id: str) -> ColumnElement[bool]:
    """Which payments have this id at their gateway; of those recorded by hand it is the merchant's reference."""
    intents = select(CollectionIntent.payment_id).where(CollectionIntent.gateway_ref == gateway_payment_id)
    recorded = aliased(Payment)
    # Looked up each on its own index; an OR over both would read every payment.
    found = union_all(intents, select(recorded.id).where(recorded.reference == gateway_payment_id))
    return col(Payment.id).in_(found)


async def _newest(session: AsyncSession, condition: ColumnElement[bool]) -> Payment | None:
    query = (
        select(Payment)
        .where(condition, col(Payment.archived_at).is_(None))
        .order_by(col(Payment.number).desc())
        .limit(1)
    )
    return (await session.exec(query)).first()


async def paid_for(session: AsyncSession, subscription_ids: Sequence[str]) -> dict[str, list[int]]:
    """What was paid for each of these subscriptions, in minor units, the oldest payment first."""
    query = (
        select(Payment.subscription_id, Payment.amount_paid_minor)
        .where(col(Payment.subscription_id).in_(subscription_ids), col(Payment.amount_paid_minor) > 0)
        .order_by(col(Payment.number))
    )
    paid: dict[str, list[int]] = {each: [] for each in subscription_ids}
    for subscription_id, amount in (await session.exec(query)).all():
        paid[subscription_id].append(amount)
    return paid
