"""Products, plans, features and roles changed and withdrawn: what is left out stays, null sets back, stale loses."""

import asyncio
from typing import Any

import pytest

from tests.scenarios.curating import (
    ADMIN,
    ARCHIVE_PLAN,
    ARCHIVE_PRODUCT,
    UPDATE_PLAN,
    UPDATE_PRODUCT,
    plan_id,
    product_id,
    refused,
    told,
    update_plan,
)
from tests.scenarios.merchant import Merchant, do
from tests.support.house import House
from tests.support.meanwhile import one_after_the_other
from tests.support.tables import everything

WHOLE_PRODUCT = """query ($c: String) { product(code: $c) { code name type description images attributes skus unitLabel
  statementDescriptor shippable packageDimensions { height length weight width } isActive metadata } }"""
FULL_PRODUCT = {
    "code": "box",
    "name": "Box",
    "type": "GOOD",
    "description": "A box.",
    "images": ["https://example.com/a.png", "https://example.com/b.png"],
    "attributes": ["size"],
    "skus": ["B-1", "B-2"],
    "unitLabel": "box",
    "statementDescriptor": "BOX & CO",
    "shippable": True,
    "packageDimensions": {"height": "1.5", "length": "20", "weight": "0.25", "width": "10.1234"},
    "isActive": False,
    "metadata": [{"a": 1}, {"b": [2]}],
}
WHOLE_PLAN = """query ($c: String) { plan(code: $c) { name nickname description highlight item type position interval
  intervalCount billingDay trialPeriodDays isActive isOnlineSale cancelAtPeriodEnd taxPercent metadata role { id }
  entitlements { feature { code } limit } credits { unit total } } }"""
FULL_PLAN = {
    "name": "Full",
    "nickname": "nick",
    "description": "All.",
    "highlight": "New",
    "item": "thing",
    "type": "PROMOTIONAL",
    "position": 7,
    "interval": "MONTH",
    "intervalCount": 2,
    "billingDay": 5,
    "trialPeriodDays": 3,
    "isActive": False,
    "isOnlineSale": False,
    "cancelAtPeriodEnd": True,
    "taxPercent": "8.25",
    "metadata": {"a": "b"},
}


async def product(house: House, code: str) -> dict[str, Any]:
    return (await house.ask(WHOLE_PRODUCT, {"c": code}))["product"]


async def plan(house: House, code: str) -> dict[str, Any]:
    return (await house.ask(WHOLE_PLAN, {"c": code}))["plan"]


async def full_plan(house: House) -> str:
    more = {
        "roleId": 20,
        "entitlements": [{"featureCode": "seats", "limit": 5}],
        "credits": [{"unit": "cup", "total": 30}],
    }
    return await Merchant(house).plan("full", "5.00", product="free", **{**FULL_PLAN, **more})


# ── products ──


async def test_a_product_keeps_what_an_update_leaves_out(house: House) -> None:
    id = await Merchant(house).product(**FULL_PRODUCT)
    assert await product(house, "box") == FULL_PRODUCT
    answer = await told(house, UPDATE_PRODUCT, id=id, i={"name": "Crate"}, v=1)
    assert answer["product"] == {"id": id, "version": 2, "code": "box", "name": "Crate", "description": "A box."}
    assert await product(house, "box") == {**FULL_PRODUCT, "name": "Crate"}


async def test_null_sets_a_product_back_to_what_is_usual(house: House) -> None:
    id = await Merchant(house).product(**FULL_PRODUCT)
    nothing = dict.fromkeys(FULL_PRODUCT.keys() - {"name"})
    assert (await told(house, UPDATE_PRODUCT, id=id, i=nothing))["userErrors"] == []
    assert await product(house, id) == {
        "code": id,
        "name": "Box",
        "type": "SERVICE",
        "description": None,
        "images": [],
        "attributes": [],
        "skus": [],
        "unitLabel": None,
        "statementDescriptor": None,
        "shippable": False,
        "packageDimensions": None,
        "isActive": True,
        "metadata": {},
    }
    await refused(house, UPDATE_PRODUCT, "REQUIRED", ["name"], id=id, i={"name": None})


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        *(
            ({"statementDescriptor": text}, ["statementDescriptor"])
            for text in ("x" * 23, *"<>\\'\"*", "caffè", "a\tb")
        ),
        ({"skus": ["a"] * 21}, ["skus"]),
        ({"skus": ["a", ""]}, ["skus", "1"]),
        ({"attributes": ["x" * 101]}, ["attributes", "0"]),
        ({"images": ["https://example.com/"] * 21}, ["images"]),
        ({"unitLabel": "x" * 41}, ["unitLabel"]),
        ({"metadata": "text"}, ["metadata"]),
        ({"metadata": [{}, 1]}, ["metadata"]),
        (
            {"packageDimensions": {"height": "0", "length": "1", "weight": "1", "width": "1"}},
            ["packageDimensions", "height"],
        ),
        (
            {"packageDimensions": {"height": "1", "length": "1", "weight": "0.00001", "width": "1"}},
            ["packageDimensions", "weight"],
        ),
        ({"code": "no spaces"}, ["code"]),
    ],
)
async def test_a_part_of_a_product_that_cannot_be_is_refused(
    small_house: House, wish: dict[str, Any], field: list[str]
) -> None:
    id = await product_id(small_house, "free")
    await refused(small_house, UPDATE_PRODUCT, "INVALID", field, id=id, i=wish)


async def test_a_statement_may_say_22_characters_or_none(small_house: House) -> None:
    id = await product_id(small_house, "free")
    for text in ("x" * 22, ""):
        assert (await told(small_house, UPDATE_PRODUCT, id=id, i={"statementDescriptor": text}))["userErrors"] == []
        assert (await product(small_house, "free"))["statementDescriptor"] == text


async def test_a_code_or_an_alias_that_is_taken_is_refused(house: House) -> None:
    id = await product_id(house, "free")
    for code in ("premium", "classic_cup"):
        await refused(house, UPDATE_PRODUCT, "ALREADY_EXISTS", ["code"], id=id, i={"code": code})
    await full_plan(house)
    await refused(house, UPDATE_PLAN, "ALREADY_EXISTS", ["code"], id=await plan_id(house, "free"), i={"code": "full"})


# ── plans ──


async def test_a_plan_keeps_what_an_update_leaves_out(house: House) -> None:
    await full_plan(house)
    before = await plan(house, "full")
    assert before == {
        **FULL_PLAN,
        "role": {"id": 20},
        "entitlements": [{"feature": {"code": "seats"}, "limit": 5}],
        "credits": [{"unit": "cup", "total": 30}],
    }
    answer = await update_plan(house, "full", version=1, nickname="other")
    assert (answer["userErrors"], answer["plan"]["version"]) == ([], 2)
    assert await plan(house, "full") == {**before, "nickname": "other"}


async def test_null_sets_a_plan_back_and_its_position_to_the_last(house: House) -> None:
    id = await full_plan(house)
    fixed = {"name", "interval", "intervalCount"}
    nothing = dict.fromkeys([*(FULL_PLAN.keys() - fixed), "roleId", "entitlements", "credits", "code"])
    assert (await told(house, UPDATE_PLAN, id=id, i=nothing))["userErrors"] == []
    assert await plan(house, id) == {
        "name": "Full",
        "nickname": None,
        "description": None,
        "highlight": None,
        "item": None,
        "type": "STANDARD",
        "position": 11,
        "interval": "MONTH",
        "intervalCount": 2,
        "billingDay": None,
        "trialPeriodDays": 0,
        "isActive": True,
        "isOnlineSale": True,
        "cancelAtPeriodEnd": False,
        "taxPercent": None,
        "metadata": {},
        "role": None,
        "entitlements": [],
        "credits": [],
    }


async def test_what_is_allowed_and_granted_is_replaced_as_a_whole(house: House) -> None:
    await full_plan(house)
    await update_plan(
        house,
        "full",
        entitlements=[{"featureCode": "seats", "limit": 9}, {"featureCode": "rooms"}],
        credits=[{"unit": "bag", "total": 1}],
    )
    shown = await plan(house, "full")
    assert shown["entitlements"] == [
        {"feature": {"code": "rooms"}, "limit": None},
        {"feature": {"code": "seats"}, "limit": 9},
    ]
    assert shown["credits"] == [{"unit": "bag", "total": 1}]


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({"interval": "YEAR"}, "interval"),
        ({"intervalCount": 3}, "intervalCount"),
        ({"intervalCount": None}, "intervalCount"),
        ({"usageType": "METERED", "aggregateUsage": "SUM", "featureCode": "calls"}, "usageType"),
        ({"billingScheme": "TIERED", "tiersMode": "VOLUME"}, "billingScheme"),
        ({"transformUsage": {"divideBy": 10, "round": "UP"}}, "transformUsage"),
        ({"productCode": "premium"}, "productCode"),
    ],
)
async def test_what_bills_are_computed_from_never_changes(small_house: House, wish: dict[str, Any], field: str) -> None:
    await full_plan(small_house)
    id = await plan_id(small_house, "full")
    await refused(small_house, UPDATE_PLAN, "INVALID_STATE", [field], id=id, i=wish)
    same = {
        "interval": "MONTH",
        "intervalCount": 2,
        "usageType": "LICENSED",
        "billingScheme": "PER_UNIT",
        "productCode": "free",
        "transformUsage": None,
    }
    assert (await told(small_house, UPDATE_PLAN, id=id, i=same))["userErrors"] == []


@pytest.mark.parametrize(
    ("wish", "code", "field"),
    [
        ({"name": ""}, "REQUIRED", ["name"]),
        ({"interval": None}, "REQUIRED", ["interval"]),
        ({"position": -1}, "INVALID", ["position"]),
        ({"roleId": 999}, "NOT_FOUND", ["roleId"]),
        ({"taxPercent": "101"}, "INVALID", ["taxPercent"]),
        ({"productCode": "none"}, "NOT_FOUND", ["productCode"]),
        ({"prices": None}, "REQUIRED", ["prices"]),
        ({"prices": [{"currencyCode": "USD", "isActive": False}]}, "REQUIRED", ["prices"]),
        ({"prices": [{"currencyCode": "USD", "isDefault": False, "amount": "7.00"}]}, "REQUIRED", ["prices"]),
        (
            {"prices": [{"currencyCode": "CNY", "isActive": False, "amount": "1.00"}]},
            "INVALID",
            ["prices", "0", "isActive"],
        ),
        (
            {"prices": [{"currencyCode": "CNY", "amount": "1.00"}, {"currencyCode": "CNY", "amount": "2.00"}]},
            "INVALID",
            ["prices", "1", "currencyCode"],
        ),
        ({"prices": [{"currencyCode": "EUR", "amount": "1.001"}]}, "INVALID", ["prices", "0", "amount"]),
    ],
)
async def test_a_part_of_a_plan_that_cannot_be_is_refused(
    small_house: House, wish: dict[str, Any], code: str, field: list[str]
) -> None:
    await refused(small_house, UPDATE_PLAN, code, field, id=await plan_id(small_house, "reader-pro"), i=wish)


# ── prices ──


def shown(plan: dict[str, Any]) -> list[tuple[str, str, bool]]:
    return [(price["currencyCode"], price["amount"]["amount"], price["isDefault"]) for price in plan["prices"]]


async def test_only_named_currencies_change_and_the_same_price_stays(house: House) -> None:
    before = (await update_plan(house, "reader-pro"))["plan"]
    prices = [{"currencyCode": "CNY", "amount": "99.00"}, {"currencyCode": "EUR", "amount": "6.50"}]
    after = (await update_plan(house, "reader-pro", prices=[*prices, {"currencyCode": "USD", "amount": "7.00"}]))[
        "plan"
    ]
    assert shown(after) == [("USD", "7.00", True), ("CNY", "99.00", False), ("EUR", "6.50", False)]
    assert after["prices"][0]["id"] == before["prices"][0]["id"]
    assert after["prices"][1]["id"] != before["prices"][1]["id"]
    again = (await update_plan(house, "reader-pro", prices=prices))["plan"]
    assert again == after
    old = next(each for each in after["priceHistory"]["nodes"] if each["amount"]["amount"] == "101.00")
    assert (old["isActive"], old["replacedBy"]) == (False, {"id": after["prices"][1]["id"]})


async def test_a_currency_is_taken_off_sale_and_comes_back_as_a_new_price(house: House) -> None:
    gone = (await update_plan(house, "reader-pro", prices=[{"currencyCode": "CNY", "isActive": False}]))["plan"]
    assert shown(gone) == [("USD", "7.00", True)]
    (old,) = [each for each in gone["priceHistory"]["nodes"] if each["currencyCode"] == "CNY"]
    assert (old["isActive"], old["replacedBy"]) == (False, None)
    back = (await update_plan(house, "reader-pro", prices=[{"currencyCode": "CNY", "amount": "101.00"}]))["plan"]
    assert shown(back) == [("USD", "7.00", True), ("CNY", "101.00", False)]
    assert len([each for each in back["priceHistory"]["nodes"] if each["currencyCode"] == "CNY"]) == 2
    subscribe = 'mutation { subscribe(input: {planCode: "reader-pro", currencyCode: EUR}) { userErrors { code } } }'
    assert (await told(house, subscribe.replace("EUR", '"EUR"'), "demo-card"))["userErrors"] == [
        {"code": "CURRENCY_UNSUPPORTED"}
    ]


async def test_another_price_becomes_the_default_without_becoming_another_price(house: House) -> None:
    before = (await update_plan(house, "reader-pro"))["plan"]
    prices = [{"currencyCode": "CNY", "amount": "101.00", "isDefault": True}]
    after = (await update_plan(house, "reader-pro", prices=prices))["plan"]
    assert shown(after) == [("CNY", "101.00", True), ("USD", "7.00", False)]
    assert {each["id"] for each in after["prices"]} == {each["id"] for each in before["prices"]}
    prices = [{"currencyCode": "CNY", "isActive": False}, {"currencyCode": "USD", "amount": "8.00", "isDefault": True}]
    assert shown((await update_plan(house, "reader-pro", prices=prices))["plan"]) == [("USD", "8.00", True)]


async def test_tiers_written_otherwise_are_the_same_tiers(house: House) -> None:
    tiers = [{"upTo": 10, "unitAmount": "0.5"}, {"unitAmount": "0.25", "flatAmount": "1"}]
    terms = {"billingScheme": "TIERED", "tiersMode": "GRADUATED"}
    await Merchant(house).plan("calls", "0", prices=[{"currencyCode": "USD", "tiers": tiers}], **terms)
    before = (await update_plan(house, "calls"))["plan"]["prices"]
    same = [{"upTo": 10, "unitAmount": "0.50"}, {"unitAmount": "0.250", "flatAmount": "1.00"}]
    assert (await update_plan(house, "calls", prices=[{"currencyCode": "USD", "tiers": same}]))["plan"][
        "prices"
    ] == before
    other = [{"unitAmount": "0.25"}]
    after = (await update_plan(house, "calls", prices=[{"currencyCode": "USD", "tiers": other}]))["plan"]["prices"]
    assert after[0]["id"] != before[0]["id"]


# ── versions, ids, withdrawal ──


async def test_a_stale_version_changes_nothing_and_tells_the_present_one(house: House) -> None:
    ids = {"plan": await plan_id(house, "free"), "product": await product_id(house, "free")}
    await told(house, UPDATE_PLAN, id=ids["plan"], i={"name": "Freer"})
    await told(house, UPDATE_PRODUCT, id=ids["product"], i={"name": "Freer"})
    before = await everything(house.app)
    for query, id, wish in (
        (UPDATE_PLAN, ids["plan"], {"i": {"name": "x"}}),
        (UPDATE_PRODUCT, ids["product"], {"i": {"name": "x"}}),
        (ARCHIVE_PLAN, ids["plan"], {}),
        (ARCHIVE_PRODUCT, ids["product"], {}),
    ):
        (error,) = (await told(house, query, id=id, v=1, **wish))["userErrors"]
        assert (error["code"], error["field"], error["currentVersion"]) == ("VERSION_CONFLICT", ["expectedVersion"], 2)
    assert await everything(house.app) == before


async def test_an_update_that_changes_nothing_leaves_the_version(house: House) -> None:
    before = await everything(house.app)
    await update_plan(house, "free", name="Free", prices=[{"currencyCode": "USD", "amount": "0"}])
    await told(house, UPDATE_PRODUCT, id=await product_id(house, "free"), i={"name": "Free"})
    assert await everything(house.app) == before


async def test_of_two_updates_of_one_version_one_wins(house: House) -> None:
    id = await plan_id(house, "reader-pro")
    prices = [[{"currencyCode": "USD", "amount": amount}] for amount in ("8.00", "9.00", "10.00")]
    answers = await asyncio.gather(*(told(house, UPDATE_PLAN, id=id, i={"prices": each}, v=1) for each in prices))
    lost = [error for answer in answers for error in answer["userErrors"]]
    assert [(error["code"], error["currentVersion"]) for error in lost] == [("VERSION_CONFLICT", 2)] * 2
    (won,) = [answer["plan"] for answer in answers if answer["plan"] is not None]
    assert (won["version"], len(won["priceHistory"]["nodes"])) == (2, 3)


async def test_what_is_not_there_is_not_found(house: House) -> None:
    for query in (UPDATE_PLAN, UPDATE_PRODUCT):
        await refused(house, query, "NOT_FOUND", ["id"], id="none", i={"name": "x"})
    for query in (ARCHIVE_PLAN, ARCHIVE_PRODUCT):
        await refused(house, query, "NOT_FOUND", ["id"], id="none")


async def test_withdrawing_is_for_good_and_repeating_it_changes_nothing(house: House) -> None:
    id = await plan_id(house, "premium-yearly")
    first = await told(house, ARCHIVE_PLAN, id=id, v=1)
    assert first["plan"] == {
        "id": id,
        "version": 2,
        "isArchived": True,
        "isActive": False,
        "archivedAt": "2026-01-31T09:30:00Z",
    }
    before = await everything(house.app)
    assert await told(house, ARCHIVE_PLAN, id=id) == first
    assert await everything(house.app) == before
    await refused(house, UPDATE_PLAN, "INVALID_STATE", ["isActive"], id=id, i={"isActive": True})
    assert (await told(house, UPDATE_PLAN, id=id, i={"nickname": "old"}))["userErrors"] == []
    assert (await plan(house, "premium-yearly"))["nickname"] == "old"


async def test_a_withdrawn_product_takes_its_plans_along_and_is_sold_by_no_new_one(house: House) -> None:
    id = await product_id(house, "premium")
    assert (await told(house, ARCHIVE_PRODUCT, id=id))["userErrors"] == []
    shop = await house.ask('{ plans(filter: {search: "premium"}) { nodes { code } } products { nodes { code } } }')
    assert shop["plans"]["nodes"] == []
    assert "premium" not in [node["code"] for node in shop["products"]["nodes"]]
    given = {"name": "New", "productCode": "premium", "interval": "MONTH", "prices": []}
    given["prices"] = [{"currencyCode": "USD", "amount": "1.00"}]
    answer = await do(house, "createPlan", "PlanInput", given, "plan { id }")
    assert [(each["code"], each["field"]) for each in answer["userErrors"]] == [("INVALID_STATE", ["productCode"])]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_product_that_is_withdrawn_just_now_is_sold_by_no_new_plan(house: House) -> None:
    """On SQLite the one who makes the plan has not looked yet."""
    id = await product_id(house, "premium")
    given = {"name": "New", "productCode": "premium", "interval": "MONTH", "prices": []}
    given["prices"] = [{"currencyCode": "USD", "amount": "1.00"}]
    withdrawn, made = await one_after_the_other(
        house.app,
        "SELECT id FROM products WHERE code = 'premium' FOR UPDATE",
        lambda: told(house, ARCHIVE_PRODUCT, id=id),
        lambda: do(house, "createPlan", "PlanInput", given, "plan { id }"),
    )
    assert withdrawn["product"]["isArchived"] is True
    assert [(each["code"], each["field"]) for each in made["userErrors"]] == [("INVALID_STATE", ["productCode"])]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_plan_that_is_changed_as_its_product_is_withdrawn_counts_both_versions(house: House) -> None:
    plan, product = await plan_id(house, "premium-yearly"), await product_id(house, "premium")
    changed, withdrawn = await one_after_the_other(
        house.app,
        "SELECT id FROM plans WHERE code = 'premium-yearly' FOR UPDATE",
        lambda: told(house, UPDATE_PLAN, id=plan, i={"name": "Best"}),
        lambda: told(house, ARCHIVE_PRODUCT, id=product),
    )
    assert (changed["plan"]["version"], withdrawn["product"]["isArchived"]) == (2, True)
    await refused(house, UPDATE_PLAN, "VERSION_CONFLICT", ["expectedVersion"], id=plan, i={"name": "x"}, v=2)
    assert (await told(house, ARCHIVE_PLAN, id=plan, v=3))["plan"]["version"] == 3


# ── features and roles ──

FEATURE = """mutation ($id: ID!, $i: FeatureInput!) { updateFeature(id: $id, input: $i) {
  feature { code name unit } userErrors { code field } } }"""
MAKE_ROLE = """mutation ($i: AppRoleInput!) { createAppRole(input: $i) {
  appRole { id code name } userErrors { code field } } }"""
EDIT_ROLE = """mutation ($id: Int!, $i: AppRoleInput!) { updateAppRole(id: $id, input: $i) {
  appRole { id code name } userErrors { code field } } }"""


async def test_a_feature_is_listed_and_renamed(house: House) -> None:
    await full_plan(house)
    found = await house.ask("{ features(page: 1, pageSize: 1) { nodes { id code } totalCount } }")
    assert found["features"]["totalCount"] == 1
    (feature,) = found["features"]["nodes"]
    answer = await told(house, FEATURE, id=feature["id"], i={"name": "Seats", "unit": "seat"})
    assert answer["feature"] == {"code": "seats", "name": "Seats", "unit": "seat"}
    answer = await told(house, FEATURE, id=feature["id"], i={"unit": None})
    assert answer["feature"] == {"code": "seats", "name": "Seats", "unit": None}
    await refused(house, FEATURE, "REQUIRED", ["name"], id=feature["id"], i={"name": None})
    await refused(house, FEATURE, "NOT_FOUND", ["id"], id="none", i={"name": "x"})


async def test_a_role_is_made_granted_and_renamed(house: House) -> None:
    role = {"id": 30, "code": "editor", "name": "Editor"}
    assert (await told(house, MAKE_ROLE, i=role))["appRole"] == role
    assert (await update_plan(house, "free", roleId=30))["userErrors"] == []
    assert (await told(house, EDIT_ROLE, id=30, i={"name": "Chief"}))["appRole"] == {**role, "name": "Chief"}
    roles = await house.ask("{ appRoles { nodes { id name } } }", user=ADMIN)
    assert roles["appRoles"]["nodes"] == [
        {"id": 10, "name": "User"},
        {"id": 20, "name": "Reader"},
        {"id": 30, "name": "Chief"},
    ]
    for wish, code, field in (
        ({}, "REQUIRED", "id"),
        ({"id": -1, "code": "a", "name": "b"}, "INVALID", "id"),
        ({"id": 30, "code": "a", "name": "b"}, "ALREADY_EXISTS", "id"),
        ({"id": 31, "code": "editor", "name": "b"}, "ALREADY_EXISTS", "code"),
        ({"id": 31, "code": "a b", "name": "b"}, "INVALID", "code"),
        ({"id": 31, "name": "b"}, "REQUIRED", "code"),
        ({"id": 31, "code": "a"}, "REQUIRED", "name"),
    ):
        await refused(house, MAKE_ROLE, code, [field], i=wish)
    await refused(house, EDIT_ROLE, "INVALID_STATE", ["id"], id=30, i={"id": 31})
    await refused(house, EDIT_ROLE, "ALREADY_EXISTS", ["code"], id=30, i={"code": "reader"})
    await refused(house, EDIT_ROLE, "NOT_FOUND", ["id"], id=99, i={"name": "x"})


# ── notes ──


async def test_notes_may_be_an_array_of_objects_everywhere(house: House) -> None:
    notes = [{"key": "a", "value": 1}, {}]
    subscribe = """mutation ($m: JSON) { subscribe(input: {planCode: "free", metadata: $m}) {
      subscription { id metadata } userErrors { code } } }"""
    made = (await told(house, subscribe, "demo-card", m=notes))["subscription"]
    assert made["metadata"] == notes
    update = """mutation ($s: ID!, $m: JSON) { updateSubscription(input: {subscriptionId: $s, metadata: $m}) {
      subscription { metadata } userErrors { code field } } }"""
    for given in ([], [{"b": 2}], {"c": 3}):
        told_of = await told(house, update, "demo-card", s=made["id"], m=given)
        assert told_of["subscription"]["metadata"] == given
    await refused(house, update, "INVALID", ["metadata"], s=made["id"], m=["text"])
    for mutation, kind, wish, shown_as in (
        ("createCustomer", "CustomerInput", {"userId": "noted"}, "customer"),
        ("createCoupon", "CouponInput", {"code": "noted", "percentOff": "5"}, "coupon"),
        ("createProduct", "ProductInput", {"name": "noted"}, "product"),
    ):
        answer = await do(house, mutation, kind, {**wish, "metadata": notes}, f"{shown_as} {{ metadata }}")
        assert answer[shown_as]["metadata"] == notes
