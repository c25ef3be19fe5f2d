"""Rows 003: ways to pay by country, product to plan to subscription, terms."""

from datetime import timedelta
from typing import Any

import pytest

from tests.scenarios.merchant import ADMIN, Merchant, do, done
from tests.scenarios.shopping import Shopper
from tests.schema.keys import ask_with_key, secret_of_key
from tests.sources.asking import CARD, NEW, card_of, codes, me, plan, seen, subscribed
from tests.support.house import House
from tests.support.outside import ASKS_ALWAYS, VISA, Browser


@pytest.fixture
def house(small_house: House) -> House:
    """What rows ask for does not depend on the engine; the stories beside them are told on both."""
    return small_house


async def _card_type(house: House, fields: str) -> dict[str, Any]:
    query = f"""query ($country: CountryCode!, $currency: CurrencyCode) {{
      paymentMethodTypes(countryCode: $country, currencyCode: $currency) {{ code {fields} }} }}"""
    types = (await house.ask(query, {"country": "SG", "currency": "SGD"}))["paymentMethodTypes"]
    (found,) = [each for each in types if each["code"] == "card"]
    return found


async def test_003_01_refusals_have_code_and_sentence_and_answers_their_request(house: House) -> None:
    query = "mutation { createProduct(input: {}) { userErrors { code message } } }"
    answer = await house.post(query, user=ADMIN)
    told = answer.json()
    assert told["data"]["createProduct"]["userErrors"] == [{"code": "REQUIRED", "message": "Give it a name."}]
    assert told["extensions"]["requestId"] == answer.headers["x-request-id"]


async def test_003_02_ways_to_pay_are_listed_by_country_and_currency(house: House) -> None:
    query = (
        "query ($c: CountryCode!, $m: CurrencyCode) { paymentMethodTypes(countryCode: $c, currencyCode: $m) { code } }"
    )
    found = {}
    for country, currency in (("SG", "SGD"), ("NL", "EUR"), ("NL", "SGD"), ("ZZ", None)):
        told = (await house.ask(query, {"c": country, "m": currency}))["paymentMethodTypes"]
        found[country, currency] = {each["code"] for each in told}
    assert found["ZZ", None] == set()
    assert all("card" in found[place] for place in (("SG", "SGD"), ("NL", "EUR")))
    assert "ideal" in found["NL", "EUR"]
    assert "ideal" not in found["NL", "SGD"] | found["SG", "SGD"]


async def test_003_03_a_way_to_pay_tells_code_name_category_picture_and_country(house: House) -> None:
    told = await _card_type(house, "name category image countryCode")
    image = told.pop("image")
    assert told == {"code": "card", "name": "Card", "category": "card", "countryCode": "SG"}
    assert (await house.http.get(image)).headers["content-type"] == "image/svg+xml"


async def test_003_04_a_way_to_pay_tells_flow_and_currencies_and_whether_it_is_on(house: House) -> None:
    told = await _card_type(house, "flowType currencyCodes isEnabled")
    assert (told["flowType"], "SGD" in told["currencyCodes"], told["isEnabled"]) == ("direct", True, True)


async def test_003_05_a_way_to_pay_tells_seven_properties(house: House) -> None:
    fields = "isCancelable isExpirable isOnline isRefundable isVirtual isTokenizable isRestricted"
    told = await _card_type(house, fields)
    assert {name: told[name] for name in fields.split()} == {
        "isCancelable": True,
        "isExpirable": False,
        "isOnline": True,
        "isRefundable": True,
        "isVirtual": False,
        "isTokenizable": True,
        "isRestricted": False,
    }


async def test_003_06_a_way_to_pay_tells_two_more(house: House) -> None:
    told = await _card_type(house, "allowsMultipleOverage requiresSubmerchantId")
    assert (told["allowsMultipleOverage"], told["requiresSubmerchantId"]) == (False, False)


async def test_003_07_a_way_to_pay_tells_its_shortest_and_longest_expiry(house: House) -> None:
    told = await _card_type(house, "minimumExpirationSeconds maximumExpirationSeconds")
    assert 0 <= told["minimumExpirationSeconds"] <= told["maximumExpirationSeconds"]


async def test_003_08_a_way_to_pay_tells_whether_it_is_virtual(house: House) -> None:
    assert (await _card_type(house, "virtualType"))["virtualType"] is None


async def test_003_09_a_way_to_pay_tells_its_least_and_largest_amounts(house: House) -> None:
    told = await _card_type(house, "amountRanges { currencyCode minimum { amount } maximum { amount } }")
    (range,) = [each for each in told["amountRanges"] if each["currencyCode"] == "SGD"]
    assert range["minimum"] == {"amount": "0.50"}


async def test_003_10_a_way_to_pay_tells_its_wallets(house: House) -> None:
    told = await _card_type(house, "digitalWalletProviders")
    assert {"apple_pay", "google_pay"} <= set(told["digitalWalletProviders"])


OPTIONS = "{ name type pattern description isRequired isUpdatable }"


async def test_003_11_a_way_to_pay_tells_the_options_of_a_payment(house: House) -> None:
    options = (await _card_type(house, f"paymentOptions {OPTIONS}"))["paymentOptions"]
    assert all(sorted(each) == sorted(OPTIONS.strip("{} ").split()) for each in options)


async def test_003_12_the_options_have_names_and_patterns(house: House) -> None:
    options = {each["name"]: each for each in (await _card_type(house, f"paymentOptions {OPTIONS}"))["paymentOptions"]}
    assert {"capture", "complete_payment_url", "error_payment_url", "statement_descriptor"} <= set(options)
    assert "22" in options["statement_descriptor"]["pattern"]
    wish = {"name": "Long", "statementDescriptor": "x" * 23}
    refused = await do(house, "createProduct", "ProductInput", wish, "product { id }")
    assert (codes(refused), refused["userErrors"][0]["field"]) == (["INVALID"], ["statementDescriptor"])


async def _one_type(house: House, fields: str) -> dict[str, Any]:
    return (await house.ask(f'{{ paymentMethodType(code: "card") {{ {fields} }} }}'))["paymentMethodType"]


async def test_003_13_one_way_to_pay_tells_what_must_be_filled_in(house: House) -> None:
    told = await _one_type(house, "code requiredFields { name }")
    names = [each["name"] for each in told["requiredFields"]]
    assert names == ["name", "number", "expiration_month", "expiration_year", "cvc"]


async def test_003_14_a_field_tells_type_pattern_and_instructions(house: House) -> None:
    told = await _one_type(house, "requiredFields { name type pattern isRequired instructions }")
    number = next(each for each in told["requiredFields"] if each["name"] == "number")
    assert (number["type"], number["isRequired"]) == ("string", True)
    assert number["pattern"] is not None
    assert number["instructions"] is not None


async def test_003_15_a_way_to_pay_tells_the_options_of_the_method(house: House) -> None:
    told = await _one_type(house, "methodOptions { name type isRequired }")
    assert {"name": "3d_required", "type": "boolean", "isRequired": False} in told["methodOptions"]


async def test_003_16_an_option_says_where_it_has_to_be_given(house: House) -> None:
    told = await _one_type(house, "paymentOptions { description } methodOptions { description }")
    assert all(each["description"] for each in told["paymentOptions"] + told["methodOptions"])


async def test_003_17_the_back_end_makes_a_customer(house: House) -> None:
    secret = await secret_of_key(house, "act_for_customer")
    query = """mutation ($input: CustomerInput!) { createCustomer(input: $input) {
      customer { name email } userErrors { code } } }"""
    wish = {"userId": "john", "name": "John Doe", "email": "johndoe@rapyd.example"}
    told = (await ask_with_key(house, secret, query, {"input": wish}))["createCustomer"]
    assert told == {"customer": {"name": "John Doe", "email": "johndoe@rapyd.example"}, "userErrors": []}


async def test_003_18_card_numbers_are_never_taken(house: House) -> None:
    given = {"paymentMethodId": "4111111111111111"}
    told = await do(house, "attachPaymentMethod", "AttachPaymentMethodInput", given, "paymentMethod { id }", user=NEW)
    assert (codes(told), told["paymentMethod"]) == (["INVALID"], None)
    assert "4111111111111111" not in str(told)
    query = "{ __schema { types { name kind inputFields { name } } } }"
    inputs = [kind for kind in (await house.ask(query))["__schema"]["types"] if kind["kind"] == "INPUT_OBJECT"]
    secret = {"number", "cvc", "cardNumber"}
    takers = {kind["name"] for kind in inputs if secret & {field["name"] for field in kind["inputFields"]}}
    # Only the sandbox's stand-in for the browser knows a card's number, and only test cards'.
    assert takers - {"PaymentLookup"} == {"SandboxConfirmInput"}


async def test_003_19_customer_then_card_then_default(house: House) -> None:
    customer = await Merchant(house).customer("orderly")
    secret = await secret_of_key(house, "act_for_customer")
    query = """mutation ($input: CreateSetupIntentInput!) { createSetupIntent(input: $input) {
      setupIntent { clientSecret } userErrors { code } } }"""
    begun = await ask_with_key(house, secret, query, {"input": {"customerId": customer}})
    confirmed = (await Browser(house).confirm(begun["createSetupIntent"]["setupIntent"]["clientSecret"], VISA)).json()
    attach = {"paymentMethodId": confirmed["payment_method"], "customerId": customer}
    kept = await done(house, "attachPaymentMethod", "AttachPaymentMethodInput", attach, "paymentMethod { id }")
    choose = {"paymentMethodId": kept["paymentMethod"]["id"], "customerId": customer}
    fields = "customer { defaultPaymentMethod { id } }"
    told = await done(house, "setDefaultPaymentMethod", "SetDefaultPaymentMethodInput", choose, fields)
    assert told["customer"] == {"defaultPaymentMethod": kept["paymentMethod"]}


async def test_003_20_addresses_to_return_to_are_carried_through(house: House) -> None:
    wish = {"planCode": "reader-pro", "returnUrl": "https://shop.example/done", "errorUrl": "https://shop.example/oops"}
    told = await done(house, "subscribe", "SubscribeInput", wish, "nextAction { returnUrl errorUrl }", user=NEW)
    assert told["nextAction"] == {"returnUrl": "https://shop.example/done", "errorUrl": "https://shop.example/oops"}


async def _customer(house: House, fields: str, user: str = CARD) -> dict[str, Any]:
    return (await house.ask(f'{{ customer(by: {{userId: "{user}"}}) {{ {fields} }} }}', user=ADMIN))["customer"]


async def test_003_21_a_customer_tells_names_contact_notes_and_addresses(house: House) -> None:
    wish = {
        "name": "John Doe",
        "email": "john@example.com",
        "phone": "+6591234567",
        "description": "Met at the fair.",
        "metadata": {"tier": 2},
        "addresses": [{"line1": "1 Raffles Place", "city": "Singapore", "countryCode": "SG"}],
    }
    await Merchant(house).customer("john", **wish)
    fields = "name email phone description metadata createdAt addresses { line1 city countryCode }"
    assert await _customer(house, fields, "john") == {**wish, "createdAt": "2026-01-31T09:30:00Z"}


async def test_003_22_a_customer_who_is_behind_is_told_of(house: House) -> None:
    id = await subscribed(house)
    assert await me(house, "isDelinquent") == {"isDelinquent": False}
    poor = await Shopper(house, CARD).save_card("pm_card_chargeCustomerFail")
    pin = {"subscriptionId": id, "paymentMethodId": poor}
    await done(
        house,
        "updateSubscriptionPaymentMethod",
        "UpdateSubscriptionPaymentMethodInput",
        pin,
        "subscription { id }",
        user=CARD,
    )
    house.pass_time(timedelta(days=28))
    await house.work()
    assert await me(house, "isDelinquent subscription { status }") == {
        "isDelinquent": True,
        "subscription": {"status": "PAST_DUE"},
    }


async def test_003_23_a_customers_discounts_are_told(house: House) -> None:
    await done(
        house,
        "createCoupon",
        "CouponInput",
        {"code": "TEN", "percentOff": "10", "duration": "FOREVER"},
        "coupon { id }",
    )
    await subscribed(house, couponCode="TEN")
    assert await me(house, "discounts { coupon { code } }") == {"discounts": [{"coupon": {"code": "TEN"}}]}


async def test_003_24_a_customers_default_card_is_told(house: House) -> None:
    assert await me(house, "defaultPaymentMethod { card { last4 } }") == {
        "defaultPaymentMethod": {"card": {"last4": "4242"}}
    }


async def test_003_25_a_customer_has_a_prefix_of_invoices_and_a_tax_number(house: House) -> None:
    await Merchant(house).customer("acme", businessVatId="SG123")
    told = await _customer(house, "invoicePrefix businessVatId", "acme")
    assert (len(told["invoicePrefix"]), told["businessVatId"]) == (10, "SG123")


async def test_003_26_an_account_may_have_wallet_and_network_ids(house: House) -> None:
    (account,) = (await me(house, "gatewayAccounts { platform networkReferenceId walletId }"))["gatewayAccounts"]
    assert account == {"platform": "SANDBOX", "networkReferenceId": None, "walletId": None}


async def test_003_27_cards_and_subscriptions_hang_on_the_customer(house: House) -> None:
    id = await subscribed(house)
    fields = "paymentMethods { totalCount pageInfo { hasNextPage } } subscriptions { nodes { id } }"
    assert await me(house, fields) == {
        "paymentMethods": {"totalCount": 1, "pageInfo": {"hasNextPage": False}},
        "subscriptions": {"nodes": [{"id": id}]},
    }


async def test_003_28_a_card_tells_category_picture_and_documents(house: House) -> None:
    told = await card_of(house, "category image supportingDocumentation")
    assert (told["category"], told["supportingDocumentation"]) == ("card", None)


async def test_003_29_what_waits_for_a_challenge_says_where_to_go(house: House) -> None:
    begun = await done(
        house, "createSetupIntent", "CreateSetupIntentInput", {}, "setupIntent { clientSecret }", user=NEW
    )
    wish = {"clientSecret": begun["setupIntent"]["clientSecret"], "cardNumber": ASKS_ALWAYS}
    fields = "setupIntent { status nextAction { type redirectUrl } }"
    told = (await done(house, "sandboxConfirmSetupIntent", "SandboxConfirmInput", wish, fields, user=NEW))[
        "setupIntent"
    ]
    assert (told["status"], told["nextAction"]["type"]) == ("REQUIRES_ACTION", "REDIRECT")
    assert "/sandbox/stripe/challenge/" in told["nextAction"]["redirectUrl"]
    assert (await card_of(house, "nextAction { type }"))["nextAction"] in (None, {"type": "NONE"})


async def test_003_30_a_card_tells_the_checks_of_issuer_and_code(house: House) -> None:
    assert await card_of(house, "card { acsCheck checks { cvc } }") == {
        "card": {"acsCheck": "UNCHECKED", "checks": {"cvc": "PASS"}}
    }


async def test_003_31_a_card_tells_what_its_first_digits_say(house: House) -> None:
    told = (await card_of(house, "card { bin { number brand type level countryCode } }"))["card"]["bin"]
    assert told == {"number": None, "brand": "visa", "type": "credit", "level": None, "countryCode": "US"}


async def test_003_32_a_card_tells_expiry_digits_name_and_fingerprint(house: House) -> None:
    name = {"paymentMethodId": (await card_of(house, "id"))["id"], "cardHolderName": "John Doe"}
    await done(house, "updatePaymentMethod", "UpdatePaymentMethodInput", name, "paymentMethod { id }", user=CARD)
    told = await card_of(house, "name card { expMonth last4 fingerprint }")
    assert (told["name"], told["card"]["last4"], len(told["card"]["fingerprint"])) == ("John Doe", "4242", 16)


async def test_003_33_a_product_is_made(house: House) -> None:
    told = await done(
        house,
        "createProduct",
        "ProductInput",
        {"name": "Acme Music Stream", "type": "SERVICE"},
        "product { name type }",
    )
    assert told["product"] == {"name": "Acme Music Stream", "type": "SERVICE"}


async def test_003_34_a_product_tells_everything_about_itself(house: House) -> None:
    wish = {
        "code": "turntable",
        "name": "Turntable",
        "type": "GOOD",
        "description": "Plays records.",
        "images": ["https://shop.example/turntable.png"],
        "attributes": ["color"],
        "skus": ["T-1"],
        "unitLabel": "piece",
        "statementDescriptor": "ACME TURNTABLE",
        "shippable": True,
        "packageDimensions": {"height": "12", "length": "45", "weight": "6.5", "width": "36"},
        "isActive": True,
        "metadata": {"shelf": 7},
    }
    fields = """code name type description images attributes skus unitLabel statementDescriptor shippable
      packageDimensions { height length weight width } isActive metadata"""
    told = await done(house, "createProduct", "ProductInput", wish, f"product {{ {fields} createdAt updatedAt }}")
    assert told["product"] == {**wish, "createdAt": "2026-01-31T09:30:00Z", "updatedAt": "2026-01-31T09:30:00Z"}


async def test_003_35_a_product_has_several_plans(house: House) -> None:
    told = await house.ask('{ product(code: "premium") { plans { nodes { code } } } }')
    assert told["product"]["plans"]["nodes"] == [{"code": "premium-monthly"}, {"code": "premium-yearly"}]


async def test_003_36_a_plan_is_made_with_amount_currency_and_interval(house: House) -> None:
    await Merchant(house).plan("stream", "3.00", "SGD", product="acme-music", nickname="Basic Streaming")
    assert await plan(
        house, "stream", "interval nickname usageType product { code } price { amount { formatted } }"
    ) == {
        "interval": "MONTH",
        "nickname": "Basic Streaming",
        "usageType": "LICENSED",
        "product": {"code": "acme-music"},
        "price": {"amount": {"formatted": "SGD3.00"}},
    }


METERED = {"usageType": "METERED", "aggregateUsage": "SUM", "featureCode": "minutes"}


async def test_003_37_a_plan_is_licensed_or_metered(house: House) -> None:
    await Merchant(house).plan("by-the-minute", "0.10", "SGD", **METERED)
    assert await plan(house, "by-the-minute", "usageType meteredFeature { code }") == {
        "usageType": "METERED",
        "meteredFeature": {"code": "minutes"},
    }


async def test_003_38_usage_becomes_one_number(house: House) -> None:
    for aggregation in ("SUM", "MAX", "LAST_DURING_PERIOD", "COUNT", "UNIQUE_COUNT"):
        code = aggregation.lower().replace("_", "-")
        await Merchant(house).plan(code, "0.10", "SGD", **{**METERED, "aggregateUsage": aggregation})
        assert await plan(house, code, "aggregateUsage") == {"aggregateUsage": aggregation}


TIERS = [{"upTo": 10, "unitAmount": "1.00"}, {"unitAmount": "0.50", "flatAmount": "2.00"}]


async def test_003_39_a_plan_is_priced_by_unit_or_in_tiers(house: House) -> None:
    assert await plan(house, "reader-pro", "billingScheme tiersMode") == {
        "billingScheme": "PER_UNIT",
        "tiersMode": None,
    }
    prices = [{"currencyCode": "SGD", "tiers": TIERS}]
    await Merchant(house).plan("tiered", "0", billingScheme="TIERED", tiersMode="GRADUATED", prices=prices)
    fields = "billingScheme tiersMode price { tiers { upTo unitAmount flatAmount { amount } } }"
    told = await plan(house, "tiered", fields)
    assert (told["billingScheme"], told["tiersMode"], [tier["upTo"] for tier in told["price"]["tiers"]]) == (
        "TIERED",
        "GRADUATED",
        [10, None],
    )


async def test_003_40_packages_are_divided_and_rounded(house: House) -> None:
    await Merchant(house).plan("dozens", "3.00", "SGD", transformUsage={"divideBy": 12, "round": "UP"})
    assert await plan(house, "dozens", "transformUsage { divideBy round }") == {
        "transformUsage": {"divideBy": 12, "round": "UP"}
    }
    told = await seen(house, await subscribed(house, plan="dozens", quantity=13), "amount { amountMinor }")
    assert told == {"amount": {"amountMinor": 600}}


async def test_003_41_a_plan_carries_free_days_counts_nickname_and_notes(house: House) -> None:
    more = {"trialPeriodDays": 14, "intervalCount": 3, "nickname": "Quarter", "metadata": {"a": 1}}
    await Merchant(house).plan("quarter", "9.00", "SGD", product="acme-music", **more)
    assert await plan(house, "quarter", "trialPeriodDays intervalCount nickname metadata product { code }") == {
        **more,
        "product": {"code": "acme-music"},
    }


BACK_END = """mutation ($input: SubscribeInput!) { subscribe(input: $input) {
  subscription { id status customer { user { id } } items { quantity plan { code } } collectionMethod daysUntilDue }
  userErrors { code message } } }"""


async def _by_back_end(house: House, **wish: Any) -> dict[str, Any]:
    secret = await secret_of_key(house, "act_for_customer", "read")
    customer = (await me(house, "id"))["id"]
    told = (await ask_with_key(house, secret, BACK_END, {"input": {"customerId": customer, **wish}}))["subscribe"]
    assert told["userErrors"] == []
    return told["subscription"]


async def test_003_42_the_back_end_subscribes_a_customer_to_items(house: House) -> None:
    card = (await card_of(house, "id"))["id"]
    told = await _by_back_end(house, items=[{"planCode": "basic-streaming", "quantity": 1}], paymentMethodId=card)
    assert (told["status"], told["customer"]["user"]["id"]) == ("ACTIVE", CARD)
    assert told["items"] == [{"quantity": 1, "plan": {"code": "basic-streaming"}}]


async def test_003_43_invoices_are_charged_or_sent(house: House) -> None:
    sent = await _by_back_end(house, planCode="basic-streaming", collectionMethod="SEND_INVOICE", daysUntilDue=14)
    assert (sent["collectionMethod"], sent["daysUntilDue"]) == ("SEND_INVOICE", 14)
    charged = await seen(house, await subscribed(house), "collectionMethod daysUntilDue")
    assert charged == {"collectionMethod": "CHARGE_AUTOMATICALLY", "daysUntilDue": None}


async def test_003_44_without_a_card_of_its_own_the_default_one_pays(house: House) -> None:
    told = await seen(house, await subscribed(house), "paymentMethod { id } effectivePaymentMethod { isDefault }")
    assert told == {"paymentMethod": None, "effectivePaymentMethod": {"isDefault": True}}


async def test_003_45_a_subscription_tells_its_anchor_and_period(house: House) -> None:
    told = await seen(house, await subscribed(house), "billingCycleAnchor createdAt currentPeriod { start end }")
    assert told == {
        "billingCycleAnchor": "2026-01-31T09:30:00Z",
        "createdAt": "2026-01-31T09:30:00Z",
        "currentPeriod": {"start": "2026-01-31T09:30:00Z", "end": "2026-02-28T09:30:00Z"},
    }


async def test_003_46_a_subscription_is_taxed(house: House) -> None:
    card = (await card_of(house, "id"))["id"]
    order = await _by_back_end(house, planCode="reader-pro", taxPercent="9", paymentMethodId=card)
    told = await seen(house, order["id"], "taxPercent invoices { nodes { taxTotal { amount } total { amount } } }")
    assert (told["taxPercent"], told["invoices"]["nodes"]) == (
        "9",
        [{"taxTotal": {"amount": "0.63"}, "total": {"amount": "7.63"}}],
    )


async def test_003_47_a_subscription_tells_how_and_when_it_ends(house: House) -> None:
    fields = (
        """status cancelAtPeriodEnd canceledAt endedAt trial { start end } discounts { coupon { code } } metadata"""
    )
    assert await seen(house, await subscribed(house), fields) == {
        "status": "ACTIVE",
        "cancelAtPeriodEnd": False,
        "canceledAt": None,
        "endedAt": None,
        "trial": None,
        "discounts": [],
        "metadata": {},
    }


async def test_003_48_items_tell_plan_quantity_and_notes(house: House) -> None:
    told = await seen(house, await subscribed(house), "items { id createdAt metadata quantity plan { code } }")
    (item,) = told["items"]
    assert item.pop("id").startswith("sbi_")
    assert item == {"createdAt": "2026-01-31T09:30:00Z", "metadata": {}, "quantity": 1, "plan": {"code": "reader-pro"}}


async def test_003_49_a_subscription_tells_customer_and_card(house: House) -> None:
    told = await seen(
        house, await subscribed(house), "customer { user { id } } effectivePaymentMethod { card { last4 } }"
    )
    assert told == {"customer": {"user": {"id": CARD}}, "effectivePaymentMethod": {"card": {"last4": "4242"}}}


async def test_003_50_staff_may_read_what_only_the_gateway_knows(house: House) -> None:
    id = await subscribed(house)
    assert await seen(house, id, "raw", ADMIN) is not None
    query = "query ($id: ID!) { subscription(id: $id) { raw } }"
    answer = (await house.post(query, {"id": id}, CARD)).json()
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["FORBIDDEN"]


async def test_003_51_a_term_may_end_on_a_fixed_day(house: House) -> None:
    card = (await card_of(house, "id"))["id"]
    order = await _by_back_end(house, planCode="reader-pro", endsAt="2026-03-15T00:00:00Z", paymentMethodId=card)
    assert await seen(house, order["id"], "endsAt") == {"endsAt": "2026-03-15T00:00:00Z"}
    for moment in (timedelta(days=28), timedelta(days=14, hours=14, minutes=30)):
        house.pass_time(moment)
        await house.work()
    assert await seen(house, order["id"], "status endedAt cancellation { reason }") == {
        "status": "CANCELED",
        "endedAt": "2026-03-15T00:00:00Z",
        "cancellation": {"reason": "TERM_ENDED"},
    }


async def test_003_52_amounts_follow_usage(house: House) -> None:
    await Merchant(house).plan("by-the-minute", "0.10", **METERED)
    id = await subscribed(house, plan="by-the-minute")
    secret = await secret_of_key(house, "record_usage")
    query = "mutation ($events: [UsageEventInput!]!) { recordUsage(events: $events) { accepted userErrors { code } } }"
    event = {"subscriptionId": id, "featureCode": "minutes", "quantity": "42", "idempotencyKey": "call"}
    await ask_with_key(house, secret, query, {"events": [event]})
    house.pass_time(timedelta(days=28))
    await house.work()
    assert (await seen(house, id, "latestPayment { amount { amount } }"))["latestPayment"] == {
        "amount": {"amount": "4.20"}
    }


async def test_003_53_a_hosted_page_subscribes(house: House) -> None:
    wish = {"planCode": "reader-pro", "returnUrl": "https://shop.example/done"}
    told = await done(house, "createCheckoutLink", "SubscribeInput", wish, "url expiresAt", user=NEW)
    page = await house.http.get(told["url"])
    assert (page.status_code, "Reader Pro" in page.text, "$7.00" in page.text) == (200, True, True)


async def test_003_54_what_is_due_at_a_periods_end_is_collected(house: House) -> None:
    id = await subscribed(house)
    house.pass_time(timedelta(days=28))
    await house.work()
    assert await seen(house, id, "totalPaid { amount } currentPeriod { start }") == {
        "totalPaid": {"amount": "14.00"},
        "currentPeriod": {"start": "2026-02-28T09:30:00Z"},
    }


async def test_003_55_the_sandbox_is_apart_from_live(house: House) -> None:
    assert await house.ask("{ serverInfo { livemode } gatewayConfig { platform } }") == {
        "serverInfo": {"livemode": False},
        "gatewayConfig": {"platform": "SANDBOX"},
    }


async def test_003_56_the_merchants_back_end_holds_the_doors(house: House) -> None:
    for query in (
        'mutation { createProduct(input: {name: "x"}) { userErrors { code } } }',
        'mutation { createPlan(input: {name: "x"}) { userErrors { code } } }',
        'mutation { createCustomer(input: {userId: "x"}) { userErrors { code } } }',
    ):
        answer = (await house.post(query, user=CARD)).json()
        assert [error["extensions"]["code"] for error in answer["errors"]] == ["FORBIDDEN"]
