"""Staff who keep the catalog: editing, repricing and withdrawing, in one line each."""

from typing import Any

from tests.support.house import House
from tests.support.tables import everything

ADMIN = "demo-admin"
PRICES = """prices { id currencyCode amount { amount } isDefault }
  priceHistory(first: 100) { nodes { id currencyCode amount { amount } isActive isDefault effectiveFrom
    replacedBy { id } subscriptionsCount } }"""
_PLAN = f"plan {{ id version code {PRICES} }}"
ERRORS = "userErrors { code field message ... on VersionConflictError { currentVersion } }"
UPDATE_PLAN = f"""mutation ($id: ID!, $i: PlanInput!, $v: Int) {{
  updatePlan(id: $id, input: $i, expectedVersion: $v) {{ {_PLAN} {ERRORS} }} }}"""
UPDATE_PRODUCT = f"""mutation ($id: ID!, $i: ProductInput!, $v: Int) {{
  updateProduct(id: $id, input: $i, expectedVersion: $v) {{ product {{ id version code name description }} {ERRORS} }}
}}"""
ARCHIVE_PLAN = f"""mutation ($id: ID!, $v: Int) {{ archivePlan(id: $id, expectedVersion: $v) {{
  plan {{ id version isArchived isActive archivedAt }} {ERRORS} }} }}"""
ARCHIVE_PRODUCT = f"""mutation ($id: ID!, $v: Int) {{ archiveProduct(id: $id, expectedVersion: $v) {{
  product {{ id version isArchived isActive archivedAt }} {ERRORS} }} }}"""
MIGRATE = f"""mutation ($i: MigratePlanSubscribersInput!) {{ migratePlanSubscribers(input: $i) {{
  affected remaining skipped
  preview {{ subscription {{ id }} at amountBefore {{ amountMinor }} amountAfter {{ amountMinor }} }} {ERRORS} }} }}"""


async def told(house: House, query: str, user: str = ADMIN, **variables: Any) -> dict[str, Any]:
    """The payload of a mutation."""
    (payload,) = (await house.ask(query, variables, user)).values()
    return payload


async def plan_id(house: House, code: str) -> str:
    return (await house.ask("query ($c: String) { plan(code: $c) { id } }", {"c": code}))["plan"]["id"]


async def product_id(house: House, code: str) -> str:
    return (await house.ask("query ($c: String) { product(code: $c) { id } }", {"c": code}))["product"]["id"]


async def update_plan(house: House, code: str, version: int | None = None, **wish: Any) -> dict[str, Any]:
    """The payload of `updatePlan` by an administrator."""
    return await told(house, UPDATE_PLAN, id=await plan_id(house, code), i=wish, v=version)


async def reprice(house: House, code: str, amount: str, currency: str = "USD", **more: Any) -> tuple[str, str]:
    """The ids of the price that was and of the one that is."""
    plan = await told(house, UPDATE_PLAN, id=await plan_id(house, code), i={})
    before = {price["currencyCode"]: price["id"] for price in plan["plan"]["prices"]}
    wish = {"prices": [{"currencyCode": currency, "amount": amount, **more}]}
    after = await update_plan(house, code, **wish)
    assert after["userErrors"] == []
    return before[currency], next(p["id"] for p in after["plan"]["prices"] if p["currencyCode"] == currency)


async def migrate(house: House, old: str, new: str, at: str = "PERIOD_END", **more: Any) -> dict[str, Any]:
    """The payload of `migratePlanSubscribers`, for good unless said."""
    wish = {"fromPriceId": old, "toPriceId": new, "effectiveAt": at, "dryRun": False, **more}
    return await told(house, MIGRATE, i=wish)


async def refused(house: House, query: str, code: str, field: list[str] | None, **variables: Any) -> None:
    """The mutation is refused just so, and nothing has changed."""
    before = await everything(house.app)
    errors = (await told(house, query, **variables))["userErrors"]
    assert [(error["code"], error["field"]) for error in errors] == [(code, field)]
    assert await everything(house.app) == before
