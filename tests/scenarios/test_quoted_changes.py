"""A change of plan does what was quoted, now and later; on both databases."""

from datetime import timedelta
from typing import Any

import pytest

from models.catalog import plan_by, prices_of
from tests.scenarios.test_quotes import (
    AMOUNTS,
    ERRORS,
    LINES,
    PREVIEW,
    USER,
    card_of,
    give_balance,
    same,
    subscribed,
    upcoming,
)
from tests.support.house import House
from tests.support.tables import everything

PREVIEW_CHANGE = f"""query ($input: ChangePlanInput!) {{
  previewChangePlan(input: $input) {{ preview {{ {PREVIEW} }} userErrors {{ code field }} }} }}"""
CHANGE = f"""mutation ($input: ChangePlanInput!) {{ changePlan(input: $input) {{
  subscription {{ id status plan {{ code }} }}
  invoice {{ amountDue {{ formatted }} amountPaid {{ formatted }} {LINES} {AMOUNTS} }} {ERRORS} }} }}"""


async def _started(house: House) -> str:
    done = await subscribed(house, planCode="reader-pro", paymentMethodId=await card_of(house))
    return done["subscription"]["id"]


async def _quoted(house: House, **wish: Any) -> dict[str, Any]:
    answer = await house.ask(PREVIEW_CHANGE, {"input": wish}, USER)
    assert answer["previewChangePlan"]["userErrors"] == []
    return answer["previewChangePlan"]["preview"]


async def _changed(house: House, **wish: Any) -> dict[str, Any]:
    return (await house.ask(CHANGE, {"input": wish}, USER))["changePlan"]


@pytest.mark.parametrize("balance", [0, 150, -30])
@pytest.mark.parametrize("proration", ["PRORATE_NOW", "FULL_PRICE_RESET", "USAGE_AWARE"])
@pytest.mark.parametrize("plan", ["premium-monthly", "premium-yearly"])
async def test_a_change_at_once_does_what_was_quoted(house: House, plan: str, proration: str, balance: int) -> None:
    subscription = await _started(house)
    await give_balance(house, balance)
    house.pass_time(timedelta(days=9, hours=7, seconds=11))
    wish = {"subscriptionId": subscription, "planCode": plan, "effectiveAt": "NOW", "proration": proration}
    before = await everything(house.app)
    preview = await _quoted(house, **wish)
    assert await everything(house.app) == before
    house.pass_time(timedelta(minutes=7))
    done = await _changed(house, quoteToken=preview["quoteToken"], **wish)
    assert done["userErrors"] == []
    same(preview, done["invoice"])
    assert preview["dueNow"] == done["invoice"]["amountPaid"]
    assert [(each["at"], each["amountDue"]) for each in await upcoming(house)] == [
        (each["at"], each["amount"]) for each in preview["schedule"]
    ]


async def test_a_change_to_come_costs_nothing_now_and_then_what_was_quoted(house: House) -> None:
    subscription = await _started(house)
    house.pass_time(timedelta(days=9))
    wish = {"subscriptionId": subscription, "planCode": "premium-monthly"}
    preview = await _quoted(house, **wish)
    assert (preview["dueNow"], preview["lines"]) == ({"formatted": "$0.00"}, [])
    assert (preview["dueNextAt"], preview["dueNext"]) == ("2026-02-28T09:30:00Z", {"formatted": "$9.99"})
    done = await _changed(house, quoteToken=preview["quoteToken"], **wish)
    assert (done["userErrors"], done["subscription"]["plan"]) == ([], {"code": "reader-pro"})
    foreseen = await upcoming(house)
    assert [(each["at"], each["amountDue"]) for each in foreseen] == [
        (each["at"], each["amount"]) for each in preview["schedule"]
    ]
    house.pass_time(timedelta(days=20))
    while any((await house.work()).values()):
        pass
    query = f"{{ mySubscription {{ plan {{ code }} invoices(first: 1) {{ nodes {{ {LINES} {AMOUNTS} }} }} }} }}"
    after = (await house.ask(query, user=USER))["mySubscription"]
    assert after["plan"] == {"code": "premium-monthly"}
    same(foreseen[0], after["invoices"]["nodes"][0])


async def test_a_quoted_change_is_stale_when_anything_moved(house: House) -> None:
    subscription = await _started(house)
    house.pass_time(timedelta(days=9))
    wish = {"subscriptionId": subscription, "planCode": "premium-monthly", "effectiveAt": "NOW"}

    async def refused(preview: dict[str, Any], **more: Any) -> dict[str, Any]:
        before = await everything(house.app)
        answer = await _changed(house, quoteToken=preview["quoteToken"], **{**wish, **more})
        assert await everything(house.app) == before
        (error,) = answer["userErrors"]
        assert (error["code"], error["field"]) == ("QUOTE_STALE", ["quoteToken"])
        return error["freshQuote"]

    preview = await _quoted(house, **wish)
    assert (await refused(preview, planCode="premium-yearly"))["total"] != preview["total"]
    assert (await refused(preview, effectiveAt="PERIOD_END"))["dueNow"] == {"formatted": "$0.00"}
    await give_balance(house, 100)
    preview = await refused(preview)
    rename = """mutation ($id: ID!) { updateSubscription(input: {subscriptionId: $id, name: "Mine"}) {
      userErrors { code } } }"""
    assert (await house.ask(rename, {"id": subscription}, USER))["updateSubscription"]["userErrors"] == []
    preview = await refused(preview)  # another version
    house.pass_time(timedelta(minutes=11))
    preview = await refused(preview)
    async with house.app.database.write() as session:
        plan = await plan_by(session, code="premium-monthly")
        assert plan is not None
        for price in await prices_of(session, [plan.id]):
            price.amount_minor += 100
    preview = await refused(preview)
    done = await _changed(house, quoteToken=preview["quoteToken"], **wish)
    assert done["userErrors"] == []
    same(preview, done["invoice"])


PREVIEW_UPDATE = f"""query ($input: UpdateSubscriptionInput!) {{
  previewUpdateSubscription(input: $input) {{ preview {{ {PREVIEW} }} userErrors {{ code field }} }} }}"""
UPDATE = f"""mutation ($input: UpdateSubscriptionInput!) {{ updateSubscription(input: $input) {{
  subscription {{ id version }} invoice {{ amountPaid {{ formatted }} {LINES} {AMOUNTS} }} {ERRORS} }} }}"""


@pytest.mark.parametrize(
    "change",
    [
        {"items": [{"planCode": "reader-pro", "quantity": 3}]},
        {"items": [{"planCode": "reader-pro", "quantity": 3}], "billingDay": 15, "proration": "PRORATE_NEXT_INVOICE"},
        {"billingDay": 10},
        {"autoRenew": False},
        {"name": "Mine"},
    ],
)
async def test_an_update_does_what_was_quoted(house: House, change: dict[str, Any]) -> None:
    wish = {"subscriptionId": await _started(house), **change}
    house.pass_time(timedelta(days=9, minutes=3))
    before = await everything(house.app)
    answer = await house.ask(PREVIEW_UPDATE, {"input": wish}, USER)
    assert await everything(house.app) == before
    assert answer["previewUpdateSubscription"]["userErrors"] == []
    preview = answer["previewUpdateSubscription"]["preview"]
    house.pass_time(timedelta(minutes=3))
    done = await house.ask(UPDATE, {"input": {**wish, "quoteToken": preview["quoteToken"]}}, USER)
    assert done["updateSubscription"]["userErrors"] == []
    assert done["updateSubscription"]["subscription"]["version"] > 1
    invoice = done["updateSubscription"]["invoice"]
    if invoice is not None:
        same(preview, invoice)
        assert invoice["amountPaid"] == preview["dueNow"]
    assert [(each["at"], each["amountDue"]) for each in await upcoming(house)] == [
        (each["at"], each["amount"]) for each in preview["schedule"]
    ]
