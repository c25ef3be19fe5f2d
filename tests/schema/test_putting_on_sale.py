"""Products and plans made through the API: every field told again, every bad part named by its path."""

import asyncio
from typing import Any

import pytest
from sqlmodel.ext.asyncio.session import AsyncSession

from models.base import new_id
from models.catalog import Feature
from services.writing import written
from tests.schema.keys import ask_with_key, secret_of_key
from tests.support.house import House

ADMIN = "demo-admin"
PRODUCT = """mutation ($i: ProductInput!) { createProduct(input: $i) {
  product { id code name type description aliases images attributes unitLabel statementDescriptor shippable isActive
    metadata plans { totalCount } }
  userErrors { code field } } }"""
PLAN = """mutation ($i: PlanInput!) { createPlan(input: $i) {
  plan { id code name nickname description highlight item product { code } interval intervalCount billingDay
    trialPeriodDays usageType aggregateUsage meteredFeature { code name unit } billingScheme tiersMode
    transformUsage { divideBy round } taxPercent isActive isOnlineSale cancelAtPeriodEnd role { code } metadata
    prices { currencyCode amount { amount } unitAmountDecimal isDefault
      tiers { upTo unitAmount flatAmount { amount } } }
    entitlements { feature { code } isEnabled limit isUnlimited }
    credits { unit daily total isFixed } }
  userErrors { code field } } }"""


async def _plan(house: House, **wish: Any) -> dict[str, Any]:
    given = {"name": "Tea", "productCode": "free", "interval": "MONTH", "prices": [USD], **wish}
    return (await house.ask(PLAN, {"i": given}, user=ADMIN))["createPlan"]


USD = {"currencyCode": "USD", "amount": "5.00"}


async def test_a_product_keeps_all_that_it_was_given(house: House) -> None:
    wish = {
        "code": "tea.box",
        "name": "Tea",
        "type": "GOOD",
        "description": "Leaves.",
        "images": ["https://example.com/tea.png"],
        "attributes": ["size"],
        "unitLabel": "box",
        "statementDescriptor": "TEA",
        "shippable": True,
        "isActive": False,
        "metadata": {"shelf": 3},
    }
    made = (await house.ask(PRODUCT, {"i": wish}, user=ADMIN))["createProduct"]
    assert made["userErrors"] == []
    assert made["product"].pop("id").startswith("prd_")
    assert made["product"] == {**wish, "aliases": [], "plans": {"totalCount": 0}}


async def test_an_id_serves_where_no_code_is_given(house: House) -> None:
    made = (await house.ask(PRODUCT, {"i": {"name": "Tea"}}, user=ADMIN))["createProduct"]["product"]
    assert made["code"] == made["id"]
    plan = (await _plan(house, productId=made["id"], productCode=None))["plan"]
    assert (plan["code"], plan["product"]["code"]) == (plan["id"], made["code"])


async def test_a_plan_keeps_all_that_it_was_given(house: House) -> None:
    wish = {
        "code": "calls",
        "name": "Calls",
        "nickname": "metered",
        "description": "By the call.",
        "highlight": "New",
        "item": "api",
        "interval": "YEAR",
        "intervalCount": 2,
        "billingDay": 31,
        "trialPeriodDays": 14,
        "usageType": "METERED",
        "aggregateUsage": "MAX",
        "billingScheme": "TIERED",
        "tiersMode": "GRADUATED",
        "taxPercent": "8.25",
        "isActive": True,
        "isOnlineSale": False,
        "cancelAtPeriodEnd": True,
        "metadata": {"a": "b"},
    }
    more = {
        "featureCode": "api-calls",
        "roleId": 20,
        "prices": [
            {"currencyCode": "EUR", "tiers": [{"unitAmount": "0.5", "flatAmount": "1.00"}]},
            {
                "currencyCode": "USD",
                "isDefault": True,
                "tiers": [{"upTo": 10, "unitAmount": "0.0035"}, {"unitAmount": "0.002", "flatAmount": "2.50"}],
            },
        ],
        "entitlements": [{"featureCode": "seats", "limit": 5}, {"featureCode": "api-calls"}],
        "credits": [{"unit": "cup", "daily": 2}, {"unit": "bag", "total": 10, "isFixed": True}],
    }
    made = await _plan(house, **wish, **more)
    assert made["userErrors"] == []
    plan = made["plan"]
    assert {name: plan[name] for name in wish} == wish
    assert plan["transformUsage"] is None
    assert (plan["meteredFeature"], plan["role"]) == (
        {"code": "api-calls", "name": "api-calls", "unit": None},
        {"code": "reader"},
    )
    assert plan["prices"] == [
        {
            "currencyCode": "USD",
            "amount": {"amount": "0.00"},
            "unitAmountDecimal": None,
            "isDefault": True,
            "tiers": [
                {"upTo": 10, "unitAmount": "0.0035", "flatAmount": {"amount": "0.00"}},
                {"upTo": None, "unitAmount": "0.002", "flatAmount": {"amount": "2.50"}},
            ],
        },
        {
            "currencyCode": "EUR",
            "amount": {"amount": "0.00"},
            "unitAmountDecimal": None,
            "isDefault": False,
            "tiers": [{"upTo": None, "unitAmount": "0.5", "flatAmount": {"amount": "1.00"}}],
        },
    ]
    assert plan["entitlements"] == [
        {"feature": {"code": "api-calls"}, "isEnabled": True, "limit": None, "isUnlimited": True},
        {"feature": {"code": "seats"}, "isEnabled": True, "limit": 5, "isUnlimited": False},
    ]
    assert plan["credits"] == [
        {"unit": "bag", "daily": None, "total": 10, "isFixed": True},
        {"unit": "cup", "daily": 2, "total": None, "isFixed": False},
    ]


async def test_what_is_left_out_has_its_usual_value_and_the_plan_is_the_last_in_the_shop(house: House) -> None:
    plan = (await _plan(house, code="tea", transformUsage={"divideBy": 10, "round": "UP"}))["plan"]
    assert plan["prices"] == [
        {"currencyCode": "USD", "amount": {"amount": "5.00"}, "unitAmountDecimal": None, "isDefault": True, "tiers": []}
    ]
    usual = {"intervalCount": 1, "billingDay": None, "trialPeriodDays": 0, "usageType": "LICENSED", "taxPercent": None}
    assert {name: plan[name] for name in usual} == usual
    assert (plan["isActive"], plan["isOnlineSale"], plan["cancelAtPeriodEnd"]) == (True, True, False)
    assert plan["transformUsage"] == {"divideBy": 10, "round": "UP"}
    shop = await house.ask("{ plans(last: 1) { nodes { code } } }")
    assert shop["plans"]["nodes"] == [{"code": "tea"}]


@pytest.mark.parametrize(
    ("currency", "unit", "shown"),
    [("USD", "0.0035", "0.00"), ("USD", "0.005", "0.01"), ("JPY", "1.4", "1"), ("KWD", "0.0049", "0.000")],
)
async def test_a_unit_price_finer_than_the_currency_is_shown_rounded(
    small_house: House, currency: str, unit: str, shown: str
) -> None:
    made = await _plan(small_house, prices=[{"currencyCode": currency, "unitAmountDecimal": unit}])
    (price,) = made["plan"]["prices"]
    assert (price["amount"]["amount"], price["unitAmountDecimal"]) == (shown, unit)


TIERED = {"billingScheme": "TIERED", "tiersMode": "VOLUME"}
METERED = {"usageType": "METERED", "aggregateUsage": "SUM", "featureCode": "calls"}


def _tiers(*tiers: Any, **price: Any) -> dict[str, Any]:
    return {**TIERED, "prices": [{"currencyCode": "USD", "tiers": list(tiers), **price}]}


REFUSED: list[tuple[dict[str, Any], str, list[str]]] = [
    ({"name": " "}, "REQUIRED", ["name"]),
    ({"name": "x" * 251}, "INVALID", ["name"]),
    ({"code": "no spaces"}, "INVALID", ["code"]),
    ({"code": "reader-pro"}, "ALREADY_EXISTS", ["code"]),
    ({"productCode": None}, "REQUIRED", ["productId"]),
    ({"productId": "prd_none"}, "REQUIRED", ["productId"]),
    ({"productCode": "none"}, "NOT_FOUND", ["productCode"]),
    ({"productCode": None, "productId": "prd_none"}, "NOT_FOUND", ["productId"]),
    ({"interval": None}, "REQUIRED", ["interval"]),
    ({"intervalCount": 0}, "INVALID", ["intervalCount"]),
    ({"intervalCount": 37}, "INVALID", ["intervalCount"]),
    ({"interval": "YEAR", "intervalCount": 4}, "INVALID", ["intervalCount"]),
    ({"billingDay": 0}, "INVALID", ["billingDay"]),
    ({"billingDay": 32}, "INVALID", ["billingDay"]),
    ({"interval": "WEEK", "billingDay": 5}, "INVALID", ["billingDay"]),
    ({"trialPeriodDays": -1}, "INVALID", ["trialPeriodDays"]),
    ({"trialPeriodDays": 731}, "INVALID", ["trialPeriodDays"]),
    ({"taxPercent": "-1"}, "INVALID", ["taxPercent"]),
    ({"taxPercent": "100.01"}, "INVALID", ["taxPercent"]),
    ({"taxPercent": "8.12345"}, "INVALID", ["taxPercent"]),
    ({"roleId": 999}, "NOT_FOUND", ["roleId"]),
    ({"metadata": [1]}, "INVALID", ["metadata"]),
    ({"prices": []}, "REQUIRED", ["prices"]),
    ({"prices": [USD, USD]}, "INVALID", ["prices", "1", "currencyCode"]),
    (
        {"prices": [{**USD, "isDefault": True}, {"currencyCode": "EUR", "amount": "1", "isDefault": True}]},
        "INVALID",
        ["prices"],
    ),
    ({"prices": [{"currencyCode": "USD"}]}, "REQUIRED", ["prices", "0", "amount"]),
    ({"prices": [USD, {"currencyCode": "EUR", "amount": "1.001"}]}, "INVALID", ["prices", "1", "amount"]),
    ({"prices": [{"currencyCode": "ISK", "amount": "1.50"}]}, "INVALID", ["prices", "0", "amount"]),
    ({"prices": [{"currencyCode": "KWD", "amount": "1.005"}]}, "INVALID", ["prices", "0", "amount"]),
    ({"prices": [{"currencyCode": "USD", "amount": "-1.00"}]}, "INVALID", ["prices", "0", "amount"]),
    (
        {"prices": [{"currencyCode": "USD", "unitAmountDecimal": "0.0000000000001"}]},
        "INVALID",
        ["prices", "0", "unitAmountDecimal"],
    ),
    (
        {"prices": [{"currencyCode": "USD", "unitAmountDecimal": "-0.5"}]},
        "INVALID",
        ["prices", "0", "unitAmountDecimal"],
    ),
    (
        {"prices": [{"currencyCode": "USD", "amount": "0.02", "unitAmountDecimal": "0.0149"}]},
        "INVALID",
        ["prices", "0", "amount"],
    ),
    ({"prices": [{**USD, "tiers": [{"unitAmount": "1"}]}]}, "INVALID", ["prices", "0", "tiers"]),
    ({"tiersMode": "VOLUME"}, "INVALID", ["tiersMode"]),
    ({**_tiers({"unitAmount": "1"}), "tiersMode": None}, "REQUIRED", ["tiersMode"]),
    ({**TIERED}, "INVALID", ["prices", "0", "amount"]),
    (_tiers(), "REQUIRED", ["prices", "0", "tiers"]),
    (_tiers({"unitAmount": "1"}, unitAmountDecimal="1"), "INVALID", ["prices", "0", "unitAmountDecimal"]),
    (_tiers({"upTo": 5}), "INVALID", ["prices", "0", "tiers", "0", "upTo"]),
    (_tiers({"unitAmount": "1"}, {"unitAmount": "1"}), "INVALID", ["prices", "0", "tiers", "0", "upTo"]),
    (_tiers({"upTo": 0}, {}), "INVALID", ["prices", "0", "tiers", "0", "upTo"]),
    (_tiers({"upTo": 5}, {"upTo": 5}, {}), "INVALID", ["prices", "0", "tiers", "1", "upTo"]),
    (_tiers({"unitAmount": "-1"}), "INVALID", ["prices", "0", "tiers", "0", "unitAmount"]),
    (_tiers({"flatAmount": "0.001"}), "INVALID", ["prices", "0", "tiers", "0", "flatAmount"]),
    (
        {**_tiers({"unitAmount": "1"}), "transformUsage": {"divideBy": 2, "round": "UP"}},
        "INVALID",
        ["transformUsage"],
    ),
    ({"transformUsage": {"divideBy": 0, "round": "UP"}}, "INVALID", ["transformUsage", "divideBy"]),
    ({"usageType": "METERED"}, "REQUIRED", ["featureCode"]),
    ({"usageType": "METERED", "featureCode": "calls"}, "REQUIRED", ["aggregateUsage"]),
    ({"aggregateUsage": "SUM"}, "INVALID", ["aggregateUsage"]),
    ({"featureCode": "calls"}, "INVALID", ["featureCode"]),
    ({**METERED, "featureCode": "no spaces"}, "INVALID", ["featureCode"]),
    (
        {"entitlements": [{"featureCode": "a"}, {"featureCode": "a"}]},
        "INVALID",
        ["entitlements", "1", "featureCode"],
    ),
    ({"entitlements": [{"featureCode": "a", "limit": -1}]}, "INVALID", ["entitlements", "0", "limit"]),
    ({"credits": [{"unit": "cup"}]}, "REQUIRED", ["credits", "0", "total"]),
    ({"credits": [{"unit": "cup", "daily": 0}]}, "INVALID", ["credits", "0", "daily"]),
    ({"credits": [{"unit": "cup", "total": 1}, {"unit": "cup", "total": 2}]}, "INVALID", ["credits", "1", "unit"]),
]


async def test_each_bad_part_is_named_and_nothing_is_written(small_house: House) -> None:
    count = "{ plans { totalCount } }"
    before = await small_house.ask(count)
    for wish, code, field in REFUSED:
        made = await _plan(small_house, **wish)
        assert made == {"plan": None, "userErrors": [{"code": code, "field": field}]}, wish
    assert await small_house.ask(count) == before


@pytest.mark.parametrize(
    ("wish", "code", "field"),
    [
        ({}, "REQUIRED", ["name"]),
        ({"name": "Tea", "code": "-"}, "INVALID", ["code"]),
        ({"name": "Tea", "code": "free"}, "ALREADY_EXISTS", ["code"]),
        ({"name": "Tea", "code": "classic_cup"}, "ALREADY_EXISTS", ["code"]),
        ({"name": "Tea", "unitLabel": "x" * 41}, "INVALID", ["unitLabel"]),
        ({"name": "Tea", "statementDescriptor": "x" * 23}, "INVALID", ["statementDescriptor"]),
        ({"name": "Tea", "attributes": ["x"] * 21}, "INVALID", ["attributes"]),
        ({"name": "Tea", "attributes": ["x", ""]}, "INVALID", ["attributes", "1"]),
        ({"name": "Tea", "metadata": "x"}, "INVALID", ["metadata"]),
    ],
)
async def test_a_product_that_cannot_be_is_refused(
    small_house: House, wish: dict[str, Any], code: str, field: list[str]
) -> None:
    made = (await small_house.ask(PRODUCT, {"i": wish}, user=ADMIN))["createProduct"]
    assert made == {"product": None, "userErrors": [{"code": code, "field": field}]}


async def test_of_ten_plans_with_one_code_at_once_one_is_made_and_their_new_feature_once(house: House) -> None:
    made = await asyncio.gather(*(_plan(house, code="tea", **METERED) for _ in range(10)))
    assert sorted(str(each["userErrors"]) for each in made) == [
        *["[]"],
        *[str([{"code": "ALREADY_EXISTS", "field": ["code"]}])] * 9,
    ]
    others = await asyncio.gather(*(_plan(house, code=f"tea-{n}", **METERED) for n in range(4)))
    assert [each["userErrors"] for each in others] == [[]] * 4


async def test_who_loses_against_others_at_one_row_after_the_other_writes_in_the_end(house: House) -> None:
    """A plan with three new features beside three plans that have one of them each."""
    codes = ["one", "two", "three"]
    async with house.app.database.write() as session:
        session.add_all(Feature(id=new_id("feature"), code=code, name=code) for code in codes)

    async def write(session: AsyncSession) -> str:
        code = codes.pop(0) if codes else "mine"
        session.add(Feature(id=new_id("feature"), code=code, name=code))
        await session.flush()
        return code

    assert await written(house.app, write) == "mine"


async def test_a_key_with_the_catalogs_scope_sells_and_everybody_finds_the_feature(house: House) -> None:
    key = await secret_of_key(house, "manage_catalog")
    wish = {"name": "Tea", "productCode": "free", "interval": "MONTH", "prices": [USD], **METERED}
    made = await ask_with_key(
        house,
        key,
        "mutation ($i: PlanInput!) { createPlan(input: $i) { plan { meteredFeature { id } } userErrors { code } } }",
        {"i": wish},
    )
    assert made["createPlan"]["userErrors"] == []
    feature = made["createPlan"]["plan"]["meteredFeature"]["id"]
    found = await house.ask("query ($id: ID!) { node(id: $id) { ... on Feature { code } } }", {"id": feature})
    assert found == {"node": {"code": "calls"}}
