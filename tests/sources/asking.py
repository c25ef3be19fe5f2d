"""How the row tests ask: through the public API only, as whoever the row speaks of."""

from collections.abc import Mapping
from typing import Any

from tests.scenarios.shopping import Shopper
from tests.support.house import House

SUPPORT = "demo-support"
NEW, CARD = "demo-new", "demo-card"
"""Users of the demo data: one who was never here, one with a saved Visa."""


async def subscribed(house: House, user: str = CARD, plan: str = "reader-pro", **more: Any) -> str:
    """The id of a subscription that was paid with the user's saved card."""
    shopper = Shopper(house, user)
    told = await shopper.subscribe(plan, paymentMethodId=await shopper.default_card(), **more)
    assert told["userErrors"] == [], told["userErrors"]
    return told["subscription"]["id"]


async def seen(house: House, id: str, fields: str, user: str | None = CARD) -> dict[str, Any]:
    """Those fields of a subscription."""
    data = await house.ask(f"query ($id: ID!) {{ subscription(id: $id) {{ {fields} }} }}", {"id": id}, user)
    return data["subscription"]


async def card_of(house: House, fields: str, user: str = CARD) -> dict[str, Any]:
    """Those fields of the newest saved card."""
    data = await house.ask(f"{{ paymentMethods(first: 1) {{ nodes {{ {fields} }} }} }}", user=user)
    return data["paymentMethods"]["nodes"][0]


async def me(house: House, fields: str, user: str = CARD) -> dict[str, Any]:
    return (await house.ask(f"{{ me {{ {fields} }} }}", user=user))["me"]


async def plan(house: House, code: str, fields: str, user: str | None = None) -> dict[str, Any]:
    data = await house.ask(f"query ($code: String!) {{ plan(code: $code) {{ {fields} }} }}", {"code": code}, user)
    return data["plan"]


def codes(told: Mapping[str, Any]) -> list[str]:
    return [error["code"] for error in told["userErrors"]]
