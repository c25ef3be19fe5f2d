"""Saved cards: all that a gateway tells of them, never a number."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import strawberry
from strawberry.scalars import JSON

from models.batches import Span
from models.billing_lists import SUBSCRIPTIONS, SubscriptionsWhere
from models.customers import PaymentMethod as PaymentMethodRow
from resolvers.standing import NextAction as NextActionFacts
from resolvers.standing import NextActionType
from schema import customers, subscriptions
from schema.actions import NextAction
from schema.connections import MAX_PAGE
from schema.enums import CardFunding, CheckResult, GatewayPlatform
from schema.fields import CustomerRef, Info, PlanSubscriptionRef, described
from schema.interfaces import Node, Record, record_fields
from schema.mandates import Mandate
from schema.method_types import image_of
from schema.scalars import URL, CountryCode

_LIVE = SubscriptionsWhere(live=True)
EXPIRES_SOON = timedelta(days=30)


@strawberry.type(description="A postal address; every part may be missing.")
class Address:
    line1: str | None = described("Street and number, or a post box.")
    line2: str | None = described("Flat, floor or building.")
    city: str | None = described("City or town.")
    state: str | None = described("State, county or province.")
    postal_code: str | None = described("ZIP or postal code.")
    country_code: CountryCode | None = described("The country.")

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> "Address":
        return cls(
            line1=facts.get("line1"),
            line2=facts.get("line2"),
            city=facts.get("city"),
            state=facts.get("state"),
            postal_code=facts.get("postal_code"),
            country_code=_country(facts.get("country")),
        )


@strawberry.type(description="Whom a card belongs to, as given when it was saved.")
class BillingDetails:
    name: str | None = described("The holder's name.")
    email: str | None = described("The holder's email address.")
    phone: str | None = described("The holder's telephone number.")
    address: Address = described("The holder's address.")

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> "BillingDetails":
        return cls(
            name=facts.get("name"),
            email=facts.get("email"),
            phone=facts.get("phone"),
            address=Address.of(facts.get("address") or {}),
        )


@strawberry.type(description="What the issuer said of the details given with a card.")
class CardChecks:
    address_line1: CheckResult = described("Of the street.", name="addressLine1")
    address_postal_code: CheckResult = described("Of the postal code.")
    cvc: CheckResult = described("Of the security code.")


@strawberry.type(description="The networks that can carry a card's charges.")
class CardNetworks:
    available: list[str] = described("All of them, such as visa.")
    preferred: str | None = described("The one that the holder prefers, if told.")


@strawberry.type(description="What the beginning of a card's number says of it, as far as the gateway tells.")
class CardBin:
    number: str | None = described("The first digits, eight at most; null where the gateway keeps them to itself.")
    brand: str | None = described("The brand of such cards: visa.")
    type: str | None = described("How such cards are funded: credit, debit, prepaid.")
    level: str | None = described("What kind of cards they are, such as Visa Classic.")
    country_code: CountryCode | None = described("Their issuer's country.")


@strawberry.type(description="A card.")
class Card:
    brand: str = described("Its brand in lower case, such as visa.")
    last4: str = described("The last four digits.")
    exp_month: int = described("The month of expiry, 1 to 12.")
    exp_year: int = described("The year of expiry, four digits.")
    country_code: CountryCode | None = described("The issuer's country.")
    funding: CardFunding = described("How it is funded.")
    fingerprint: str | None = described("Equal for the same card number saved twice.")
    checks: CardChecks = described("What the issuer said of the details given with it.")
    networks: CardNetworks = described("The networks that can carry its charges.")
    three_d_secure_supported: bool = described("Whether the issuer can ask its holder by 3-D Secure.")
    wallet: str | None = described("The wallet that it came from, such as apple_pay.")
    generated_from: str | None = described("The gateway's charge or set-up that it was generated from, if it was.")
    bin: CardBin = described("What the beginning of its number says.")
    acs_check: CheckResult = described(
        "What the issuer's own page said of the holder; UNCHECKED where the gateway does not tell."
    )
    raw: JSON | None = described(
        "The gateway's own object, without what tells of the holder; null for cards saved before it was kept. For "
        "administrators and keys."
    )

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> "Card":
        return cls(
            brand=facts["brand"],
            last4=facts["last4"],
            exp_month=facts["exp_month"],
            exp_year=facts["exp_year"],
            country_code=_country(facts.get("country")),
            funding=_member(CardFunding, facts.get("funding"), CardFunding.UNKNOWN),
            fingerprint=facts.get("fingerprint"),
            checks=CardChecks(
                address_line1=_check(facts.get("address_line1_check")),
                address_postal_code=_check(facts.get("address_postal_code_check")),
                cvc=_check(facts.get("cvc_check")),
            ),
            networks=CardNetworks(
                available=list(facts.get("networks") or ()), preferred=facts.get("preferred_network")
            ),
            three_d_secure_supported=bool(facts.get("three_d_secure_supported")),
            wallet=facts.get("wallet"),
            generated_from=facts.get("generated_from"),
            bin=CardBin(
                number=facts.get("bin"),
                brand=facts["brand"],
                type=facts.get("funding"),
                level=facts.get("level"),
                country_code=_country(facts.get("country")),
            ),
            acs_check=_check(facts.get("acs_check")),
            raw=JSON(facts["raw"]) if facts.get("raw") else None,
        )


@strawberry.type(description="A saved way to pay.")
class PaymentMethod(Node, Record):
    gateway_id: str = described("The gateway's own id for it.")
    platform: GatewayPlatform = described("The gateway that keeps it.")
    type: str = described("What kind of thing it is: card. `paymentMethodType(code)` tells more.")
    name: str | None = described("The name on it: its holder's.")
    livemode: bool = described("Whether it pays with real money.")
    card: Card | None = described("The card, if it is one.")
    billing_details: BillingDetails = described("Whom it belongs to.")
    card_holder_name: str | None = described("The holder's name, the same as in `billingDetails`.")
    card_holder_zip: str | None = described("The holder's postal code, the same as in `billingDetails.address`.")
    supporting_documentation: str | None = described("Papers that the gateway asks for; null, as none are for cards.")
    mandate: Mandate | None = described("The permission to be charged that came with it, if the gateway told of one.")
    metadata: JSON = described("The merchant's own notes.")
    customer_id: strawberry.Private[str]

    @classmethod
    def of(cls, row: PaymentMethodRow) -> "PaymentMethod":
        details = BillingDetails.of(row.billing_details)
        return cls(
            **record_fields(row),
            gateway_id=row.gateway_ref,
            platform=GatewayPlatform(row.platform),
            type=row.type,
            livemode=row.livemode,
            card=Card.of(row.card) if row.card is not None else None,
            billing_details=details,
            name=details.name,
            card_holder_name=details.name,
            card_holder_zip=details.address.postal_code,
            supporting_documentation=None,
            mandate=Mandate.kept(row.mandate),
            metadata=JSON(row.meta),
            customer_id=row.customer_id,
        )

    @strawberry.field(description="The category of its type: card. Null for a type that is not known here.")
    def category(self, info: Info) -> str | None:
        known = info.context.app.gateway.method_types.get(self.type)
        return known.category if known is not None else None

    @strawberry.field(description="A picture of its type's name. Null for a type that is not known here.")
    def image(self, info: Info) -> URL | None:
        is_known = self.type in info.context.app.gateway.method_types
        return image_of(info.context.settings, self.type) if is_known else None

    @strawberry.field(
        description="What its holder must do before it can pay: ADD_PAYMENT_METHOD, once it has expired. Null while it "
        "is good: a card that the bank still wants to ask about is not saved yet, see `SetupIntent.nextAction`."
    )
    def next_action(self, info: Info) -> NextAction | None:
        if self.card is None or info.context.now < _expiry(self.card):
            return None
        return NextAction.of(NextActionFacts(NextActionType.ADD_PAYMENT_METHOD))

    @strawberry.field(description="Whether it pays for what has no card of its own.")
    async def is_default(self, info: Info) -> bool:
        row = await info.context.loaders.customer.load(self.customer_id)
        return row is not None and row.default_payment_method_id == self.id

    @strawberry.field(description="Whether it is expired or will be within 30 days.")
    def is_expiring_soon(self, info: Info) -> bool:
        if self.card is None:
            return False
        return _expiry(self.card) <= info.context.now + EXPIRES_SOON

    @strawberry.field(description="The subscriptions that it pays: those with it as their own card, or by default.")
    async def used_by(self, info: Info) -> list[PlanSubscriptionRef]:
        loaders = info.context.loaders
        owner = await loaders.customer.load(self.customer_id)
        default = owner.default_payment_method_id if owner is not None else None
        part = Span(limit=MAX_PAGE)
        live = await loaders.listed(SUBSCRIPTIONS, "customer_id", self.customer_id, _LIVE, part)
        users = [row for row in live.rows if row.paying_card(default) == self.id]
        return [subscriptions.PlanSubscription.of(row) for row in users]

    @strawberry.field(description="Whose it is.")
    async def customer(self, info: Info) -> CustomerRef:
        return await customers.customer_of(info, self.customer_id)


def _expiry(card: Card) -> datetime:
    """The first instant at which the card is no longer good: the end of its month."""
    years, month = divmod(card.exp_month, 12)
    return datetime(card.exp_year + years, month + 1, 1, tzinfo=UTC)


M = TypeVar("M")


def _member(enum: type[M], value: Any, otherwise: M) -> M:
    try:
        return enum(value)  # pyright: ignore[reportCallIssue] (an enum's look-up by value)
    except ValueError:
        return otherwise


def _check(value: str | None) -> CheckResult:
    return _member(CheckResult, value, CheckResult.UNCHECKED)


def _country(value: str | None) -> CountryCode | None:
    return CountryCode(value) if value else None


async def payment_method_of(info: Info, payment_method_id: str | None) -> PaymentMethod | None:
    """The card of that id, also one that has been detached since."""
    row = await info.context.loaders.payment_method.load(payment_method_id) if payment_method_id else None
    return PaymentMethod.of(row) if row is not None else None
