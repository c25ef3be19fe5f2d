"""Rows 002: the subscription object, and the change of its card by a back end's key."""

from datetime import timedelta
from typing import Any

import pytest

from tests.scenarios.merchant import done
from tests.scenarios.shopping import Shopper
from tests.schema.keys import ask_with_key, secret_of_key
from tests.sources.asking import CARD, NEW, card_of, codes, plan, seen, subscribed
from tests.support.house import House

CHANGE_CARD = """mutation ($input: UpdateSubscriptionPaymentMethodInput!) {
  updateSubscriptionPaymentMethod(input: $input) {
    subscription { id status paymentMethod { card { brand last4 expMonth expYear } } }
    userErrors { code field } } }"""


@pytest.fixture
def house(small_house: House) -> House:
    """What rows ask for does not depend on the engine; the stories beside them are told on both."""
    return small_house


async def _change_card(house: House, id: str, token: str) -> dict[str, Any]:
    """As the application's back end, with its key."""
    secret = await secret_of_key(house, "act_for_customer")
    given = {"subscriptionId": id, "cardToken": token}
    return (await ask_with_key(house, secret, CHANGE_CARD, {"input": given}))["updateSubscriptionPaymentMethod"]


async def test_002_01_the_card_of_one_subscription_is_replaced_for_its_coming_periods(house: House) -> None:
    first, second = await subscribed(house), await subscribed(house, plan="premium-monthly")
    await _change_card(house, first, "tok_mastercard")
    card = "effectivePaymentMethod { card { brand } }"
    assert await seen(house, first, card) == {"effectivePaymentMethod": {"card": {"brand": "mastercard"}}}
    assert await seen(house, second, card) == {"effectivePaymentMethod": {"card": {"brand": "visa"}}}
    house.pass_time(timedelta(days=28))
    await house.work()
    paid = "latestPayment { status paymentMethod { card { brand } } }"
    for id, brand in ((first, "mastercard"), (second, "visa")):
        assert (await seen(house, id, paid))["latestPayment"] == {
            "status": "SUCCEEDED",
            "paymentMethod": {"card": {"brand": brand}},
        }


async def test_002_02_a_one_time_token_becomes_that_card(house: House) -> None:
    id = await subscribed(house)
    told = await _change_card(house, id, "tok_mastercard")
    assert codes(told) == []
    assert told["subscription"]["paymentMethod"]["card"]["last4"] == "4444"
    assert (await card_of(house, "gatewayId"))["gatewayId"].startswith("pm_")


async def test_002_03_a_back_end_acts_with_a_key_of_its_own(house: House) -> None:
    id = await subscribed(house)
    secret = await secret_of_key(house, "read")
    answer = await house.http.post(
        "/graphql",
        json={"query": CHANGE_CARD, "variables": {"input": {"subscriptionId": id, "cardToken": "tok_visa"}}},
        headers={"X-API-Key": secret},
    )
    assert [error["extensions"]["code"] for error in answer.json()["errors"]] == ["FORBIDDEN"]
    assert codes(await _change_card(house, id, "tok_mastercard")) == []


async def test_002_04_answers_come_under_data(house: House) -> None:
    answer = (await house.post("{ viewer { role } }")).json()
    assert answer["data"] == {"viewer": {"role": "PUBLIC"}}


async def test_002_05_a_subscription_tells_id_and_status(house: House) -> None:
    id = await subscribed(house)
    assert await seen(house, id, "id status") == {"id": id, "status": "ACTIVE"}


async def test_002_06_its_plan_tells_id_name_and_description(house: House) -> None:
    told = (await seen(house, await subscribed(house, plan="basic-monthly"), "plan { id name description }"))["plan"]
    assert told.pop("id").startswith("pln_")
    assert told == {"name": "Basic Monthly", "description": "Seven days free, then billed on the 5th."}


async def test_002_07_its_plan_tells_amount_and_currency(house: House) -> None:
    assert (await plan(house, "basic-monthly", "price { amount { amountMinor currencyCode } }"))["price"] == {
        "amount": {"amountMinor": 2990, "currencyCode": "BRL"}
    }


async def test_002_08_its_plan_tells_interval_and_count(house: House) -> None:
    assert await plan(house, "basic-monthly", "interval intervalCount") == {"interval": "MONTH", "intervalCount": 1}


async def test_002_09_its_plan_tells_the_free_days(house: House) -> None:
    assert await plan(house, "basic-monthly", "trialPeriodDays") == {"trialPeriodDays": 7}


async def test_002_10_its_plan_tells_the_billing_day(house: House) -> None:
    assert await plan(house, "basic-monthly", "billingDay") == {"billingDay": 5}


async def test_002_11_its_plan_tells_whether_it_is_active_and_its_times(house: House) -> None:
    assert await plan(house, "basic-monthly", "isActive createdAt updatedAt") == {
        "isActive": True,
        "createdAt": "2026-01-31T09:30:00Z",
        "updatedAt": "2026-01-31T09:30:00Z",
    }


async def test_002_12_a_subscription_tells_its_customer(house: House) -> None:
    told = await seen(house, await subscribed(house), "customer { name email user { id } }")
    assert told["customer"] == {"name": "Dana Card", "email": "demo-card@example.com", "user": {"id": CARD}}


async def test_002_13_its_card_tells_digits_brand_and_expiry(house: House) -> None:
    told = await _change_card(house, await subscribed(house), "tok_visa")
    card = told["subscription"]["paymentMethod"]["card"]
    assert {name: type(card[name]) for name in ("expMonth", "expYear")} == {"expMonth": int, "expYear": int}
    assert (card["last4"], card["brand"]) == ("4242", "visa")


async def _with_coupon(house: House) -> str:
    given = {"code": "FIVE", "amountsOff": [{"amount": "5.00", "currencyCode": "BRL"}], "duration": "FOREVER"}
    await done(house, "createCoupon", "CouponInput", given, "coupon { id }")
    return await subscribed(house, plan="basic-monthly", couponCode="FIVE")


async def test_002_14_a_subscription_tells_its_coupon(house: House) -> None:
    told = await seen(house, await _with_coupon(house), "discounts { coupon { code } }")
    assert told == {"discounts": [{"coupon": {"code": "FIVE"}}]}


MINOR = "amount { amountMinor } originalAmount { amountMinor } discountAmount { amountMinor } currencyCode"


async def test_002_15_the_amount_is_the_original_one_less_the_discount(house: House) -> None:
    told = await seen(house, await _with_coupon(house), MINOR)
    assert told == {
        "amount": {"amountMinor": 2490},
        "originalAmount": {"amountMinor": 2990},
        "discountAmount": {"amountMinor": 500},
        "currencyCode": "BRL",
    }


async def test_002_16_a_subscription_tells_interval_and_billing_day(house: House) -> None:
    id = await subscribed(house, plan="basic-monthly")
    assert await seen(house, id, "interval intervalCount billingDay") == {
        "interval": "MONTH",
        "intervalCount": 1,
        "billingDay": 5,
    }


async def test_002_17_a_subscription_tells_its_trial(house: House) -> None:
    told = await seen(house, await subscribed(house, plan="basic-monthly"), "status trial { periodDays start end }")
    assert told == {
        "status": "TRIALING",
        "trial": {"periodDays": 7, "start": "2026-01-31T09:30:00Z", "end": "2026-02-07T09:30:00Z"},
    }


async def test_002_18_a_subscription_tells_its_current_period(house: House) -> None:
    assert (await seen(house, await subscribed(house), "currentPeriod { start end }"))["currentPeriod"] == {
        "start": "2026-01-31T09:30:00Z",
        "end": "2026-02-28T09:30:00Z",
    }


async def test_002_19_a_subscription_tells_when_it_is_billed_next(house: House) -> None:
    assert await seen(house, await subscribed(house), "nextBillingAt") == {"nextBillingAt": "2026-02-28T09:30:00Z"}


async def test_002_20_a_subscription_is_paused_and_comes_back_by_itself(house: House) -> None:
    id = await subscribed(house)
    given = {"subscriptionId": id, "until": "2026-02-10T09:30:00Z"}
    await done(house, "pauseSubscription", "PauseSubscriptionInput", given, "subscription { id }", user=CARD)
    assert await seen(house, id, "status pausedAt pausedUntil") == {
        "status": "PAUSED",
        "pausedAt": "2026-01-31T09:30:00Z",
        "pausedUntil": "2026-02-10T09:30:00Z",
    }
    house.pass_time(timedelta(days=10))
    await house.work()
    assert await seen(house, id, "status pausedAt pausedUntil") == {
        "status": "ACTIVE",
        "pausedAt": None,
        "pausedUntil": None,
    }


async def test_002_21_a_subscription_tells_when_it_was_and_will_be_canceled(house: House) -> None:
    id = await subscribed(house)
    fields = "canceledAt cancelAt cancelAtPeriodEnd endsAt"
    nothing = {"canceledAt": None, "cancelAt": None, "cancelAtPeriodEnd": False, "endsAt": None}
    assert await seen(house, id, fields) == nothing
    cancel = ("cancelSubscription", "CancelSubscriptionInput")
    at_date = {"subscriptionId": id, "effectiveAt": "AT_DATE", "date": "2026-02-10T00:00:00Z"}
    await done(house, *cancel, at_date, "subscription { id }", user=CARD)
    assert await seen(house, id, fields) == {
        "canceledAt": "2026-01-31T09:30:00Z",
        "cancelAt": "2026-02-10T00:00:00Z",
        "cancelAtPeriodEnd": False,
        "endsAt": "2026-02-10T00:00:00Z",
    }
    await done(house, *cancel, {"subscriptionId": id}, "subscription { id }", user=CARD)
    assert await seen(house, id, fields) == {
        "canceledAt": "2026-01-31T09:30:00Z",
        "cancelAt": None,
        "cancelAtPeriodEnd": True,
        "endsAt": "2026-02-28T09:30:00Z",
    }


async def test_002_22_a_planned_change_is_told_and_can_be_taken_back(house: House) -> None:
    id = await subscribed(house, plan="premium-monthly")
    yearly = (await plan(house, "premium-yearly", "id"))["id"]
    await done(
        house,
        "changePlan",
        "ChangePlanInput",
        {"subscriptionId": id, "planId": yearly, "effectiveAt": "PERIOD_END"},
        "subscription { id }",
        user=CARD,
    )
    assert await seen(house, id, "scheduledChange { at plan { id } }") == {
        "scheduledChange": {"at": "2026-02-28T09:30:00Z", "plan": {"id": yearly}}
    }
    given = {"subscriptionId": id}
    await done(house, "cancelScheduledChange", "CancelScheduledChangeInput", given, "subscription { id }", user=CARD)
    assert await seen(house, id, "scheduledChange { at }") == {"scheduledChange": None}


async def test_002_23_a_list_as_notes_is_kept_as_it_is(house: House) -> None:
    id = await subscribed(house, metadata=[{}, {"table": 4}])
    assert await seen(house, id, "metadata") == {"metadata": [{}, {"table": 4}]}


async def test_002_24_a_subscription_tells_when_it_was_made_and_changed(house: House) -> None:
    id = await subscribed(house)
    house.pass_time(timedelta(hours=1))
    given = {"subscriptionId": id, "name": "Mine"}
    await done(house, "updateSubscription", "UpdateSubscriptionInput", given, "subscription { id }", user=CARD)
    assert await seen(house, id, "createdAt updatedAt") == {
        "createdAt": "2026-01-31T09:30:00Z",
        "updatedAt": "2026-01-31T10:30:00Z",
    }


async def test_002_25_the_input_names_the_subscription_and_the_answer_shows_the_card(house: House) -> None:
    id = await subscribed(house)
    told = await _change_card(house, id, "tok_mastercard")
    assert (told["subscription"]["id"], told["subscription"]["status"]) == (id, "ACTIVE")
    assert told["subscription"]["paymentMethod"]["card"]["brand"] == "mastercard"


async def test_002_26_the_key_sees_all_of_the_one_companys_data(house: House) -> None:
    mine = await subscribed(house)
    await Shopper(house, NEW).save_card("pm_card_visa")
    others = await subscribed(house, NEW)
    secret = await secret_of_key(house, "read")
    query = "query ($ids: [ID!]!) { nodes(ids: $ids) { id } subscriptions { totalCount } }"
    assert await ask_with_key(house, secret, query, {"ids": [mine, others]}) == {
        "nodes": [{"id": mine}, {"id": others}],
        "subscriptions": {"totalCount": 2},
    }


async def test_002_27_a_refusal_of_the_new_card_is_data(house: House) -> None:
    id = await subscribed(house)
    told = await _change_card(house, id, "tok_chargeDeclined")
    assert codes(told) == ["CARD_DECLINED"]
    assert await seen(house, id, "paymentMethod { id } effectivePaymentMethod { card { last4 } }") == {
        "paymentMethod": None,
        "effectivePaymentMethod": {"card": {"last4": "4242"}},
    }
    unknown = await _change_card(house, "sbs_" + "0" * 32, "tok_visa")
    assert unknown["userErrors"] == [{"code": "NOT_FOUND", "field": ["subscriptionId"]}]
