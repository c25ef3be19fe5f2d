"""Subscriptions for staff and keys: each filter alone and together, each order both ways, by cursor and page."""

from typing import Any

import pytest
from sqlmodel import col, select

from billing.lifecycle import InvoiceStatus
from models.catalog import Product
from models.customers import Customer
from models.invoices import Invoice
from models.subscriptions import CollectionMethod, Subscription, SubscriptionOrigin
from tests.scenarios.by_hand import DELETE, write_down
from tests.scenarios.shopping import Shopper
from tests.schema.keys import ask_with_key, secret_of_key
from tests.schema.rows import add_customer
from tests.support.house import House

ADMIN = "demo-admin"
LIST = """query ($filter: SubscriptionFilter, $sort: SubscriptionSort) {
  subscriptions(filter: $filter, sort: $sort, first: 100) { totalCount nodes { name } } }"""

# Name → what tells it from the others. Each begins a minute after the one before and renews 31 days later.
SHELF: dict[str, dict[str, Any]] = {
    "a-0": {"status": "trialing", "activated_at": None},
    "a-1": {"external_id": "Order-77", "cancel_at_period_end": True},
    "a-2": {"status": "canceled", "origin": SubscriptionOrigin.IMPORTED},
    "b-0": {"status": "past_due", "origin": SubscriptionOrigin.API},
}


async def _shelve(house: House) -> None:
    """The subscriptions of the shelf, of the customers `a` and `b`; and a manual one that was taken back."""
    for user, count in (("a", 3), ("b", 1)):
        await add_customer(house.app, user, count)
    async with house.app.database.write() as session:
        query = select(Subscription, Product.code).join(Product, col(Product.id) == Subscription.product_id)
        for row, code in (await session.exec(query)).all():
            row.name = code.removeprefix("product-")
            for column, value in SHELF[row.name].items():
                setattr(row, column, value)
        b = (await session.exec(select(Customer).where(Customer.user_id == "b"))).one()
        b.name, b.email, b.external_id = "Bea 100%", "bea@shop.example", "kid-b"
    order = (await write_down(house, name="gone", periodEnd="2026-11-20"))["subscription"]["id"]
    assert (await house.ask(DELETE, {"id": order}, ADMIN))["deleteManualSubscription"]["userErrors"] == []


async def _names(house: House, filter: dict[str, Any] | None = None, sort: Any = None, user: str = ADMIN) -> list[str]:
    told = (await house.ask(LIST, {"filter": filter, "sort": sort}, user))["subscriptions"]
    names = [node["name"] for node in told["nodes"]]
    assert told["totalCount"] == len(names)
    return names


NEWEST_FIRST = ["b-0", "a-2", "a-1", "a-0"]
EARLY = {"lt": "2026-01-31T09:31:30Z"}
FILTERS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "status": ({"status": ["TRIALING", "PAST_DUE"]}, ["b-0", "a-0"]),
    "no status": ({"status": []}, []),
    "user": ({"userId": "b"}, ["b-0"]),
    "an unknown user": ({"userId": "c"}, []),
    "an unknown customer": ({"customerId": "cst_0"}, []),
    "confirmation": ({"paymentConfirmation": ["PAID"]}, NEWEST_FIRST),
    "another confirmation": ({"paymentConfirmation": ["PENDING", "CANCELED"]}, []),
    "external id": ({"externalId": "Order-77"}, ["a-1"]),
    "either id": ({"subscriptionId": "Order-77"}, ["a-1"]),
    "origin": ({"origin": ["IMPORTED", "API"]}, ["b-0", "a-2"]),
    "plan": ({"planId": "pln_0"}, []),
    "product": ({"productCode": "product-a-2"}, ["a-2"]),
    "renews": ({"nextBillingAt": {"gte": "2026-03-01T00:00:00Z"}}, ["b-0", "a-0"]),
    "renews before": ({"nextBillingAt": {"lt": "2026-03-03T09:30:00Z"}}, []),
    "created": ({"createdAt": EARLY}, ["b-0", "a-1", "a-0"]),
    "created within": ({"createdAt": {"gte": "2026-01-31T09:31:00Z", **EARLY}}, ["a-1"]),
    "text of its id": ({"search": "oRDER-7"}, ["a-1"]),
    "text of its name": ({"search": "A-2"}, ["a-2"]),
    "text of its customer": ({"search": "SHOP.example"}, ["b-0"]),
    "a text that is no pattern": ({"search": "0%"}, ["b-0"]),
    "deleted ones": ({"includeArchived": True}, ["gone", *NEWEST_FIRST]),
    "manual ones": ({"origin": ["MANUAL"]}, []),
    "manual ones that were deleted": ({"origin": ["MANUAL"], "includeArchived": True}, ["gone"]),
    "all together": (
        {
            "status": ["ACTIVE"],
            "userId": "a",
            "paymentConfirmation": ["PAID"],
            "externalId": "Order-77",
            "subscriptionId": "Order-77",
            "origin": ["CHECKOUT"],
            "productCode": "product-a-1",
            "createdAt": EARLY,
            "search": "a-1",
            "includeArchived": True,
        },
        ["a-1"],
    ),
    "all but one": ({"status": ["ACTIVE"], "userId": "b", "externalId": "Order-77"}, []),
}
ORDERS: dict[tuple[str, str], list[str]] = {
    ("CREATED_AT", "ASC"): ["a-0", "b-0", "a-1", "a-2"],
    ("CREATED_AT", "DESC"): ["a-2", "a-1", "b-0", "a-0"],
    # As the enum declares them, not by their spelling: TRIALING, ACTIVE, PAST_DUE, CANCELED.
    ("STATUS", "ASC"): ["a-0", "a-1", "b-0", "a-2"],
    ("STATUS", "DESC"): ["a-2", "b-0", "a-1", "a-0"],
    # What will not renew comes last in both.
    ("NEXT_BILLING_AT", "ASC"): ["a-0", "b-0", "a-1", "a-2"],
    ("NEXT_BILLING_AT", "DESC"): ["b-0", "a-0", "a-2", "a-1"],
    ("STATUS_UPDATED_AT", "ASC"): ["a-0", "b-0", "a-1", "a-2"],
    ("STATUS_UPDATED_AT", "DESC"): ["a-2", "a-1", "b-0", "a-0"],
    ("PAYMENT_CONFIRMATION", "ASC"): ["a-0", "a-1", "a-2", "b-0"],
    ("PAYMENT_CONFIRMATION", "DESC"): ["b-0", "a-2", "a-1", "a-0"],
}


async def test_each_filter_alone_and_all_together(house: House) -> None:
    await _shelve(house)
    found = {case: await _names(house, wish) for case, (wish, _) in FILTERS.items()}
    assert found == {case: names for case, (_, names) in FILTERS.items()}
    assert await _names(house) == NEWEST_FIRST


async def test_each_order_in_both_directions_by_cursor_and_by_page(house: House) -> None:
    await _shelve(house)
    query = """query ($sort: SubscriptionSort, $first: Int, $after: String, $page: Int, $size: Int) {
      subscriptions(sort: $sort, first: $first, after: $after, page: $page, pageSize: $size) {
        nodes { name } pageInfo { hasNextPage endCursor pageCount } } }"""
    for (field, direction), expected in ORDERS.items():
        sort = {"field": field, "direction": direction}
        assert await _names(house, sort=sort) == expected, sort
        by_cursor: list[str] = []
        info: dict[str, Any] = {"hasNextPage": True, "endCursor": None}
        while info["hasNextPage"]:
            wish = {"sort": sort, "first": 1, "after": info["endCursor"]}
            page = (await house.ask(query, wish, ADMIN))["subscriptions"]
            by_cursor += [node["name"] for node in page["nodes"]]
            info = page["pageInfo"]
        assert by_cursor == expected, sort
        second = (await house.ask(query, {"sort": sort, "page": 2, "size": 3}, ADMIN))["subscriptions"]
        assert ([node["name"] for node in second["nodes"]], second["pageInfo"]["pageCount"]) == (expected[3:], 2)


async def test_a_cursor_of_one_order_is_none_of_another(small_house: House) -> None:
    await add_customer(small_house.app, "rows", 2)
    query = """query ($sort: SubscriptionSort, $after: String) {
      subscriptions(sort: $sort, after: $after) { pageInfo { startCursor } } }"""
    rising, falling = ({"field": "STATUS", "direction": direction} for direction in ("ASC", "DESC"))
    page = await small_house.ask(query, {"sort": rising}, ADMIN)
    cursor = page["subscriptions"]["pageInfo"]["startCursor"]
    assert (await small_house.post(query, {"sort": rising, "after": cursor}, ADMIN)).json().get("errors") is None
    (error,) = (await small_house.post(query, {"sort": falling, "after": cursor}, ADMIN)).json()["errors"]
    assert error["extensions"]["code"] == "BAD_USER_INPUT"


async def test_the_confirmation_is_narrowed_and_ordered_by_its_meaning(house: House) -> None:
    await _shelve(house)
    async with house.app.database.write() as session:
        rows = {row.name: row for row in (await session.exec(select(Subscription))).all()}
        rows["a-1"].collection_method = CollectionMethod.SEND_INVOICE
        (invoice,) = (await session.exec(select(Invoice).where(Invoice.subscription_id == rows["a-1"].id))).all()
        invoice.status = InvoiceStatus.OPEN
    assert await _names(house, {"paymentConfirmation": ["PENDING"]}) == ["a-1"]
    order = {"field": "PAYMENT_CONFIRMATION", "direction": "ASC"}
    assert (await _names(house, sort=order))[0] == "a-1"


async def test_a_customer_reads_their_own_and_a_key_all(house: House) -> None:
    await _shelve(house)
    assert await _names(house, user="a") == ["a-2", "a-1", "a-0"]
    assert await _names(house, {"userId": "a", "status": ["ACTIVE"]}, user="a") == ["a-1"]
    assert await _names(house, user="nobody yet") == []
    key = await secret_of_key(house, "read")
    told = await ask_with_key(house, key, LIST, {"filter": {"search": "kid-b"}})
    assert told["subscriptions"]["nodes"] == [{"name": "b-0"}]


async def test_what_is_of_several_products_is_found_by_each_of_them_and_by_their_other_names(house: House) -> None:
    shopper = Shopper(house, "demo-card")
    cups = [{"productCode": "classic_cup"}, {"productCode": "specialy_cup"}]
    wish = {"interval": "MONTH", "items": cups, "paymentMethodId": await shopper.default_card()}
    order = (await shopper.subscribe(None, **wish))["subscription"]["id"]
    plans = await house.ask("""{ plans(filter: {productCode: "specialy_cup", interval: MONTH}) {
      nodes { id subscriptionsCount price { subscriptionsCount } } } }""", user=ADMIN)  # fmt: skip
    (plan,) = plans["plans"]["nodes"]
    assert (plan["subscriptionsCount"], plan["price"]) == (1, {"subscriptionsCount": 1})
    query = """query ($code: String!, $plan: ID!) {
      mySubscription(productCode: $code) { id } me { subscription(productCode: $code) { id }
        subscriptions(filter: {productCode: $code, planId: $plan}) { totalCount nodes { id } } } }"""
    own = {"id": order}
    for code in ("classic_coffee", "classic_cup", "specialty_coffee", "specialy_cup"):
        told = await house.ask(query, {"code": code, "plan": plan["id"]}, "demo-card")
        listed = {"totalCount": 1, "nodes": [own]}
        assert told == {"mySubscription": own, "me": {"subscription": own, "subscriptions": listed}}, code
    for code in ("premium", "nothing"):
        told = await house.ask(query, {"code": code, "plan": plan["id"]}, "demo-card")
        listed = {"totalCount": 0, "nodes": []}
        assert told == {"mySubscription": None, "me": {"subscription": None, "subscriptions": listed}}, code
    change = """mutation ($input: UpdateSubscriptionInput!) {
      updateSubscription(input: $input) { userErrors { code } } }"""
    less = {"subscriptionId": order, "items": [{"productCode": "classic_cup"}], "proration": "PRORATE_NEXT_INVOICE"}
    changed = await house.ask(change, {"input": less}, "demo-card")
    assert changed["updateSubscription"]["userErrors"] == []
    told = await house.ask(query, {"code": "specialty_coffee", "plan": plan["id"]}, "demo-card")
    assert (told["mySubscription"], told["me"]["subscriptions"]["nodes"]) == (None, [])


async def test_one_by_the_merchants_own_id(house: House) -> None:
    await _shelve(house)
    query = "query ($id: String!) { subscription(externalId: $id) { name } }"
    for user, wanted in ((ADMIN, {"name": "a-1"}), ("a", {"name": "a-1"}), ("b", None)):
        assert (await house.ask(query, {"id": "Order-77"}, user))["subscription"] == wanted
    assert (await house.ask(query, {"id": "Order-78"}, ADMIN))["subscription"] is None


@pytest.mark.parametrize("arguments", ["", '(id: "a", externalId: "b")'], ids=["neither", "both"])
async def test_a_subscription_is_looked_up_by_one_id(small_house: House, arguments: str) -> None:
    answer = (await small_house.post(f"{{ subscription{arguments} {{ id }} }}", user=ADMIN)).json()
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["BAD_USER_INPUT"]


async def test_what_the_gateway_calls_it_and_what_it_is_paid_by(house: House) -> None:
    await add_customer(house.app, "rows", 1)
    query = "{ subscriptions { nodes { raw amount { amount } originalAmount { amount } discountAmount { amount } } } }"
    (told,) = (await house.ask(query, user=ADMIN))["subscriptions"]["nodes"]
    assert told == {
        "raw": {
            "type": "payment",
            "platform": "sandbox",
            "payment_fields": {
                "customer": "cus_rows",
                "payment_method": "pm_rows-0",
                "payment_intent": "pi_rows-0",
                "status": "succeeded",
            },
            "payout_fields": {"refunds": ["re_rows-0"]},
        },
        "amount": {"amount": "10.00"},
        "originalAmount": {"amount": "10.00"},
        "discountAmount": {"amount": "0.00"},
    }
