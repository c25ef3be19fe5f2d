"""Applying transitions: the table decides, the row moves, a Change row remembers. Nothing else writes a status."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.events import event_of_change
from billing.instants import written
from billing.lifecycle import (
    ATTEMPT,
    INVOICE,
    PAYMENT,
    REFUND,
    SUBSCRIPTION,
    AttemptEvent,
    InvoiceEvent,
    PaymentEvent,
    RefundEvent,
    SubscriptionEvent,
)
from models.base import new_id
from models.events import BillingEvent
from models.invoices import Invoice
from models.payments import ChargeAttempt, Payment
from models.returns import Refund
from models.subscriptions import Change, Subscription
from services.app import Actor


@dataclass(frozen=True, slots=True)
class Why:
    """The cause of a change (an operation or event name), who acts, and the billing instant."""

    cause: str
    actor: Actor
    now: datetime


def move_subscription(session: AsyncSession, row: Subscription, event: SubscriptionEvent, why: Why) -> None:
    before, row.status = row.status, SUBSCRIPTION.after(row.status, event)
    row.status_updated_at = why.now
    row.touch(why.now)
    remember(session, SUBSCRIPTION.name, row.id, before, row.status, why, customer_id=row.customer_id)


def move_invoice(session: AsyncSession, row: Invoice, event: InvoiceEvent, why: Why) -> None:
    before, row.status = row.status, INVOICE.after(row.status, event)
    row.touch(why.now)
    remember(session, INVOICE.name, row.id, before, row.status, why, customer_id=row.customer_id)


def move_payment(session: AsyncSession, row: Payment, event: PaymentEvent, why: Why) -> None:
    """An event that leaves the status as it is changes nothing and is not remembered."""
    before, after = row.status, PAYMENT.after(row.status, event)
    if after == before:
        return
    row.status = after
    row.touch(why.now)
    remember(session, PAYMENT.name, row.id, before, after, why, customer_id=row.customer_id)


def move_attempt(session: AsyncSession, row: ChargeAttempt, event: AttemptEvent, why: Why) -> None:
    before, after = row.outcome, ATTEMPT.after(row.outcome, event)
    if after == before:
        return
    row.outcome = after
    row.finished_at = why.now if after in ATTEMPT.final else None
    remember(session, ATTEMPT.name, row.id, before, after, why)


def move_refund(session: AsyncSession, row: Refund, event: RefundEvent, why: Why, *, customer_id: str) -> None:
    before, row.status = row.status, REFUND.after(row.status, event)
    row.touch(why.now)
    remember(session, REFUND.name, row.id, before, row.status, why, customer_id=customer_id)


def remember(
    session: AsyncSession,
    machine: str,
    subject_id: str,
    before: str | None,
    after: str,
    why: Why,
    *,
    customer_id: str | None = None,
) -> None:
    """Append a Change, and tell of it; `before` is None for the status that a row is born with."""
    session.add(
        Change(
            id=new_id("change"),
            machine=machine,
            subject_id=subject_id,
            from_status=before,
            to_status=after,
            cause=why.cause,
            actor=str(why.actor),
            at=why.now,
        )
    )
    told = event_of_change(machine, before, after)
    if told is not None:
        announce(session, told, subject_id, why, customer_id=customer_id, payload={"from": before, "to": after})


def announce(
    session: AsyncSession,
    type: str,
    subject_id: str,
    why: Why,
    *,
    customer_id: str | None,
    payload: Mapping[str, Any] | None = None,
) -> None:
    """Write an event out into the running transaction: it is told if and only if what it tells of is kept.

    Instants of the payload are written as everywhere.
    """
    told = {name: written(value) if isinstance(value, datetime) else value for name, value in (payload or {}).items()}
    session.add(
        BillingEvent(
            id=new_id("billing_event"),
            type=type,
            subject_id=subject_id,
            customer_id=customer_id,
            payload={**told, "cause": why.cause, "actor": str(why.actor)},
            at=why.now,
        )
    )
