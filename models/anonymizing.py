"""Which columns may hold something of a person beside the customer's own row, and blanking them.

A new column into which people write belongs here. Numbers, amounts, dates and what was bought stay: they are the books.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, or_, update
from sqlalchemy.orm import Mapped
from sqlmodel import SQLModel, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from billing.invoicing import InvoiceReason
from models.audit_log import AuditEntry
from models.catalog import Plan
from models.coupons import Discount
from models.credits import CreditBalance, CreditEntry
from models.customers import PaymentMethod, SetupIntentRow
from models.events import BillingEvent
from models.invoices import CreditNote, Invoice, InvoiceLine
from models.payments import ChargeAttempt, CollectionIntent, Payment
from models.returns import Refund
from models.subscriptions import Change, ScheduledChange, Subscription, SubscriptionItem
from models.usage import UsageRecord


@dataclass(frozen=True, slots=True)
class Renaming:
    """Who is somebody else from now on: any of the `actors`, by kind and user id, is `nobody`.

    The audit log names them by the user id alone, and tells `role`, the one of customers, apart.
    """

    user_id: str
    pseudonym: str
    role: str
    actors: Sequence[str]
    nobody: str


async def blank_rows_of(session: AsyncSession, customer_id: str, renaming: Renaming) -> None:
    """Blank what others wrote about the customer, or it itself, and rename it wherever it acted."""
    actors, nobody = renaming.actors, renaming.nobody
    own = _ids_of(Subscription, customer_id)
    paid, balances = _ids_of(Payment, customer_id), _ids_of(CreditBalance, customer_id)
    blanked: Sequence[tuple[type[SQLModel], ColumnElement[bool], dict[str, Any]]] = (
        (
            Subscription,
            col(Subscription.customer_id) == customer_id,
            {"name": None, "cancellation_comment": None, "meta": {}},
        ),
        (SubscriptionItem, col(SubscriptionItem.subscription_id).in_(own), {"meta": {}}),
        (
            ScheduledChange,
            col(ScheduledChange.requested_by).in_(actors) & col(ScheduledChange.subscription_id).in_(own),
            {"requested_by": nobody},
        ),
        (Invoice, col(Invoice.customer_id) == customer_id, {"meta": {}}),
        (SetupIntentRow, col(SetupIntentRow.customer_id) == customer_id, {"return_url": None, "error_url": None}),
        (
            Payment,
            col(Payment.customer_id) == customer_id,
            {"return_url": None, "error_url": None, "reference": None, "meta": {}},
        ),
        (CollectionIntent, col(CollectionIntent.payment_id).in_(paid), {"next_action_url": None}),
        # What was said could be guessed at by its hash.
        (CreditEntry, col(CreditEntry.balance_id).in_(balances), {"reason": None, "input_hash": None}),
        (
            CreditEntry,
            col(CreditEntry.balance_id).in_(balances) & col(CreditEntry.idempotency_key).is_not(None),
            {"idempotency_key": CreditEntry.id},
        ),
        (
            UsageRecord,
            col(UsageRecord.customer_id) == customer_id,
            {"idempotency_key": UsageRecord.id, "input_hash": ""},
        ),
        (Change, col(Change.actor).in_(actors) & _is_about(col(Change.subject_id), customer_id), {"actor": nobody}),
        (
            AuditEntry,
            (col(AuditEntry.actor) == renaming.user_id)
            & ((col(AuditEntry.actor_role) == renaming.role) | _is_about(col(AuditEntry.subject_id), customer_id)),
            {"actor": renaming.pseudonym},
        ),
        (Refund, col(Refund.requested_by).in_(actors) & col(Refund.payment_id).in_(paid), {"requested_by": nobody}),
    )
    for row, those, values in blanked:
        changed = {getattr(row, name): value for name, value in values.items()}
        await session.exec(update(row).where(those).values(changed))
    await _name_lines_by_plans(session, customer_id)
    await _blank_cards(session, customer_id)
    await _number_unique_values(session, customer_id)
    await _forget_in_events(session, customer_id, actors, nobody)


def _ids_of(row: type[Any], customer_id: str) -> Select[Any]:
    return select(row.id).where(row.customer_id == customer_id)


def _is_about(subject: Mapped[str], customer_id: str) -> ColumnElement[bool]:
    """Whether the subject is the customer or one of its own rows."""
    own, paid = _ids_of(Subscription, customer_id), _ids_of(Payment, customer_id)
    balances = _ids_of(CreditBalance, customer_id)
    subjects = (
        own,
        _ids_of(Invoice, customer_id),
        paid,
        _ids_of(CreditNote, customer_id),
        _ids_of(PaymentMethod, customer_id),
        _ids_of(Discount, customer_id),
        select(SubscriptionItem.id).where(col(SubscriptionItem.subscription_id).in_(own)),
        select(ChargeAttempt.id).where(col(ChargeAttempt.payment_id).in_(paid)),
        select(Refund.id).where(col(Refund.payment_id).in_(paid)),
        select(CreditEntry.id).where(col(CreditEntry.balance_id).in_(balances)),
    )
    return or_(subject == customer_id, *(subject.in_(ids) for ids in subjects))


async def _name_lines_by_plans(session: AsyncSession, customer_id: str) -> None:
    """What was agreed on by hand is billed under the subscription's own name: the plan's stands there instead."""
    query = (
        select(InvoiceLine, Plan.name)
        .join(Invoice, col(Invoice.id) == InvoiceLine.invoice_id)
        .join(Plan, col(Plan.id) == InvoiceLine.plan_id)
        .where(Invoice.customer_id == customer_id, Invoice.reason == InvoiceReason.MANUAL)
    )
    for line, plan in (await session.exec(query)).all():
        name = line.description.rpartition(" (")[0]
        line.description = plan + line.description.removeprefix(name)
        line.explanation_text = plan + line.explanation_text.removeprefix(name)


async def _blank_cards(session: AsyncSession, customer_id: str) -> None:
    """What payments were made with stays: brand, last digits and month."""
    for row in (await session.exec(select(PaymentMethod).where(PaymentMethod.customer_id == customer_id))).all():
        row.billing_details, row.meta = {}, {}
        # The number's beginning and its fingerprint, also in the gateway's own object, would know the card again.
        row.card = {**row.card, "fingerprint": None, "bin": None, "raw": {}} if row.card is not None else None


async def _number_unique_values(session: AsyncSession, customer_id: str) -> None:
    """What unique counts tell apart stays apart, and says nothing more."""
    query = select(UsageRecord).where(
        UsageRecord.customer_id == customer_id, col(UsageRecord.unique_value).is_not(None)
    )
    numbers: dict[str, str] = {}
    for row in (await session.exec(query)).all():
        if row.unique_value is not None:
            row.unique_value = numbers.setdefault(row.unique_value, str(len(numbers) + 1))


# What the snapshots of events tell of a person.
_OF_PERSONS: Mapping[str, Any] = {"kid": None, "name": None, "user_id": None, "metadata": {}}


async def _forget_in_events(session: AsyncSession, customer_id: str, actors: Sequence[str], nobody: str) -> None:
    """Held first: what is being published meanwhile would tell what was known before."""
    query = select(BillingEvent).where(BillingEvent.customer_id == customer_id).order_by(col(BillingEvent.id))
    for row in (await session.exec(query.with_for_update())).all():
        if row.payload.get("actor") in actors:
            row.payload = {**row.payload, "actor": nobody}
        if row.snapshot is not None:
            person = dict.fromkeys(row.snapshot.get("user_metadata", {}), "")
            told = {word: blank for word, blank in _OF_PERSONS.items() if word in row.snapshot}
            row.snapshot = {**row.snapshot, **told, "user_metadata": person}
