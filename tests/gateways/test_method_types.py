"""Ways to pay against the SDK's own typings, and what the adapter reads of cards, mandates and countries."""

import re
from pathlib import Path
from typing import Any

import pytest
import stripe

from billing.money import CURRENCIES, Money
from gateways import snapshots
from gateways.cards import MandateFacts
from gateways.method_types import CountrySpecification
from gateways.port import GatewayNotFound, GatewayUnavailable
from gateways.sandbox import Fault
from gateways.stripe import StripeGateway
from gateways.stripe_method_types import COUNTRIES, stripe_method_types

TYPES = stripe_method_types()
FLOWS = {"direct", "redirect", "debit", "wallet", "voucher", "transfer"}
CATEGORIES = {
    "card",
    "bank_debit",
    "bank_redirect",
    "bank_transfer",
    "real_time",
    "voucher",
    "wallet",
    "buy_now_pay_later",
}


def codes_of_the_sdk() -> set[str]:
    source = Path(stripe.__file__).with_name("_payment_method.py").read_text()
    listed = re.search(r"\n    type: (?:\"|Union\[)?\s*\"?Literal\[(.*?)\]", source, re.DOTALL)
    assert listed is not None
    return set(re.findall(r"['\"](\w+)['\"]", listed.group(1)))


def test_the_table_knows_no_type_that_the_sdk_does_not() -> None:
    known = codes_of_the_sdk()
    assert {"card", "sepa_debit", "zip"} <= known
    assert set(TYPES) - known == set()
    # What it leaves out: at a counter's reader, no longer offered, or not documented for whole countries.
    assert known - set(TYPES) == {
        "card_present",
        "crypto",
        "custom",
        "giropay",
        "interac_present",
        "scalapay",
        "sequra",
        "sofort",
        "sunbit",
    }


def test_what_can_be_kept_is_what_the_sdk_lets_be_charged_off_session() -> None:
    source = Path(stripe.__file__).with_name("params") / "_payment_intent_create_params.py"
    options = dict(
        re.findall(
            r"\nclass PaymentIntentCreateParamsPaymentMethodOptions(\w+)\(\s*TypedDict,?\s*\):(.*?)(?=\nclass |\Z)",
            source.read_text(),
            re.DOTALL,
        )
    )
    for code, type_ in TYPES.items():
        taken = options[code.title().replace("_", "")]
        usage = re.search(r'setup_future_usage: (.*?)(?:"""|\Z)', taken, re.DOTALL)
        assert (code, type_.is_tokenizable) == (code, usage is not None and "'off_session'" in usage.group(1))


@pytest.mark.parametrize("code", TYPES)
def test_a_type_is_whole(code: str) -> None:
    type_ = TYPES[code]
    assert type_.flow in FLOWS
    assert type_.category in CATEGORIES
    assert type_.accepts
    assert set(type_.accepts) <= COUNTRIES
    paid_in = {currency for currencies in type_.accepts.values() for currency in currencies}
    assert paid_in <= CURRENCIES
    assert set(type_.amounts) <= paid_in
    shortest, longest = type_.seconds_to_pay
    assert 0 <= shortest <= longest
    for bounds in type_.amounts.values():
        told = [bound.minor for bound in (bounds.minimum, bounds.maximum) if bound is not None]
        assert told
        assert told[0] > 0
        assert told == sorted(set(told))
    for asked in (*type_.required_fields, *type_.method_options, *type_.payment_options):
        assert asked.description or asked.instructions
        if asked.pattern is not None:
            re.compile(asked.pattern)


def test_bounds_and_countries_as_the_documentation_has_them() -> None:
    pounds = TYPES["afterpay_clearpay"].amounts["GBP"]
    assert (pounds.minimum, pounds.maximum) == (Money(100, "GBP"), Money(120_000, "GBP"))
    francs, won = TYPES["twint"].amounts["CHF"], TYPES["kakao_pay"].amounts["KRW"]
    assert (francs.minimum, francs.maximum) == (None, Money(500_000, "CHF"))
    assert (won.minimum, won.maximum) == (Money(100, "KRW"), None)
    assert set(TYPES["alma"].accepts) == {"BE", "ES", "FR", "IT", "LU", "NL"}
    assert set(TYPES["paypal"].accepts) == COUNTRIES
    assert TYPES["revolut_pay"].accepts["HU"] == ["DKK", "EUR", "GBP", "HUF", "PLN", "RON"]
    assert "NO" not in TYPES["revolut_pay"].accepts


def test_cards_are_taken_everywhere_and_in_every_currency() -> None:
    assert set(TYPES["card"].accepts) == COUNTRIES
    assert TYPES["card"].accepts["AE"] == sorted(CURRENCIES)
    assert len(COUNTRIES) == 249


def gateway_of(bench: Any) -> StripeGateway:
    return StripeGateway(
        bench.client,
        platform="sandbox",
        publishable_key="pk_test_sandbox",
        webhook_secrets=(),
        livemode=False,
        close=bench.sandbox.close,
    )


async def test_a_countrys_specification_through_the_sdk(quick) -> None:
    gateway = gateway_of(quick)
    assert await gateway.country_specification("BR") == CountrySpecification(
        "BR", frozenset(("BRL",)), frozenset(("card", "stripe"))
    )
    told = await gateway.country_specification("US")
    assert told.method_types == {"ach", "card", "stripe"}
    assert {"AED", "JPY", "KWD", "USD"} <= told.currencies
    with pytest.raises(GatewayNotFound):
        await gateway.country_specification("ZZ")
    quick.sandbox.faults.arm(Fault.TIMEOUT_BEFORE, count=2, path_contains="/country_specs")
    with pytest.raises(GatewayUnavailable):
        await gateway.country_specification("US")


CARD = {
    "brand": "visa",
    "checks": {"cvc_check": "pass"},
    "country": "SG",
    "description": "Visa Classic",
    "exp_month": 10,
    "exp_year": 2030,
    "funding": "credit",
    "iin": "411111119",
    "last4": "1111",
    "generated_from": {"charge": None, "payment_method_details": {"type": "card"}, "setup_attempt": "setatt_1"},
    "wallet": {"type": "masterpass", "dynamic_last4": "0005", "masterpass": {"email": "ada@example.com"}},
}


def method(**card: Any) -> dict[str, Any]:
    return {"id": "pm_1", "type": "card", "created": 1, "livemode": False, "card": {**CARD, **card}}


def test_what_the_gateway_tells_of_a_cards_beginning_is_kept_and_no_more_than_eight_digits() -> None:
    facts = snapshots.payment_method(method()).card
    assert facts is not None
    assert (facts.bin, facts.level, facts.generated_from, facts.wallet) == (
        "41111111",
        "Visa Classic",
        "setatt_1",
        "masterpass",
    )
    untold = snapshots.payment_method(method(iin=None, description=None)).card
    assert untold is not None
    assert (untold.bin, untold.level) == (None, None)


def test_what_is_kept_of_the_cards_object_tells_of_no_person_and_no_number() -> None:
    facts = snapshots.payment_method(method()).card
    assert facts is not None
    assert facts.raw == {
        "brand": "visa",
        "checks": {"cvc_check": "pass"},
        "country": "SG",
        "description": "Visa Classic",
        "exp_month": 10,
        "exp_year": 2030,
        "funding": "credit",
        "last4": "1111",
        "wallet": {"type": "masterpass", "dynamic_last4": "0005"},
    }


def setup(mandate: Any, single_use_mandate: Any = None) -> Any:
    return snapshots.setup_intent(
        {
            "id": "seti_1",
            "status": "succeeded",
            "created": 1,
            "livemode": False,
            "mandate": mandate,
            "single_use_mandate": single_use_mandate,
        }
    )


def test_mandates_are_read_as_far_as_they_are_told() -> None:
    lasting = {"id": "mandate_1", "type": "multi_use", "status": "active", "multi_use": {}}
    single = {
        "id": "mandate_2",
        "type": "single_use",
        "status": "inactive",
        "single_use": {"amount": 15000, "currency": "inr"},
    }
    assert setup(None).mandate is None
    assert setup("mandate_1").mandate == MandateFacts("mandate_1", None, None, is_single_use=False)
    assert setup(lasting).mandate == MandateFacts("mandate_1", "active", None, is_single_use=False)
    both = setup(lasting, single)
    assert both.single_use_mandate == MandateFacts("mandate_2", "inactive", Money(15000, "INR"), is_single_use=True)
    bounded = {**lasting, "multi_use": {"amount": 900, "currency": "usd"}}
    assert setup(bounded).mandate == MandateFacts("mandate_1", "active", Money(900, "USD"), is_single_use=False)
