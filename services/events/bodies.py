"""What an event tells of its subject: composed for many events at once, in a fixed number of statements.

The words are those that merchants' own programs read: they are added to, never renamed. Amounts are in minor units of
`currency`. What has no value is null, but in `user_metadata`, where it is ''.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from sqlmodel import SQLModel
from sqlmodel.ext.asyncio.session import AsyncSession

from billing.calendar import Period
from billing.consuming import CreditTerms, Grant, granted
from billing.instants import written
from models.base import is_id
from models.catalog import Plan, PlanCredit, Product, credits_of_plans
from models.coupons import Applied, discounts_of
from models.credits import CreditBalance, credit_balances_of
from models.customers import Customer
from models.events import BillingEvent
from models.invoices import Invoice
from models.lists import by_ids
from models.payments import Payment, paid_for
from models.returns import Refund
from models.subscriptions import Subscription, SubscriptionItem, SubscriptionOrigin, items_of

R = TypeVar("R", bound=SQLModel)


USER_METADATA: Mapping[str, Callable[[Customer], object]] = {
    "first_name": lambda customer: customer.first_name,
    "last_name": lambda customer: customer.last_name,
    "phone_number": lambda customer: customer.phone,
    "kid": lambda customer: customer.external_id,
    "birth_date": lambda customer: customer.birth_date,
    "email": lambda customer: customer.email,
    "emirate": lambda customer: customer.region,
}
"""Who the customer is, in the words of the merchant's own user records."""


@dataclass(slots=True)
class _Rows:
    """What a batch of events is about, by id, or by the id of the subscription that it belongs to."""

    refunds: Mapping[str, Refund]
    payments: Mapping[str, Payment]
    invoices: Mapping[str, Invoice]
    subscriptions: Mapping[str, Subscription]
    customers: Mapping[str, Customer] = field(default_factory=dict[str, Customer])
    plans: Mapping[str, Plan] = field(default_factory=dict[str, Plan])
    products: Mapping[str, Product] = field(default_factory=dict[str, Product])
    items: Sequence[SubscriptionItem] = ()
    credits: Sequence[PlanCredit] = ()
    balances: Sequence[CreditBalance] = ()
    discounts: Sequence[Applied] = ()
    paid: Mapping[str, Sequence[int]] = field(default_factory=dict[str, Sequence[int]])


async def snapshots_of(session: AsyncSession, events: Sequence[BillingEvent]) -> Mapping[str, dict[str, Any]]:
    """Event id → what is told of its subject and all that it hangs on, as it is now."""
    rows = await _rows(session, events)
    return {event.id: _snapshot(event, rows) for event in events}


def body_of(event: BillingEvent) -> dict[str, Any]:
    """The event as endpoints and readers get it: the same at every time and for all of them."""
    return {"id": event.id, "type": event.type, "timestamp": _instant(event.at), "data": data_of(event)}


def data_of(event: BillingEvent) -> dict[str, Any]:
    """What the event tells. Who brought it about is told by role: which user or key is not for everybody."""
    told = {**event.payload}
    if "actor" in told:
        told["actor"] = str(told["actor"]).partition(":")[0]
    return {**told, **(event.snapshot or {})}


async def _rows(session: AsyncSession, events: Sequence[BillingEvent]) -> _Rows:
    subjects = [event.subject_id for event in events]

    def named(kind: str) -> list[str]:
        return [id for id in subjects if is_id(kind, id)]

    refunds = await _by_id(session, Refund, named("refund"))
    payments = await _by_id(session, Payment, [*named("payment"), *(each.payment_id for each in refunds.values())])
    invoices = await _by_id(session, Invoice, [*named("invoice"), *(each.invoice_id for each in payments.values())])
    ids = [*named("subscription"), *(each.subscription_id for each in invoices.values())]
    rows = _Rows(refunds, payments, invoices, await _by_id(session, Subscription, ids))
    ids = list(rows.subscriptions)
    if not ids:
        return rows
    rows.customers = await _by_id(session, Customer, [each.customer_id for each in rows.subscriptions.values()])
    rows.items = await items_of(session, ids)
    plan_ids = [*(each.plan_id for each in rows.subscriptions.values()), *(item.plan_id for item in rows.items)]
    rows.plans = await _by_id(session, Plan, plan_ids)
    rows.products = await _by_id(session, Product, [plan.product_id for plan in rows.plans.values()])
    rows.credits = await credits_of_plans(session, sorted({item.plan_id for item in rows.items}))
    rows.balances = await credit_balances_of(session, ids, parent="subscription_id")
    rows.discounts = await discounts_of(session, ids)
    rows.paid = await paid_for(session, ids)
    return rows


async def _by_id(session: AsyncSession, row: type[R], ids: Sequence[str]) -> dict[str, R]:
    found = await by_ids(session, row, sorted(set(ids))) if ids else ()
    return {str(each.id): each for each in found}  # pyright: ignore[reportAttributeAccessIssue, reportUnknownArgumentType, reportUnknownMemberType] (rows have one)


def _snapshot(event: BillingEvent, rows: _Rows) -> dict[str, Any]:
    told: dict[str, Any] = {}
    refund = rows.refunds.get(event.subject_id)
    payment = rows.payments.get(refund.payment_id if refund is not None else event.subject_id)
    invoice = rows.invoices.get(payment.invoice_id if payment is not None else event.subject_id)
    row = rows.subscriptions.get(invoice.subscription_id if invoice is not None else event.subject_id)
    if row is not None:
        told |= _of_subscription(row, rows)
    if invoice is not None:
        told["invoice"] = _of_invoice(invoice)
    if payment is not None:
        told["payment"] = _of_payment(payment)
    if refund is not None:
        told["refund"] = _of_refund(refund)
    return told


def _of_subscription(row: Subscription, rows: _Rows) -> dict[str, Any]:
    customer = rows.customers[row.customer_id]
    plan = rows.plans[row.plan_id]
    coupons = [each.coupon.code for each in rows.discounts if each.discount.subscription_id == row.id]
    return {
        "kid": customer.external_id,
        "subscription_id": row.external_id or row.id,
        "interval": row.interval,
        "payment_method_id": row.paying_card(customer.default_payment_method_id),
        "total_paid": sum(rows.paid.get(row.id, ())),
        "name": row.name,
        "coupon_id": coupons[0] if coupons else None,
        **_counts(row, rows),
        "user_metadata": {word: _text(find(customer)) for word, find in USER_METADATA.items()},
        "created_at": _instant(row.created_at),
        "perennial_subscription_id": row.id,
        "customer_id": customer.id,
        "user_id": customer.user_id,
        "status": row.status,
        "origin": row.origin,
        "plan_code": plan.code,
        "product_code": rows.products[plan.product_id].code,
        "items": [_of_item(item, rows) for item in rows.items if item.subscription_id == row.id],
        "coupon_ids": coupons,
        "interval_count": row.interval_count,
        "currency": row.currency,
        "amount": row.original_amount_minor - row.discount_amount_minor,
        "original_amount": row.original_amount_minor,
        "discount_amount": row.discount_amount_minor,
        "current_period_start": _instant(row.period_start),
        "current_period_end": _instant(row.period_end),
        "cancel_at_period_end": row.cancel_at_period_end,
        "ended_at": _instant(row.ended_at),
        "metadata": row.meta,
    }


def _counts(row: Subscription, rows: _Rows) -> dict[str, int]:
    """How many of each unit, a day (0: without a limit of its own) and in all: as granted, or as they will be when
    the first period is paid."""
    known = {
        each.unit: Grant(each.daily, each.total_granted) for each in rows.balances if each.subscription_id == row.id
    }
    told: dict[str, int] = {}
    for unit, grant in {**_promised(row, rows), **known}.items():
        told[f"daily_{unit}_count"], told[f"total_{unit}_count"] = grant.daily or 0, grant.total
    return told


def _promised(row: Subscription, rows: _Rows) -> Mapping[str, Grant]:
    """By unit, what its plans grant; by hand something else is agreed on."""
    if row.origin is SubscriptionOrigin.MANUAL:
        return {}
    terms: dict[str, list[CreditTerms]] = {}
    for item in rows.items:
        if item.subscription_id == row.id:
            for each in rows.credits:
                if each.plan_id == item.plan_id:
                    terms.setdefault(each.unit, []).append(CreditTerms(each.daily, each.total, item.quantity))
    period = Period(row.period_start, row.period_end)
    if row.trial_end is not None and row.trial_end == row.period_end:  # the first that is paid follows the trial
        period = row.grid.span_from(row.trial_end).until(row.ends_at).period
    return {unit: granted(each, period, row.grid.zone) for unit, each in terms.items()}


def _of_item(item: SubscriptionItem, rows: _Rows) -> dict[str, Any]:
    plan = rows.plans[item.plan_id]
    return {
        "id": item.id,
        "plan_code": plan.code,
        "product_code": rows.products[plan.product_id].code,
        "quantity": item.quantity,
    }


def _of_invoice(invoice: Invoice) -> dict[str, Any]:
    return {
        "id": invoice.id,
        "number": invoice.number,
        "status": invoice.status,
        "reason": invoice.reason,
        "currency": invoice.currency,
        "total": invoice.total_minor,
        "amount_due": invoice.amount_due.minor,
        "amount_paid": invoice.amount_paid_minor,
        "period_start": _instant(invoice.period_start),
        "period_end": _instant(invoice.period_end),
        "issued_at": _instant(invoice.issued_at),
    }


def _of_payment(payment: Payment) -> dict[str, Any]:
    return {
        "id": payment.id,
        "number": payment.number,
        "status": payment.standing,
        "platform": payment.platform,
        "currency": payment.currency,
        "amount": payment.amount_minor,
        "amount_paid": payment.amount_paid_minor,
        "amount_refunded": payment.amount_refunded_minor,
        "payment_method_id": payment.payment_method_id,
        "error_code": payment.error_code,
        "decline_code": payment.error_decline_code,
    }


def _of_refund(refund: Refund) -> dict[str, Any]:
    return {
        "id": refund.id,
        "status": refund.status,
        "reason": refund.reason,
        "currency": refund.currency,
        "amount": refund.amount_minor,
        "created_at": _instant(refund.created_at),
    }


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _instant(value: datetime | None) -> str | None:
    return written(value) if value is not None else None
