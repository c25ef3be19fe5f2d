"""Keyset pages and counts of lists, for one parent or for many in one statement.

Owns: which lists there are, their order, and what narrows them. Does not own: who may see them (resolvers).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy import ColumnElement, String, and_, case, or_, type_coerce
from sqlalchemy.orm import aliased
from sqlmodel import SQLModel, col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from billing.calendar import Interval
from billing.lifecycle import SUBSCRIPTION, InvoiceStatus, PaymentStatus, SubscriptionStatus
from billing.returning import PaymentStanding
from models.catalog import Plan, Price, Product
from models.coupons import Coupon
from models.credits import CreditEntry
from models.customers import Customer, GatewayAccount, PaymentMethod
from models.endpoints import WebhookDelivery
from models.events import BillingEvent
from models.inbox import GatewayEvent, GatewayEventStatus
from models.invoices import Invoice
from models.lists import Page
from models.payments import CollectionIntent, Payment
from models.runs import BillingRun, BillingRunItem
from models.subscriptions import Subscription

R = TypeVar("R", bound=SQLModel)


@dataclass(frozen=True, slots=True)
class Key:
    """A column that orders a list. `largest` is what its integers may be compared with."""

    name: str
    type: type
    largest: int = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Listing(Generic[R]):
    """A list in a fixed order: by the columns `keys`, the last of which is unique."""

    name: str
    row: type[R]
    keys: tuple[Key, ...]
    descending: bool

    def key_of(self, row: R) -> tuple[Any, ...]:
        """Where `row` stands in the order."""
        return tuple(getattr(row, key.name) for key in self.keys)


PRODUCTS = Listing("product", Product, (Key("code", str),), descending=False)
PLANS = Listing("plan", Plan, (Key("position", int), Key("id", str)), descending=False)
PAYMENT_METHODS = Listing("paymentMethod", PaymentMethod, (Key("id", str),), descending=True)
COUPONS = Listing("coupon", Coupon, (Key("id", str),), descending=True)
SUBSCRIPTIONS = Listing("subscription", Subscription, (Key("id", str),), descending=True)
# An invoice's id does not sort by time: it is derived. A late worker bills several periods at one instant.
INVOICES = Listing(
    "invoice",
    Invoice,
    (Key("created_at", datetime), Key("period_start", datetime), Key("id", str)),
    descending=True,
)
GATEWAY_EVENTS = Listing("gatewayEvent", GatewayEvent, (Key("id", str),), descending=True)
CUSTOMERS = Listing("customer", Customer, (Key("id", str),), descending=False)
RUNS = Listing("billingRun", BillingRun, (Key("id", str),), descending=True)
RUN_ITEMS = Listing("billingRunItem", BillingRunItem, (Key("id", str),), descending=False)
CREDIT_ENTRIES = Listing("creditEntry", CreditEntry, (Key("id", str),), descending=True)
BILLING_EVENTS = Listing("billingEvent", BillingEvent, (Key("id", str),), descending=False)
# Where a reader of all events has got to: not by id, see services.publishing.
EVENT_STREAM = Listing("eventStream", BillingEvent, (Key("position", int, largest=2**62),), descending=False)
WEBHOOK_DELIVERIES = Listing("webhookDelivery", WebhookDelivery, (Key("id", str),), descending=True)
PAYMENTS = Listing("payment", Payment, (Key("number", int, largest=2**62),), descending=True)


@dataclass(frozen=True, slots=True)
class Span:
    """Which part of a list: up to `limit` rows strictly between two places, the last ones if `backwards`."""

    limit: int
    after: tuple[Any, ...] | None = None
    before: tuple[Any, ...] | None = None
    backwards: bool = False


class Where(Protocol):
    """What narrows a list; hashable, so that equal wishes share one statement."""

    def conditions(self) -> list[ColumnElement[bool]]: ...


@dataclass(frozen=True, slots=True)
class Everything:
    def conditions(self) -> list[ColumnElement[bool]]:
        return []


EVERYTHING = Everything()


@dataclass(frozen=True, slots=True)
class ProductsWhere:
    is_active: bool | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        found: list[ColumnElement[bool]] = [col(Product.archived_at).is_(None)]
        if self.is_active is not None:
            found.append(col(Product.is_active) == self.is_active)
        return found


@dataclass(frozen=True, slots=True)
class PlansWhere:
    """`search` is looked for in code, name and description, whatever its case."""

    is_online_sale: bool | None = None
    is_active: bool | None = None
    currency: str | None = None
    interval: Interval | None = None
    product_code: str | None = None
    search: str | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        found: list[ColumnElement[bool]] = [col(Plan.archived_at).is_(None)]
        for column, wanted in (
            (Plan.is_online_sale, self.is_online_sale),
            (Plan.is_active, self.is_active),
            (Plan.interval, self.interval),
        ):
            if wanted is not None:
                found.append(col(column) == wanted)
        if self.currency is not None:
            priced = select(Price.plan_id).where(Price.currency == self.currency, Price.is_active)
            found.append(col(Plan.id).in_(priced))
        if self.product_code is not None:
            found.append(col(Plan.product_id).in_(select(Product.id).where(Product.code == self.product_code)))
        if self.search is not None:
            texts = (Plan.code, Plan.name, Plan.description)
            found.append(or_(*(col(text).icontains(self.search, autoescape=True) for text in texts)))
        return found


@dataclass(frozen=True, slots=True)
class LivePaymentMethods:
    """Cards that are still attached, of one customer if given. `owner_user_id` is the user behind the customer."""

    customer_id: str | None = None
    id_or_ref: str | None = None
    owner_user_id: str | None = None
    gateway_customer_ref: str | None = None
    platform: str | None = None
    type: str | None = None
    holder_name: str | None = None
    holder_zip: str | None = None
    brand: str | None = None
    last4: str | None = None
    fingerprint: str | None = None
    expiring_before: date | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        found: list[ColumnElement[bool]] = [col(PaymentMethod.archived_at).is_(None)]
        if self.customer_id is not None:
            found.append(col(PaymentMethod.customer_id) == self.customer_id)
        if self.id_or_ref is not None:
            named = (PaymentMethod.id, PaymentMethod.gateway_ref)
            found.append(or_(*(col(name) == self.id_or_ref for name in named)))
        if self.owner_user_id is not None:
            owners = select(Customer.id).where(Customer.user_id == self.owner_user_id)
            found.append(col(PaymentMethod.customer_id).in_(owners))
        if self.gateway_customer_ref is not None:
            owners = select(GatewayAccount.customer_id).where(GatewayAccount.gateway_ref == self.gateway_customer_ref)
            found.append(col(PaymentMethod.customer_id).in_(owners))
        card, holder = col(PaymentMethod.card), col(PaymentMethod.billing_details)
        for column, wanted in (
            (col(PaymentMethod.platform), self.platform),
            (col(PaymentMethod.type), self.type),
            (holder["name"].as_string(), self.holder_name),
            (holder["address", "postal_code"].as_string(), self.holder_zip),
            (card["brand"].as_string(), self.brand),
            (card["last4"].as_string(), self.last4),
            (card["fingerprint"].as_string(), self.fingerprint),
        ):
            if wanted is not None:
                found.append(column == wanted)
        if self.expiring_before is not None:
            # A card is good to the end of its month: any day of a later one is past it.
            months = card["exp_year"].as_integer() * 12 + card["exp_month"].as_integer()
            found.append(months < self.expiring_before.year * 12 + self.expiring_before.month)
        return found


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


@dataclass(frozen=True, slots=True)
class GatewayEventsWhere:
    status: frozenset[GatewayEventStatus] | None = None
    type: str | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        found: list[ColumnElement[bool]] = []
        if self.status is not None:
            found.append(col(GatewayEvent.status).in_(self.status))
        if self.type is not None:
            found.append(col(GatewayEvent.type) == self.type)
        return found


async def page_of(session: AsyncSession, listing: Listing[R], where: Where, span: Span) -> Page[R]:
    """One part of a whole list."""
    query = (
        select(listing.row)
        .where(*where.conditions(), *_within(listing, span))
        .order_by(*_order(listing, listing.row, span))
        .limit(span.limit + 1)
    )
    return _page((await session.exec(query)).all(), span)


async def pages_of(
    session: AsyncSession, listing: Listing[R], parent: str, parents: Sequence[str], where: Where, span: Span
) -> dict[str, Page[R]]:
    """The same part of each parent's own list, by parent; `parent` is the column that names it."""
    if len(parents) == 1:
        only = _Of(listing, parent, parents[0], where)
        return {parents[0]: await page_of(session, listing, only, span)}
    owner = getattr(listing.row, parent)
    numbered = (
        select(  # pyright: ignore[reportCallIssue] (an entity and a column)
            listing.row,  # pyright: ignore[reportArgumentType]
            func.row_number().over(partition_by=owner, order_by=_order(listing, listing.row, span)).label("place"),
        )
        .where(col(owner).in_(parents), *where.conditions(), *_within(listing, span))
        .subquery()
    )
    row = aliased(listing.row, numbered)
    query = (
        select(row)
        .where(numbered.c.place <= span.limit + 1)
        .order_by(getattr(row, parent), *_order(listing, row, span))
    )
    found: dict[str, list[R]] = {each: [] for each in parents}
    for each in (await session.exec(query)).all():
        found[getattr(each, parent)].append(each)
    return {each: _page(rows, span) for each, rows in found.items()}


async def counts_of(
    session: AsyncSession, listing: Listing[Any], parent: str, parents: Sequence[str], where: Where
) -> dict[str, int]:
    """How many rows each parent's list has in all."""
    owner = col(getattr(listing.row, parent))
    query = (
        select(owner, func.count())  # pyright: ignore[reportCallIssue, reportArgumentType]
        .where(owner.in_(parents), *where.conditions())
        .group_by(owner)
    )
    counted: dict[str, int] = dict((await session.exec(query)).all())
    return {each: counted.get(each, 0) for each in parents}


@dataclass(frozen=True, slots=True)
class _Of:
    """One parent's own list."""

    listing: Listing[Any]
    parent: str
    value: str
    where: Where

    def conditions(self) -> list[ColumnElement[bool]]:
        return [col(getattr(self.listing.row, self.parent)) == self.value, *self.where.conditions()]


def _within(listing: Listing[Any], span: Span) -> list[ColumnElement[bool]]:
    bounds = []
    if span.after is not None:
        bounds.append(_beyond(listing, span.after, greater=not listing.descending))
    if span.before is not None:
        bounds.append(_beyond(listing, span.before, greater=listing.descending))
    return bounds


def _beyond(listing: Listing[Any], place: tuple[Any, ...], *, greater: bool) -> ColumnElement[bool]:
    """Lexicographic: the first key differs, or it is equal and the next one does."""
    columns = [col(getattr(listing.row, key.name)) for key in listing.keys]
    alternatives = []
    for n, (column, value) in enumerate(zip(columns, place, strict=True)):
        equal = [columns[i] == place[i] for i in range(n)]
        alternatives.append(and_(*equal, column > value if greater else column < value))
    return or_(*alternatives)


def _order(listing: Listing[Any], row: Any, span: Span) -> list[Any]:
    falling = listing.descending != span.backwards
    return [column.desc() if falling else column.asc() for column in (getattr(row, key.name) for key in listing.keys)]


def _page(found: Sequence[R], span: Span) -> Page[R]:
    more, rows = len(found) > span.limit, found[: span.limit]
    if span.backwards:
        return Page(rows[::-1], has_next=span.before is not None, has_previous=more)
    return Page(rows, has_next=more, has_previous=span.after is not None)
