"""Rows 000: subscribing by payment intent, saved cards, the default card."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from tests.scenarios.merchant import ADMIN, Merchant, do, done
from tests.scenarios.shopping import Shopper
from tests.schema.keys import ask_with_key, secret_of_key
from tests.sources.asking import CARD, NEW, card_of, codes, me, plan, seen, subscribed
from tests.support.house import House
from tests.support.outside import DECLINES, VISA, Browser

SAVE = "CreateSetupIntentInput"
SETUP = """setupIntent { gatewayId status usage clientSecret application cancellationReason description onBehalfOf
  paymentMethodTypes requestThreeDSecure livemode createdAt metadata nextAction { type } lastError { code }
  mandate { gatewayId } singleUseMandate { gatewayId } paymentMethod { id } customer { user { id } } __typename }"""


@pytest.fixture
def house(small_house: House) -> House:
    """What rows ask for does not depend on the engine; the stories beside them are told on both."""
    return small_house


async def _setup_intent(house: House) -> dict[str, Any]:
    return (await done(house, "createSetupIntent", SAVE, {}, SETUP, user=NEW))["setupIntent"]


async def test_000_01_customers_list_their_own_cards(house: House) -> None:
    data = await house.ask(
        "{ paymentMethods { nodes { card { last4 } } } me { paymentMethods { totalCount } } }", user=CARD
    )
    assert data == {
        "paymentMethods": {"nodes": [{"card": {"last4": "4242"}}]},
        "me": {"paymentMethods": {"totalCount": 1}},
    }


async def test_000_02_a_page_says_whether_more_follows(house: House) -> None:
    await Shopper(house, CARD).save_card("pm_card_mastercard")
    query = "{ paymentMethods(first: 1) { __typename nodes { __typename } pageInfo { hasNextPage } } }"
    assert (await house.ask(query, user=CARD))["paymentMethods"] == {
        "__typename": "PaymentMethodConnection",
        "nodes": [{"__typename": "PaymentMethod"}],
        "pageInfo": {"hasNextPage": True},
    }


async def test_000_03_ids_of_the_gateway_are_opaque_and_pay(house: House) -> None:
    gateway_id = (await card_of(house, "gatewayId"))["gatewayId"]
    told = await Shopper(house, CARD).subscribe(paymentMethodId=gateway_id)
    assert (codes(told), told["subscription"]["status"]) == ([], "ACTIVE")


async def test_000_04_and_the_holders_address_is_told(house: House) -> None:
    address = {
        "line1": "1 Main St",
        "line2": "Flat 2",
        "city": "Dubai",
        "state": "DU",
        "postalCode": "123",
        "countryCode": "AE",
    }
    given = {"paymentMethodId": (await card_of(house, "id"))["id"], "address": address}
    await done(house, "updatePaymentMethod", "UpdatePaymentMethodInput", given, "paymentMethod { id }", user=CARD)
    told = await card_of(house, "billingDetails { address { line1 line2 city state postalCode countryCode } }")
    assert told["billingDetails"]["address"] == address


async def test_000_05_billing_details_are_there_though_nothing_is_in_them(house: House) -> None:
    told = await card_of(house, "billingDetails { name email phone address { line1 } }")
    assert told["billingDetails"] == {"name": None, "email": None, "phone": None, "address": {"line1": None}}


async def _card(house: House, fields: str) -> dict[str, Any]:
    return (await card_of(house, f"card {{ {fields} }}"))["card"]


async def test_000_06_a_card_tells_brand_and_digits(house: House) -> None:
    assert await _card(house, "brand last4") == {"brand": "visa", "last4": "4242"}


async def test_000_07_a_card_tells_the_checks_of_its_bank(house: House) -> None:
    checks = (await _card(house, "checks { addressLine1 addressPostalCode cvc }"))["checks"]
    assert checks == {"addressLine1": "UNCHECKED", "addressPostalCode": "UNCHECKED", "cvc": "PASS"}


async def test_000_08_a_card_tells_its_country(house: House) -> None:
    assert await _card(house, "countryCode") == {"countryCode": "US"}


async def test_000_09_a_card_tells_when_it_expires_and_warns(house: House) -> None:
    told = await card_of(house, "isExpiringSoon card { expMonth expYear }")
    year, month = told["card"]["expYear"], told["card"]["expMonth"]
    assert (told["isExpiringSoon"], 1 <= month <= 12, year > house.clock.now().year) == (False, True, True)
    soon = {"paymentMethodId": (await card_of(house, "id"))["id"], "expMonth": 2, "expYear": 2026}
    await done(house, "updatePaymentMethod", "UpdatePaymentMethodInput", soon, "paymentMethod { id }", user=CARD)
    assert await card_of(house, "isExpiringSoon card { expMonth expYear }") == {
        "isExpiringSoon": True,
        "card": {"expMonth": 2, "expYear": 2026},
    }


async def test_000_10_one_number_has_one_fingerprint(house: House) -> None:
    first = (await _card(house, "fingerprint"))["fingerprint"]
    await Shopper(house, CARD).save_card("pm_card_visa")
    await Shopper(house, NEW).save_card("pm_card_mastercard")
    assert (await _card(house, "fingerprint"))["fingerprint"] == first
    other = (await card_of(house, "card { fingerprint }", user=NEW))["card"]["fingerprint"]
    assert len(first) == len(other) == 16
    assert first != other


async def test_000_11_a_card_tells_its_funding(house: House) -> None:
    assert await _card(house, "funding") == {"funding": "CREDIT"}


async def test_000_12_a_card_tells_what_it_was_made_from(house: House) -> None:
    assert await _card(house, "generatedFrom") == {"generatedFrom": None}


async def test_000_13_a_card_tells_its_networks(house: House) -> None:
    assert await _card(house, "networks { available preferred }") == {
        "networks": {"available": ["visa"], "preferred": None}
    }


async def test_000_14_a_card_tells_whether_it_can_be_challenged(house: House) -> None:
    assert await _card(house, "threeDSecureSupported") == {"threeDSecureSupported": True}


async def test_000_15_a_card_tells_its_wallet(house: House) -> None:
    assert await _card(house, "wallet") == {"wallet": None}


async def test_000_16_a_card_tells_when_and_for_whom_it_was_saved(house: House) -> None:
    told = await card_of(
        house, "__typename type livemode metadata createdAt customer { gatewayAccounts { customerId } }"
    )
    (account,) = told.pop("customer")["gatewayAccounts"]
    assert account["customerId"].startswith("cus_")
    assert told == {
        "__typename": "PaymentMethod",
        "type": "card",
        "livemode": False,
        "metadata": {},
        "createdAt": "2026-01-31T09:30:00Z",
    }


async def test_000_17_a_customer_subscribes_to_a_plan(house: House) -> None:
    told = await seen(house, await subscribed(house), "status plan { code } customer { user { id } }")
    assert told == {"status": "ACTIVE", "plan": {"code": "reader-pro"}, "customer": {"user": {"id": CARD}}}


ANSWER = """subscription { id status interval plan { code item interval } }
  payment { number intent { paymentMethod { id } } }
  paymentIntent { gatewayId clientSecret setupFutureUsage createdAt paymentMethod { id }
    customer { user { id } gatewayAccounts { customerId } } }
  nextAction { type }"""


async def _subscribe(house: House, user: str, **wish: Any) -> dict[str, Any]:
    return await do(house, "subscribe", "SubscribeInput", {"planCode": "reader-pro", **wish}, ANSWER, user=user)


async def test_000_18_a_saved_card_pays_at_once_and_the_answer_names_it(house: House) -> None:
    card = (await card_of(house, "id"))["id"]
    told = await _subscribe(house, CARD, paymentMethodId=card)
    assert codes(told) == []
    assert (told["subscription"]["status"], told["paymentIntent"]["paymentMethod"]) == ("ACTIVE", {"id": card})


async def test_000_19_without_a_card_the_browser_confirms(house: House) -> None:
    told = await _subscribe(house, NEW)
    assert (told["paymentIntent"]["paymentMethod"], told["nextAction"]["type"]) == (None, "CONFIRM_WITH_SDK")
    answer = await Browser(house).confirm(told["paymentIntent"]["clientSecret"], VISA)
    assert answer.json()["status"] == "succeeded"
    await house.deliver()
    assert (await me(house, "subscription { status } paymentMethods { totalCount }", NEW)) == {
        "subscription": {"status": "ACTIVE"},
        "paymentMethods": {"totalCount": 0},
    }


async def test_000_20_the_card_that_the_browser_confirms_is_kept(house: House) -> None:
    told = await _subscribe(house, NEW, setupFutureUsage="OFF_SESSION")
    assert told["paymentIntent"]["setupFutureUsage"] == "OFF_SESSION"
    await Browser(house).confirm(told["paymentIntent"]["clientSecret"], VISA)
    await house.deliver()
    assert (await card_of(house, "isDefault card { last4 }", NEW)) == {"isDefault": True, "card": {"last4": "4242"}}


async def test_000_21_a_refusal_is_told_in_words_that_can_be_shown(house: House) -> None:
    told = await _subscribe(house, NEW)
    await Browser(house).confirm(told["paymentIntent"]["clientSecret"], DECLINES)
    await house.deliver()
    fields = "latestPayment { status intent { status lastError { code declineCode message isRetryable } } }"
    payment = (await seen(house, told["subscription"]["id"], fields, NEW))["latestPayment"]
    assert payment["intent"] == {
        "status": "REQUIRES_PAYMENT_METHOD",
        "lastError": {
            "code": "card_declined",
            "declineCode": "generic_decline",
            "message": "Your card was declined.",
            "isRetryable": True,
        },
    }
    poor = await Shopper(house, NEW).save_card("pm_card_chargeCustomerFail")
    refused = await _subscribe(house, NEW, planCode="premium-monthly", paymentMethodId=poor)
    assert codes(refused) == ["CARD_DECLINED"]
    assert refused["userErrors"][0]["message"] == "Your card was declined. Try again later, or use another card."


async def test_000_22_payments_are_numbered(house: House) -> None:
    first = (await _subscribe(house, NEW))["payment"]["number"]
    second = (await _subscribe(house, NEW, planCode="premium-monthly"))["payment"]["number"]
    assert (type(first), second) == (int, first + 1)


async def test_000_23_the_answer_names_intent_customer_and_user(house: House) -> None:
    intent = (await _subscribe(house, NEW))["paymentIntent"]
    (account,) = intent["customer"]["gatewayAccounts"]
    assert intent["gatewayId"].startswith("pi_")
    assert intent["clientSecret"].startswith(intent["gatewayId"] + "_secret_")
    assert account["customerId"].startswith("cus_")
    assert (intent["customer"]["user"], intent["createdAt"]) == ({"id": NEW}, "2026-01-31T09:30:00Z")
    assert (intent["setupFutureUsage"], intent["paymentMethod"]) == (None, None)


async def test_000_24_the_periods_unit_stands_on_plan_and_subscription(house: House) -> None:
    told = (await _subscribe(house, NEW))["subscription"]
    assert (told["interval"], told["plan"]["interval"]) == ("MONTH", "MONTH")


async def test_000_25_a_plan_is_found_by_its_public_name(house: House) -> None:
    found = await plan(house, "reader-pro", "id code")
    by_id = await house.ask("query ($id: ID!) { plan(id: $id) { code } }", {"id": found["id"]})
    assert by_id["plan"] == {"code": "reader-pro"}


async def test_000_26_a_plan_tells_what_the_merchants_system_calls_it(house: House) -> None:
    assert await plan(house, "reader-pro", "item product { code }") == {
        "item": "reader-pro",
        "product": {"code": "reader-pro"},
    }


async def test_000_27_a_plan_may_be_highlighted(house: House) -> None:
    assert await plan(house, "reader-pro", "highlight") == {"highlight": None}
    await Merchant(house).plan("loud", "5.00", highlight="Popular")
    assert await plan(house, "loud", "highlight") == {"highlight": "Popular"}


async def test_000_28_a_plan_tells_its_price(house: House) -> None:
    told = await plan(house, "reader-pro", "price { currencyCode amount { amount amountMinor } }")
    assert told["price"] == {"currencyCode": "USD", "amount": {"amount": "7.00", "amountMinor": 700}}


async def test_000_29_a_plan_tells_its_price_in_another_currency(house: House) -> None:
    told = await plan(house, "reader-pro", 'price(currencyCode: "CNY") { amount { amount amountMinor } }')
    assert told["price"] == {"amount": {"amount": "101.00", "amountMinor": 10100}}


async def test_000_30_a_plan_is_described(house: House) -> None:
    assert await plan(house, "reader-pro", "description") == {"description": "Every book, every month."}


async def test_000_31_a_plan_that_is_not_on_sale_is_refused_to_customers(house: House) -> None:
    await Merchant(house).plan("backdoor", "5.00", isOnlineSale=False)
    assert codes(await _subscribe(house, CARD, planCode="backdoor")) == ["PLAN_NOT_FOR_SALE"]
    listed = await house.ask("{ plans(filter: {isOnlineSale: false}) { nodes { code isOnlineSale } } }")
    assert listed["plans"]["nodes"] == [{"code": "backdoor", "isOnlineSale": False}]


async def test_000_32_a_plan_may_say_that_its_subscriptions_end_with_their_period(house: House) -> None:
    await Merchant(house).plan("once", "5.00", cancelAtPeriodEnd=True)
    id = await subscribed(house, plan="once")
    told = await seen(house, id, "cancelAtPeriodEnd endsAt currentPeriod { end } plan { cancelAtPeriodEnd }")
    end = told["currentPeriod"]["end"]
    assert told == {
        "cancelAtPeriodEnd": True,
        "endsAt": end,
        "currentPeriod": {"end": end},
        "plan": {"cancelAtPeriodEnd": True},
    }


async def test_000_33_paying_grants_a_role_of_the_application(house: House) -> None:
    assert await me(house, "role { id code }") == {"role": None}
    await subscribed(house)
    assert await me(house, "role { id code name } roleEndsAt entitlements { role { id } }") == {
        "role": {"id": 20, "code": "reader", "name": "Reader"},
        "roleEndsAt": None,
        "entitlements": {"role": {"id": 20}},
    }


async def test_000_34_a_card_can_be_saved_without_a_charge(house: House) -> None:
    assert (await _setup_intent(house))["status"] == "REQUIRES_PAYMENT_METHOD"


async def test_000_35_the_saving_tells_what_it_is_and_whose(house: House) -> None:
    told = await _setup_intent(house)
    assert told["gatewayId"].startswith("seti_")
    assert {
        name: told[name] for name in ("__typename", "createdAt", "customer", "livemode", "metadata", "description")
    } == {
        "__typename": "SetupIntent",
        "createdAt": "2026-01-31T09:30:00Z",
        "customer": {"user": {"id": NEW}},
        "livemode": False,
        "metadata": {},
        "description": None,
    }


async def test_000_36_the_saving_tells_who_asks_and_for_whom(house: House) -> None:
    told = await _setup_intent(house)
    assert (told["application"], told["onBehalfOf"]) == (None, None)


async def test_000_37_the_saving_tells_its_end_its_error_and_what_comes_next(house: House) -> None:
    told = await _setup_intent(house)
    assert (told["cancellationReason"], told["lastError"]) == (None, None)
    assert told["nextAction"] == {"type": "CONFIRM_WITH_SDK"}


async def test_000_38_the_secret_is_its_owners(house: House) -> None:
    told = await _setup_intent(house)
    assert told["clientSecret"].startswith(told["gatewayId"] + "_secret_")
    foreign = {"clientSecret": told["clientSecret"], "cardNumber": VISA}
    refused = await do(
        house, "sandboxConfirmSetupIntent", "SandboxConfirmInput", foreign, "setupIntent { id }", user=CARD
    )
    assert (codes(refused), refused["setupIntent"]) == (["NOT_FOUND"], None)


async def test_000_39_the_saving_tells_its_mandates(house: House) -> None:
    told = await _setup_intent(house)
    assert (told["mandate"], told["singleUseMandate"]) == (None, None)


async def test_000_40_the_saving_tells_its_card_and_the_kinds(house: House) -> None:
    told = await _setup_intent(house)
    assert (told["paymentMethod"], told["paymentMethodTypes"]) == (None, ["card"])


async def test_000_41_the_saving_tells_when_the_bank_challenges(house: House) -> None:
    assert (await _setup_intent(house))["requestThreeDSecure"] == "automatic"


async def test_000_42_the_saving_tells_its_status(house: House) -> None:
    secret = (await _setup_intent(house))["clientSecret"]
    told = await done(
        house,
        "sandboxConfirmSetupIntent",
        "SandboxConfirmInput",
        {"clientSecret": secret, "cardNumber": VISA},
        "setupIntent { status }",
        user=NEW,
    )
    assert told["setupIntent"] == {"status": "SUCCEEDED"}


async def test_000_43_the_saving_tells_what_for(house: House) -> None:
    assert (await _setup_intent(house))["usage"] == "OFF_SESSION"
    told = await done(house, "createSetupIntent", SAVE, {"usage": "ON_SESSION"}, "setupIntent { usage }", user=NEW)
    assert told["setupIntent"] == {"usage": "ON_SESSION"}


async def test_000_44_the_browser_confirms_the_saving(house: House) -> None:
    config = (await house.ask("{ gatewayConfig { publishableKey platform } }"))["gatewayConfig"]
    assert config == {"publishableKey": "pk_test_sandbox", "platform": "SANDBOX"}
    answer = await Browser(house).confirm((await _setup_intent(house))["clientSecret"], VISA)
    assert answer.json()["status"] == "succeeded"


async def test_000_45_a_confirmed_card_is_bound_to_its_customer(house: House) -> None:
    confirmed = (await Browser(house).confirm((await _setup_intent(house))["clientSecret"], VISA)).json()
    given = {"paymentMethodId": confirmed["payment_method"]}
    fields = "paymentMethod { gatewayId type card { brand last4 } customer { user { id } } metadata }"
    told = await done(house, "attachPaymentMethod", "AttachPaymentMethodInput", given, fields, user=NEW)
    assert told["paymentMethod"] == {
        "gatewayId": confirmed["payment_method"],
        "type": "card",
        "card": {"brand": "visa", "last4": "4242"},
        "customer": {"user": {"id": NEW}},
        "metadata": {},
    }


CHOOSE = "SetDefaultPaymentMethodInput"


async def test_000_46_a_customer_chooses_the_card_that_pays(house: House) -> None:
    second = await Shopper(house, CARD).save_card("pm_card_mastercard")
    await done(house, "setDefaultPaymentMethod", CHOOSE, {"paymentMethodId": second}, "customer { id }", user=CARD)
    assert (await me(house, "defaultPaymentMethod { card { brand } }")) == {
        "defaultPaymentMethod": {"card": {"brand": "mastercard"}}
    }


async def test_000_47_only_an_own_and_confirmed_card_can_be_chosen(house: House) -> None:
    foreign = await Shopper(house, NEW).save_card("pm_card_mastercard")
    for id in (foreign, "pm_card_visa_debit", "pmd_" + "0" * 32):
        told = await do(house, "setDefaultPaymentMethod", CHOOSE, {"paymentMethodId": id}, "customer { id }", user=CARD)
        assert (codes(told), told["customer"]) == (["NOT_FOUND"], None)
    assert (await me(house, "defaultPaymentMethod { card { brand } }")) == {
        "defaultPaymentMethod": {"card": {"brand": "visa"}}
    }


async def test_000_48_the_answer_shows_the_chosen_card_as_the_default(house: House) -> None:
    second = await Shopper(house, CARD).save_card("pm_card_mastercard")
    fields = "customer { defaultPaymentMethod { id } } paymentMethod { id isDefault }"
    told = await done(house, "setDefaultPaymentMethod", CHOOSE, {"paymentMethodId": second}, fields, user=CARD)
    assert told["customer"] == {"defaultPaymentMethod": {"id": second}}
    assert told["paymentMethod"] == {"id": second, "isDefault": True}


async def test_000_49_the_daily_run_charges_those_who_renew(house: House) -> None:
    renews = await subscribed(house)
    stops = await subscribed(house, plan="premium-monthly")
    given = {"subscriptionId": stops, "autoRenew": False}
    await done(house, "updateSubscription", "UpdateSubscriptionInput", given, "subscription { id }", user=CARD)
    house.pass_time(timedelta(days=28))
    run = "run { renewed charged totals { formatted } items { nodes { subscription { id } outcome } } }"
    query = f"mutation {{ runBilling(dryRun: false) {{ {run} userErrors {{ code }} }} }}"
    told = (await house.ask(query, user=ADMIN))["runBilling"]
    assert (codes(told), told["run"]["renewed"], told["run"]["charged"]) == ([], 1, 1)
    assert told["run"]["totals"] == [{"formatted": "$7.00"}]
    assert (await seen(house, stops, "status cancelAtPeriodEnd")) == {"status": "CANCELED", "cancelAtPeriodEnd": True}
    assert (await seen(house, renews, "status latestPayment { paymentMethod { isDefault } }")) == {
        "status": "ACTIVE",
        "latestPayment": {"paymentMethod": {"isDefault": True}},
    }


PROFILE = "id uuid name email image locale user { id displayName username accountId }"


async def test_000_50_the_profile_tells_who_it_is(house: House) -> None:
    told = await me(house, PROFILE)
    assert told.pop("id") == f"cst_{UUID(told.pop('uuid')).hex}"
    assert told == {
        "name": "Dana Card",
        "email": "demo-card@example.com",
        "image": None,
        "locale": "en",
        "user": {"id": CARD, "displayName": "Dana Card", "username": None, "accountId": None},
    }


async def test_000_51_a_role_has_a_code_a_number_and_an_end(house: House) -> None:
    id = await subscribed(house)
    assert await me(house, "role { code id } roleEndsAt") == {"role": {"code": "reader", "id": 20}, "roleEndsAt": None}
    given = {"subscriptionId": id}
    await done(house, "cancelSubscription", "CancelSubscriptionInput", given, "subscription { id }", user=CARD)
    assert await me(house, "roleEndsAt") == {"roleEndsAt": "2026-02-28T09:30:00Z"}


CAPACITIES = {"capacity": 3, "mine_capacity": 3, "share_capacity": 3, "resource_capacity": 0, "length": 1000}
COUNTERS = ("resource_len", "simple_count", "traditional_count", "share_simple_count", "share_traditional_count")


async def _with_capacities(house: House) -> str:
    limits = [{"featureCode": code, "limit": limit} for code, limit in CAPACITIES.items()]
    unlimited = [{"featureCode": code} for code in COUNTERS]
    await Merchant(house).plan("writer", "7.00", entitlements=limits + unlimited)
    return await subscribed(house, plan="writer")


async def test_000_52_capacities_are_limits_of_features(house: House) -> None:
    await _with_capacities(house)
    told = await me(house, "entitlements { items { feature { code } limit } }")
    found = {item["feature"]["code"]: item["limit"] for item in told["entitlements"]["items"]}
    assert {code: found[code] for code in CAPACITIES} == CAPACITIES


async def test_000_53_counters_are_what_was_used(house: House) -> None:
    id = await _with_capacities(house)
    secret = await secret_of_key(house, "record_usage")
    query = "mutation ($events: [UsageEventInput!]!) { recordUsage(events: $events) { accepted userErrors { code } } }"
    events = [
        {"subscriptionId": id, "featureCode": code, "quantity": str(n), "idempotencyKey": code}
        for n, code in enumerate(COUNTERS, 1)
    ]
    assert (await ask_with_key(house, secret, query, {"events": events}))["recordUsage"] == {
        "accepted": 5,
        "userErrors": [],
    }
    told = await me(house, "entitlements { items { feature { code } used } }")
    used = {item["feature"]["code"]: item["used"] for item in told["entitlements"]["items"]}
    assert [used[code] for code in COUNTERS] == [1, 2, 3, 4, 5]


async def test_000_54_whether_a_trial_was_used_is_told(house: House) -> None:
    assert await me(house, "hasUsedTrial") == {"hasUsedTrial": False}
    await subscribed(house, plan="basic-monthly")
    assert await me(house, "hasUsedTrial") == {"hasUsedTrial": True}


async def test_000_55_what_the_shop_notes_of_a_customer_is_told(house: House) -> None:
    blank = {"salesCode": None, "onboarded": False, "isValuedCustomerCouponSent": False}
    assert await me(house, "salesCode onboarded isValuedCustomerCouponSent") == blank
    noted = {"salesCode": "S-7", "onboarded": True, "isValuedCustomerCouponSent": True}
    id = await Merchant(house).customer("noted", **noted)
    data = await house.ask(
        "query ($id: ID!) { customer(by: {id: $id}) { salesCode onboarded isValuedCustomerCouponSent } }",
        {"id": id},
        ADMIN,
    )
    assert data["customer"] == noted


async def test_000_56_the_application_keeps_preferences_with_the_customer(house: House) -> None:
    preferences = {"charset": "s", "levelsystem": 1}
    id = await Merchant(house).customer("choosy", metadata=preferences)
    data = await house.ask("query ($id: ID!) { customer(by: {id: $id}) { metadata } }", {"id": id}, ADMIN)
    assert data["customer"] == {"metadata": preferences}


async def test_000_57_whether_it_ends_with_its_period_stands_on_the_customer(house: House) -> None:
    assert await me(house, "cancelAtPeriodEnd") == {"cancelAtPeriodEnd": None}
    id = await subscribed(house)
    assert await me(house, "cancelAtPeriodEnd") == {"cancelAtPeriodEnd": False}
    await done(
        house, "cancelSubscription", "CancelSubscriptionInput", {"subscriptionId": id}, "subscription { id }", user=CARD
    )
    assert await me(house, "cancelAtPeriodEnd") == {"cancelAtPeriodEnd": True}


async def test_000_58_the_payment_that_last_succeeded_is_told(house: House) -> None:
    assert await me(house, "lastSucceededPayment { id }") == {"lastSucceededPayment": None}
    await subscribed(house)
    told = (await me(house, "lastSucceededPayment { status intent { gatewayId status } }"))["lastSucceededPayment"]
    assert told["intent"].pop("gatewayId").startswith("pi_")
    assert told == {"status": "SUCCEEDED", "intent": {"status": "SUCCEEDED"}}


async def test_000_59_what_was_created_is_visible_in_the_answer(house: House) -> None:
    query = "mutation { createSetupIntent(input: {}) { setupIntent { id } userErrors { code } } }"
    answer = await house.post(query, user=NEW)
    assert (answer.status_code, answer.json()["data"]["createSetupIntent"]["userErrors"]) == (200, [])
    assert answer.json()["data"]["createSetupIntent"]["setupIntent"]["id"].startswith("stp_")


async def test_000_60_refusals_are_data_with_a_sentence(house: House) -> None:
    told = await _subscribe(house, CARD, planCode="none")
    assert codes(told) == ["NOT_FOUND"]
    assert told["userErrors"][0]["field"] == ["planCode"]
    assert told["userErrors"][0]["message"].endswith(".")


async def test_000_61_everything_acts_on_whoever_is_signed_in(house: House) -> None:
    await subscribed(house)
    data = await house.ask("{ me { user { id } } mySubscription { customer { user { id } } } }", user=CARD)
    assert data == {"me": {"user": {"id": CARD}}, "mySubscription": {"customer": {"user": {"id": CARD}}}}
    assert await house.ask("{ me { id } mySubscription { id } }", user=NEW) == {"me": None, "mySubscription": None}
    answer = (await house.post("{ me { id } }")).json()
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["UNAUTHENTICATED"]
