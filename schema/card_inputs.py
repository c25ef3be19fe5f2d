"""What clients may ask for about saved cards."""

from datetime import date

import strawberry

from billing.errors import ErrorCode, UserProblem
from gateways.port import Address
from models.customer_lists import LivePaymentMethods
from schema.enums import GatewayPlatform
from schema.fields import described, optional
from schema.given import references
from schema.inputs import at_most
from schema.scalars import CountryCode
from services.wallet.card_changes import CardDetails


@strawberry.input(description="Which cards.")
class CardFilter:
    brand: str | None = optional("Of this brand, in lower case: visa.")
    last4: str | None = optional("With these last four digits.")
    fingerprint: str | None = optional("Of this very number.")
    expiring_before: date | None = optional("Whose month of expiry ends before this day.")


@strawberry.input(description="Which saved ways to pay.")
class PaymentMethodFilter:
    payment_method_id: str | None = optional("This one, by our id or the gateway's.")
    user_id: strawberry.ID | None = optional("Of this user of the application. Customers may only name themselves.")
    gateway_customer_id: str | None = optional("Of the customer with this id at the gateway.")
    card_holder_name: str | None = optional("Of a holder of exactly this name.")
    card_holder_zip: str | None = optional("Of a holder with exactly this postal code.")
    platform: GatewayPlatform | None = optional("Kept by this gateway.")
    type: str | None = optional("Of this type: card.")
    card: CardFilter | None = optional("Whose card is like this.")

    def where(self) -> LivePaymentMethods:
        card = self.card or CardFilter()
        return LivePaymentMethods(
            id_or_ref=self.payment_method_id,
            owner_user_id=self.user_id,
            gateway_customer_ref=self.gateway_customer_id,
            platform=self.platform.value if self.platform is not None else None,
            type=self.type,
            holder_name=self.card_holder_name,
            holder_zip=self.card_holder_zip,
            brand=card.brand,
            last4=card.last4,
            fingerprint=card.fingerprint,
            expiring_before=card.expiring_before,
        )


@strawberry.input(description="A postal address; parts that are left out stay as they are.")
class AddressInput:
    line1: str | None = optional("Street and number, or a post box.")
    line2: str | None = optional("Flat, floor or building.")
    city: str | None = optional("City or town.")
    state: str | None = optional("State, county or province.")
    postal_code: str | None = optional("ZIP or postal code.")
    country_code: CountryCode | None = optional("The country.")


@strawberry.input(description="What to change of a saved card; what is left out stays as it is.")
class UpdatePaymentMethodInput:
    payment_method_id: strawberry.ID = described("The saved card, by our id or the gateway's.")
    card_holder_name: str | None = optional("The holder's name, at most 250 characters.")
    card_holder_zip: str | None = optional("The holder's postal code; the same as `address.postalCode`.")
    exp_month: int | None = optional("The month of expiry, 1 to 12.")
    exp_year: int | None = optional("The year of expiry, four digits.")
    address: AddressInput | None = optional("The holder's address.")
    expected_version: int | None = optional("Only if the card is still at this version.")

    def details(self) -> CardDetails:
        references(paymentMethodId=self.payment_method_id)
        place = self.address or AddressInput()
        at_most(250, card_holder_name=self.card_holder_name, card_holder_zip=self.card_holder_zip)
        at_most(250, "address", line1=place.line1, line2=place.line2, city=place.city, state=place.state)
        at_most(250, "address", postal_code=place.postal_code)
        if None not in (self.card_holder_zip, place.postal_code) and self.card_holder_zip != place.postal_code:
            message = "cardHolderZip and address.postalCode are one: give one."
            raise UserProblem(ErrorCode.INVALID, message, ["cardHolderZip"])
        return CardDetails(
            name=self.card_holder_name,
            address=Address(
                line1=place.line1,
                line2=place.line2,
                city=place.city,
                state=place.state,
                postal_code=self.card_holder_zip if self.card_holder_zip is not None else place.postal_code,
                country=place.country_code,
            ),
            exp_month=self.exp_month,
            exp_year=self.exp_year,
        )


@strawberry.input(description="Which saved card to take away.")
class DetachPaymentMethodInput:
    payment_method_id: strawberry.ID = described("The saved card, by our id or the gateway's.")

    def check(self) -> None:
        references(paymentMethodId=self.payment_method_id)


@strawberry.input(
    description="Which card shall pay a subscription: name it by `paymentMethodId` if it is saved, else by `cardToken`."
)
class UpdateSubscriptionPaymentMethodInput:
    subscription_id: strawberry.ID = described("The subscription.")
    payment_method_id: strawberry.ID | None = optional("A saved card, by our id or the gateway's.")
    card_token: str | None = optional(
        "What the browser got from the gateway for a new card, a one-time token or a payment method, never a card's "
        "number. The card is saved."
    )
    retry_open_invoice: bool = strawberry.field(
        description="Whether the oldest open invoice is tried with it, at once and without the customer, if it is "
        "another card than before. `retryPayment` tries the same card again.",
        default=True,
    )
    expected_version: int | None = optional("Only if the subscription is still at this version.")
    idempotency_key: str | None = optional(
        "The same key with the same input gives the first answer again, for 30 days; at most 255 characters."
    )

    def check(self) -> None:
        references(paymentMethodId=self.payment_method_id, cardToken=self.card_token)
        at_most(255, card_token=self.card_token, idempotency_key=self.idempotency_key)
