"""Lists of subscriptions, invoices and payments, and what narrows them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, exists, or_
from sqlmodel import col, select

from billing.confirming import PaymentConfirmation
from billing.lifecycle import SUBSCRIPTION, InvoiceStatus, PaymentStatus, SubscriptionStatus
from billing.returning import PaymentStanding
from models.batches import ANYTIME, Between, Key, Listing
from models.catalog import Plan, Price
from models.credits import CreditEntry
from models.customers import Customer
from models.invoices import Invoice
from models.payments import Payment, known_as, of_order
from models.standing import CONFIRMATION, GATEWAY_STATUS, NEXT_BILLING_AT, PAYMENT_STANDING
from models.subscriptions import Subscription, SubscriptionItem, SubscriptionOrigin

SUBSCRIPTIONS = Listing("subscription", Subscription, (Key("id", str),), descending=True)
# An invoice's id does not sort by time: it is derived. A late worker bills several periods at one instant, and several
# changes may come in one: a customer's numbers are in the order of issue.
INVOICES = Listing(
    "invoice",
    Invoice,
    (Key("created_at", datetime), Key("period_start", datetime), Key("number", str)),
    descending=True,
)
PAYMENTS = Listing("payment", Payment, (Key("number", int, largest=2**62),), descending=True)
CREDIT_ENTRIES = Listing("creditEntry", CreditEntry, (Key("id", str),), descending=True)


@dataclass(frozen=True, slots=True)
class SubscriptionsWhere:
    """`live` leaves out the ended ones. `id_or_external_id` is ours or the merchant's. A plan or a product is that of
    anything that is subscribed to.

    `search` is looked for in the names and in the merchant's ids of the subscription and of its customer, whatever its
    case. Deleted ones are left out unless asked for.
    """

    customer_id: str | None = None
    user_id: str | None = None
    live: bool = False
    product_id: str | None = None
    plan_id: str | None = None
    status: frozenset[SubscriptionStatus] | None = None
    confirmation: frozenset[PaymentConfirmation] | None = None
    origin: frozenset[SubscriptionOrigin] | None = None
    external_id: str | None = None
    id_or_external_id: str | None = None
    next_billing_at: Between = ANYTIME
    created_at: Between = ANYTIME
    search: str | None = None
    include_archived: bool = False

    def conditions(self) -> list[ColumnElement[bool]]:
        found: list[ColumnElement[bool]] = [
            *self.next_billing_at.conditions(NEXT_BILLING_AT),
            *self.created_at.conditions(Subscription.created_at),
        ]
        if not self.include_archived:
            found.append(col(Subscription.archived_at).is_(None))
        for column, wanted in (
            (Subscription.customer_id, self.customer_id),
            (Subscription.external_id, self.external_id),
        ):
            if wanted is not None:
                found.append(col(column) == wanted)
        if self.user_id is not None:
            found.append(_of_user(Subscription.customer_id, self.user_id))
        if self.id_or_external_id is not None:
            named = (Subscription.id, Subscription.external_id)
            found.append(or_(*(col(name) == self.id_or_external_id for name in named)))
        if self.live:
            found.append(col(Subscription.status).not_in(SUBSCRIPTION.final))
        if self.status is not None:
            found.append(col(Subscription.status).in_(self.status))
        if self.origin is not None:
            found.append(col(Subscription.origin).in_(self.origin))
        if self.confirmation is not None:
            found.append(CONFIRMATION.in_([str(word) for word in self.confirmation]))
        if self.plan_id is not None:
            found.append(_contains(select(Price.id).where(Price.plan_id == self.plan_id)))
        if self.product_id is not None:
            plans = select(Plan.id).where(Plan.product_id == self.product_id)
            found.append(_contains(select(Price.id).where(col(Price.plan_id).in_(plans))))
        if self.search is not None:
            found.append(_speaks_of(self.search))
        return found


@dataclass(frozen=True, slots=True)
class InvoicesWhere:
    customer_id: str | None = None
    subscription_id: str | None = None
    status: frozenset[InvoiceStatus] | None = None
    due_at: Between = ANYTIME
    created_at: Between = ANYTIME

    def conditions(self) -> list[ColumnElement[bool]]:
        found: list[ColumnElement[bool]] = [
            *self.due_at.conditions(Invoice.due_at),
            *self.created_at.conditions(Invoice.created_at),
        ]
        if self.customer_id is not None:
            found.append(col(Invoice.customer_id) == self.customer_id)
        if self.subscription_id is not None:
            found.append(col(Invoice.subscription_id) == self.subscription_id)
        if self.status is not None:
            found.append(col(Invoice.status).in_(self.status))
        return found


@dataclass(frozen=True, slots=True)
class PaymentsWhere:
    """`owner_user_id` is the user behind the customer, `order_id` the invoice or the subscription, `standing` how a
    payment is seen, `gateway_status` how its gateway or its record puts it. Deleted records are left out unless asked
    for."""

    customer_id: str | None = None
    owner_user_id: str | None = None
    order_id: str | None = None
    gateway_payment_id: str | None = None
    gateway_status: str | None = None
    status: frozenset[PaymentStatus] | None = None
    standing: frozenset[PaymentStanding] | None = None
    redirect_url: str | None = None
    created_at: Between = ANYTIME
    include_archived: bool = False

    def conditions(self) -> list[ColumnElement[bool]]:
        found: list[ColumnElement[bool]] = self.created_at.conditions(Payment.created_at)
        if not self.include_archived:
            found.append(col(Payment.archived_at).is_(None))
        if self.customer_id is not None:
            found.append(col(Payment.customer_id) == self.customer_id)
        if self.owner_user_id is not None:
            found.append(_of_user(Payment.customer_id, self.owner_user_id))
        if self.order_id is not None:
            found.append(of_order(self.order_id))
        if self.gateway_payment_id is not None:
            found.append(known_as(self.gateway_payment_id))
        if self.gateway_status is not None:
            found.append(GATEWAY_STATUS.in_([self.gateway_status]))
        if self.status is not None:
            found.append(col(Payment.status).in_(self.status))
        if self.standing is not None:
            found.append(PAYMENT_STANDING.in_([str(wanted) for wanted in self.standing]))
        if self.redirect_url is not None:
            found.append(col(Payment.return_url) == self.redirect_url)
        return found


def _contains(prices: Select[Any]) -> ColumnElement[bool]:
    """Whether something at one of these prices, by which items are found, is subscribed to."""
    items = exists().where(
        col(SubscriptionItem.subscription_id) == Subscription.id,
        col(SubscriptionItem.price_id).in_(prices),
        col(SubscriptionItem.ended_at).is_(None),
    )
    return items.correlate(Subscription)


def _of_user(customer_id: str, user_id: str) -> ColumnElement[bool]:
    return col(customer_id).in_(select(Customer.id).where(Customer.user_id == user_id))


def _speaks_of(search: str) -> ColumnElement[bool]:
    people = (Customer.name, Customer.email, Customer.user_id, Customer.external_id)
    customers = select(Customer.id).where(or_(*(col(text).icontains(search, autoescape=True) for text in people)))
    own = (Subscription.name, Subscription.external_id)
    return or_(
        *(col(text).icontains(search, autoescape=True) for text in own), col(Subscription.customer_id).in_(customers)
    )
