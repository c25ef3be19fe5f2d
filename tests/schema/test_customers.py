"""Who customers are: what they change themselves, what staff does, how they are found, and what reading many costs."""

from datetime import timedelta
from typing import Any

import pytest

from models.subscriptions import Subscription
from tests.schema.keys import ask_with_key, secret_of_key
from tests.schema.rows import add_customer
from tests.support.breaking import alter, only
from tests.support.house import House, counted
from tests.support.tables import everything

ADMIN, SUPPORT = "demo-admin", "demo-support"
FIELDS = """id version uuid name firstName lastName email phone birthDate region locale timezone image description
  salesCode onboarded businessVatId currencyCode isValuedCustomerCouponSent externalId metadata createdBy
  addresses { line1 line2 city state postalCode countryCode } user { id displayName username accountId }"""
_ANSWER = f"customer {{ {FIELDS} }} userErrors {{ code field ... on VersionConflictError {{ currentVersion }} }}"
CREATE = f"mutation ($input: CustomerInput!) {{ createCustomer(input: $input) {{ {_ANSWER} }} }}"
PROFILE = f"""mutation ($input: CustomerInput!, $version: Int) {{
  updateProfile(input: $input, expectedVersion: $version) {{ {_ANSWER} }} }}"""
UPDATE = f"""mutation ($id: ID!, $input: CustomerInput!, $version: Int) {{
  updateCustomer(id: $id, input: $input, expectedVersion: $version) {{ {_ANSWER} }} }}"""

OWN: dict[str, Any] = {
    "name": "Ada Lovelace",
    "firstName": "Ada",
    "lastName": "Lovelace",
    "email": "ada@example.com",
    "phone": "+44 20 7946 0958",
    "birthDate": "1990-12-10",
    "region": "London",
    "locale": "pt-BR",
    "image": "https://example.com/ada.png",
    "onboarded": True,
    "businessVatId": "GB123456789",
    "currencyCode": "AED",
    "addresses": [
        {"line1": "12 St James's Sq", "city": "London", "postalCode": "SW1Y 4JH", "countryCode": "GB"},
        {"line1": "Corniche Road", "line2": "Flat 7", "state": "Abu Dhabi", "countryCode": "AE"},
    ],
}
OTHERS: dict[str, Any] = {
    "externalId": "crm-1",
    "description": "Writes programs",
    "salesCode": "S-7",
    "isValuedCustomerCouponSent": True,
    "metadata": {"charset": "s", "levelsystem": 1},
}
_NO_LINES = dict.fromkeys(("line1", "line2", "city", "state", "postalCode", "countryCode"))


def as_read(given: dict[str, Any]) -> dict[str, Any]:
    addresses = [{**_NO_LINES, **address} for address in given.get("addresses", ())]
    return {**given, "addresses": addresses}


async def create(house: House, user: str, **more: Any) -> dict[str, Any]:
    told = (await house.ask(CREATE, {"input": {"userId": user, **more}}, ADMIN))["createCustomer"]
    assert told["userErrors"] == []
    return told["customer"]


async def profile(house: House, user: str, version: int | None = None, **changes: Any) -> dict[str, Any]:
    return (await house.ask(PROFILE, {"input": changes, "version": version}, user))["updateProfile"]


async def update(house: House, id: str, version: int | None = None, /, **changes: Any) -> dict[str, Any]:
    return (await house.ask(UPDATE, {"id": id, "input": changes, "version": version}, ADMIN))["updateCustomer"]


# ── making and changing ──


async def test_a_customer_is_all_that_it_was_made_as(house: House) -> None:
    more = {"username": "ada", "accountId": "acc-1"}
    made = await create(house, "u-1", timezone="Asia/Dubai", **OWN, **OTHERS, **more)
    assert made == {
        "id": made["id"],
        "version": 1,
        "uuid": made["uuid"],
        "timezone": "Asia/Dubai",
        "createdBy": "admin:demo-admin",
        "user": {"id": "u-1", "displayName": "Ada Lovelace", **more},
        **as_read(OWN | OTHERS),
    }
    assert made["id"] == "cst_" + made["uuid"].replace("-", "")


async def test_blanks_are_no_name(small_house: House) -> None:
    """Lists would show nobody."""
    made = await profile(
        small_house, "u-1", name="  ", firstName=" ", lastName="", username="\t", email="ada@shop.example"
    )
    assert (made["userErrors"], made["customer"]["name"]) == ([], None)
    assert made["customer"]["user"]["displayName"] == "ada@shop.example"


async def test_which_of_the_staff_or_which_key_made_a_customer_is_for_staff(small_house: House) -> None:
    by_key = await secret_of_key(small_house, "act_for_customer", "read")
    await create(small_house, "u-1")
    made = (await ask_with_key(small_house, by_key, CREATE, {"input": {"userId": "u-2"}}))["createCustomer"]
    assert made["customer"]["createdBy"] == "service"
    own = "{ me { createdBy } }"
    assert (await small_house.ask(own, user="u-1"))["me"] == {"createdBy": "admin"}
    assert (await small_house.ask(own, user="u-2"))["me"] == {"createdBy": "service"}
    staff = '{ customer(by: {userId: "u-2"}) { createdBy } }'
    told = (await small_house.ask(staff, user="demo-support"))["customer"]["createdBy"]
    assert told.startswith("service:apk_")


async def test_a_customer_changes_its_own_and_what_it_leaves_out_stays(house: House) -> None:
    """The first mutation of a user makes the customer, this one too."""
    made = (await profile(house, "u-1", **OWN))["customer"]
    assert made.items() >= as_read(OWN).items()
    assert (made["version"], made["createdBy"], made["user"]["id"]) == (2, "customer:u-1", "u-1")
    changed = await profile(house, "u-1", 2, phone="030 123456", addresses=OWN["addresses"][1:])
    assert changed["userErrors"] == []
    expected = as_read({**OWN, "phone": "030 123456", "addresses": OWN["addresses"][1:]})
    assert changed["customer"].items() >= expected.items()
    assert changed["customer"]["version"] == 3


async def test_null_takes_away_and_repeating_changes_nothing(house: House) -> None:
    made = await create(house, "u-1", **OWN, **OTHERS)
    cleared = (await update(house, made["id"], **dict.fromkeys({**OWN, **OTHERS})))["customer"]
    assert (
        cleared.items()
        >= {
            **dict.fromkeys({**OWN, **OTHERS}),
            "locale": "en",
            "addresses": [],
            "onboarded": False,
            "isValuedCustomerCouponSent": False,
            "metadata": {},
        }.items()
    )
    assert cleared["user"]["displayName"] == "u-1"
    again = (await update(house, made["id"], **dict.fromkeys({**OWN, **OTHERS})))["customer"]
    assert again == cleared
    assert again["version"] == 2


async def test_the_name_shown_is_the_best_one_known(small_house: House) -> None:
    made = await create(small_house, "u-1", email="ada@example.com")
    shown = [made["user"]["displayName"]]
    for change in ({"username": "ada"}, {"lastName": "Lovelace"}, {"firstName": "Ada"}, {"name": "Countess"}):
        shown.append((await profile(small_house, "u-1", **change))["customer"]["user"]["displayName"])
    assert shown == ["ada@example.com", "ada", "Lovelace", "Ada Lovelace", "Countess"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("externalId", "mine"),
        ("accountId", "mine"),
        ("salesCode", "FREE"),
        ("description", "important"),
        ("isValuedCustomerCouponSent", False),
        ("metadata", {"role": "admin"}),
        ("testClockId", "clk_1"),
        ("userId", "another"),
        ("timezone", "Asia/Dubai"),
        ("externalId", None),
    ],
)
async def test_what_is_not_its_own_to_say_is_refused_by_name_and_nothing_changes(
    small_house: House, field: str, value: Any
) -> None:
    before = await everything(small_house.app)
    told = await profile(small_house, "demo-card", name="Also new", **{field: value})
    assert told == {"customer": None, "userErrors": [{"code": "NOT_PERMITTED", "field": [field]}]}
    assert await everything(small_house.app) == before


async def test_role_and_status_cannot_even_be_said(small_house: House) -> None:
    for field in ("role", "version", "isDelinquent"):
        answer = (await small_house.post(PROFILE, {"input": {field: "x"}}, "demo-card")).json()
        assert answer["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


INVALID = [
    ("email", "nobody"),
    ("email", "a@" + "b" * 319),
    ("locale", "not a tag"),
    ("locale", "xx-XX"),
    ("phone", "call me"),
    ("phone", "1" * 21),
    ("birthDate", "2026-01-31"),
    ("birthDate", "2999-01-01"),
    ("firstName", "a" * 101),
    ("name", "a" * 251),
    ("businessVatId", "1" * 31),
    ("addresses", [{"countryCode": "XX"}]),
    ("addresses", [{"countryCode": "EU"}]),
    ("addresses", [{"line1": "a" * 251}]),
    ("addresses", [{}] * 11),
]


@pytest.mark.parametrize(("field", "value"), INVALID)
async def test_what_cannot_be_is_refused_by_its_field_and_nothing_changes(
    small_house: House, field: str, value: Any
) -> None:
    before = await everything(small_house.app)
    refused = {"customer": None, "userErrors": [{"code": "INVALID", "field": [field]}]}
    assert await profile(small_house, "demo-card", region="Elsewhere", **{field: value}) == refused
    wish = {"userId": "u-new", field: value}
    assert (await small_house.ask(CREATE, {"input": wish}, ADMIN))["createCustomer"] == refused
    assert await everything(small_house.app) == before


async def test_the_day_before_is_past_enough_and_the_last_character_is_kept(small_house: House) -> None:
    told = await profile(small_house, "u-1", birthDate="2026-01-30", phone="1" * 20, firstName="a" * 100)
    assert told["userErrors"] == []


async def test_what_is_settled_at_the_making_may_be_repeated_but_not_changed(house: House) -> None:
    made = await create(house, "u-1", timezone="Asia/Dubai")
    same = await update(house, made["id"], userId="u-1", timezone="Asia/Dubai", testClockId=None, name="Ada")
    assert (same["userErrors"], same["customer"]["name"]) == ([], "Ada")
    for field, value in (("userId", "u-2"), ("timezone", "UTC"), ("testClockId", "clk_1"), ("userId", None)):
        told = await update(house, made["id"], name="Bob", **{field: value})
        assert told == {"customer": None, "userErrors": [{"code": "NOT_PERMITTED", "field": [field]}]}
    assert await house.ask('{ customer(by: {userId: "u-1"}) { name timezone } }', user=ADMIN) == {
        "customer": {"name": "Ada", "timezone": "Asia/Dubai"}
    }


async def test_a_stale_version_is_told_and_changes_nothing(house: House) -> None:
    made = await create(house, "u-1")
    await profile(house, "u-1", name="Ada")
    before = await everything(house.app)
    conflict = {"code": "VERSION_CONFLICT", "field": ["expectedVersion"], "currentVersion": 2}
    refused = {"customer": None, "userErrors": [conflict]}
    assert await profile(house, "u-1", 1, name="Bob") == refused
    assert await update(house, made["id"], 3, name="Bob") == refused
    assert await everything(house.app) == before


async def test_an_external_id_names_one_customer(house: House) -> None:
    await create(house, "u-1", externalId="crm-1")
    other = await create(house, "u-2", externalId="crm-2")
    before = await everything(house.app)
    taken = {"customer": None, "userErrors": [{"code": "ALREADY_EXISTS", "field": ["externalId"]}]}
    assert await update(house, other["id"], externalId="crm-1") == taken
    assert await everything(house.app) == before
    assert (await update(house, other["id"], externalId="crm-2"))["userErrors"] == []


async def test_foreign_and_missing_customers_are_not_found(house: House) -> None:
    missing = {"customer": None, "userErrors": [{"code": "NOT_FOUND", "field": ["id"]}]}
    assert await update(house, "cst_none", name="Bob") == missing
    forget = "mutation ($id: ID!) { anonymizeCustomer(id: $id) { customer { id } userErrors { code field } } }"
    assert (await house.ask(forget, {"id": "cst_none"}, ADMIN))["anonymizeCustomer"] == missing


async def test_support_and_keys_that_act_for_customers_change_them_and_others_do_not(house: House) -> None:
    made = await create(house, "u-1")
    wish = {"id": made["id"], "input": {"salesCode": "S-1"}}
    assert (await house.ask(UPDATE, wish, SUPPORT))["updateCustomer"]["customer"]["salesCode"] == "S-1"
    key = await secret_of_key(house, "act_for_customer")
    wish["input"] = {"salesCode": "S-2"}
    assert (await ask_with_key(house, key, UPDATE, wish))["updateCustomer"]["customer"]["salesCode"] == "S-2"
    answer = (await house.post(UPDATE, wish, "u-1")).json()
    assert answer["errors"][0]["extensions"]["code"] == "FORBIDDEN"


# ── finding ──


async def found(house: House, **filter: Any) -> list[str]:
    query = "query ($filter: CustomerFilter) { customers(filter: $filter) { totalCount nodes { user { id } } } }"
    page = (await house.ask(query, {"filter": filter}, SUPPORT))["customers"]
    assert page["totalCount"] == len(page["nodes"])
    return [node["user"]["id"] for node in page["nodes"]]


async def test_customers_are_found_by_what_is_known_of_them(house: House) -> None:
    demo = await found(house)
    await create(house, "ann", name="Ann 100%", email="Ann@Example.com", externalId="crm-ann")
    house.pass_time(timedelta(days=1))
    await create(house, "bob", firstName="Bob", lastName="Baker_Smith", email="bob@example.com")
    await add_customer(house.app, "cleo", 0)
    assert await found(house) == [*demo, "ann", "bob", "cleo"]
    expected = {
        "ann": [{"userId": "ann"}, {"externalId": "crm-ann"}, {"email": "ann@EXAMPLE.com"}]
        + [{"search": text} for text in ("ANN 1", "0%", "CRM-a")],
        "bob": [{"search": text} for text in ("baker", "r_S", "BOB@")],
        "cleo": [{"gatewayCustomerId": "cus_cleo"}, {"gatewayCustomerId": "cus_cleo", "platform": "SANDBOX"}],
    }
    for user, filters in expected.items():
        for filter in filters:
            assert await found(house, **filter) == [user], filter
    for nobody in (
        {"search": "a%r"},
        {"search": "B_b"},
        {"email": "example.com"},
        {"userId": "an"},
        {"platform": "STRIPE"},
    ):
        assert await found(house, **nobody) == [], nobody
    assert await found(house, createdAt={"gte": "2026-02-01T00:00:00Z"}) == ["bob", "cleo"]
    assert await found(house, createdAt={"lt": "2026-02-01T00:00:00Z"}) == [*demo, "ann"]


async def test_the_case_of_no_alphabet_matters_to_a_search(house: House) -> None:
    await create(house, "oezil", name="Özlem Ünal", email="Ö@Example.com")
    for filter in ({"search": "özlem ü"}, {"search": "ÖZLEM"}, {"email": "ö@example.com"}):
        assert await found(house, **filter) == ["oezil"], filter


async def test_customers_are_paged_by_cursor_and_by_number(house: House) -> None:
    users = await found(house)
    for n in range(3):
        await add_customer(house.app, f"more-{n}", 0)
    users += [f"more-{n}" for n in range(3)]
    query = """query ($page: Int, $after: String, $first: Int, $size: Int) {
      customers(page: $page, pageSize: $size, after: $after, first: $first) {
        nodes { user { id } } pageInfo { endCursor pageNumber pageCount totalRowCount } } }"""

    async def page(**arguments: Any) -> tuple[list[str], dict[str, Any]]:
        told = (await house.ask(query, arguments, ADMIN))["customers"]
        return [node["user"]["id"] for node in told["nodes"]], told["pageInfo"]

    first, info = await page(first=2)
    assert first == users[:2]
    assert (await page(first=100, after=info["endCursor"]))[0] == users[2:]
    last, info = await page(page=2, size=len(users) - 1)
    assert (last, info["pageNumber"], info["pageCount"], info["totalRowCount"]) == (users[-1:], 2, 2, len(users))


async def test_too_long_a_search_is_refused_in_the_document(small_house: House) -> None:
    query = "query ($filter: CustomerFilter) { customers(filter: $filter) { nodes { id } } }"
    answer = (await small_house.post(query, {"filter": {"search": "a" * 101}}, ADMIN)).json()
    assert answer["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


# ── how they stand ──

STANDING = """{ customers(filter: {search: "rows"}, first: 20) { nodes {
  user { displayName username } addresses { city } invoicePrefix isDelinquent cancelAtPeriodEnd hasUsedTrial
  lastSucceededPayment { number intent { gatewayId } } role { code } roleEndsAt
  gatewayAccounts { platform customerId networkReferenceId walletId } discounts { coupon { code } }
  entitlements { items { limit used remaining } } balance { amountMinor } defaultPaymentMethod { id }
} } }"""


@pytest.mark.parametrize("customers", [1, 12])
async def test_reading_many_customers_costs_as_many_statements_as_reading_one(house: House, customers: int) -> None:
    for n in range(customers):
        await add_customer(house.app, f"rows{n}", 2, coupons=True)
    async with counted(house.app) as statements:
        nodes = (await house.ask(STANDING, user=ADMIN))["customers"]["nodes"]
    assert len(nodes) == customers
    assert all(node["lastSucceededPayment"] and node["role"]["code"] == "shelf" for node in nodes)
    # page; overdue, live subscriptions, the newest live one, last payments, accounts, balances; their intents, items,
    # plans, entitlements, roles; discounts with coupons and uses; trials.
    assert len(statements) == STATEMENTS


STATEMENTS = 15


async def test_somebody_is_delinquent_while_something_is_not_paid_that_should_be(house: House) -> None:
    await add_customer(house.app, "rows", 1)
    invoice = (await only(house, "invoices"))["id"]
    subscription = (await only(house, "subscriptions"))["id"]

    async def is_delinquent() -> bool:
        return (await house.ask("{ me { isDelinquent } }", user="rows"))["me"]["isDelinquent"]

    async def invoice_is(status: str, **dates: Any) -> None:
        values = {"status": status, "due_at": None, "first_failed_at": None, **dates}
        await alter(house, "invoices", {"id": invoice}, **values)

    now = house.clock.now()
    assert await is_delinquent() is False
    for status, expected in (("past_due", True), ("unpaid", True), ("paused", False), ("active", False)):
        await alter(house, Subscription.__tablename__, {"id": subscription}, status=status)
        assert await is_delinquent() is expected, status
    await invoice_is("open")
    assert await is_delinquent() is False
    await invoice_is("open", due_at=now + timedelta(seconds=1))
    assert await is_delinquent() is False
    await invoice_is("open", due_at=now)
    assert await is_delinquent() is True
    await invoice_is("open", first_failed_at=now)
    assert await is_delinquent() is True
    await alter(house, "subscriptions", {"id": subscription}, status="canceled")
    assert await is_delinquent() is True
    for settled in ("paid", "void", "uncollectible"):
        await invoice_is(settled, due_at=now, first_failed_at=now)
        assert await is_delinquent() is False, settled


async def test_whether_it_renews_is_told_while_there_is_something_to_renew(house: House) -> None:
    asked = "{ me { cancelAtPeriodEnd lastSucceededPayment { id } } }"
    await create(house, "rows-not-yet")
    assert (await house.ask(asked, user="rows-not-yet"))["me"] == {
        "cancelAtPeriodEnd": None,
        "lastSucceededPayment": None,
    }
    await add_customer(house.app, "rows", 1)
    subscription = (await only(house, "subscriptions"))["id"]
    for planned in (False, True):
        await alter(house, "subscriptions", {"id": subscription}, cancel_at_period_end=planned)
        assert (await house.ask(asked, user="rows"))["me"]["cancelAtPeriodEnd"] is planned
    await alter(house, "subscriptions", {"id": subscription}, status="canceled")
    told = (await house.ask(asked, user="rows"))["me"]
    assert told == {"cancelAtPeriodEnd": None, "lastSucceededPayment": {"id": (await only(house, "payments"))["id"]}}
