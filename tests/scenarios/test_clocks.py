"""Time moved on by hand, told through the public API on both databases."""

from datetime import UTC, datetime
from typing import Any

from tests.support.house import House

ADMIN = "demo-admin"
START = datetime(2027, 1, 31, 9, tzinfo=UTC)

CREATE_CLOCK = """mutation ($now: DateTime!) { createTestClock(now: $now, name: "a clock") {
  testClock { id now status } runs { id } userErrors { code } } }"""
CREATE_CUSTOMER = """mutation ($user: ID!, $clock: ID, $zone: String) {
  createCustomer(input: {userId: $user, testClockId: $clock, timezone: $zone}) {
    customer { id createdAt testClock { id } } userErrors { code message } } }"""
ADVANCE = """mutation ($id: ID!, $to: DateTime!) { advanceTestClock(id: $id, to: $to) {
  testClock { now status }
  runs { asOf renewed charged failed skipped totals { formatted }
    items { nodes { outcome at amount { formatted } invoice { period { start } } payment { status } } } }
  userErrors { code message } } }"""
CLOCK = "query ($id: ID!) { testClock(id: $id) { now target status runs { totalCount } } }"
ATTACH = """mutation ($card: String!, $customer: ID!) { attachPaymentMethod(input: {
  paymentMethodId: $card, customerId: $customer, makeDefault: true}) { paymentMethod { id } userErrors { code } } }"""
SUBSCRIBE = """mutation ($plan: String!, $card: ID, $customer: ID!) {
  subscribe(input: {planCode: $plan, paymentMethodId: $card, customerId: $customer}) {
    subscription { id status } userErrors { code message } } }"""
LIFE = """query ($id: ID!) { subscription(id: $id) { status isActive currentPeriod { start end } nextBillingAt endsAt
  invoices(first: 50) { nodes { status issuedAt period { start end } payments { status } } } } }"""


async def a_clock(house: House, now: datetime = START) -> str:
    made = (await house.ask(CREATE_CLOCK, {"now": now.isoformat()}, user=ADMIN))["createTestClock"]
    assert made["userErrors"] == []
    assert made["testClock"] == {"id": made["testClock"]["id"], "now": _told(now), "status": "READY"}
    return made["testClock"]["id"]


async def a_subscriber(
    house: House, user: str, clock: str | None, card: str = "pm_card_visa", plan: str = "reader-pro", zone: str = "UTC"
) -> str:
    """A customer who has subscribed with that card: the subscription's id."""
    wish = {"user": user, "clock": clock, "zone": zone}
    customer = (await house.ask(CREATE_CUSTOMER, wish, user=ADMIN))["createCustomer"]["customer"]
    wish = {"card": card, "customer": customer["id"]}
    saved = (await house.ask(ATTACH, wish, user=ADMIN))["attachPaymentMethod"]
    wish = {"plan": plan, "card": saved["paymentMethod"]["id"], "customer": customer["id"]}
    begun = (await house.ask(SUBSCRIBE, wish, user=ADMIN))["subscribe"]
    assert (begun["subscription"]["status"], begun["userErrors"]) == ("ACTIVE", [])
    return begun["subscription"]["id"]


async def advance(house: House, clock: str, to: datetime) -> dict[str, Any]:
    return (await house.ask(ADVANCE, {"id": clock, "to": to.isoformat()}, user=ADMIN))["advanceTestClock"]


async def life(house: House, subscription: str) -> dict[str, Any]:
    return (await house.ask(LIFE, {"id": subscription}, user=ADMIN))["subscription"]


def _told(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")


async def test_twelve_renewals_fit_one_call_and_are_told_run_by_run(house: House) -> None:
    clock = await a_clock(house)
    subscription = await a_subscriber(house, "u-1", clock)
    moved = await advance(house, clock, datetime(2028, 1, 31, 9, tzinfo=UTC))
    assert (moved["testClock"], moved["userErrors"]) == ({"now": "2028-01-31T09:00:00Z", "status": "READY"}, [])
    starts = [
        "2027-02-28", "2027-03-31", "2027-04-30", "2027-05-31", "2027-06-30", "2027-07-31", "2027-08-31",
        "2027-09-30", "2027-10-31", "2027-11-30", "2027-12-31", "2028-01-31",
    ]  # fmt: skip
    assert moved["runs"] == [
        {
            "asOf": f"{day}T09:00:00Z",
            "renewed": 1,
            "charged": 1,
            "failed": 0,
            "skipped": 0,
            "totals": [{"formatted": "$7.00"}],
            "items": {
                "nodes": [
                    {
                        "outcome": outcome,
                        "at": f"{day}T09:00:00Z",
                        "amount": {"formatted": "$7.00"},
                        "invoice": {"period": {"start": f"{day}T09:00:00Z"}},
                        "payment": {"status": "SUCCEEDED"} if outcome == "CHARGED" else None,
                    }
                    for outcome in ("RENEWED", "CHARGED")
                ]
            },
        }
        for day in starts
    ]
    told = await life(house, subscription)
    assert [i["issuedAt"][:10] for i in reversed(told["invoices"]["nodes"])] == ["2027-01-31", *starts]
    assert {i["status"] for i in told["invoices"]["nodes"]} == {"PAID"}
    assert (told["isActive"], told["nextBillingAt"]) == (True, "2028-02-29T09:00:00Z")
    assert await house.audit() == []
