"""Connections: every entry once, in one order, in both directions; cursors and sizes that make no sense are refused."""

import base64
from typing import Any

import orjson
import pytest

from tests.schema.rows import add_customer
from tests.support.house import House
from tests.support.shelf import take_off_sale

# Root lists, and what names an entry.
LISTS = {"invoices": "number", "payments": "number", "paymentMethods": "gatewayId", "plans": "code", "products": "code"}


async def _page(house: House, name: str, arguments: str) -> dict[str, Any]:
    query = f"""{{ {name}({arguments}) {{
        totalCount edges {{ cursor node {{ id {LISTS[name]} }} }} nodes {{ id }}
        pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }}
    }} }}"""
    return (await house.ask(query, user="rows"))[name]


@pytest.mark.parametrize("name", LISTS)
async def test_walking_forwards_and_backwards_meets_every_entry_once(house: House, name: str) -> None:
    await add_customer(house.app, "rows", 7)
    whole = await _page(house, name, "first: 100")
    everything = [edge["node"]["id"] for edge in whole["edges"]]
    assert whole["totalCount"] == len(everything) == len(set(everything))
    assert [node["id"] for node in whole["nodes"]] == everything

    forwards: list[str] = []
    place, more = "", True
    while more:
        page = await _page(house, name, f"first: 3{place}")
        assert page["pageInfo"]["hasPreviousPage"] is bool(forwards)
        forwards += [edge["node"]["id"] for edge in page["edges"]]
        place, more = f', after: "{page["pageInfo"]["endCursor"]}"', page["pageInfo"]["hasNextPage"]
    assert forwards == everything

    backwards: list[str] = []
    place, more = "", True
    while more:
        page = await _page(house, name, f"last: 3{place}")
        assert page["pageInfo"]["hasNextPage"] is bool(backwards)
        backwards = [edge["node"]["id"] for edge in page["edges"]] + backwards
        place, more = f', before: "{page["pageInfo"]["startCursor"]}"', page["pageInfo"]["hasPreviousPage"]
    assert backwards == everything


async def test_what_ends_at_a_cursor_is_the_page_before_it(small_house: House) -> None:
    """As `hasPreviousPage` says: `before: startCursor`, also without `last`."""
    await add_customer(small_house.app, "rows", 30)
    query = """query ($first: Int, $after: String, $before: String) {
      payments(first: $first, after: $after, before: $before) {
        nodes { id } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"""

    async def page(**which: Any) -> tuple[list[str], dict[str, Any]]:
        told = (await small_house.ask(query, which, "rows"))["payments"]
        return [node["id"] for node in told["nodes"]], told["pageInfo"]

    everything, whole = await page(first=100)
    _, two = await page(first=2)
    _, later = await page(first=2, after=(await page(first=26))[1]["endCursor"])
    before, info = await page(before=later["startCursor"])
    assert (before, info["hasNextPage"], info["hasPreviousPage"]) == (everything[1:26], True, True)
    assert (await page(first=2, before=later["startCursor"]))[0] == everything[:2]
    assert (await page(after=two["endCursor"], before=later["startCursor"]))[0] == everything[2:26]
    assert (await page(before=whole["startCursor"]))[0] == []


async def test_lists_of_a_customer_are_newest_first(house: House) -> None:
    await add_customer(house.app, "rows", 3)
    data = await house.ask(
        """{ invoices { nodes { number } } payments { nodes { invoice { number } } }
             paymentMethods { nodes { gatewayId } }
             me { subscriptions { nodes { plan { code } } } } }""",
        user="rows",
    )
    assert [node["number"] for node in data["invoices"]["nodes"]] == ["rows-2-0001", "rows-1-0001", "rows-0-0001"]
    assert [node["invoice"]["number"] for node in data["payments"]["nodes"]] == [
        "rows-2-0001",
        "rows-1-0001",
        "rows-0-0001",
    ]
    assert [node["gatewayId"] for node in data["paymentMethods"]["nodes"]] == ["pm_rows-2", "pm_rows-1", "pm_rows-0"]
    assert [node["plan"]["code"] for node in data["me"]["subscriptions"]["nodes"]] == [
        "plan-rows-2",
        "plan-rows-1",
        "plan-rows-0",
    ]


async def test_a_list_below_many_parents_is_cut_for_each_of_them(house: House) -> None:
    await add_customer(house.app, "rows", 3)
    query = """{ me { subscriptions { nodes { plan { code }
        payments(first: 1) {
            totalCount nodes { amount { amountMinor } } pageInfo { hasNextPage hasPreviousPage }
        } } } } }"""
    nodes = (await house.ask(query, user="rows"))["me"]["subscriptions"]["nodes"]
    assert nodes == [
        {
            "plan": {"code": f"plan-rows-{n}"},
            "payments": {
                "totalCount": 1,
                "nodes": [{"amount": {"amountMinor": 1_000 + n}}],
                "pageInfo": {"hasNextPage": False, "hasPreviousPage": False},
            },
        }
        for n in (2, 1, 0)
    ]


async def test_the_pages_of_products_with_several_plans_say_that_more_follows(house: House) -> None:
    query = "{ products { nodes { code plans(first: 1) { nodes { code } pageInfo { hasNextPage } totalCount } } } }"
    nodes = (await house.ask(query))["products"]["nodes"]
    found = {node["code"]: (node["plans"]["nodes"], node["plans"]["pageInfo"]["hasNextPage"]) for node in nodes}
    assert found == {
        "acme-music": ([{"code": "basic-streaming"}], True),
        "classic_coffee": ([{"code": "classic-coffee-monthly"}], True),
        "free": ([{"code": "free"}], False),
        "premium": ([{"code": "premium-monthly"}], True),
        "reader-pro": ([{"code": "reader-pro"}], False),
        "specialty_coffee": ([{"code": "specialty-coffee-monthly"}], True),
    }
    assert [node["plans"]["totalCount"] for node in nodes] == [2, 2, 1, 2, 1, 2]


NUMBERED = """query ($page: Int, $size: Int) { payments(page: $page, pageSize: $size) { nodes { id } pageInfo {
    pageNumber pageRowCount totalRowCount pageCount hasNextPage hasPreviousPage endCursor } } }"""


async def test_pages_by_number_cover_the_list_and_say_how_many_there_are(house: House) -> None:
    await add_customer(house.app, "rows", 7)
    everything = [edge["node"]["id"] for edge in (await _page(house, "payments", "first: 100"))["edges"]]
    found: list[str] = []
    for number, length in ((1, 3), (2, 3), (3, 1), (4, 0)):
        page = (await house.ask(NUMBERED, {"page": number, "size": 3}, user="rows"))["payments"]
        found += [node["id"] for node in page["nodes"]]
        last = page["pageInfo"].pop("endCursor")
        assert page["pageInfo"] == {
            "pageNumber": number,
            "pageRowCount": length,
            "totalRowCount": 7,
            "pageCount": 3,
            "hasNextPage": number < 3,
            "hasPreviousPage": number > 1,
        }
        # A reader may go on with cursors from where a numbered page ended.
        if last is not None:
            after = await _page(house, "payments", f'first: 100, after: "{last}"')
            assert [edge["node"]["id"] for edge in after["edges"]] == everything[len(found) :]
    assert found == everything
    cursors = await house.ask(
        "{ payments(first: 3) { pageInfo { pageNumber pageRowCount totalRowCount pageCount } } }", user="rows"
    )
    assert cursors["payments"]["pageInfo"] == {
        "pageNumber": None,
        "pageRowCount": 3,
        "totalRowCount": None,
        "pageCount": None,
    }


REFUSED_NUMBERS = {
    "page: 0": "page: expected 1 to 4000 with pages of 25; further down use cursors.",
    "page: 1001, pageSize: 100": "page: expected 1 to 1000 with pages of 100; further down use cursors.",
    "page: 1, first: 3": "page: give a page's number or cursors, not both.",
    "pageSize: 0": "pageSize: expected 1 to 100.",
}


@pytest.mark.parametrize("arguments", REFUSED_NUMBERS)
async def test_page_numbers_that_make_no_sense_are_refused(small_house: House, arguments: str) -> None:
    answer = (await small_house.post(f"{{ plans({arguments}) {{ nodes {{ id }} }} }}")).json()
    assert [error["message"] for error in answer["errors"]] == [REFUSED_NUMBERS[arguments]]


async def test_an_empty_list_has_no_cursors(house: House) -> None:
    page = await _page(house, "payments", "first: 5")
    assert page == {
        "totalCount": 0,
        "edges": [],
        "nodes": [],
        "pageInfo": {"hasNextPage": False, "hasPreviousPage": False, "startCursor": None, "endCursor": None},
    }


FILTERS = {
    '{currencyCode: "CNY"}': ["reader-pro"],
    '{currencyCode: "AED", interval: YEAR}': ["classic-coffee-yearly", "specialty-coffee-yearly"],
    "{isOnlineSale: false}": ["basic-monthly"],
    '{productCode: "premium"}': ["premium-monthly", "premium-yearly"],
    '{search: "COFFEE, a year"}': ["classic-coffee-yearly", "specialty-coffee-yearly"],
    '{search: "%"}': [],
    '{search: "_"}': [],
    "{isActive: false}": [],
}


@pytest.mark.parametrize("wanted", FILTERS)
async def test_plans_are_filtered(house: House, wanted: str) -> None:
    if "isOnlineSale" in wanted:
        await take_off_sale(house.app, "basic-monthly")
    data = await house.ask(f"{{ plans(filter: {wanted}) {{ totalCount nodes {{ code }} }} }}")
    assert sorted(node["code"] for node in data["plans"]["nodes"]) == FILTERS[wanted]
    assert data["plans"]["totalCount"] == len(FILTERS[wanted])


async def test_payments_and_invoices_are_filtered(house: House) -> None:
    await add_customer(house.app, "rows", 2)
    first = (await house.ask("{ invoices(last: 1) { nodes { id subscription { id } } } }", user="rows"))["invoices"]
    invoice = first["nodes"][0]
    query = """query($order: ID!, $subscription: ID!) {
        byOrder: payments(filter: {orderId: $order}) { nodes { orderId } }
        byGateway: payments(filter: {gatewayPaymentId: "pi_rows-1"}) { nodes { gatewayPaymentId } }
        byOwner: payments(filter: {ownerId: "rows"}) { totalCount }
        paid: payments(filter: {status: [SUCCEEDED, FAILED], statusLiteral: [PAID]}) { totalCount }
        neither: payments(filter: {status: [SUCCEEDED], statusLiteral: [PENDING]}) { totalCount }
        noStatus: payments(filter: {status: []}) { totalCount }
        bySubscription: invoices(filter: {subscriptionId: $subscription, status: [PAID]}) { nodes { id } }
        open: invoices(filter: {status: [OPEN]}) { totalCount }
    }"""
    data = await house.ask(query, {"order": invoice["id"], "subscription": invoice["subscription"]["id"]}, user="rows")
    assert data == {
        "byOrder": {"nodes": [{"orderId": invoice["id"]}]},
        "byGateway": {"nodes": [{"gatewayPaymentId": "pi_rows-1"}]},
        "byOwner": {"totalCount": 2},
        "paid": {"totalCount": 2},
        "neither": {"totalCount": 0},
        "noStatus": {"totalCount": 0},
        "bySubscription": {"nodes": [{"id": invoice["id"]}]},
        "open": {"totalCount": 0},
    }


def _cursor(*parts: Any) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(list(parts))).rstrip(b"=").decode()


WRONG_ARGUMENTS = {
    'plans(after: "xx")': "after",
    'plans(after: "")': "after",
    'plans(before: "é")': "before",
    f'plans(after: "{"A" * 500}")': "after",
    f'plans(after: "{_cursor("product", "reader-pro")}")': "after",
    f'plans(after: "{_cursor("plan", 1)}")': "after",
    f'plans(after: "{_cursor("plan", "1", "x")}")': "after",
    f'plans(after: "{_cursor("plan", True, "x")}")': "after",
    f'plans(after: "{_cursor("plan", 2**31, "x")}")': "after",
    f'plans(after: "{_cursor("plan", 1, "x" + chr(0))}")': "after",
    f'payments(after: "{_cursor("payment", 2**63)}")': "after",
    f'invoices(after: "{_cursor("invoice", "2026-01-01T00:00:00", "x")}")': "after",
    f'invoices(after: "{_cursor("invoice", "0001-01-01T00:00:00+10:00", "x")}")': "after",
    f'invoices(after: "{_cursor("invoice", 7, "x")}")': "after",
    "plans(first: 0)": "first",
    "plans(first: -1)": "first",
    "plans(last: 0)": "last",
    "plans(first: 1, last: 1)": "first, last",
}


@pytest.mark.parametrize("field", WRONG_ARGUMENTS)
async def test_wrong_cursors_and_sizes_are_the_callers_error(small_house: House, field: str) -> None:
    answer = await small_house.post(f"{{ {field} {{ nodes {{ id }} }} }}", user="demo-card")
    (error,) = answer.json()["errors"]
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert error["message"].startswith(f"{WRONG_ARGUMENTS[field]}: ")


async def test_a_page_beyond_a_hundred_is_refused(small_house: House) -> None:
    answer = await small_house.post("{ plans(first: 101) { nodes { id } } }")
    assert answer.json()["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


@pytest.mark.parametrize("field", ["plan", "product", "invoice"])
@pytest.mark.parametrize("arguments", ["", '(id: "a", code: "b")'], ids=["neither", "both"])
async def test_a_look_up_takes_exactly_one_key(small_house: House, field: str, arguments: str) -> None:
    arguments = arguments.replace("code", "number") if field == "invoice" else arguments
    answer = await small_house.post(f"{{ {field}{arguments} {{ id }} }}", user="demo-card")
    (error,) = answer.json()["errors"]
    assert error["extensions"]["code"] == "BAD_USER_INPUT"


@pytest.mark.parametrize("text", ["a\0b", "\ud800"], ids=["nul", "half a character"])
async def test_text_that_no_database_holds_is_refused_everywhere(house: House, text: str) -> None:
    operations = (
        "query($t: ID!) { node(id: $t) { id } }",
        "query($t: ID!) { nodes(ids: [$t]) { id } }",
        "query($t: String!) { plans(filter: {search: $t}) { totalCount } }",
        "query($t: String!) { mySubscription(productCode: $t) { id } }",
        "query($t: ID!) { payments(filter: {orderId: $t}) { totalCount } }",
        "mutation($t: String!) { subscribe(input: {planCode: $t}) { userErrors { code } } }",
        'mutation($t: String!) { subscribe(input: {planCode: "free", metadata: {a: [$t]}}) { userErrors { code } } }',
    )
    for operation in operations:
        answer = await house.http.post(
            "/graphql",
            content=b'{"query": %s, "variables": {"t": %s}}'
            % (orjson.dumps(operation), b'"a\\u0000b"' if "\0" in text else b'"\\ud800"'),
            headers={"Authorization": f"Bearer {house.token('demo-card')}", "Content-Type": "application/json"},
        )
        assert answer.status_code in (200, 400), operation
        assert [error["extensions"]["code"] for error in answer.json()["errors"]] in (
            ["BAD_USER_INPUT"],
            ["BAD_REQUEST"],
        ), operation


async def test_a_search_is_short(small_house: House) -> None:
    answer = await small_house.post(f'{{ plans(filter: {{search: "{"%" * 101}"}}) {{ totalCount }} }}')
    assert answer.json()["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
