"""Rows 001: manual subscriptions, coupons, credits, coffee by the cup."""

from datetime import timedelta
from typing import Any

import pytest

from tests.scenarios.by_hand import DELETE, YEAR_OF_COFFEE, write_down
from tests.scenarios.merchant import ADMIN, Merchant, do, done
from tests.scenarios.shopping import Shopper
from tests.schema.keys import ask_with_key, secret_of_key
from tests.sources.asking import CARD, NEW, card_of, codes, seen, subscribed
from tests.support.house import House
from tests.support.outside import dashboard

LIVE = {"periodStart": "2026-01-31", "periodEnd": "2027-01-31"}
"""The example's year, moved to the present."""
CREDITS = "creditBalances { unit dailyAllowance remainingToday totalGranted remaining isFixed isExhausted }"


@pytest.fixture
def house(small_house: House) -> House:
    """What rows ask for does not depend on the engine; the stories beside them are told on both."""
    return small_house


async def _manual(house: House, fields: str, **changes: Any) -> dict[str, Any]:
    """Those fields of the example, written down with these changes."""
    told = await write_down(house, **{**LIVE, **changes})
    assert told["userErrors"] == [], told["userErrors"]
    return await seen(house, told["subscription"]["id"], fields, ADMIN)


async def _credits(house: House, **changes: Any) -> dict[str, dict[str, Any]]:
    told = await _manual(house, CREDITS, **changes)
    return {balance.pop("unit"): balance for balance in told["creditBalances"]}


async def test_001_01_a_subscription_that_was_agreed_on_elsewhere_is_written_down(house: House) -> None:
    told = await _manual(house, "origin status isActive plan { code }")
    plan = {"code": "classic-coffee-yearly"}
    assert told == {"origin": "MANUAL", "status": "ACTIVE", "isActive": True, "plan": plan}


async def test_001_02_a_customer_is_known_by_the_merchants_own_key(house: House) -> None:
    await _manual(house, "id")
    found = await house.ask('{ customer(by: {externalId: "user_kid"}) { externalId } }', user=ADMIN)
    assert found["customer"] == {"externalId": "user_kid"}


async def test_001_03_a_subscription_has_a_name(house: House) -> None:
    assert await _manual(house, "name") == {"name": "Installment Subscription"}


async def test_001_04_credits_have_a_daily_allowance(house: House) -> None:
    cups = (await _credits(house))["classic_coffee"]
    assert (cups["dailyAllowance"], cups["remainingToday"]) == (1, 1)


async def test_001_05_credits_have_a_total(house: House) -> None:
    cups = (await _credits(house))["specialty_coffee"]
    assert (cups["totalGranted"], cups["remaining"]) == (365, 365)


async def test_001_06_a_total_is_daily_times_days_unless_it_is_given(house: House) -> None:
    allowances = [{"unit": "classic_coffee", "daily": 2}, {"unit": "specialty_coffee", "daily": 2, "total": 60}]
    found = await _credits(house, credits=allowances)
    assert {unit: cups["totalGranted"] for unit, cups in found.items()} == {
        "classic_coffee": 730,
        "specialty_coffee": 60,
    }


async def test_001_07_periods_are_yearly_or_monthly(house: House) -> None:
    assert await _manual(house, "interval") == {"interval": "YEAR"}
    monthly = {"planCode": "specialty-coffee-monthly", "interval": "MONTH", "periodEnd": "2026-02-28"}
    assert await _manual(house, "interval", subscriptionId="another", **monthly) == {"interval": "MONTH"}


async def test_001_08_fixed_credits_are_granted_once(house: House) -> None:
    assert (await _credits(house))["classic_coffee"]["isFixed"] is False
    again = {"subscriptionId": "fixed", "customer": {"externalId": "other_kid"}, "isFixedCredit": True}
    assert (await _credits(house, **again))["classic_coffee"]["isFixed"] is True


async def test_001_09_it_can_be_written_down_as_not_active(house: House) -> None:
    assert await _manual(house, "status isActive", isActive=False) == {"status": "PAUSED", "isActive": False}


CONSUME = "mutation ($input: CreditInput!) { consumeCredits(input: $input) { userErrors { code } } }"


async def test_001_10_credits_can_be_written_down_as_used_up(house: House) -> None:
    told = await _manual(house, f"id {CREDITS}", isOutOfCredits=True)
    assert [(cups["remaining"], cups["isExhausted"]) for cups in told["creditBalances"]] == [(0, True)] * 2
    secret = await secret_of_key(house, "record_usage")
    cup = {"subscriptionId": told["id"], "unit": "classic_coffee", "quantity": 1, "idempotencyKey": "cup"}
    assert codes((await ask_with_key(house, secret, CONSUME, {"input": cup}))["consumeCredits"]) == ["OUT_OF_CREDITS"]


async def test_001_11_the_caller_chooses_the_subscriptions_own_id(house: House) -> None:
    assert await _manual(house, "externalId") == {"externalId": "subscription_givin_id"}
    again = await write_down(house, **LIVE, planCode="specialty-coffee-yearly")
    assert (codes(again), again["subscription"]) == (["ALREADY_EXISTS"], None)


async def test_001_12_a_free_text_says_how_it_was_paid(house: House) -> None:
    told = await _manual(house, "latestPayment { platform gatewayPaymentId }")
    assert told["latestPayment"] == {"platform": "MANUAL", "gatewayPaymentId": "971525619098_2021-11-20_17--15--33"}


async def test_001_13_its_period_is_given_in_days(house: House) -> None:
    past = await _manual(house, "status currentPeriod { start end }", periodStart="2021-11-20", periodEnd="2022-11-20")
    assert past == {
        "status": "CANCELED",
        "currentPeriod": {"start": "2021-11-20T00:00:00Z", "end": "2022-11-20T00:00:00Z"},
    }
    same = {"subscriptionId": "same", "periodStart": "2005-10-21", "periodEnd": "2005-10-21"}
    assert await _manual(house, "status", **same) == {"status": "CANCELED"}


async def test_001_14_what_was_due_and_what_was_paid_are_written_down(house: House) -> None:
    told = await _manual(house, "latestPayment { amountDue { amount } amountPaid { amount } paidOutOfBand }")
    assert told["latestPayment"] == {
        "amountDue": {"amount": "0.00"},
        "amountPaid": {"amount": "3540.00"},
        "paidOutOfBand": True,
    }


async def test_001_15_it_is_withdrawn_and_not_destroyed(house: House) -> None:
    id = (await _manual(house, "id"))["id"]
    assert codes((await house.ask(DELETE, {"id": id}, ADMIN))["deleteManualSubscription"]) == []
    assert await seen(house, id, "isArchived isActive latestPayment { amountPaid { amount } }", ADMIN) == {
        "isArchived": True,
        "isActive": False,
        "latestPayment": {"amountPaid": {"amount": "3540.00"}},
    }


LISTED = "query ($filter: SubscriptionFilter) { subscriptions(filter: $filter) { nodes { externalId } } }"


async def test_001_16_they_are_listed_by_own_id_and_customer(house: House) -> None:
    customer = (await _manual(house, "customer { id }"))["customer"]["id"]
    await _manual(house, "id", subscriptionId="another", customer={"externalId": "other_kid"})
    await subscribed(house)
    for narrowed in ({"externalId": "subscription_givin_id"}, {"customerId": customer}):
        told = await house.ask(LISTED, {"filter": {"origin": ["MANUAL"], **narrowed}}, ADMIN)
        assert told["subscriptions"]["nodes"] == [{"externalId": "subscription_givin_id"}]


OFFER: dict[str, Any] = {
    "code": "coupon_unique_code_name",
    "percentOff": "25",
    "maxRedemptions": 1,
    "expiresAt": "2026-11-30T00:00:00Z",
    "appliesToProductCodes": ["classic_coffee", "specialty_coffee"],
    "interval": "MONTH",
}
COUPON = """coupon { code percentOff maxRedemptions timesRedeemed expiresAt interval isActive status isArchived
  appliesTo { code } platform gatewayId }"""


async def _coupon(house: House, **changes: Any) -> dict[str, Any]:
    return await do(house, "createCoupon", "CouponInput", {**OFFER, **changes}, COUPON)


async def _update_coupon(house: House, code: str, **changes: Any) -> dict[str, Any]:
    query = f"""mutation ($code: String!, $input: CouponInput!) {{
      updateCoupon(code: $code, input: $input) {{ {COUPON} userErrors {{ code }} }} }}"""
    return (await house.ask(query, {"code": code, "input": changes}, ADMIN))["updateCoupon"]


async def _buy(house: House, user: str = CARD, **wish: Any) -> dict[str, Any]:
    shopper = Shopper(house, user)
    card = await shopper.default_card()
    given = {"planCode": "classic-coffee-monthly", "paymentMethodId": card, **wish}
    fields = """subscription { id name status amount { amountMinor } items { quantity plan { code } } interval
      creditBalances { unit dailyAllowance } discounts { coupon { code } promotionCode { code } } }"""
    return await do(house, "subscribe", "SubscribeInput", given, fields, user=user)


async def test_001_17_coupons_are_listed(house: House) -> None:
    await _coupon(house)
    told = await house.ask("{ coupons { totalCount nodes { code } } }", user=ADMIN)
    assert told["coupons"] == {"totalCount": 1, "nodes": [{"code": OFFER["code"]}]}


async def test_001_18_a_coupon_is_withdrawn_by_its_code(house: House) -> None:
    await _coupon(house)
    query = f"mutation ($code: String!) {{ deleteCoupon(code: $code) {{ {COUPON} userErrors {{ code }} }} }}"
    told = (await house.ask(query, {"code": OFFER["code"]}, ADMIN))["deleteCoupon"]
    assert (codes(told), told["coupon"]["isArchived"]) == ([], True)
    assert (await house.ask("{ coupons { nodes { code } } }", user=ADMIN))["coupons"]["nodes"] == []
    assert codes(await _buy(house, couponCode=OFFER["code"])) == ["COUPON_INVALID"]


async def test_001_19_a_coupon_is_switched_and_its_interval_changed(house: House) -> None:
    await _coupon(house)
    told = await _update_coupon(house, OFFER["code"], isActive=False, interval="YEAR")
    assert codes(told) == []
    found = {name: told["coupon"][name] for name in ("isActive", "interval", "percentOff", "status")}
    assert found == {"isActive": False, "interval": "YEAR", "percentOff": "25", "status": "INACTIVE"}
    assert codes(await _buy(house, couponCode=OFFER["code"])) == ["COUPON_INVALID"]


async def test_001_20_a_coupon_is_made(house: House) -> None:
    told = await _coupon(house)
    assert codes(told) == []
    assert told["coupon"]["code"] == "coupon_unique_code_name"


async def test_001_21_its_code_is_unique(house: House) -> None:
    await _coupon(house)
    assert codes(await _coupon(house)) == ["ALREADY_EXISTS"]


async def test_001_22_it_takes_off_per_cent(house: House) -> None:
    await _coupon(house)
    told = await _buy(house, couponCode=OFFER["code"])
    assert (codes(told), told["subscription"]["amount"]) == ([], {"amountMinor": 3675})


async def test_001_23_it_may_be_redeemed_so_often_and_no_more(house: House) -> None:
    await _coupon(house)
    await _buy(house, couponCode=OFFER["code"])
    await Shopper(house, NEW).save_card("pm_card_visa")
    assert codes(await _buy(house, NEW, couponCode=OFFER["code"])) == ["COUPON_EXHAUSTED"]
    told = await house.ask(f'{{ coupon(code: "{OFFER["code"]}") {{ maxRedemptions timesRedeemed }} }}', user=ADMIN)
    assert told["coupon"] == {"maxRedemptions": 1, "timesRedeemed": 1}


async def test_001_24_it_ends_on_a_day(house: House) -> None:
    await _coupon(house, expiresAt="2026-02-01T00:00:00Z")
    house.pass_time(timedelta(days=1))
    assert codes(await _buy(house, couponCode=OFFER["code"])) == ["COUPON_EXPIRED"]


async def test_001_25_it_applies_to_products_of_a_closed_set(house: House) -> None:
    told = await _coupon(house)
    assert [product["code"] for product in told["coupon"]["appliesTo"]] == ["classic_coffee", "specialty_coffee"]
    await subscribed(house, plan="premium-monthly")
    assert codes(await _buy(house, planCode="reader-pro", couponCode=OFFER["code"])) == ["COUPON_NOT_APPLICABLE"]
    unknown = await _coupon(house, code="OTHER", appliesToProductCodes=["tea"])
    assert (codes(unknown), unknown["userErrors"][0]["field"]) == (["INVALID"], ["appliesToProductCodes", "0"])


async def test_001_26_it_is_for_one_interval(house: House) -> None:
    await _coupon(house)
    yearly = await _buy(house, planCode="classic-coffee-yearly", couponCode=OFFER["code"])
    assert codes(yearly) == ["COUPON_NOT_APPLICABLE"]


async def test_001_27_a_coupon_of_the_dashboard_arrives_with_its_code_as_id(house: House) -> None:
    v1 = dashboard(house)
    await v1.coupons.create_async({"id": "SPRING", "percent_off": 20, "duration": "forever"})
    await house.deliver()
    query = '{ coupon(code: "SPRING") { code gatewayId platform percentOff duration isActive } }'
    assert (await house.ask(query, user=ADMIN))["coupon"] == {
        "code": "SPRING",
        "gatewayId": "SPRING",
        "platform": "SANDBOX",
        "percentOff": "20",
        "duration": "FOREVER",
        "isActive": True,
    }
    await v1.coupons.delete_async("SPRING")
    await house.deliver()
    assert (await house.ask(query, user=ADMIN))["coupon"]["isActive"] is False


async def test_001_28_a_coupon_of_the_dashboard_is_yearly_until_it_is_changed(house: House) -> None:
    await dashboard(house).coupons.create_async({"id": "SPRING", "percent_off": 20, "duration": "forever"})
    await house.deliver()
    assert codes(await _buy(house, couponCode="SPRING")) == ["COUPON_NOT_APPLICABLE"]
    assert codes(await _update_coupon(house, "SPRING", interval="MONTH")) == []
    told = await _buy(house, couponCode="SPRING")
    assert (codes(told), told["subscription"]["amount"]) == ([], {"amountMinor": 3920})


async def test_001_29_a_coupon_is_redeemed_by_subscribing(house: House) -> None:
    await _coupon(house)
    told = await _buy(house, couponCode=OFFER["code"])
    assert told["subscription"]["discounts"] == [{"coupon": {"code": OFFER["code"]}, "promotionCode": None}]


async def test_001_30_a_promotion_code_is_redeemed_by_subscribing(house: House) -> None:
    await _coupon(house)
    code = {"couponCode": OFFER["code"], "code": "promo_code"}
    await done(house, "createPromotionCode", "CreatePromotionCodeInput", code, "promotionCode { id }")
    told = await _buy(house, promotionCode="promo_code")
    assert told["subscription"]["discounts"] == [
        {"coupon": {"code": OFFER["code"]}, "promotionCode": {"code": "promo_code"}}
    ]


EVENTS = '{ billingEvents(types: ["subscription.created"]) { nodes { type payload subject { id } } } }'


async def test_001_31_what_happened_is_told_with_the_subscriptions_own_facts(house: House) -> None:
    id = (await _manual(house, "id"))["id"]
    await house.work()
    (event,) = (await house.ask(EVENTS, user=ADMIN))["billingEvents"]["nodes"]
    assert event["subject"] == {"id": id}
    facts = """kid subscription_id interval payment_method_id total_paid name coupon_id created_at
      daily_classic_coffee_count daily_specialty_coffee_count total_classic_coffee_count total_specialty_coffee_count"""
    told = event["payload"]
    assert {name: told[name] for name in facts.split()} == {
        "kid": "user_kid",
        "subscription_id": "subscription_givin_id",
        "interval": "year",
        "payment_method_id": None,
        "total_paid": 354000,
        "name": "Installment Subscription",
        "coupon_id": None,
        "created_at": "2026-01-31T09:30:00Z",
        "daily_classic_coffee_count": 1,
        "daily_specialty_coffee_count": 1,
        "total_classic_coffee_count": 365,
        "total_specialty_coffee_count": 365,
    }


async def test_001_32_what_is_told_carries_who_the_customer_is(house: House) -> None:
    await Merchant(house).customer("someone", externalId="user_kid", firstName="Mona", region="Dubai")
    await _manual(house, "id")
    await house.work()
    (event,) = (await house.ask(EVENTS, user=ADMIN))["billingEvents"]["nodes"]
    assert event["payload"]["user_metadata"] == {
        "first_name": "Mona",
        "last_name": "",
        "phone_number": "",
        "kid": "user_kid",
        "birth_date": "",
        "email": "",
        "emirate": "Dubai",
    }


async def test_001_33_an_online_subscription_carries_ids_and_minor_units(house: House) -> None:
    told = await seen(
        house,
        await subscribed(house, plan="classic-coffee-yearly"),
        """externalId amount { amountMinor } customer { gatewayAccounts { customerId } }
        latestPayment { gatewayPaymentId }""",
    )
    assert told["customer"]["gatewayAccounts"][0]["customerId"].startswith("cus_")
    assert told["latestPayment"]["gatewayPaymentId"].startswith("pi_")
    assert (told["externalId"], told["amount"]) == (None, {"amountMinor": 49000})


async def _by_the_cup(house: House) -> None:
    """One plan a product whose quantity is the number of cups a day."""
    for unit in ("classic", "specialty"):
        cup = [{"unit": f"{unit}_cup", "daily": 1}]
        await Merchant(house).plan(f"{unit}-cups", "30.00", "AED", product=f"{unit}_coffee", credits=cup)


async def test_001_34_subscribing_names_card_interval_coupon_products_and_name(house: House) -> None:
    await _coupon(house, percentOff="50")
    products = [{"productCode": "classic_coffee"}, {"productCode": "specialty_coffee"}]
    wish = {"planCode": None, "interval": "MONTH", "items": products, "name": "Subscription 16"}
    told = await _buy(house, couponCode=OFFER["code"], **wish)
    assert codes(told) == []
    assert (told["subscription"]["name"], told["subscription"]["amount"]) == ("Subscription 16", {"amountMinor": 6400})


async def test_001_35_the_quantity_is_the_daily_number_of_credits(house: House) -> None:
    await _by_the_cup(house)
    cups = [{"planCode": "classic-cups", "quantity": 2}, {"planCode": "specialty-cups", "quantity": 1}]
    told = await _buy(house, planCode=None, items=cups)
    assert codes(told) == []
    assert told["subscription"]["creditBalances"] == [
        {"unit": "classic_cup", "dailyAllowance": 2},
        {"unit": "specialty_cup", "dailyAllowance": 1},
    ]


async def test_001_36_a_price_is_never_the_browsers(house: House) -> None:
    own = [{"productCode": "classic_coffee", "quantity": 5, "unitAmount": {"amount": "5.00", "currencyCode": "AED"}}]
    refused = await _buy(house, planCode=None, interval="MONTH", items=own)
    assert (codes(refused), refused["subscription"]) == (["NOT_PERMITTED"], None)
    secret = await secret_of_key(house, "act_for_customer", "read")
    customer = (await house.ask("{ me { id } }", user=CARD))["me"]["id"]
    query = """mutation ($input: SubscribeInput!) { subscribe(input: $input) {
      subscription { amount { amountMinor } items { quantity } } userErrors { code } } }"""
    wish = {
        "customerId": customer,
        "interval": "MONTH",
        "items": own,
        "paymentMethodId": (await card_of(house, "id"))["id"],
    }
    told = (await ask_with_key(house, secret, query, {"input": wish}))["subscribe"]
    assert codes(told) == []
    assert told["subscription"] == {"amount": {"amountMinor": 2500}, "items": [{"quantity": 5}]}


async def test_001_37_several_products_are_one_subscription(house: House) -> None:
    products = [{"productCode": "specialy_cup"}, {"productCode": "classic_cup"}]
    told = await _buy(house, planCode=None, interval="YEAR", items=products)
    assert told["subscription"]["items"] == [
        {"quantity": 1, "plan": {"code": "specialty-coffee-yearly"}},
        {"quantity": 1, "plan": {"code": "classic-coffee-yearly"}},
    ]


async def test_001_38_cards_are_listed_for_a_customer(house: House) -> None:
    query = "{ paymentMethods { nodes { card { last4 } } } }"
    assert (await house.ask(query, user=CARD))["paymentMethods"]["nodes"] == [{"card": {"last4": "4242"}}]


async def test_001_39_one_card_is_looked_up(house: House) -> None:
    id = (await card_of(house, "id"))["id"]
    query = "query ($id: ID!) { paymentMethod(id: $id) { id } }"
    assert (await house.ask(query, {"id": id}, CARD))["paymentMethod"] == {"id": id}
    assert (await house.ask(query, {"id": id}, NEW))["paymentMethod"] is None


async def test_001_40_a_card_is_added(house: House) -> None:
    await Shopper(house, NEW).save_card("pm_card_mastercard")
    assert (await card_of(house, "isDefault card { brand }", NEW)) == {
        "isDefault": True,
        "card": {"brand": "mastercard"},
    }


async def test_001_41_a_card_is_taken_away_unless_a_subscription_needs_it(house: House) -> None:
    card = (await card_of(house, "id"))["id"]
    detach = ("detachPaymentMethod", "DetachPaymentMethodInput", {"paymentMethodId": card}, "paymentMethod { id }")
    id = await subscribed(house)
    assert codes(await do(house, *detach, user=CARD)) == ["PAYMENT_METHOD_IN_USE"]
    now = {"subscriptionId": id, "effectiveAt": "NOW"}
    await done(house, "cancelSubscription", "CancelSubscriptionInput", now, "subscription { id }", user=CARD)
    assert codes(await do(house, *detach, user=CARD)) == []
    assert (await house.ask("{ paymentMethods { totalCount } }", user=CARD))["paymentMethods"]["totalCount"] == 0


async def test_001_42_one_subscription_is_looked_up(house: House) -> None:
    id = await subscribed(house)
    assert await seen(house, id, "id") == {"id": id}
    assert await seen(house, id, "id", NEW) is None


async def test_001_43_a_customers_subscriptions_are_listed(house: House) -> None:
    first, second = await subscribed(house), await subscribed(house, plan="premium-monthly")
    told = await house.ask("{ me { subscriptions { nodes { id } } } }", user=CARD)
    assert told["me"]["subscriptions"]["nodes"] == [{"id": second}, {"id": first}]


async def test_001_44_a_subscription_is_canceled(house: House) -> None:
    now = {"subscriptionId": await subscribed(house), "effectiveAt": "NOW"}
    told = await done(
        house, "cancelSubscription", "CancelSubscriptionInput", now, "subscription { status isActive }", user=CARD
    )
    assert told["subscription"] == {"status": "CANCELED", "isActive": False}


async def test_001_45_staffs_doors_are_closed_to_customers(house: House) -> None:
    for query in (
        "{ coupons { totalCount } }",
        'mutation { deleteCoupon(code: "X") { userErrors { code } } }',
        'mutation { createCoupon(input: {code: "X"}) { userErrors { code } } }',
        'mutation { deleteManualSubscription(id: "x") { userErrors { code } } }',
    ):
        answer = (await house.post(query, user=CARD)).json()
        assert [error["extensions"]["code"] for error in answer["errors"]] == ["FORBIDDEN"]
    refused = await house.post(
        """mutation ($input: CreateManualSubscriptionInput!) {
          createManualSubscription(input: $input) { userErrors { code } } }""",
        {"input": YEAR_OF_COFFEE},
        CARD,
    )
    assert [error["extensions"]["code"] for error in refused.json()["errors"]] == ["FORBIDDEN"]


async def test_001_46_errors_have_one_shape(house: House) -> None:
    told = await _coupon(house, percentOff="0")
    (error,) = told["userErrors"]
    assert sorted(error) == ["code", "field", "message"]
    assert (error["code"], error["field"]) == ("INVALID", ["percentOff"])
