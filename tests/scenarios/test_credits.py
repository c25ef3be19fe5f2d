"""Credits told through the public API on both databases: by the day, until they are out, refilled when paid, fixed."""

import asyncio
from datetime import timedelta
from itertools import count
from typing import Any

import pytest

from billing.dunning import FinalAction
from models.customers import customer_of_user
from services.policies import PolicyChange, update_dunning_policy
from tests.scenarios.metering import ADMIN, USER, key_of, pass_to, sell, take
from tests.schema.keys import ask_with_key
from tests.support.house import House

MOVE = """mutation ($i: CreditInput!) {{ {name}(input: $i) {{
  creditBalance {{ unit remaining remainingToday totalUsed isExhausted }} entry {{ id kind quantity balanceAfter }}
  userErrors {{ code field }} }} }}"""
BALANCES = """{ mySubscription { creditBalances {
  unit dailyAllowance remainingToday totalGranted totalUsed remaining isFixed isExhausted
  entries { totalCount nodes { kind quantity balanceAfter reason } } } } }"""
ATTACH = """mutation ($card: String!) { attachPaymentMethod(input: {paymentMethodId: $card, makeDefault: true}) {
  userErrors { code } } }"""
CHANGE = """mutation ($id: ID!, $plan: String!) { changePlan(input: {subscriptionId: $id, planCode: $plan,
  effectiveAt: NOW, proration: FULL_PRICE_RESET}) { userErrors { code } } }"""
STATUS = "query ($id: ID!) { subscription(id: $id) { status } }"
LICENSED: dict[str, Any] = {
    "usageType": "LICENSED",
    "aggregateUsage": None,
    "featureCode": None,
    "prices": [{"currencyCode": "USD", "amount": "5.00"}],
}


numbers = count()


async def sell_credits(house: House, code: str, *credits: dict[str, Any], **wish: Any) -> None:
    await sell(house, code, **{**LICENSED, "credits": list(credits), **wish})


async def consume(
    house: House, key: str, subscription: str, quantity: int = 1, *, idem: str | None = None
) -> dict[str, Any]:
    """The payload of `consumeCredits`; without `idem` under a key of its own."""
    wish = {
        "subscriptionId": subscription,
        "unit": "cup",
        "quantity": quantity,
        "idempotencyKey": idem or f"use-{next(numbers)}",
    }
    return (await ask_with_key(house, key, MOVE.format(name="consumeCredits"), {"i": wish}))["consumeCredits"]


async def grant(house: House, subscription: str, quantity: int, unit: str = "cup") -> dict[str, Any]:
    """The payload of `grantCredits`, under a key of its own."""
    wish = {"subscriptionId": subscription, "unit": unit, "quantity": quantity, "idempotencyKey": f"g-{next(numbers)}"}
    return (await house.ask(MOVE.format(name="grantCredits"), {"i": wish}, user=ADMIN))["grantCredits"]


async def change_to(house: House, subscription: str, plan: str) -> dict[str, Any]:
    """Another plan from now on, a full period of it paid: the balance of its only unit."""
    assert (await house.ask(CHANGE, {"id": subscription, "plan": plan}, user=USER))["changePlan"]["userErrors"] == []
    return await balance(house)


def moves(told: dict[str, Any]) -> list[tuple[str, int, int]]:
    """Every movement of a balance, the oldest first: kind, quantity, what was left."""
    return [(each["kind"], each["quantity"], each["balanceAfter"]) for each in told["entries"]["nodes"][::-1]]


async def balance(house: House, user: str = USER) -> dict[str, Any]:
    (only,) = (await house.ask(BALANCES, user=user))["mySubscription"]["creditBalances"]
    return only


async def in_zone(house: House, zone: str) -> None:
    """The user's calendar is that of another zone; nobody may change it by the API after the first mutation."""
    async with house.app.database.write() as session:
        customer = await customer_of_user(session, USER)
        assert customer is not None
        customer.timezone = zone


async def test_a_cup_a_day_by_the_customers_calendar(house: House) -> None:
    await in_zone(house, "Asia/Dubai")  # UTC+4: it is 13:30 when this begins
    await sell_credits(house, "cups", {"unit": "cup", "daily": 2})
    subscription, key = await take(house, "cups"), await key_of(house)
    begun = await balance(house)
    assert (begun["dailyAllowance"], begun["totalGranted"], begun["remaining"], begun["remainingToday"]) == (
        2,
        56,
        56,
        2,
    )
    for left in (1, 0):
        moved = await consume(house, key, subscription)
        assert (moved["userErrors"], moved["creditBalance"]["remainingToday"]) == ([], left)
    refused = await consume(house, key, subscription)
    assert refused == {
        "creditBalance": None,
        "entry": None,
        "userErrors": [{"code": "DAILY_LIMIT_REACHED", "field": ["quantity"]}],
    }
    house.pass_time(timedelta(hours=10, minutes=29))  # 23:59 in Dubai, 19:59 in UTC
    assert (await consume(house, key, subscription))["userErrors"][0]["code"] == "DAILY_LIMIT_REACHED"
    house.pass_time(timedelta(minutes=1))  # midnight there
    assert (await balance(house))["remainingToday"] == 2
    both = await consume(house, key, subscription, 2)
    assert (both["creditBalance"]["remaining"], both["creditBalance"]["remainingToday"]) == (52, 0)


async def test_out_of_credits_until_the_renewal_is_paid_and_what_is_unused_expires(house: House) -> None:
    await sell_credits(house, "cups", {"unit": "cup", "total": 3})
    subscription, key = await take(house, "cups"), await key_of(house)
    assert (await consume(house, key, subscription, 2))["userErrors"] == []
    assert (await consume(house, key, subscription, 2))["userErrors"] == [
        {"code": "OUT_OF_CREDITS", "field": ["quantity"]}
    ]
    # The renewal is refused: nothing is granted before it is paid, and what is left may be used in the grace.
    await house.ask(ATTACH, {"card": "pm_card_chargeCustomerFail"}, user=USER)
    await pass_to(house, 28)
    assert ((await balance(house))["remaining"], (await balance(house))["totalGranted"]) == (1, 3)
    await house.ask(ATTACH, {"card": "pm_card_visa"}, user=USER)
    await house.work()
    refilled = await balance(house)
    assert (refilled["remaining"], refilled["totalGranted"], refilled["totalUsed"]) == (3, 3, 0)
    assert refilled["entries"] == {
        "totalCount": 4,
        "nodes": [
            {"kind": "GRANT", "quantity": 3, "balanceAfter": 3, "reason": None},
            {"kind": "EXPIRE", "quantity": -1, "balanceAfter": 0, "reason": "renewed"},
            {"kind": "CONSUME", "quantity": -2, "balanceAfter": 1, "reason": None},
            {"kind": "GRANT", "quantity": 3, "balanceAfter": 3, "reason": None},
        ],
    }


async def test_a_period_that_is_over_when_it_is_paid_grants_nothing(house: House) -> None:
    """What was given up is paid after its period, and a new one begins: that one alone grants, once it is paid."""
    policy = PolicyChange(retry_after_days=[1], final_action=FinalAction.UNPAID)
    await update_dunning_policy(house.app, policy)
    await sell_credits(house, "cups", {"unit": "cup", "total": 3})
    subscription = await take(house, "cups")
    await house.ask(ATTACH, {"card": "pm_card_chargeCustomerFail"}, user=USER)
    await pass_to(house, 28)
    await pass_to(house, 2)
    assert (await house.ask(STATUS, {"id": subscription}, USER))["subscription"]["status"] == "UNPAID"
    house.pass_time(timedelta(days=40))
    await house.ask(ATTACH, {"card": "pm_card_visa"}, user=USER)
    await house.work()
    seen = await balance(house)
    assert (await house.ask(STATUS, {"id": subscription}, USER))["subscription"]["status"] == "ACTIVE"
    assert moves(seen) == [("GRANT", 3, 3), ("EXPIRE", -3, 0), ("GRANT", 3, 3)]


async def test_fixed_credits_are_granted_once_and_stay(house: House) -> None:
    await sell_credits(house, "pack", {"unit": "cup", "total": 5, "isFixed": True}, {"unit": "bag", "daily": 1})
    subscription, key = await take(house, "pack"), await key_of(house)
    await consume(house, key, subscription, 2)
    await pass_to(house, 28)
    found = (await house.ask(BALANCES, user=USER))["mySubscription"]["creditBalances"]
    assert [(b["unit"], b["isFixed"], b["remaining"], b["totalGranted"]) for b in found] == [
        ("bag", False, 31, 31),
        ("cup", True, 3, 5),
    ]


async def test_the_quantity_multiplies_what_is_granted(house: House) -> None:
    await sell_credits(house, "cups", {"unit": "cup", "daily": 1, "total": 10})
    card = await house.ask("{ me { defaultPaymentMethod { id } } }", user=USER)
    wish = {
        "items": [{"planCode": "cups", "quantity": 3}],
        "paymentMethodId": card["me"]["defaultPaymentMethod"]["id"],
    }
    made = await house.ask(
        "mutation ($i: SubscribeInput!) { subscribe(input: $i) { userErrors { code } } }", {"i": wish}, user=USER
    )
    assert made["subscribe"]["userErrors"] == []
    begun = await balance(house)
    assert (begun["dailyAllowance"], begun["totalGranted"]) == (3, 30)


async def test_a_plan_that_costs_nothing_grants_as_well(house: House) -> None:
    free = [{"currencyCode": "USD", "amount": "0.00"}]
    await sell_credits(house, "gift", {"unit": "cup", "total": 2}, prices=free)
    await take(house, "gift")
    assert (await balance(house))["remaining"] == 2
    await pass_to(house, 28)
    assert [each["kind"] for each in (await balance(house))["entries"]["nodes"]] == ["GRANT", "EXPIRE", "GRANT"]


async def test_of_twenty_at_once_as_many_get_through_as_are_left(house: House) -> None:
    await sell_credits(house, "cups", {"unit": "cup", "total": 7})
    subscription, key = await take(house, "cups"), await key_of(house)
    answers = await asyncio.gather(*(consume(house, key, subscription) for _ in range(20)))
    codes = sorted(error["code"] for answer in answers for error in answer["userErrors"])
    assert codes == ["OUT_OF_CREDITS"] * 13
    assert sorted(a["entry"]["balanceAfter"] for a in answers if a["entry"]) == [0, 1, 2, 3, 4, 5, 6]
    end = await balance(house)
    assert (end["remaining"], end["totalUsed"], end["isExhausted"]) == (0, 7, True)


async def test_of_twenty_with_one_key_at_once_one_moves_and_all_are_told_of_it(house: House) -> None:
    await sell_credits(house, "cups", {"unit": "cup", "total": 7})
    subscription, key = await take(house, "cups"), await key_of(house)
    answers = await asyncio.gather(*(consume(house, key, subscription, 2, idem="one") for _ in range(20)))
    assert [answer["userErrors"] for answer in answers] == [[]] * 20
    assert len({answer["entry"]["id"] for answer in answers}) == 1
    assert (await balance(house))["remaining"] == 5
    other = await consume(house, key, subscription, 3, idem="one")
    assert other["userErrors"] == [{"code": "IDEMPOTENCY_CONFLICT", "field": ["idempotencyKey"]}]


async def test_one_key_moves_once_for_a_customer_though_another_subscription_has_begun(house: House) -> None:
    await sell_credits(house, "cups", {"unit": "cup", "total": 7})
    first, key = await take(house, "cups"), await key_of(house)
    customer = (await house.ask("{ me { id } }", user=USER))["me"]["id"]
    wish = {"customerId": customer, "unit": "cup", "quantity": 2, "idempotencyKey": "one"}

    async def moved() -> dict[str, Any]:
        return (await ask_with_key(house, key, MOVE.format(name="consumeCredits"), {"i": wish}))["consumeCredits"]

    begun = await moved()
    assert (begun["userErrors"], begun["entry"]["balanceAfter"]) == ([], 5)
    end = """mutation ($id: ID!) { cancelSubscription(input: {subscriptionId: $id, effectiveAt: NOW}) {
      userErrors { code } } }"""
    assert (await house.ask(end, {"id": first}, user=USER))["cancelSubscription"]["userErrors"] == []
    assert await moved() == begun
    await take(house, "cups")
    assert await moved() == begun
    assert (await balance(house))["remaining"] == 7


async def test_credits_granted_by_hand_by_staff_and_by_the_back_end(house: House) -> None:
    await sell_credits(house, "cups", {"unit": "cup", "total": 1})
    subscription, key = await take(house, "cups"), await key_of(house)
    grant = MOVE.format(name="grantCredits")
    wish = {"subscriptionId": subscription, "unit": "cup", "quantity": 4, "reason": "sorry", "idempotencyKey": "g"}
    for _ in range(2):
        made = (await house.ask(grant, {"i": wish}, user="demo-support"))["grantCredits"]
        assert (made["userErrors"], made["creditBalance"]["remaining"]) == ([], 5)
    customer = (await house.ask("{ me { id } }", user=USER))["me"]["id"]
    extra = {"customerId": customer, "unit": "sugar", "quantity": 2, "idempotencyKey": "g"}
    made = (await ask_with_key(house, key, grant, {"i": extra}))["grantCredits"]
    assert (made["userErrors"], made["creditBalance"]["remaining"]) == ([], 2)
    used = {"customerId": customer, "unit": "sugar", "quantity": 1, "idempotencyKey": "u"}
    assert (await ask_with_key(house, key, MOVE.format(name="consumeCredits"), {"i": used}))["consumeCredits"][
        "creditBalance"
    ]["remaining"] == 1
    # The next period refills what the plan grants and leaves the rest.
    await pass_to(house, 28)
    mine = await house.ask("{ me { creditBalances { unit remaining isFixed } } }", user=USER)
    assert mine["me"]["creditBalances"] == [
        {"unit": "cup", "remaining": 1, "isFixed": False},
        {"unit": "sugar", "remaining": 1, "isFixed": True},
    ]


async def test_a_plan_grants_what_it_sells_though_some_were_given_by_hand_before(house: House) -> None:
    await sell_credits(house, "plain")
    await sell_credits(house, "cups", {"unit": "cup", "total": 100, "daily": 50})
    subscription = await take(house, "plain")
    assert (await grant(house, subscription, 5))["creditBalance"]["remaining"] == 5
    house.pass_time(timedelta(days=1))
    begun = await change_to(house, subscription, "cups")
    assert (begun["remaining"], begun["totalGranted"], begun["dailyAllowance"], begun["isFixed"]) == (
        105,
        105,
        50,
        False,
    )
    await pass_to(house, 31)
    refilled = await balance(house)
    assert (refilled["remaining"], refilled["totalGranted"], refilled["totalUsed"]) == (100, 100, 0)
    assert moves(refilled) == [("GRANT", 5, 5), ("GRANT", 100, 105), ("EXPIRE", -105, 0), ("GRANT", 100, 100)]


async def test_what_is_fixed_is_granted_once_though_it_was_refilled_or_given_by_hand_before(house: House) -> None:
    await sell_credits(house, "cups", {"unit": "cup", "total": 10})
    await sell_credits(house, "pack", {"unit": "cup", "total": 1000, "isFixed": True})
    subscription, key = await take(house, "cups"), await key_of(house)
    await consume(house, key, subscription, 3)
    house.pass_time(timedelta(days=1))
    packed = await change_to(house, subscription, "pack")
    assert (packed["remaining"], packed["totalGranted"], packed["totalUsed"], packed["isFixed"]) == (
        1000,
        1000,
        0,
        True,
    )
    await pass_to(house, 31)
    assert moves(await balance(house)) == [
        ("GRANT", 10, 10),
        ("CONSUME", -3, 7),
        ("EXPIRE", -7, 0),
        ("GRANT", 1000, 1000),
    ]
    await sell_credits(house, "plain")
    await house.ask(ATTACH, {"card": "pm_card_visa"}, user="demo-new")
    other = await take(house, "plain", "demo-new")
    await grant(house, other, 5)
    await sell_credits(house, "bundle", {"unit": "cup", "total": 20, "isFixed": True})
    house.pass_time(timedelta(days=1))
    changed = await house.ask(CHANGE, {"id": other, "plan": "bundle"}, user="demo-new")
    assert changed["changePlan"]["userErrors"] == []
    await pass_to(house, 31)
    assert moves(await balance(house, "demo-new")) == [("GRANT", 5, 5), ("GRANT", 20, 25)]


async def test_a_unit_that_is_no_longer_granted_ends_and_what_is_given_of_it_afterwards_stays(house: House) -> None:
    await sell_credits(house, "cups", {"unit": "cup", "total": 10, "daily": 2})
    await sell_credits(house, "plain")
    subscription, key = await take(house, "cups"), await key_of(house)
    await consume(house, key, subscription, 2)
    house.pass_time(timedelta(days=1))
    ended = await change_to(house, subscription, "plain")
    assert (ended["remaining"], ended["totalGranted"], ended["totalUsed"], ended["dailyAllowance"]) == (0, 0, 0, None)
    given = await grant(house, subscription, 4)
    assert given["creditBalance"]["remaining"] == 4
    await pass_to(house, 31)
    kept = await balance(house)
    assert (kept["remaining"], kept["isFixed"]) == (4, True)
    assert moves(kept) == [("GRANT", 10, 10), ("CONSUME", -2, 8), ("EXPIRE", -8, 0), ("GRANT", 4, 4)]
    assert (await consume(house, key, subscription, 3))["creditBalance"]["remaining"] == 1
    # Back at the plan that refills it, there is what it grants.
    assert (await change_to(house, subscription, "cups"))["remaining"] == 11


async def test_a_clock_that_is_put_back_over_midnight_begins_no_new_day(house: House) -> None:
    await sell_credits(house, "cups", {"unit": "cup", "total": 10, "daily": 2})
    subscription, key = await take(house, "cups"), await key_of(house)
    house.pass_time(timedelta(hours=15))  # 00:30 on 1 February
    assert (await consume(house, key, subscription, 1))["creditBalance"]["remainingToday"] == 1
    house.pass_time(timedelta(hours=-1))
    assert (await balance(house))["remainingToday"] == 1
    assert (await consume(house, key, subscription, 1))["userErrors"] == []
    for back in (0, 1):  # 23:30, and 00:30 once more
        house.pass_time(timedelta(hours=back))
        assert (await consume(house, key, subscription))["userErrors"][0]["code"] == "DAILY_LIMIT_REACHED"
    house.pass_time(timedelta(days=1))
    assert (await balance(house))["remainingToday"] == 2


async def test_without_access_nothing_is_consumed(house: House) -> None:
    await sell_credits(house, "cups", {"unit": "cup", "total": 5})
    subscription, key = await take(house, "cups"), await key_of(house)
    end = """mutation ($id: ID!) { cancelSubscription(input: {subscriptionId: $id, effectiveAt: NOW}) {
      userErrors { code } } }"""
    await house.ask(end, {"id": subscription}, user=USER)
    state = [{"code": "INVALID_STATE", "field": ["subscriptionId"]}]
    assert (await consume(house, key, subscription))["userErrors"] == state
    wish = {"subscriptionId": subscription, "unit": "cup", "quantity": 1, "idempotencyKey": "g"}
    granted = await house.ask(MOVE.format(name="grantCredits"), {"i": wish}, user=ADMIN)
    assert granted["grantCredits"]["userErrors"] == state


@pytest.mark.parametrize(
    ("wish", "code", "field"),
    [
        ({"quantity": 0}, "INVALID", "quantity"),
        ({"quantity": -1}, "INVALID", "quantity"),
        ({"idempotencyKey": ""}, "INVALID", "idempotencyKey"),
        ({"unit": ""}, "INVALID", "unit"),
        ({"unit": "tea"}, "NOT_FOUND", "unit"),
        ({"subscriptionId": None}, "REQUIRED", "subscriptionId"),
        ({"subscriptionId": "sbs_none"}, "NOT_FOUND", "subscriptionId"),
        ({"subscriptionId": None, "customerId": "cst_none"}, "NOT_FOUND", "customerId"),
        ({"occurredAt": "2026-01-31T09:31:01Z"}, "INVALID", "occurredAt"),
        ({"reason": "x" * 501}, "INVALID", "reason"),
    ],
)
async def test_what_cannot_be_consumed_is_refused(
    small_house: House, wish: dict[str, Any], code: str, field: str
) -> None:
    await sell_credits(small_house, "cups", {"unit": "cup", "total": 5})
    subscription, key = await take(small_house, "cups"), await key_of(small_house)
    given = {"subscriptionId": subscription, "unit": "cup", "quantity": 1, "idempotencyKey": "k", **wish}
    answer = await ask_with_key(small_house, key, MOVE.format(name="consumeCredits"), {"i": given})
    assert answer["consumeCredits"]["userErrors"] == [{"code": code, "field": [field]}]
    assert (await balance(small_house))["remaining"] == 5


async def test_an_entry_is_a_node_for_its_owner_and_its_key_for_staff(house: House) -> None:
    await sell_credits(house, "cups", {"unit": "cup", "total": 5})
    subscription, key = await take(house, "cups"), await key_of(house)
    entry = (await consume(house, key, subscription, idem="secret"))["entry"]["id"]
    look = "query ($id: ID!) { node(id: $id) { id ... on CreditEntry { quantity } } }"
    found = {user: (await house.ask(look, {"id": entry}, user=user))["node"] for user in (USER, ADMIN, "demo-decline")}
    assert found == {USER: {"id": entry, "quantity": -1}, ADMIN: {"id": entry, "quantity": -1}, "demo-decline": None}
    keyed = "query ($id: ID!) { node(id: $id) { ... on CreditEntry { idempotencyKey } } }"
    assert (await house.ask(keyed, {"id": entry}, user=ADMIN))["node"] == {"idempotencyKey": "secret"}
    refused = (await house.post(keyed, {"id": entry}, user=USER)).json()
    assert [error["extensions"]["code"] for error in refused["errors"]] == ["FORBIDDEN"]
