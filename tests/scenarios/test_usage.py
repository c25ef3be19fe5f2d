"""Metered plans told in months through the public API, on both databases: billed in arrears, once, late ones too."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from services.demo import USERS
from tests.scenarios.metering import ADMIN, RECORD, USAGE, USER, bills, key_of, pass_to, sell, take, tell, told
from tests.scenarios.orders import ordered
from tests.schema.keys import ask_with_key
from tests.support.house import House
from tests.support.meanwhile import one_after_the_other

CANCEL = """mutation ($id: ID!, $at: EffectiveAt!) {
  cancelSubscription(input: {subscriptionId: $id, effectiveAt: $at}) {
    subscription { status } userErrors { code } } }"""
TIERS = [{"upTo": 100, "unitAmount": "0.50"}, {"upTo": 200, "unitAmount": "0.25"}, {"unitAmount": "0.10"}]
GRADUATED: dict[str, Any] = {
    "billingScheme": "TIERED",
    "tiersMode": "GRADUATED",
    "prices": [{"currencyCode": "USD", "tiers": TIERS}],
}


async def test_three_months_of_graduated_tiers_with_an_event_told_late(house: House) -> None:
    await sell(house, "api", **GRADUATED)
    subscription, key = await take(house, "api"), await key_of(house)
    started = house.clock.now()
    (first,) = await bills(house)
    assert (first["status"], first["total"]["amount"], first["lines"]) == ("PAID", "0.00", [])

    house.pass_time(timedelta(days=10))
    assert await tell(house, key, {"subscriptionId": subscription, "quantity": "120"}) == {
        "accepted": 1,
        "duplicates": 0,
        "userErrors": [],
    }
    seen = (await house.ask(USAGE, {"id": subscription}, user=USER))["subscription"]["usage"]
    assert [(each["quantity"], each["billedQuantity"], each["amount"]["amount"]) for each in seen] == [
        ("120", "120", "55.00")
    ]
    await pass_to(house, 18)
    february = (await bills(house))[1]
    assert (february["status"], told(february)) == ("PAID", [("2026-01-31", "120", "55.00")])
    assert february["lines"][0]["explanation"]["text"] == (
        "120 calls, the sum of 1 events: 100 × USD 0.50 + 20 × USD 0.25, 2026-01-31 to 2026-02-28."
    )

    # Told after its month was billed: 30 more of January's, 250 of this month's.
    late = {"subscriptionId": subscription, "quantity": "100", "occurredAt": (started + timedelta(days=20)).isoformat()}
    now = {"subscriptionId": subscription, "quantity": "250", "idempotencyKey": "march"}
    assert (await tell(house, key, {**late, "idempotencyKey": "late"}, now))["accepted"] == 2
    await pass_to(house, 31)
    march = (await bills(house))[2]
    # 220 of the first month cost 77.00, of which 55.00 were billed.
    assert (march["status"], told(march)) == (
        "PAID",
        [("2026-01-31", "100", "22.00"), ("2026-02-28", "250", "80.00")],
    )
    assert march["lines"][0]["explanation"]["formula"].endswith("− billedBefore, 0)")

    await pass_to(house, 30)
    april = (await bills(house))[3]
    assert told(april) == [("2026-03-31", "0", "0.00")]
    assert [invoice["total"]["amount"] for invoice in await bills(house)] == ["0.00", "55.00", "102.00", "0.00"]
    assert await house.audit() == []


async def test_a_cancellation_now_ends_with_one_last_invoice_of_the_usage(house: House) -> None:
    await sell(house, "api")
    subscription, key = await take(house, "api"), await key_of(house)
    await pass_to(house, 28)
    house.pass_time(timedelta(days=10))
    assert (await tell(house, key, {"subscriptionId": subscription, "quantity": "333"}))["accepted"] == 1
    ended = await house.ask(CANCEL, {"id": subscription, "at": "NOW"}, user=USER)
    assert ended["cancelSubscription"] == {"subscription": {"status": "CANCELED"}, "userErrors": []}
    await house.work()
    await house.deliver()
    last = (await bills(house))[-1]
    assert (last["status"], last["total"]["amount"], told(last)) == ("PAID", "3.33", [("2026-02-28", "333", "3.33")])
    refused = await tell(house, key, {"subscriptionId": subscription, "idempotencyKey": "after"})
    assert refused["userErrors"] == [{"code": "INVALID_STATE", "field": ["events", "0", "subscriptionId"]}]
    await pass_to(house, 60)
    assert len(await bills(house)) == 3
    assert await house.audit() == []


async def test_the_ordinary_end_bills_the_last_period_and_nothing_after_it(house: House) -> None:
    await sell(house, "api")
    subscription, key = await take(house, "api"), await key_of(house)
    await house.ask(CANCEL, {"id": subscription, "at": "PERIOD_END"}, user=USER)
    house.pass_time(timedelta(days=27))
    await tell(house, key, {"subscriptionId": subscription, "quantity": "700"})
    # The worker is late by two days; what occurs after the end is none of the subscription's.
    house.pass_time(timedelta(days=3))
    after = await tell(house, key, {"subscriptionId": subscription, "quantity": "9", "idempotencyKey": "after"})
    assert after["userErrors"] == [{"code": "INVALID", "field": ["events", "0", "occurredAt"]}]
    await house.work()
    await house.deliver()
    await house.work()
    last = (await bills(house))[-1]
    assert (last["status"], told(last), last["lines"][0]["period"]["end"][:10]) == (
        "PAID",
        [("2026-01-31", "700", "7.00")],
        "2026-02-28",
    )
    assert await house.audit() == []


@pytest.mark.parametrize(
    ("wish", "quantities", "billed"),
    [
        ({"transformUsage": {"divideBy": 100, "round": "UP"}}, ["60", "41"], ("101", "2", "2.00")),
        ({"transformUsage": {"divideBy": 100, "round": "DOWN"}}, ["60", "41"], ("101", "1", "1.00")),
        ({"aggregateUsage": "MAX"}, ["3", "9", "4"], ("9", "9", "9.00")),
        ({"aggregateUsage": "LAST_DURING_PERIOD"}, ["3", "9", "4"], ("4", "4", "4.00")),
        ({"aggregateUsage": "COUNT"}, ["3", "9", "4"], ("3", "3", "3.00")),
    ],
)
async def test_each_way_of_counting_is_seen_and_billed(
    house: House, wish: dict[str, Any], quantities: list[str], billed: tuple[str, str, str]
) -> None:
    await sell(house, "api", **{"prices": [{"currencyCode": "USD", "amount": "1.00"}], **wish})
    subscription, key = await take(house, "api"), await key_of(house)
    for n, quantity in enumerate(quantities):
        house.pass_time(timedelta(hours=1))
        await tell(house, key, {"subscriptionId": subscription, "quantity": quantity, "idempotencyKey": f"k{n}"})
    (seen,) = (await house.ask(USAGE, {"id": subscription}, user=USER))["subscription"]["usage"]
    assert (seen["quantity"], seen["billedQuantity"], seen["amount"]["amount"]) == billed
    await pass_to(house, 28)
    assert told((await bills(house))[1]) == [("2026-01-31", billed[0], billed[2])]


async def test_different_values_are_counted_and_have_to_be_given(house: House) -> None:
    await sell(house, "seats", aggregateUsage="UNIQUE_COUNT", prices=[{"currencyCode": "USD", "amount": "5.00"}])
    subscription, key = await take(house, "seats"), await key_of(house)
    events = [{"subscriptionId": subscription, "uniqueValue": who} for who in ("ann", "bob", "ann")]
    answer = await tell(house, key, *events, {"subscriptionId": subscription})
    assert answer == {
        "accepted": 3,
        "duplicates": 0,
        "userErrors": [{"code": "REQUIRED", "field": ["events", "3", "uniqueValue"]}],
    }
    await pass_to(house, 28)
    assert told((await bills(house))[1]) == [("2026-01-31", "2", "10.00")]
    # Bob told again, late, changes nothing; Cy, late, is one more.
    at = (house.clock.now() - timedelta(days=2)).isoformat()
    for who in ("bob", "cy"):
        event = {"subscriptionId": subscription, "uniqueValue": who, "occurredAt": at, "idempotencyKey": who}
        assert (await tell(house, key, event))["accepted"] == 1
    await pass_to(house, 31)
    assert told((await bills(house))[2]) == [("2026-01-31", "1", "5.00"), ("2026-02-28", "0", "0.00")]


async def test_a_batch_told_twice_counts_once_and_a_bad_event_keeps_no_other_out(house: House) -> None:
    await sell(house, "api")
    subscription, key = await take(house, "api"), await key_of(house)
    now = house.clock.now()
    batch: list[dict[str, Any]] = [
        {"subscriptionId": subscription, "quantity": "2"},
        {"customer": {"userId": USER}, "quantity": "3"},
        {"subscriptionId": subscription, "quantity": "2", "idempotencyKey": "e-0"},
        {"subscriptionId": subscription, "quantity": "4", "idempotencyKey": "e-0"},
        {"subscriptionId": subscription, "featureCode": "nothing"},
        {"subscriptionId": "sbs_none"},
        {"customer": {"userId": "nobody"}},
        {"customer": {"userId": "demo-decline"}},
        {},
        {"subscriptionId": subscription, "customer": {"userId": USER}},
        {"subscriptionId": subscription, "quantity": "-1"},
        {"subscriptionId": subscription, "quantity": "0.0000000000001"},
        {"subscriptionId": subscription, "idempotencyKey": ""},
        {"subscriptionId": subscription, "occurredAt": (now - timedelta(seconds=1)).isoformat()},
        {"subscriptionId": subscription, "occurredAt": (now + timedelta(seconds=61)).isoformat()},
        {"subscriptionId": subscription, "occurredAt": (now + timedelta(seconds=60)).isoformat()},
    ]
    errors = [
        ("IDEMPOTENCY_CONFLICT", 3, "idempotencyKey"),
        ("NOT_FOUND", 4, "featureCode"),
        ("NOT_FOUND", 5, "subscriptionId"),
        ("NOT_FOUND", 6, "customer"),
        ("NOT_FOUND", 7, "customer"),
        ("REQUIRED", 8, "subscriptionId"),
        ("REQUIRED", 9, "subscriptionId"),
        ("INVALID", 10, "quantity"),
        ("INVALID", 11, "quantity"),
        ("INVALID", 12, "idempotencyKey"),
        ("INVALID", 13, "occurredAt"),
        ("INVALID", 14, "occurredAt"),
    ]
    refused = [{"code": code, "field": ["events", str(n), name]} for code, n, name in errors]
    assert await tell(house, key, *batch) == {"accepted": 3, "duplicates": 1, "userErrors": refused}
    assert await tell(house, key, *batch) == {"accepted": 0, "duplicates": 4, "userErrors": refused}
    (seen,) = (await house.ask(USAGE, {"id": subscription}, user=USER))["subscription"]["usage"]
    assert seen["quantity"] == "6"


async def test_what_is_sent_again_for_a_customer_counts_once_though_another_subscription_has_begun(
    house: House,
) -> None:
    await sell(house, "api")
    first, key = await take(house, "api"), await key_of(house)
    event = {"customer": {"userId": USER}, "quantity": "5"}
    assert await tell(house, key, event) == {"accepted": 1, "duplicates": 0, "userErrors": []}
    end = """mutation ($id: ID!) { cancelSubscription(input: {subscriptionId: $id, effectiveAt: NOW}) {
      userErrors { code } } }"""
    house.pass_time(timedelta(hours=1))
    assert (await house.ask(end, {"id": first}, user=USER))["cancelSubscription"]["userErrors"] == []
    again = {"accepted": 0, "duplicates": 1, "userErrors": []}
    assert await tell(house, key, event) == again
    second = await take(house, "api")
    assert await tell(house, key, event) == again
    assert await tell(house, key, {**event, "quantity": "6"}) == {
        "accepted": 0,
        "duplicates": 0,
        "userErrors": [{"code": "IDEMPOTENCY_CONFLICT", "field": ["events", "0", "idempotencyKey"]}],
    }
    assert await tell(house, key, {**event, "idempotencyKey": "new"}) == {**again, "accepted": 1, "duplicates": 0}
    (seen,) = (await house.ask(USAGE, {"id": second}, user=USER))["subscription"]["usage"]
    assert seen["quantity"] == "5"


async def test_a_batch_too_large_or_empty_is_refused_whole(house: House) -> None:
    key = await key_of(house)
    for size in (0, 1_001):
        answer = await tell(house, key, *[{"subscriptionId": "sbs_none"}] * size)
        assert answer == {"accepted": 0, "duplicates": 0, "userErrors": [{"code": "INVALID", "field": ["events"]}]}


async def test_usage_told_more_than_35_days_late_is_refused(house: House) -> None:
    await sell(house, "api")
    subscription, key = await take(house, "api"), await key_of(house)
    await pass_to(house, 40)
    for days, code in ((35, []), (36, [{"code": "INVALID", "field": ["events", "0", "occurredAt"]}])):
        at = (house.clock.now() - timedelta(days=days)).isoformat()
        event = {"subscriptionId": subscription, "occurredAt": at, "idempotencyKey": f"{days}"}
        assert (await tell(house, key, event))["userErrors"] == code


async def test_of_twenty_batches_with_the_same_events_at_once_each_event_counts_once(house: House) -> None:
    await sell(house, "api")
    subscription, key = await take(house, "api"), await key_of(house)
    events = [{"subscriptionId": subscription, "quantity": "1"} for _ in range(10)]
    answers = await asyncio.gather(*(tell(house, key, *events) for _ in range(20)))
    assert sum(answer["accepted"] for answer in answers) == 10
    assert sum(answer["duplicates"] for answer in answers) == 190
    assert [answer["userErrors"] for answer in answers] == [[]] * 20
    (seen,) = (await house.ask(USAGE, {"id": subscription}, user=USER))["subscription"]["usage"]
    assert seen["quantity"] == "10"


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_batches_with_the_same_events_in_another_order_never_lock_crosswise(house: House) -> None:
    """A third one is writing the event in the middle: whoever has written another one before it keeps that."""
    await sell(house, "api")
    subscription, key = await take(house, "api"), await key_of(house)
    await tell(house, key, {"subscriptionId": subscription, "idempotencyKey": "before"})
    third = """INSERT INTO usage_records (id, idempotency_key, subscription_id, customer_id, feature_id, quantity,
      occurred_at, input_hash, recorded_at) SELECT 'usg_third', 'e-1', subscription_id, customer_id, feature_id,
      quantity, occurred_at, input_hash, recorded_at FROM usage_records WHERE idempotency_key = 'before'"""
    events = [{"subscriptionId": subscription, "idempotencyKey": f"e-{n}"} for n in range(3)]
    with capture_logs() as lines:
        first, second = await one_after_the_other(
            house.app,
            third,
            lambda: tell(house, key, *events),
            lambda: tell(house, key, *reversed(events)),
        )
    assert first == {"accepted": 2, "duplicates": 1, "userErrors": []}
    assert second == {"accepted": 0, "duplicates": 3, "userErrors": []}
    assert [line["event"] for line in lines if line["log_level"] == "warning"] == []


async def test_events_told_while_a_period_is_billed_are_on_one_invoice_each(house: House) -> None:
    await sell(house, "api", prices=[{"currencyCode": "USD", "amount": "1.00"}])
    subscription, key = await take(house, "api"), await key_of(house)
    house.pass_time(timedelta(days=28))
    at = (house.clock.now() - timedelta(days=1)).isoformat()

    async def say(n: int) -> None:
        event = {"subscriptionId": subscription, "occurredAt": at, "idempotencyKey": f"k{n}"}
        assert (await tell(house, key, event))["accepted"] == 1

    await asyncio.gather(house.work(), *(say(n) for n in range(12)))
    await pass_to(house, 31)
    first, second = (await bills(house))[1:]
    counted = sum(int(line["quantity"]) for invoice in (first, second) for line in invoice["lines"])
    assert counted == 12
    assert await house.audit() == []


async def test_another_customers_usage_is_nobodys_to_see(house: House) -> None:
    await sell(house, "api")
    subscription = await take(house, "api")
    other = USERS[1][0]
    assert (await house.ask(USAGE, {"id": subscription}, user=other))["subscription"] is None
    seen = (await house.ask(USAGE, {"id": subscription}, user=ADMIN))["subscription"]["usage"]
    assert [each["feature"]["code"] for each in seen] == ["calls"]
    backwards = {"start": "2026-02-02T00:00:00Z", "end": "2026-02-01T00:00:00Z"}
    answer = (await house.post(USAGE, {"id": subscription, "period": backwards}, user=USER)).json()
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["BAD_USER_INPUT"]


async def test_a_licensed_plan_measures_nothing(house: House) -> None:
    await sell(house, "api")
    subscription, key = await take(house, "free"), await key_of(house)
    answer = await ask_with_key(
        house,
        key,
        RECORD,
        {
            "events": [
                {"subscriptionId": subscription, "featureCode": "calls", "quantity": 1, "idempotencyKey": "a"},
            ]
        },
    )
    refused = [{"code": "INVALID", "field": ["events", "0", "featureCode"]}]
    assert answer["recordUsage"] == {"accepted": 0, "duplicates": 0, "userErrors": refused}


async def test_what_is_only_allowed_is_counted_of_a_customer_as_of_the_subscription(house: House) -> None:
    """A customer's counters; where something is billed by the feature, that counts alone."""
    used = "{ me { entitlements { items { feature { code } used remaining } } } }"
    seats = {"usageType": "LICENSED", "aggregateUsage": None, "featureCode": None}
    price = {
        "prices": [{"currencyCode": "USD", "amount": "1.00"}],
        "entitlements": [{"featureCode": "calls", "limit": 9}],
    }
    await sell(house, "team", **seats, **price)
    await take(house, "team")
    key, of_customer = await key_of(house), {"customer": {"userId": USER}, "quantity": "2"}
    told = await tell(house, key, of_customer, {"customer": {"userId": "demo-decline"}})
    refused = [{"code": "NOT_FOUND", "field": ["events", "1", "customer"]}]
    assert told == {"accepted": 1, "duplicates": 0, "userErrors": refused}
    calls = {"feature": {"code": "calls"}, "used": 2, "remaining": 7}
    assert (await house.ask(used, user=USER))["me"]["entitlements"]["items"] == [calls]
    await sell(house, "team-2", productCode="acme-music", **seats, **price)
    await take(house, "team-2")
    told = await tell(house, key, {**of_customer, "idempotencyKey": "either"})
    assert told["userErrors"] == [{"code": "INVALID", "field": ["events", "0", "customer"]}]
    await sell(house, "api", productCode="reader-pro")
    metered = await take(house, "api")
    told = await tell(house, key, {**of_customer, "idempotencyKey": "billed"})
    assert told == {"accepted": 1, "duplicates": 0, "userErrors": []}
    (meter,) = (await house.ask(USAGE, {"id": metered}, user=ADMIN))["subscription"]["usage"]
    assert meter["quantity"] == "2"


CHANGE = """mutation ($i: ChangePlanInput!) { changePlan(input: $i) {
  subscription { plan { code } } userErrors { code field } } }"""
VOID = "mutation ($id: ID!) { voidInvoice(id: $id) { invoice { status } userErrors { code } } }"
ATTACH = """mutation ($card: String!) { attachPaymentMethod(input: {paymentMethodId: $card, makeDefault: true}) {
  userErrors { code } } }"""


async def test_a_change_now_closes_the_usage_at_the_old_price(house: House) -> None:
    await sell(house, "small")
    await sell(house, "large", prices=[{"currencyCode": "USD", "unitAmountDecimal": "0.05"}])
    subscription, key = await take(house, "small"), await key_of(house)
    house.pass_time(timedelta(days=10))
    await tell(house, key, {"subscriptionId": subscription, "quantity": "200"})
    house.pass_time(timedelta(hours=1))
    plan = (await house.ask('{ plan(code: "large") { id } }'))["plan"]["id"]
    wish = {"subscriptionId": subscription, "planId": plan, "effectiveAt": "NOW", "proration": "PRORATE_NOW"}
    changed = (await house.ask(CHANGE, {"i": wish}, user=USER))["changePlan"]
    assert changed == {"subscription": {"plan": {"code": "large"}}, "userErrors": []}
    await house.work()
    await house.deliver()
    update = (await bills(house))[1]
    assert (update["reason"], update["status"], told(update)) == (
        "SUBSCRIPTION_UPDATE",
        "PAID",
        [("2026-01-31", "200", "2.00")],
    )
    # Told late of the time before the change: the old price; and of the time after it: the new one.
    at = (house.clock.now() - timedelta(hours=2)).isoformat()
    late = {"subscriptionId": subscription, "quantity": "100", "occurredAt": at, "idempotencyKey": "late"}
    after = {"subscriptionId": subscription, "quantity": "100", "idempotencyKey": "after"}
    assert (await tell(house, key, late, after))["accepted"] == 2
    seen = (await house.ask(USAGE, {"id": subscription}, user=USER))["subscription"]["usage"]
    assert [(each["period"]["start"][:10], each["quantity"], each["amount"]["amount"]) for each in seen] == [
        ("2026-01-31", "300", "3.00"),
        ("2026-02-10", "100", "5.00"),
    ]
    await pass_to(house, 18)
    assert told((await bills(house))[2]) == [("2026-01-31", "100", "1.00"), ("2026-02-10", "100", "5.00")]
    assert await house.audit() == []


async def test_usage_left_for_the_next_invoice_keeps_its_old_price(house: House) -> None:
    await sell(house, "small")
    await sell(house, "large", prices=[{"currencyCode": "USD", "unitAmountDecimal": "0.05"}])
    subscription, key = await take(house, "small"), await key_of(house)
    house.pass_time(timedelta(days=10))
    await tell(house, key, {"subscriptionId": subscription, "quantity": "200"})
    house.pass_time(timedelta(hours=1))
    plan = (await house.ask('{ plan(code: "large") { id } }'))["plan"]["id"]
    wish = {"subscriptionId": subscription, "planId": plan, "effectiveAt": "NOW", "proration": "NONE"}
    assert (await house.ask(CHANGE, {"i": wish}, user=ADMIN))["changePlan"]["userErrors"] == []
    await tell(house, key, {"subscriptionId": subscription, "quantity": "100", "idempotencyKey": "after"})
    await pass_to(house, 18)
    assert told((await bills(house))[1]) == [("2026-01-31", "200", "2.00"), ("2026-02-10", "100", "5.00")]
    assert await house.audit() == []


async def test_a_withdrawn_invoice_gives_its_usage_back_to_the_next_one(house: House) -> None:
    await sell(house, "api")
    subscription, key = await take(house, "api"), await key_of(house)
    await tell(house, key, {"subscriptionId": subscription, "quantity": "500"})
    await house.ask(ATTACH, {"card": "pm_card_chargeCustomerFail"}, user=USER)
    await pass_to(house, 28)
    unpaid = await house.ask("{ me { invoices(first: 1) { nodes { id status } } } }", user=USER)
    invoice = unpaid["me"]["invoices"]["nodes"][0]
    assert invoice["status"] == "OPEN"
    voided = (await house.ask(VOID, {"id": invoice["id"]}, user=ADMIN))["voidInvoice"]
    assert voided == {"invoice": {"status": "VOID"}, "userErrors": []}
    await house.ask(ATTACH, {"card": "pm_card_visa"}, user=USER)
    await pass_to(house, 31)
    again = (await bills(house))[-1]
    assert (again["status"], told(again)) == (
        "PAID",
        [("2026-01-31", "500", "5.00"), ("2026-02-28", "0", "0.00")],
    )
    assert await house.audit() == []


async def test_a_trial_is_free_and_counts_from_its_end(house: House) -> None:
    await sell(house, "api", trialPeriodDays=7)
    card = await house.ask("{ me { defaultPaymentMethod { id } } }", user=USER)
    wish = {"planCode": "api", "paymentMethodId": card["me"]["defaultPaymentMethod"]["id"]}
    made = await house.ask(
        """mutation ($i: SubscribeInput!) { subscribe(input: $i) {
          subscription { id status } userErrors { code } } }""",
        {"i": wish},
        user=USER,
    )
    subscription, key = made["subscribe"]["subscription"]["id"], await key_of(house)
    assert made["subscribe"]["subscription"]["status"] == "TRIALING"
    await tell(house, key, {"subscriptionId": subscription, "quantity": "900"})
    await pass_to(house, 7)
    await tell(house, key, {"subscriptionId": subscription, "quantity": "100", "idempotencyKey": "paid"})
    await pass_to(house, 28)
    assert [(invoice["total"]["amount"], told(invoice)) for invoice in await bills(house)] == [
        ("0.00", []),
        ("1.00", [("2026-02-07", "100", "1.00")]),
    ]


async def test_what_begins_later_is_billed_for_its_first_use_when_that_is_over(house: House) -> None:
    """The flat fee of the first tier too: none of it is asked for at the start."""
    tiers = [{"upTo": 100, "unitAmount": "0", "flatAmount": "3.00"}, {"unitAmount": "0.10"}]
    prices = [{"currencyCode": "USD", "tiers": tiers}]
    await sell(house, "api", billingScheme="TIERED", tiersMode="GRADUATED", prices=prices)
    subscription = await ordered(house, USER, planCode="api", startAt="2026-02-10T09:30:00Z")
    foreseen = "query ($id: ID!) { subscription(id: $id) { upcomingInvoices(first: 3) { total { amount } } } }"
    upcoming = (await house.ask(foreseen, {"id": subscription}, ADMIN))["subscription"]["upcomingInvoices"]
    assert [each["total"]["amount"] for each in upcoming] == ["0.00", "3.00", "3.00"]
    await pass_to(house, 10)
    await tell(house, await key_of(house), {"subscriptionId": subscription, "quantity": "120"})
    await pass_to(house, 28)
    assert [(invoice["total"]["amount"], told(invoice)) for invoice in await bills(house)] == [
        ("0.00", []),
        ("5.00", [("2026-02-10", "120", "5.00")]),
    ]
    assert await house.audit() == []
