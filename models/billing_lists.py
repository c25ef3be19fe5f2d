"""Lists of subscriptions, invoices and payments, and what narrows them."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, String, and_, case, type_coerce
from sqlmodel import col, select

from billing.lifecycle import SUBSCRIPTION, InvoiceStatus, PaymentStatus, SubscriptionStatus
from billing.returning import PaymentStanding
from models.batches import Key, Listing
from models.catalog import Product
from models.credits import CreditEntry
from models.customers import Customer
from models.invoices import Invoice
from models.payments import CollectionIntent, Payment
from models.subscriptions import Subscription

SUBSCRIPTIONS = Listing("subscription", Subscription, (Key("id", str),), descending=True)
# An invoice's id does not sort by time: it is derived. A late worker bills several periods at one instant.
INVOICES = Listing(
    "invoice",
    Invoice,
    (Key("created_at", datetime), Key("period_start", datetime), Key("id", str)),
    descending=True,
)
PAYMENTS = Listing("payment", Payment, (Key("number", int, largest=2**62),), descending=True)
CREDIT_ENTRIES = Listing("creditEntry", CreditEntry, (Key("id", str),), descending=True)


@dataclass(frozen=True, slots=True)
class SubscriptionsWhere:
    """`live` leaves out the ended ones."""

    live: bool = False
    product_code: str | None = None
    status: frozenset[SubscriptionStatus] | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        found: list[ColumnElement[bool]] = []
        if self.live:
            found.append(col(Subscription.status).not_in(SUBSCRIPTION.final))
        if self.status is not None:
            found.append(col(Subscription.status).in_(self.status))
        if self.product_code is not None:
            wanted = select(Product.id).where(Product.code == self.product_code)
            found.append(col(Subscription.product_id).in_(wanted))
        return found


@dataclass(frozen=True, slots=True)
class InvoicesWhere:
    customer_id: str | None = None
    subscription_id: str | None = None
    status: frozenset[InvoiceStatus] | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        found: list[ColumnElement[bool]] = []
        if self.customer_id is not None:
            found.append(col(Invoice.customer_id) == self.customer_id)
        if self.subscription_id is not None:
            found.append(col(Invoice.subscription_id) == self.subscription_id)
        if self.status is not None:
            found.append(col(Invoice.status).in_(self.status))
        return found


@dataclass(frozen=True, slots=True)
class PaymentsWhere:
    """`owner_user_id` is the user behind the customer, `order_id` the invoice, `standing` how a payment is seen."""

    customer_id: str | None = None
    owner_user_id: str | None = None
    order_id: str | None = None
    gateway_payment_id: str | None = None
    status: frozenset[PaymentStatus] | None = None
    standing: frozenset[PaymentStanding] | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        found: list[ColumnElement[bool]] = []
        if self.customer_id is not None:
            found.append(col(Payment.customer_id) == self.customer_id)
        if self.owner_user_id is not None:
            owner = select(Customer.id).where(Customer.user_id == self.owner_user_id)
            found.append(col(Payment.customer_id).in_(owner))
        if self.order_id is not None:
            found.append(col(Payment.invoice_id) == self.order_id)
        if self.gateway_payment_id is not None:
            intents = select(CollectionIntent.payment_id).where(CollectionIntent.gateway_ref == self.gateway_payment_id)
            found.append(col(Payment.id).in_(intents))
        if self.status is not None:
            found.append(col(Payment.status).in_(self.status))
        if self.standing is not None:
            found.append(_PAYMENT_STANDING.in_([str(wanted) for wanted in self.standing]))
        return found


# What billing.returning.standing says, for the database to compare.
_refunded, _paid = col(Payment.amount_refunded_minor), col(Payment.amount_paid_minor)
_PAYMENT_STANDING = case(
    (col(Payment.status) != PaymentStatus.SUCCEEDED, type_coerce(Payment.status, String)),
    (col(Payment.amount_disputed_minor) > 0, str(PaymentStanding.DISPUTED)),
    (and_(_refunded > 0, _refunded >= _paid), str(PaymentStanding.REFUNDED)),
    (_refunded > 0, str(PaymentStanding.PARTIALLY_REFUNDED)),
    else_=str(PaymentStanding.SUCCEEDED),
)
