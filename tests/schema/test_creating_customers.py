"""Customers made by staff and by API keys."""

from typing import Any

import pytest
from sqlmodel import select

from models.customers import Customer
from tests.schema.keys import ask_with_key, secret_of_key
from tests.support.house import House

ADMIN = "demo-admin"
CREATE = """mutation ($input: CustomerInput!) { createCustomer(input: $input) {
  customer { user { id displayName } externalId name email locale timezone metadata createdAt }
  userErrors { code field } } }"""


async def create(house: House, **wish: Any) -> dict[str, Any]:
    return (await house.ask(CREATE, {"input": wish}, user=ADMIN))["createCustomer"]


async def test_a_customer_is_what_it_was_made_as(house: House) -> None:
    made = await create(
        house,
        userId="u-1",
        externalId="crm-1",
        name="Ada",
        email="ada@example.com",
        locale="pt-BR",
        timezone="America/Sao_Paulo",
        metadata={"team": 7},
    )
    assert made == {
        "customer": {
            "user": {"id": "u-1", "displayName": "Ada"},
            "externalId": "crm-1",
            "name": "Ada",
            "email": "ada@example.com",
            "locale": "pt-BR",
            "timezone": "America/Sao_Paulo",
            "metadata": {"team": 7},
            "createdAt": "2026-01-31T09:30:00Z",
        },
        "userErrors": [],
    }
    found = await house.ask('{ customer(by: {userId: "u-1"}) { externalId } }', user=ADMIN)
    assert found == {"customer": {"externalId": "crm-1"}}


async def test_what_is_left_out_is_the_installations(house: House) -> None:
    customer = (await create(house, userId="u-2"))["customer"]
    assert (customer["locale"], customer["timezone"], customer["metadata"]) == ("en", "UTC", {})
    assert (customer["name"], customer["email"], customer["externalId"]) == (None, None, None)


async def test_the_user_finds_itself_as_the_customer_that_was_made(house: House) -> None:
    await create(house, userId="u-3", timezone="Asia/Kathmandu")
    subscribed = await house.ask(
        """mutation { subscribe(input: {planCode: "free"}) {
          subscription { timezone customer { user { id } } } userErrors { code } } }""",
        user="u-3",
    )
    assert subscribed["subscribe"] == {
        "subscription": {"timezone": "Asia/Kathmandu", "customer": {"user": {"id": "u-3"}}},
        "userErrors": [],
    }


@pytest.mark.parametrize(
    ("wish", "code", "field"),
    [
        ({}, "REQUIRED", "userId"),
        ({"userId": "  "}, "REQUIRED", "userId"),
        ({"userId": "u" * 256}, "INVALID", "userId"),
        ({"userId": "u", "email": "nobody"}, "INVALID", "email"),
        ({"userId": "u", "locale": "not a tag"}, "INVALID", "locale"),
        ({"userId": "u", "timezone": "Middle/Earth"}, "INVALID", "timezone"),
        ({"userId": "u", "timezone": "../etc/passwd"}, "INVALID", "timezone"),
        ({"userId": "u", "metadata": [1]}, "INVALID", "metadata"),
        ({"userId": "u", "testClockId": "clk_none"}, "NOT_FOUND", "testClockId"),
        ({"userId": "taken"}, "ALREADY_EXISTS", "userId"),
        ({"userId": "u", "externalId": "taken too"}, "ALREADY_EXISTS", "externalId"),
    ],
)
async def test_what_cannot_be_is_refused_by_its_field_and_makes_nobody(
    house: House, wish: dict[str, Any], code: str, field: str
) -> None:
    await create(house, userId="taken", externalId="taken too")
    before = await _users(house)
    assert await create(house, **wish) == {"customer": None, "userErrors": [{"code": code, "field": [field]}]}
    assert await _users(house) == before


async def test_a_key_that_acts_for_customers_makes_them(house: House) -> None:
    key = await secret_of_key(house, "act_for_customer")
    made = (await ask_with_key(house, key, CREATE, {"input": {"userId": "u-4"}}))["createCustomer"]
    assert (made["customer"]["user"]["id"], made["userErrors"]) == ("u-4", [])


async def _users(house: House) -> list[str]:
    async with house.app.database.read() as session:
        return sorted((await session.exec(select(Customer.user_id))).all())
