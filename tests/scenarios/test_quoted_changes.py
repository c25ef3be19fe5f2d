"""A change of plan does what was quoted, now and later; on both databases."""

from datetime import timedelta
from typing import Any

import pytest

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


async def _started(house: House, plan: str = "reader-pro") -> str:
    done = await subscribed(house, planCode=plan, paymentMethodId=await card_of(house))
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
