"""Lists of customers and of their saved cards, and what narrows them."""

from dataclasses import dataclass
from datetime import date

from sqlalchemy import ColumnElement, or_
from sqlmodel import col, func, select

from models.batches import ANYTIME, Between, Key, Listing
from models.customers import Customer, GatewayAccount, PaymentMethod

CUSTOMERS = Listing("customer", Customer, (Key("id", str),), descending=False)
PAYMENT_METHODS = Listing("paymentMethod", PaymentMethod, (Key("id", str),), descending=True)


@dataclass(frozen=True, slots=True)
class CustomersWhere:
    """`search` is looked for in names, e-mail and ids, whatever its case; so is `email`, as a whole."""

    user_id: str | None = None
    external_id: str | None = None
    gateway_ref: str | None = None
    platform: str | None = None
    email: str | None = None
    search: str | None = None
    includes_archived: bool = False
    created: Between = ANYTIME

    def conditions(self) -> list[ColumnElement[bool]]:
        found = self.created.conditions(Customer.created_at)
        if not self.includes_archived:
            found.append(col(Customer.archived_at).is_(None))
        for column, wanted in ((Customer.user_id, self.user_id), (Customer.external_id, self.external_id)):
            if wanted is not None:
                found.append(col(column) == wanted)
        accounts = [
            col(column) == wanted
            for column, wanted in (
                (GatewayAccount.gateway_ref, self.gateway_ref),
                (GatewayAccount.platform, self.platform),
            )
            if wanted is not None
        ]
        if accounts:
            found.append(col(Customer.id).in_(select(GatewayAccount.customer_id).where(*accounts)))
        if self.email is not None:
            found.append(func.lower(Customer.email) == func.lower(self.email))
        if self.search is not None:
            texts = (
                Customer.name,
                Customer.first_name,
                Customer.last_name,
                Customer.email,
                Customer.user_id,
                Customer.external_id,
            )
            found.append(or_(*(col(text).icontains(self.search, autoescape=True) for text in texts)))
        return found


@dataclass(frozen=True, slots=True)
class LivePaymentMethods:
    """Cards that are still attached, of one customer if given; `with_archived` adds those detached since.

    `owner_user_id` is the user behind the customer.
    """

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
    with_archived: bool = False

    def conditions(self) -> list[ColumnElement[bool]]:
        found: list[ColumnElement[bool]] = []
        if not self.with_archived:
            found.append(col(PaymentMethod.archived_at).is_(None))
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
