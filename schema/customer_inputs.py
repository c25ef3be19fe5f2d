"""What clients may say and ask about customers."""

from dataclasses import asdict
from datetime import date
from typing import Any

import strawberry
from strawberry.scalars import JSON

from gateways.port import Address
from models.customer_lists import CustomersWhere
from schema.arguments import searched
from schema.card_inputs import AddressInput
from schema.enums import GatewayPlatform
from schema.fields import Info, editable, optional
from schema.given import METADATA, notes
from schema.inputs import at_most
from schema.periods import DateTimeRange, between
from schema.scalars import URL, CurrencyCode
from services.people.profiles import CustomerChange
from services.people.registering import NewCustomer


@strawberry.input(
    description="Who a customer is. In an update what is left out stays as it is, and null takes away what was there."
)
class CustomerInput:
    user_id: strawberry.ID | None = editable(
        "The application's own id of the user: the token's `sub`. Required to make a customer, never changed after."
    )
    external_id: str | None = editable(
        "The merchant's own id for the customer, at most 255 characters. Staff and API keys only."
    )
    account_id: strawberry.ID | None = editable(
        "The application's own id of the user's account, at most 255 characters. Staff and API keys only."
    )
    username: str | None = editable("What the user is called in the application, at most 255 characters.")
    name: str | None = editable("The name, at most 250 characters.")
    first_name: str | None = editable("The first name, at most 100 characters.")
    last_name: str | None = editable("The last name, at most 100 characters.")
    email: str | None = editable("The email address, at most 320 characters.")
    phone: str | None = editable("The telephone number, at most 20 characters, such as +49 30 123456.")
    birth_date: date | None = editable("The day of birth, in the past.")
    region: str | None = editable("The region or emirate, at most 100 characters.")
    locale: str | None = editable("The language of messages, by BCP 47; `en` unless given.")
    timezone: str | None = editable(
        "The IANA zone by which subscriptions count their days, such as Europe/Berlin; the installation's unless "
        "given. Never changed after the customer was made."
    )
    image: URL | None = editable("Where a picture of the customer is.")
    addresses: list[AddressInput] | None = editable(
        "All postal addresses, at most 10, instead of those before; parts that are left out of one are empty. The "
        "first is the one for bills."
    )
    business_vat_id: str | None = editable("The VAT id of the customer's business, at most 30 characters.")
    currency_code: CurrencyCode | None = editable(
        "The currency that the customer prefers to be shown; what is paid, `subscribe` says."
    )
    onboarded: bool | None = editable("Whether the user has been led through the application; not, unless given.")
    description: str | None = editable(
        "The merchant's own words about the customer, at most 1000 characters. Staff and API keys only."
    )
    sales_code: str | None = editable(
        "The code of who brought the customer, at most 100 characters. Staff and API keys only."
    )
    is_valued_customer_coupon_sent: bool | None = editable(
        "Whether the coupon for valued customers was sent. Staff and API keys only."
    )
    test_clock_id: strawberry.ID | None = editable(
        "Sandbox only: the test clock by which this customer lives from its making on. It must be READY."
    )
    metadata: JSON | None = editable(f"{METADATA} Instead of those before. Staff and API keys only.")

    def wish(self) -> NewCustomer:
        at_most(255, user_id=self.user_id or None)
        return NewCustomer(
            user_id=self.user_id or "",
            timezone=self.timezone or None,
            test_clock_id=self.test_clock_id or None,
            facts=self._facts(),
        )

    def change(self) -> CustomerChange:
        settled = {"userId": self.user_id, "timezone": self.timezone, "testClockId": self.test_clock_id}
        return CustomerChange(self._facts(), _without_unset(settled))

    def _facts(self) -> dict[str, Any]:
        """By the column of the row; a text without a letter is none."""
        facts = {
            "external_id": self.external_id,
            "account_id": self.account_id,
            "username": self.username,
            "name": self.name,
            "first_name": self.first_name,
            "last_name": self.last_name,
            "email": self.email,
            "phone": self.phone,
            "birth_date": self.birth_date,
            "region": self.region,
            "locale": self.locale,
            "image": self.image,
            "business_vat_id": self.business_vat_id,
            "currency": self.currency_code,
            "is_onboarded": self.onboarded,
            "description": self.description,
            "sales_code": self.sales_code,
            "is_valued_coupon_sent": self.is_valued_customer_coupon_sent,
            "meta": self.metadata if self.metadata is strawberry.UNSET else notes(self.metadata),
            "addresses": [_address(each) for each in self.addresses] if self.addresses else self.addresses,
        }
        return {
            column: None if isinstance(value, str) and not value.strip() else value
            for column, value in _without_unset(facts).items()
        }


def _without_unset(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not strawberry.UNSET}


def _address(given: AddressInput) -> dict[str, str | None]:
    return asdict(
        Address(
            line1=given.line1 or None,
            line2=given.line2 or None,
            city=given.city or None,
            state=given.state or None,
            postal_code=given.postal_code or None,
            country=given.country_code,
        )
    )


@strawberry.input(description="Which customers.")
class CustomerFilter:
    user_id: strawberry.ID | None = optional("The one with this id in the application.")
    external_id: str | None = optional("The one with this id of the merchant's.")
    gateway_customer_id: str | None = optional("The one with this id at the payment gateway.")
    platform: GatewayPlatform | None = optional("Only those whom this gateway knows.")
    email: str | None = optional("Only those with exactly this email address, whatever its case.")
    search: str | None = optional(
        "Text in names, email address, user id or external id, whatever its case; at most 100 characters."
    )
    include_archived: bool | None = optional("Whether those who were anonymized are listed too; not, unless given.")
    created_at: DateTimeRange | None = optional("Only those who came into being then.")

    def where(self, info: Info) -> CustomersWhere:
        return CustomersWhere(
            user_id=self.user_id,
            external_id=self.external_id,
            gateway_ref=self.gateway_customer_id,
            platform=self.platform.value if self.platform is not None else None,
            email=self.email,
            search=searched(info, self.search),
            includes_archived=bool(self.include_archived),
            created=between(self.created_at),
        )
