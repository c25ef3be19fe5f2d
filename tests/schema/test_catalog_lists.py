"""Lists of what is for sale: each filter alone and together, each order both ways, stable while it is paged through."""

from typing import Any

import pytest

from tests.scenarios.curating import ADMIN, ARCHIVE_PLAN, ARCHIVE_PRODUCT, plan_id, product_id, told, update_plan
from tests.scenarios.merchant import Merchant
from tests.schema.keys import ask_with_key, post_with_key, secret_of_key
from tests.support.house import House

PLANS = """query ($f: PlanFilter, $s: PlanSort, $first: Int, $after: String, $last: Int, $before: String,
    $p: Int, $n: Int) {
  plans(filter: $f, sort: $s, first: $first, after: $after, last: $last, before: $before, page: $p, pageSize: $n) {
    totalCount edges { cursor node { code } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor pageCount } } }"""
PRODUCTS = """query ($f: ProductFilter, $p: Int, $n: Int) { products(filter: $f, page: $p, pageSize: $n) {
  totalCount nodes { code } pageInfo { pageCount } } }"""

# code: interval, price, role in the shop, position, what else; two of each key are equal.
SHOP: dict[str, dict[str, Any]] = {
    "a-dear": {"amount": "9.00", "type": "LEGACY", "position": 2},
    "b-cheap": {"amount": "3.00", "type": "STANDARD", "position": 2, "interval": "YEAR"},
    "c-cheap": {"amount": "3.00", "type": "PROMOTIONAL", "position": 1, "isOnlineSale": False},
    "d-dear": {"amount": "9.00", "type": "STANDARD", "position": 1, "isActive": False},
    "e-euro": {"amount": "5.00", "type": "PROMOTIONAL", "position": 3, "currency": "EUR", "description": "Étude"},
}


@pytest.fixture
async def shop(house: House) -> House:
    merchant = Merchant(house)
    await merchant.product("tea", type="GOOD", description="Leaves")
    for code, wish in SHOP.items():
        await merchant.plan(code, product="tea", **wish)
    return house


async def plans(house: House, **asked: Any) -> dict[str, Any]:
    asked["f"] = {"productCode": "tea", **asked.get("f", {})}
    return (await house.ask(PLANS, asked))["plans"]


def codes(page: dict[str, Any]) -> str:
    """The first letters, in their order."""
    return "".join(edge["node"]["code"][0] for edge in page["edges"])


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, "cdabe"),
        ({"type": "PROMOTIONAL"}, "ce"),
        ({"interval": "YEAR"}, "b"),
        ({"isOnlineSale": False}, "c"),
        ({"isActive": False}, "d"),
        ({"currencyCode": "EUR"}, "e"),
        ({"search": "DEAR"}, "da"),
        ({"search": "tude"}, "e"),
        ({"search": "%"}, ""),
        ({"type": "STANDARD", "interval": "MONTH", "isActive": False, "currencyCode": "USD", "search": "dear"}, "d"),
        ({"type": "STANDARD", "interval": "MONTH", "isActive": True}, ""),
    ],
)
async def test_plans_are_narrowed(shop: House, wanted: dict[str, Any], found: str) -> None:
    page = await plans(shop, f=wanted)
    assert (codes(page), page["totalCount"]) == (found, len(found))


ORDERS = {"POSITION": "cdabe", "PRICE": "bcead", "TYPE": "bdcea", "CREATED_AT": "abcde"}


@pytest.mark.parametrize("field", ORDERS)
@pytest.mark.parametrize("direction", ["ASC", "DESC"])
async def test_plans_are_ordered_and_paged_without_loss(shop: House, field: str, direction: str) -> None:
    expected = ORDERS[field] if direction == "ASC" else ORDERS[field][::-1]
    order = {"field": field, "direction": direction}
    assert codes(await plans(shop, s=order)) == expected
    forwards, after = "", None
    for _ in expected:
        page = await plans(shop, s=order, first=1, after=after)
        forwards, after = forwards + codes(page), page["pageInfo"]["endCursor"]
    assert (forwards, page["pageInfo"]["hasNextPage"]) == (expected, False)
    backwards, before = "", None
    for _ in range(3):
        page = await plans(shop, s=order, last=2, before=before)
        backwards, before = codes(page) + backwards, page["pageInfo"]["startCursor"]
    assert (backwards, page["pageInfo"]["hasPreviousPage"]) == (expected, False)
    numbered = [await plans(shop, s=order, p=n, n=2) for n in (1, 2, 3, 4)]
    assert "".join(map(codes, numbered)) == expected
    assert {page["pageInfo"]["pageCount"] for page in numbered} == {3}


async def test_the_order_by_price_follows_the_price_that_is_on_sale(shop: House) -> None:
    await update_plan(shop, "a-dear", prices=[{"currencyCode": "USD", "amount": "1.00"}])
    assert codes(await plans(shop, s={"field": "PRICE"})) == "abced"
    prices = [{"currencyCode": "JPY", "amount": "600", "isDefault": True}]
    await update_plan(shop, "b-cheap", prices=prices)
    assert codes(await plans(shop, s={"field": "PRICE"})) == "acebd"


async def test_a_cursor_of_another_order_is_refused(shop: House) -> None:
    cursor = (await plans(shop, first=1))["pageInfo"]["endCursor"]
    for order in ({"field": "PRICE"}, {"field": "POSITION", "direction": "DESC"}):
        answer = (await shop.post(PLANS, {"s": order, "after": cursor})).json()
        assert answer["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


async def test_products_are_narrowed_and_paged_by_number(shop: House) -> None:
    await Merchant(shop).product("tea-pot", type="GOOD", isActive=False)

    async def found(**wanted: Any) -> list[str]:
        return [node["code"] for node in (await shop.ask(PRODUCTS, {"f": wanted}))["products"]["nodes"]]

    assert await found(type="GOOD") == ["tea", "tea-pot"]
    assert await found(isActive=False) == ["tea-pot"]
    assert await found(search="LEAVES") == ["tea"]
    assert await found(type="GOOD", isActive=True, search="tea") == ["tea"]
    assert await found(type="SERVICE", search="tea") == []
    page = (await shop.ask(PRODUCTS, {"f": {"type": "GOOD"}, "p": 2, "n": 1}))["products"]
    assert page == {"totalCount": 2, "nodes": [{"code": "tea-pot"}], "pageInfo": {"pageCount": 2}}


async def test_withdrawn_ones_are_listed_for_staff_and_catalog_keys_only(shop: House) -> None:
    await told(shop, ARCHIVE_PLAN, id=await plan_id(shop, "a-dear"))
    await told(shop, ARCHIVE_PRODUCT, id=await product_id(shop, "premium"))
    asks = (
        (PLANS, {"f": {"productCode": "tea", "includeArchived": True, "search": "a-dear"}}, "plans"),
        (PRODUCTS, {"f": {"includeArchived": True, "search": "premium"}}, "products"),
    )
    manages, reads = [await secret_of_key(shop, scope) for scope in ("manage_catalog", "read")]
    for query, variables, name in asks:
        for user in (ADMIN, "demo-support"):
            assert (await shop.ask(query, variables, user))[name]["totalCount"] == 1
        assert (await ask_with_key(shop, manages, query, variables))[name]["totalCount"] == 1
        denied = [
            await shop.post(query, variables, "demo-card"),
            await shop.post(query, variables),
            await post_with_key(shop, reads, query, variables),
        ]
        errors = [answer.json()["errors"][0] for answer in denied]
        assert [error["extensions"]["code"] for error in errors] == ["FORBIDDEN", "UNAUTHENTICATED", "FORBIDDEN"]
        hidden = {"f": {**variables["f"], "includeArchived": False}}
        assert (await shop.ask(query, hidden))[name]["totalCount"] == 0


async def test_history_and_counts_are_for_curators_alone(shop: House) -> None:
    query = """{ plan(code: "free") { code prices { subscriptionsCount } priceHistory { totalCount } } }"""
    answer = (await shop.post(query, user="demo-card")).json()
    assert answer["data"]["plan"] == {"code": "free", "prices": [{"subscriptionsCount": None}], "priceHistory": None}
    assert {error["extensions"]["code"] for error in answer["errors"]} == {"FORBIDDEN"}
    shown = {"code": "free", "prices": [{"subscriptionsCount": 0}], "priceHistory": {"totalCount": 1}}
    key = await secret_of_key(shop, "manage_catalog")
    assert (await shop.ask(query, user="demo-support"))["plan"] == shown
    assert (await ask_with_key(shop, key, query))["plan"] == shown
