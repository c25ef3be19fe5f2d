"""Metered plans and what is told of them, by the application's own back end."""

from datetime import timedelta
from typing import Any

from tests.schema.keys import ask_with_key, secret_of_key
from tests.support.house import House

USER, ADMIN = "demo-card", "demo-admin"
PLAN = "mutation ($i: PlanInput!) { createPlan(input: $i) { plan { id } userErrors { code message field } } }"
SUBSCRIBE = """mutation ($plan: String!, $card: ID) { subscribe(input: {planCode: $plan, paymentMethodId: $card}) {
  subscription { id status } userErrors { code } } }"""
RECORD = """mutation ($events: [UsageEventInput!]!) { recordUsage(events: $events) {
  accepted duplicates userErrors { code field } } }"""
INVOICES = """{ me { invoices(first: 20) { nodes { status reason total { amount } period { start end }
  lines { description quantity amount { amount } period { start end } explanation { text formula } } } } } }"""
USAGE = """query ($id: ID!, $period: PeriodInput) { subscription(id: $id) { status usage(period: $period) {
  feature { code } quantity billedQuantity amount { amount } period { start end } } } }"""


async def sell(house: House, code: str, **wish: Any) -> None:
    """A monthly plan that is billed by the sum of `calls`, unless the wish says otherwise."""
    metered = {"usageType": "METERED", "aggregateUsage": "SUM", "featureCode": "calls"}
    prices = [{"currencyCode": "USD", "unitAmountDecimal": "0.01"}]
    given = {
        "code": code,
        "name": "API",
        "productCode": "premium",
        "interval": "MONTH",
        "prices": prices,
        **metered,
        **wish,
    }
    made = (await house.ask(PLAN, {"i": given}, user=ADMIN))["createPlan"]
    assert made["userErrors"] == []


async def take(house: House, code: str, user: str = USER) -> str:
    """The user subscribes with the default card; the subscription's id."""
    card = await house.ask("{ me { defaultPaymentMethod { id } } }", user=user)
    wish = {"plan": code, "card": card["me"]["defaultPaymentMethod"]["id"]}
    made = (await house.ask(SUBSCRIBE, wish, user=user))["subscribe"]
    assert (made["userErrors"], made["subscription"]["status"]) == ([], "ACTIVE")
    return made["subscription"]["id"]


async def key_of(house: House) -> str:
    return await secret_of_key(house, "record_usage")


async def tell(house: House, key: str, *events: dict[str, Any]) -> dict[str, Any]:
    """The payload of `recordUsage`; what is left out of an event: one of `calls`, under a key of its own."""
    usual = {"featureCode": "calls", "quantity": "1"}
    given = [{**usual, "idempotencyKey": f"e-{n}", **event} for n, event in enumerate(events)]
    return (await ask_with_key(house, key, RECORD, {"events": given}))["recordUsage"]


async def pass_to(house: House, days: float) -> None:
    house.pass_time(timedelta(days=days))
    await house.work()
    await house.deliver()


async def bills(house: House) -> list[dict[str, Any]]:
    """The invoices, the oldest first."""
    return (await house.ask(INVOICES, user=USER))["me"]["invoices"]["nodes"][::-1]


def told(invoice: dict[str, Any]) -> list[tuple[str, str, str]]:
    """What each line of usage is for: its first day, the quantity, the amount."""
    return [(line["period"]["start"][:10], line["quantity"], line["amount"]["amount"]) for line in invoice["lines"]]
