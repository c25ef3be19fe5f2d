"""What subscriptions allow, added up, as they begin, fall behind, are paused and end, on both databases."""

from typing import Any

from sqlmodel import select

from models.base import new_id
from models.catalog import Feature, Plan, PlanEntitlement
from tests.scenarios.by_hand import write_down
from tests.scenarios.merchant import Merchant
from tests.scenarios.orders import ADMIN, ATTACH, customer_id, default_card, ordered, pass_to, subscribe
from tests.schema.keys import ask_with_key, secret_of_key
from tests.support.house import House

USER = "demo-card"
ITEMS = """items { feature { code } isEnabled limit isUnlimited used remaining resetsAt source { plan { code } } }
  role { code id } roleEndsAt"""
MINE = f"{{ me {{ role {{ code }} roleEndsAt entitlements {{ {ITEMS} }} }} }}"
STATUS = f"query ($user: ID!) {{ subscriptionStatus(userId: $user) {{ isActive entitlements {{ {ITEMS} }} }} }}"
OF_ONE = """query ($id: ID!) { subscription(id: $id) {
  entitlements { feature { code } limit isUnlimited remaining } } }"""
USE = """mutation ($events: [UsageEventInput!]!) { recordUsage(events: $events) {
  accepted userErrors { code message } } }"""

# Plan → feature → limit; None is without limit, False is switched off.
ALLOWED: dict[str, dict[str, int | bool | None]] = {
    "reader-pro": {"capacity": 1000, "export": False},
    "premium-monthly": {"capacity": 500, "export": None},
    "classic-coffee-yearly": {"cups": 2},
}


async def stock(house: House) -> None:
    """Plans allow something, and the reader's grants a role already."""
    async with house.app.database.write() as session:
        features = {
            code: Feature(id=new_id("feature"), code=code, name=code) for code in ("capacity", "export", "cups")
        }
        session.add_all(features.values())
        await session.flush()
        for plan_code, allowed in ALLOWED.items():
            plan = (await session.exec(select(Plan).where(Plan.code == plan_code))).one()
            for code, limit in allowed.items():
                session.add(
                    PlanEntitlement(
                        plan_id=plan.id,
                        feature_id=features[code].id,
                        is_enabled=limit is not False,
                        limit=limit if limit is not None and limit is not False else None,
                    )
                )


async def _mine(house: House) -> dict[str, Any]:
    return (await house.ask(MINE, user=USER))["me"]


def _limits(told: dict[str, Any]) -> dict[str, Any]:
    """By feature: the limit, `unlimited`, or `off`."""
    return {
        each["feature"]["code"]: "unlimited" if each["isUnlimited"] else each["limit"] if each["isEnabled"] else "off"
        for each in told["entitlements"]["items"]
    }


async def test_they_add_up_over_subscriptions_and_go_with_them(house: House) -> None:
    await stock(house)
    assert await _mine(house) == {
        "role": None,
        "roleEndsAt": None,
        "entitlements": {"items": [], "role": None, "roleEndsAt": None},
    }
    await ordered(house, USER, by=USER, planCode="reader-pro")
    alone = await _mine(house)
    assert _limits(alone) == {"capacity": 1000, "export": "off"}
    assert (alone["role"], alone["roleEndsAt"]) == ({"code": "reader"}, None)
    assert alone["entitlements"]["items"][0] == {
        "feature": {"code": "capacity"},
        "isEnabled": True,
        "limit": 1000,
        "isUnlimited": False,
        "used": 0,
        "remaining": 1000,
        "resetsAt": "2026-02-28T09:30:00Z",
        "source": {"plan": {"code": "reader-pro"}},
    }
    second = await ordered(house, USER, by=USER, planCode="premium-monthly", quantity=3, periodCount=1)
    both = await _mine(house)
    assert _limits(both) == {"capacity": 2500, "export": "unlimited"}
    assert both["entitlements"]["items"][0]["source"] is None
    one = (await house.ask(OF_ONE, {"id": second}, USER))["subscription"]["entitlements"]
    assert [(each["feature"]["code"], each["limit"]) for each in one] == [("capacity", 1500), ("export", None)]
    await pass_to(house, "2026-02-28T09:30:00Z")
    assert _limits(await _mine(house)) == {"capacity": 1000, "export": "off"}


async def test_the_role_ends_with_the_term_that_grants_it(house: House) -> None:
    await ordered(house, USER, by=USER, planCode="reader-pro", periodCount=2)
    mine = await _mine(house)
    assert (mine["role"], mine["roleEndsAt"]) == ({"code": "reader"}, "2026-03-31T09:30:00Z")
    assert mine["entitlements"]["role"] == {"code": "reader", "id": 20}
    await pass_to(house, "2026-02-28T09:30:00Z")
    await pass_to(house, "2026-03-31T09:30:00Z")
    over = await _mine(house)
    assert (over["role"], over["roleEndsAt"]) == (None, None)


async def test_they_are_kept_through_the_grace_of_an_unpaid_renewal_and_no_longer(house: House) -> None:
    await stock(house)
    await ordered(house, USER, by=USER, planCode="reader-pro")
    await house.ask(ATTACH, {"card": "pm_card_chargeCustomerFail"}, USER)
    await pass_to(house, "2026-02-28T09:30:00Z")
    await pass_to(house, "2026-03-07T09:29:59Z")
    assert _limits(await _mine(house)) == {"capacity": 1000, "export": "off"}
    await pass_to(house, "2026-03-07T09:30:00Z")
    assert _limits(await _mine(house)) == {}


async def test_nothing_comes_of_what_is_not_paid_or_has_not_begun(house: House) -> None:
    await stock(house)
    await subscribe(house, USER, planCode="reader-pro")
    card, customer = await default_card(house, USER), await customer_id(house, USER)
    wish = {"planCode": "premium-monthly", "startAt": "2026-03-01T00:00:00Z", "paymentMethodId": card}
    assert (await subscribe(house, ADMIN, customerId=customer, **wish))["userErrors"] == []
    assert _limits(await _mine(house)) == {}


async def test_a_back_end_asks_for_a_user_and_a_manual_subscription_counts(house: House) -> None:
    await stock(house)
    key = await secret_of_key(house, "read")
    nobody = (await ask_with_key(house, key, STATUS, {"user": "nobody"}))["subscriptionStatus"]
    assert nobody == {"isActive": False, "entitlements": {"items": [], "role": None, "roleEndsAt": None}}
    await write_down(house, periodStart="2026-01-01", periodEnd="2027-01-01")
    told = (await ask_with_key(house, key, STATUS, {"user": "user_kid"}))["subscriptionStatus"]
    assert (told["isActive"], _limits(told)) == (True, {"cups": 2})
    await write_down(
        house,
        customer={"userId": "asleep"},
        subscriptionId="asleep",
        periodStart="2026-01-01",
        periodEnd="2027-01-01",
        isActive=False,
    )
    asleep = (await ask_with_key(house, key, STATUS, {"user": "asleep"}))["subscriptionStatus"]
    assert (asleep["isActive"], _limits(asleep)) == (False, {})


async def test_what_is_used_counts_for_its_period(house: House) -> None:
    await stock(house)
    order = await ordered(house, USER, by=USER, planCode="reader-pro")
    events = [
        {
            "subscriptionId": order,
            "featureCode": "capacity",
            "quantity": quantity,
            "occurredAt": "2026-01-31T09:30:00Z",
            "idempotencyKey": quantity,
        }
        for quantity in ("200", "50.5")
    ]
    key = await secret_of_key(house, "record_usage")
    told = (await ask_with_key(house, key, USE, {"events": events}))["recordUsage"]
    assert told == {"accepted": 2, "userErrors": []}
    capacity = (await _mine(house))["entitlements"]["items"][0]
    assert (capacity["used"], capacity["remaining"]) == (251, 749)
    await pass_to(house, "2026-02-28T09:30:00Z")
    capacity = (await _mine(house))["entitlements"]["items"][0]
    assert (capacity["used"], capacity["remaining"]) == (0, 1000)


async def test_what_adds_up_beyond_all_measure_is_told_none_the_less(small_house: House) -> None:
    house, most = small_house, 2**53 - 1
    allowed = [{"featureCode": "bytes", "limit": most}]
    await Merchant(house).plan("vast", "9.00", entitlements=allowed)
    order = await ordered(house, USER, by=USER, planCode="vast", quantity=3)
    events = [
        {"subscriptionId": order, "featureCode": "bytes", "quantity": "9" * 15, "idempotencyKey": str(n)}
        for n in range(10)
    ]
    key = await secret_of_key(house, "record_usage")
    assert (await ask_with_key(house, key, USE, {"events": events}))["recordUsage"]["accepted"] == 10
    (vast,) = (await _mine(house))["entitlements"]["items"]
    assert (vast["limit"], vast["used"], vast["remaining"]) == (most, most, 0)
