"""Ways to pay, saved or not: what there are, for whom, and what each one asks for."""

from typing import Annotated

import strawberry

from gateways.method_types import Requirement
from schema.fields import Info, argument, described
from schema.money import Money
from schema.scalars import URL, CountryCode, CurrencyCode
from services.wallet.method_types import Offer, offer, offers
from settings import Settings

IMAGES = "/payment-methods"


@strawberry.type(description="How little and how much one payment may be.")
class AmountRange:
    currency_code: CurrencyCode = described("In this currency.")
    minimum: Money | None = described("The least; null if no bound is known.")
    maximum: Money | None = described("The most; null if no bound is known.")


@strawberry.type(description="Something that is asked for, and how it must look.")
class FieldRequirement:
    name: str = described("What it is.")
    type: str = described("string, boolean or object.")
    pattern: str | None = described("A regular expression that it matches.")
    description: str | None = described("What it does, and where it is given: some of it belongs to another operation.")
    instructions: str | None = described("What to ask the customer for, and where it is typed in.")
    is_required: bool = described("Whether it must be there.")
    is_updatable: bool = described("Whether it can be changed afterwards.")

    @classmethod
    def of(cls, asked: Requirement) -> "FieldRequirement":
        return cls(
            name=asked.name,
            type=asked.type,
            pattern=asked.pattern,
            description=asked.description,
            instructions=asked.instructions,
            is_required=asked.is_required,
            is_updatable=asked.is_updatable,
        )


@strawberry.type(description="A kind of way to pay.")
class PaymentMethodType:
    code: str = described("Its code: `card`, the same as `PaymentMethod.type`.")
    name: str = described("Its name, for people.")
    category: str = described(
        "card, bank_debit, bank_redirect, bank_transfer, real_time, voucher, wallet or buy_now_pay_later."
    )
    image: URL | None = described("A picture of its name, in one color.")
    country_code: CountryCode | None = described("The country that was asked about; null if none was.")
    flow_type: str | None = described(
        "What the customer does: direct (types into the gateway's form), redirect (goes to another page), debit (lets "
        "the account be debited), wallet (confirms in an app), voucher (pays at a counter) or transfer (sends money)."
    )
    currency_codes: list[CurrencyCode] = described(
        "In which currencies: of what is enabled those that this installation's account may charge."
    )
    is_enabled: bool = described(
        "Whether one can subscribe with it here, in the currency that was asked about. What is not enabled is listed "
        "all the same. False for everything as long as the gateway has never told what its account may charge."
    )
    is_cancelable: bool = described("Whether a payment that waits for the customer can be called off.")
    is_expirable: bool = described("Whether a payment that waits for the customer runs out by itself.")
    is_online: bool = described("Whether it is paid with on the internet; false for what is paid at a counter.")
    is_refundable: bool = described("Whether money can be sent back the same way.")
    is_tokenizable: bool = described("Whether it can be saved and charged again without the customer.")
    is_virtual: bool = described("Whether the customer pays to a number that was made for this purpose.")
    is_restricted: bool = described("Whether the gateway opens it to merchants one by one.")
    allows_multiple_overage: bool = described("Whether the customer may pay in several parts, or too much.")
    requires_submerchant_id: bool = described("Whether payments must name a merchant below this one; never so far.")
    virtual_type: str | None = described("If it is virtual: what the number is, such as bank_account.")
    minimum_expiration_seconds: int = described("How short a payment may be made to wait; 0 if it does not wait.")
    maximum_expiration_seconds: int = described("How long a payment may be made to wait; 0 if it does not wait.")
    amount_ranges: list[AmountRange] = described("How little and how much one payment may be, for each currency.")
    digital_wallet_providers: list[str] = described("The wallets that hold it: apple_pay, google_pay.")
    required_fields: list[FieldRequirement] = described(
        "What the gateway's form asks the customer for. Numbers of cards and accounts are never sent here."
    )
    method_options: list[FieldRequirement] = described("What can be decided about it.")
    payment_options: list[FieldRequirement] = described("What can be given with a payment.")

    @classmethod
    def of(cls, offer: Offer, settings: Settings) -> "PaymentMethodType":
        type_ = offer.type
        shortest, longest = type_.seconds_to_pay
        return cls(
            code=type_.code,
            name=type_.name,
            category=type_.category,
            image=image_of(settings, type_.code),
            country_code=CountryCode(offer.country) if offer.country is not None else None,
            flow_type=type_.flow,
            currency_codes=[CurrencyCode(currency) for currency in offer.amounts],
            is_enabled=offer.is_enabled,
            is_cancelable=type_.is_cancelable,
            is_expirable=longest > 0,
            is_online=type_.flow != "voucher",
            is_refundable=type_.is_refundable,
            is_tokenizable=type_.is_tokenizable,
            is_virtual=type_.virtual_type is not None,
            is_restricted=type_.is_restricted,
            allows_multiple_overage=type_.allows_multiple_overage,
            requires_submerchant_id=False,
            virtual_type=type_.virtual_type,
            minimum_expiration_seconds=shortest,
            maximum_expiration_seconds=longest,
            amount_ranges=[
                AmountRange(
                    currency_code=CurrencyCode(currency),
                    minimum=Money.of(bounds.minimum) if bounds.minimum is not None else None,
                    maximum=Money.of(bounds.maximum) if bounds.maximum is not None else None,
                )
                for currency, bounds in offer.amounts.items()
            ],
            digital_wallet_providers=list(type_.wallets),
            required_fields=[FieldRequirement.of(asked) for asked in type_.required_fields],
            method_options=[FieldRequirement.of(asked) for asked in type_.method_options],
            payment_options=[FieldRequirement.of(asked) for asked in type_.payment_options],
        )


@strawberry.type(description="Ways to pay.")
class MethodTypeQueries:
    @strawberry.field(
        description="What customers of a country can pay with; what one can subscribe with comes first. Empty for a "
        "country that there is not. Open to everybody."
    )
    async def payment_method_types(
        self,
        info: Info,
        country_code: Annotated[CountryCode, argument("The customer's country.")],
        currency_code: Annotated[CurrencyCode | None, argument("Only what pays in this currency.")] = None,
    ) -> list[PaymentMethodType]:
        context = info.context
        found = await offers(context.app, country_code, currency_code)
        return [PaymentMethodType.of(each, context.settings) for each in found]

    @strawberry.field(
        description="One way to pay with all that it asks for; null if there is none of that code. Open to everybody."
    )
    async def payment_method_type(
        self, info: Info, code: Annotated[str, argument("Its code: `card`.")]
    ) -> PaymentMethodType | None:
        found = await offer(info.context.app, code)
        return PaymentMethodType.of(found, info.context.settings) if found is not None else None


def image_of(settings: Settings, code: str) -> URL:
    return URL(f"{settings.own_address}{IMAGES}/{code}.svg")
