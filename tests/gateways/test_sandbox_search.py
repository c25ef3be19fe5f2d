"""Objects found by what is in them, and countries by their name."""

import pytest
import stripe

from gateways.sandbox.country_specs import DEFAULT_CURRENCY
from gateways.sandbox.currencies import SUPPORTED


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("name:'Mei'", ["mei"]),
        ('name:"MEI"', ["mei"]),
        ("metadata['user']:'7'", ["mei"]),
        ('metadata["user"]:"7" AND email:"mei@example.com"', ["mei"]),
        ("metadata['user']:'7' AND email:'ben@example.com'", []),
        ("metadata['user']:'7' OR email:'ben@example.com'", ["ben", "mei"]),
        ("email~'example'", ["ben", "mei"]),
        ("-name:'Mei'", ["nobody", "ben"]),
        ("name:null", ["nobody"]),
        ("-metadata['user']:null", ["ben", "mei"]),
        ("created>1 AND created<=9999999999", ["nobody", "ben", "mei"]),
        ("created>9999999999", []),
    ],
)
async def test_customers_are_found_by_their_fields(quick, query, found) -> None:
    create = quick.v1.customers.create_async
    names = {
        (await create({"name": "Mei", "email": "mei@example.com", "metadata": {"user": "7"}})).id: "mei",
        (await create({"name": "Ben", "email": "ben@example.com", "metadata": {"user": "8"}})).id: "ben",
        (await create({})).id: "nobody",
    }
    result = await quick.v1.customers.search_async({"query": query})
    assert [names[customer.id] for customer in result.data] == found
    assert (result.object, result.has_more, result.url) == ("search_result", False, "/v1/customers/search")


@pytest.mark.parametrize(
    "query",
    [
        "",
        "name",
        "name:",
        "colour:'red'",
        "name:'a' name:'b'",
        "name:'a' AND",
        "name:'a' AND name:'b' OR name:'c'",
        "metadata[user]:'7'",
    ],
)
async def test_a_query_that_is_none_is_refused(quick, query) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        await quick.v1.customers.search_async({"query": query})
    assert (refusal.value.http_status, refusal.value.param) == (400, "query")


async def test_payments_are_found_page_by_page_and_expanded(bench) -> None:
    asked = {"amount": 900, "currency": "usd", "payment_method": "pm_card_mastercard", "confirm": True}
    made = [(await bench.v1.payment_intents.create_async({**asked, "metadata": {"order": "7"}})).id for _ in range(3)]
    await bench.v1.payment_intents.create_async({**asked, "metadata": {"order": "8"}})
    page = await bench.v1.payment_intents.search_async(
        {"query": "metadata['order']:'7' AND status:'succeeded'", "limit": 2, "expand": ["data.latest_charge"]}
    )
    assert ([intent.id for intent in page.data], page.has_more) == ([made[2], made[1]], True)
    assert page.data[0].latest_charge.payment_intent == made[2]
    assert [intent.id async for intent in page.auto_paging_iter()] == [made[2], made[1], made[0]]
    charges = await bench.v1.charges.search_async(
        {"query": "payment_method_details.card.brand:'mastercard' AND refunded:'false'"}
    )
    assert len(charges.data) == 4
    with pytest.raises(stripe.InvalidRequestError) as lost:
        await bench.v1.payment_intents.search_async({"query": "status:'succeeded'", "page": "nowhere"})
    assert lost.value.param == "page"


async def test_a_country_says_its_currency_and_what_it_may_charge_in(quick) -> None:
    spec = await quick.v1.country_specs.retrieve_async("DE")
    assert (spec.id, spec.default_currency, spec.supported_payment_methods) == ("DE", "eur", ["card", "stripe"])
    assert set(spec.supported_payment_currencies) == SUPPORTED
    assert spec.supported_bank_account_currencies.to_dict() == {"eur": ["DE"]}
    assert (await quick.v1.country_specs.retrieve_async("BR")).supported_payment_currencies == ["brl"]
    with pytest.raises(stripe.InvalidRequestError) as missing:
        await quick.v1.country_specs.retrieve_async("XX")
    assert (missing.value.http_status, missing.value.code, missing.value.param) == (
        404,
        "resource_missing",
        "country",
    )


async def test_all_countries_are_paged_through_in_order_and_back(quick) -> None:
    page = await quick.v1.country_specs.list_async({"limit": 7})
    assert [spec.id async for spec in page.auto_paging_iter()] == sorted(DEFAULT_CURRENCY)
    back = await quick.v1.country_specs.list_async({"limit": 2, "ending_before": "BE"})
    assert ([spec.id for spec in back.data], back.has_more) == (["AT", "AU"], True)
    with pytest.raises(stripe.InvalidRequestError):
        await quick.v1.country_specs.list_async({"starting_after": "XX"})
