"""Usage and credits of customers who live by a test clock: everything goes by its present, not by the server's."""

from datetime import datetime, timedelta
from typing import Any

from tests.scenarios.metering import key_of, sell, tell
from tests.scenarios.test_clocks import START, a_clock, a_subscriber, advance
from tests.schema.keys import ask_with_key
from tests.support.house import House

ADMIN = "demo-admin"
BILLS = """query ($id: ID!) { subscription(id: $id) {
  creditBalances { remaining remainingToday }
  invoices(first: 9) { nodes { status lines { quantity amount { amount } period { start } } } } } }"""
CONSUME = """mutation ($i: CreditInput!) { consumeCredits(input: $i) {
  creditBalance { remaining remainingToday } userErrors { code } } }"""


async def _seen(house: House, subscription: str) -> dict[str, Any]:
    return (await house.ask(BILLS, {"id": subscription}, user=ADMIN))["subscription"]


async def test_a_clocks_present_decides_what_has_occurred_what_is_late_and_which_day_it_is(house: House) -> None:
    await sell(house, "api", credits=[{"unit": "cup", "daily": 2}])
    clock = await a_clock(house)
    subscription, key = await a_subscriber(house, "u-1", clock, plan="api"), await key_of(house)
    here = START + timedelta(days=10)
    await advance(house, clock, here)

    def told(at: datetime, idem: str) -> dict[str, Any]:
        event = {"subscriptionId": subscription, "quantity": "100", "occurredAt": at.isoformat()}
        return {**event, "idempotencyKey": idem}

    # The server's own present is a year before: to come for it, past for the clock.
    answer = await tell(
        house,
        key,
        told(here, "now"),
        told(here + timedelta(hours=1), "early"),
        told(START - timedelta(hours=1), "before"),
    )
    errors = [{"code": "INVALID", "field": ["events", n, "occurredAt"]} for n in ("1", "2")]
    assert answer == {"accepted": 1, "duplicates": 0, "userErrors": errors}

    async def consume(quantity: int, idem: str) -> dict[str, Any]:
        wish = {"subscriptionId": subscription, "unit": "cup", "quantity": quantity, "idempotencyKey": idem}
        return (await ask_with_key(house, key, CONSUME, {"i": wish}))["consumeCredits"]

    assert (await consume(2, "a"))["creditBalance"] == {"remaining": 54, "remainingToday": 0}
    assert (await consume(1, "b"))["userErrors"] == [{"code": "DAILY_LIMIT_REACHED"}]
    await advance(house, clock, here + timedelta(days=1))
    assert (await consume(1, "c"))["creditBalance"] == {"remaining": 53, "remainingToday": 1}

    await advance(house, clock, datetime.fromisoformat("2027-03-02T09:00:00+00:00"))
    assert (await tell(house, key, told(here, "late")))["accepted"] == 1
    await advance(house, clock, datetime.fromisoformat("2027-04-01T09:00:00+00:00"))
    seen = await _seen(house, subscription)
    lines = [
        (line["period"]["start"][:10], line["quantity"], line["amount"]["amount"])
        for invoice in reversed(seen["invoices"]["nodes"])
        for line in invoice["lines"]
    ]
    assert lines == [("2027-01-31", "100", "1.00"), ("2027-01-31", "100", "1.00"), ("2027-02-28", "0", "0.00")]
    assert {invoice["status"] for invoice in seen["invoices"]["nodes"]} == {"PAID"}
    assert seen["creditBalances"] == [{"remaining": 60, "remainingToday": 2}]
    assert await house.audit() == []
