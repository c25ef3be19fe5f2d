"""A customer who changes what is subscribed to: what is asked of the API, and what it tells of it."""

from datetime import timedelta
from typing import Any

from tests.scenarios.merchant import Merchant
from tests.scenarios.orders import customer_id, subscribe
from tests.scenarios.shopping import Shopper
from tests.support.house import House

PERIOD = timedelta(days=28)  # from 31 January to 28 February 2026
HALF = PERIOD / 2
ERRORS = "userErrors { code field message ... on VersionConflictError { currentVersion } }"
LINES = """lines { kind description isProration quantity amount { amountMinor } discount { amountMinor }
  tax { amountMinor } }"""
INVOICE = f"""number status reason total {{ amountMinor }} creditApplied {{ amountMinor }} amountDue {{ amountMinor }}
  taxTotal {{ amountMinor }} discountTotal {{ amountMinor }} {LINES}"""
SHOWN = """id version status isActive plan { code } items { quantity plan { code } product { code } }
  interval amount { amountMinor } currentPeriod { start end } billingCycleAnchor billingDay nextBillingAt endsAt
  nextAction { type } scheduledChange { at proration plan { code } items { quantity plan { code } } }"""
PAYLOAD = f"""subscription {{ {SHOWN} }} invoice {{ {INVOICE} }} payment {{ id status }}
  nextAction {{ type redirectUrl }} {ERRORS}"""
CHANGE = f"mutation ($input: ChangePlanInput!) {{ changePlan(input: $input) {{ {PAYLOAD} }} }}"
UPDATE = f"mutation ($input: UpdateSubscriptionInput!) {{ updateSubscription(input: $input) {{ {PAYLOAD} }} }}"
FORGET = f"""mutation ($input: CancelScheduledChangeInput!) {{ cancelScheduledChange(input: $input) {{
  subscription {{ {SHOWN} }} {ERRORS} }} }}"""
MINE = f"""query ($id: ID!) {{ subscription(id: $id) {{ {SHOWN} invoices(first: 50) {{ nodes {{ {INVOICE} }} }} }} }}"""
START, MIDDLE, END = "2026-01-31T09:30:00Z", "2026-02-14T09:30:00Z", "2026-02-28T09:30:00Z"


class Changer(Shopper):
    async def begin(self, plan: str | None, *, by: str | None = None, **more: Any) -> dict[str, Any]:
        """Subscribed and paid; `by` staff on its own terms."""
        wish = {"planCode": plan, "paymentMethodId": await self.default_card(), **more}
        if by is not None:
            wish["customerId"] = await customer_id(self.house, self.user)
        told = await subscribe(self.house, by or self.user, **wish)
        assert (told["subscription"]["status"], told["userErrors"]) == ("ACTIVE", [])
        self.subscribed.append(told["subscription"]["id"])
        return await self.mine()

    async def mine(self) -> dict[str, Any]:
        return (await self.house.ask(MINE, {"id": self.subscribed[-1]}, "demo-admin"))["subscription"]

    async def change(self, plan: str, proration: str | None = None, **more: Any) -> dict[str, Any]:
        """At once."""
        return await self.ask(CHANGE, planCode=plan, effectiveAt="NOW", proration=proration, **more)

    async def pass_by(self, time: timedelta) -> dict[str, Any]:
        self.house.pass_time(time)
        await self.house.work()
        return await self.mine()


def codes(told: dict[str, Any]) -> list[str]:
    return [error["code"] for error in told["userErrors"]]


def amounts(invoice: dict[str, Any]) -> list[int]:
    return [line["amount"]["amountMinor"] for line in invoice["lines"]]


def totals(shown: dict[str, Any]) -> list[tuple[str, int, int]]:
    """(status, total, due of it once the balance was applied) of each invoice, oldest first."""
    return [
        (
            each["status"],
            each["total"]["amountMinor"],
            each["total"]["amountMinor"] - each["creditApplied"]["amountMinor"],
        )
        for each in reversed(shown["invoices"]["nodes"])
    ]


async def clean(house: House) -> None:
    """Nothing is left to bill or to collect, and the books are right."""
    await house.deliver()
    worked = await house.work()
    assert not any(worked.values()), worked
    assert await house.audit() == []


async def changer_of(house: House) -> Changer:
    """A customer with a card, in a shop that sells one product by the month and by the year."""
    shop = Merchant(house)
    await shop.product("letters")
    for code, amount in (("small", "10.00"), ("large", "20.00"), ("huge", "40.00")):
        await shop.plan(code, amount, product="letters")
    await shop.plan("yearly", "120.00", product="letters", interval="YEAR")
    return Changer(house, "demo-card")
