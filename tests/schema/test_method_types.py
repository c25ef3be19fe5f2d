"""Which ways to pay there are: told to everybody, true to what this installation can subscribe with."""

from datetime import timedelta
from typing import Any
from xml.etree import ElementTree

import pytest

from gateways.sandbox import Fault
from tests.support.databases import copy_of_file
from tests.support.house import House, counted, open_house
from tests.support.outside import sandbox_of

TYPES = """query($country: CountryCode!, $currency: CurrencyCode) {
    paymentMethodTypes(countryCode: $country, currencyCode: $currency) { code isEnabled currencyCodes } }"""
WHOLE = """code name category image countryCode flowType currencyCodes isEnabled isCancelable isExpirable isOnline
    isRefundable isTokenizable isVirtual isRestricted allowsMultipleOverage requiresSubmerchantId virtualType
    minimumExpirationSeconds maximumExpirationSeconds digitalWalletProviders
    amountRanges { currencyCode minimum { amount } maximum { amount } }"""
ASKED = "name type pattern description instructions isRequired isUpdatable"


async def types(house: House, country: str, currency: str | None = None) -> list[dict[str, Any]]:
    return (await house.ask(TYPES, {"country": country, "currency": currency}))["paymentMethodTypes"]


async def enabled(house: House, country: str = "SG", currency: str | None = None) -> list[str]:
    return [each["code"] for each in await types(house, country, currency) if each["isEnabled"]]


def card(country: str | None, currencies: list[str]) -> dict[str, Any]:
    return {
        "code": "card",
        "name": "Card",
        "category": "card",
        "image": "http://127.0.0.1:8000/payment-methods/card.svg",
        "countryCode": country,
        "flowType": "direct",
        "currencyCodes": currencies,
        "isEnabled": True,
        "isCancelable": True,
        "isExpirable": False,
        "isOnline": True,
        "isRefundable": True,
        "isTokenizable": True,
        "isVirtual": False,
        "isRestricted": False,
        "allowsMultipleOverage": False,
        "requiresSubmerchantId": False,
        "virtualType": None,
        "minimumExpirationSeconds": 0,
        "maximumExpirationSeconds": 0,
        "digitalWalletProviders": ["apple_pay", "google_pay"],
        "amountRanges": [{"currencyCode": "SGD", "minimum": {"amount": "0.50"}, "maximum": None}],
    }


async def test_what_customers_in_singapore_pay_singapore_dollars_with(small_house: House) -> None:
    data = await small_house.ask(f'{{ paymentMethodTypes(countryCode: "SG", currencyCode: "SGD") {{ {WHOLE} }} }}')
    assert [each["code"] for each in data["paymentMethodTypes"]] == ["card", "paynow", "grabpay", "link", "paypal"]
    assert data["paymentMethodTypes"][0] == card("SG", ["SGD"])
    assert data["paymentMethodTypes"][1] == card("SG", ["SGD"]) | {
        "code": "paynow",
        "name": "PayNow",
        "category": "real_time",
        "image": "http://127.0.0.1:8000/payment-methods/paynow.svg",
        "flowType": "transfer",
        "isEnabled": False,
        "isTokenizable": False,
        "digitalWalletProviders": [],
        "amountRanges": [{"currencyCode": "SGD", "minimum": None, "maximum": None}],
    }


async def test_a_voucher_has_its_bounds_and_runs_out(small_house: House) -> None:
    data = await small_house.ask(f'{{ paymentMethodType(code: "oxxo") {{ {WHOLE} requiredFields {{ name }} }} }}')
    told = data["paymentMethodType"]
    assert {name: told[name] for name in ("countryCode", "currencyCodes", "isEnabled", "isExpirable", "isOnline")} == {
        "countryCode": None,
        "currencyCodes": ["MXN"],
        "isEnabled": False,
        "isExpirable": True,
        "isOnline": False,
    }
    assert (told["isRefundable"], told["minimumExpirationSeconds"], told["maximumExpirationSeconds"]) == (
        False,
        86_400,
        604_800,
    )
    assert told["amountRanges"] == [
        {"currencyCode": "MXN", "minimum": {"amount": "10.00"}, "maximum": {"amount": "10000.00"}}
    ]
    assert [each["name"] for each in told["requiredFields"]] == ["name", "email"]


async def test_bank_transfers_go_to_a_number_of_their_own(small_house: House) -> None:
    data = await small_house.ask(
        '{ paymentMethodType(code: "customer_balance") { isVirtual virtualType allowsMultipleOverage } }'
    )
    assert data["paymentMethodType"] == {
        "isVirtual": True,
        "virtualType": "bank_account",
        "allowsMultipleOverage": True,
    }


@pytest.mark.parametrize(
    ("country", "currency", "expected"),
    [
        ("NL", "EUR", "card sepa_debit ideal customer_balance amazon_pay link paypal revolut_pay alma billie klarna"),
        (
            "US",
            "USD",
            "card us_bank_account customer_balance amazon_pay cashapp link paypal affirm afterpay_clearpay klarna",
        ),
        ("JP", "JPY", "card customer_balance konbini amazon_pay link paypay"),
        ("JP", "EUR", "card amazon_pay link paypal"),
        ("BR", "BRL", "card pix boleto link"),
        ("CN", "USD", "card alipay amazon_pay link paypal wechat_pay"),
        ("AE", "AED", "card link"),
        ("ZZ", None, ""),
        ("ZZ", "USD", ""),
        ("EU", "EUR", ""),
    ],
)
async def test_by_country_and_currency(small_house: House, country: str, currency: str | None, expected: str) -> None:
    told = await types(small_house, country, currency)
    assert [each["code"] for each in told] == expected.split()
    assert [each["code"] for each in told if each["isEnabled"]] == expected.split()[:1]
    assert all(each["currencyCodes"] == [currency] for each in told)


async def test_without_a_currency_each_tells_its_own(small_house: House) -> None:
    told = {each["code"]: each["currencyCodes"] for each in await types(small_house, "PL")}
    assert told["p24"] == ["EUR", "PLN"]
    assert told["blik"] == ["PLN"]
    assert len(told["card"]) > 100
    assert told["card"] == sorted(told["card"])


@pytest.mark.parametrize(
    "query",
    [
        '{ paymentMethodTypes(countryCode: "sg") { code } }',
        '{ paymentMethodTypes(countryCode: "SGP") { code } }',
        '{ paymentMethodTypes(countryCode: "") { code } }',
        '{ paymentMethodTypes(countryCode: "SG", currencyCode: "XXX") { code } }',
        "{ paymentMethodTypes { code } }",
    ],
)
async def test_what_is_no_country_or_currency_is_refused(small_house: House, query: str) -> None:
    answer = await small_house.post(query)
    assert [error["extensions"]["code"] for error in answer.json()["errors"]] == ["GRAPHQL_VALIDATION_FAILED"]


@pytest.mark.parametrize("code", ["sg_fast_bank", "", "CARD", "giropay", "groups", "asked"])
async def test_an_unknown_code_is_null(small_house: House, code: str) -> None:
    data = await small_house.ask("query($code: String!) { paymentMethodType(code: $code) { code } }", {"code": code})
    assert data == {"paymentMethodType": None}


async def test_what_a_card_asks_for_is_typed_in_elsewhere(small_house: House) -> None:
    data = await small_house.ask(
        f"""{{ paymentMethodType(code: "card") {{ requiredFields {{ {ASKED} }} methodOptions {{ {ASKED} }}
            paymentOptions {{ {ASKED} }} }} }}"""
    )
    told = data["paymentMethodType"]
    fields = {each["name"]: each for each in told["requiredFields"]}
    assert list(fields) == ["name", "number", "expiration_month", "expiration_year", "cvc"]
    assert fields["number"] == {
        "name": "number",
        "type": "string",
        "pattern": "^[0-9]{12,19}$",
        "description": None,
        "instructions": "The card's number. It is typed into the gateway's own form in the browser and never sent "
        "here.",
        "isRequired": True,
        "isUpdatable": False,
    }
    assert all(
        "the gateway's own form in the browser" in fields[name]["instructions"] for name in fields if name != "name"
    )
    (asked,) = told["methodOptions"]
    assert (asked["name"], asked["type"], asked["isRequired"]) == ("3d_required", "boolean", False)
    options = {each["name"]: each for each in told["paymentOptions"]}
    assert list(options) == ["capture", "complete_payment_url", "error_payment_url", "statement_descriptor"]
    assert options["statement_descriptor"]["pattern"] == "^[a-zA-Z0-9 ]{0,22}$"
    assert "`returnUrl`" in options["complete_payment_url"]["description"]
    assert "`errorUrl`" in options["error_payment_url"]["description"]


async def test_an_account_charges_what_its_country_lets_it(stocked_file: Any, tmp_path: Any) -> None:
    url = copy_of_file(stocked_file, tmp_path / "perennial.db")
    async with open_house(url, demo=False, account_country="BR") as house:
        assert await enabled(house, "BR") == ["card"]
        assert await enabled(house, "BR", "BRL") == ["card"]
        assert await enabled(house, "US", "USD") == []
        told = await types(house, "US")
        assert next(each for each in told if each["code"] == "card") == {
            "code": "card",
            "isEnabled": True,
            "currencyCodes": ["BRL"],
        }


async def test_an_account_in_a_country_that_there_is_not_charges_nothing(stocked_file: Any, tmp_path: Any) -> None:
    url = copy_of_file(stocked_file, tmp_path / "perennial.db")
    async with open_house(url, demo=False, account_country="ZZ") as house:
        assert await enabled(house) == []


async def test_the_gateway_is_asked_once_a_day(small_house: House) -> None:
    faults = sandbox_of(small_house).faults

    def away() -> None:
        faults.arm(Fault.TIMEOUT_BEFORE, count=2, path_contains="/country_specs")

    away()
    assert await enabled(small_house) == []  # it has never told
    assert await enabled(small_house) == []  # and is left alone for a minute
    small_house.machine.advance(timedelta(seconds=59))
    assert await enabled(small_house) == []
    small_house.machine.advance(timedelta(seconds=1))
    assert await enabled(small_house) == ["card"]
    away()
    small_house.machine.advance(timedelta(days=1) - timedelta(seconds=1))
    assert await enabled(small_house) == ["card"]  # not asked
    small_house.machine.advance(timedelta(seconds=1))
    assert await enabled(small_house) == ["card"]  # asked in vain: what it said last holds
    small_house.clock.advance(timedelta(days=400))
    assert await enabled(small_house) == ["card"]  # the billing clock does not matter


async def test_no_statement_is_sent(small_house: House) -> None:
    async with counted(small_house.app) as statements:
        await small_house.ask(f'{{ paymentMethodTypes(countryCode: "DE") {{ {WHOLE} }} }}')
    assert statements.sent == []


async def test_each_has_a_picture_of_its_name(small_house: House) -> None:
    for code, type_ in small_house.app.gateway.method_types.items():
        answer = await small_house.http.get(f"/payment-methods/{code}.svg")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "image/svg+xml"
        assert answer.headers["cache-control"] == "public, max-age=86400"
        picture = ElementTree.fromstring(answer.text)  # noqa: S314 (our own picture)
        assert [each.text for each in picture.iter("{http://www.w3.org/2000/svg}title")] == [type_.name]
    missing = await small_house.http.get("/payment-methods/none.svg")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "NOT_FOUND")
