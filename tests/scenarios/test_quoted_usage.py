"""Quotes of acts that close what a meter has counted: it is asked for once, and nothing of it is left over."""

from datetime import timedelta
from typing import Any

import pytest

from tests.scenarios.metering import USER, key_of, sell, take, tell
from tests.support.house import House

TOLD = "dueNow { amount } schedule { at amount { amount } } quoteToken"
ACTS: dict[str, dict[str, Any]] = {
    "cancelSubscription": {"effectiveAt": "NOW"},
    "changePlan": {"planCode": "premium-monthly", "effectiveAt": "NOW"},
}


async def _asked(house: House, act: str, subscription: str, token: str | None = None) -> dict[str, Any]:
    """What the act would do, or with a token the act."""
    kind, name = f"{act[0].upper()}{act[1:]}", f"preview{act[0].upper()}{act[1:]}"
    asked, told = ("query", f"preview {{ {TOLD} }}") if token is None else ("mutation", "invoice { total { amount } }")
    stale = f"... on QuoteStaleError {{ freshQuote {{ {TOLD} }} }}"
    (answer,) = (
        await house.ask(
            f"{asked} ($i: {kind}Input!) {{ {name if token is None else act}(input: $i) {{ {told} "
            f"userErrors {{ code {stale if token is not None else ''} }} }} }}",
            {"i": {"subscriptionId": subscription, "quoteToken": token, **ACTS[act]}},
            USER,
        )
    ).values()
    return answer


async def test_what_a_change_bills_of_a_meter_is_not_foreseen_again(house: House) -> None:
    """500 calls of a cent until the change, and 25 of 28 days of USD 9.99."""
    await sell(house, "api")
    subscription = await take(house, "api")
    house.pass_time(timedelta(days=3))
    await tell(house, await key_of(house), {"subscriptionId": subscription, "quantity": "500"})
    quote = (await _asked(house, "changePlan", subscription))["preview"]
    assert quote["dueNow"]["amount"] == "13.92"
    assert [(each["at"][:10], each["amount"]["amount"]) for each in quote["schedule"][:2]] == [
        ("2026-02-28", "9.99"),
        ("2026-03-31", "9.99"),
    ]


@pytest.mark.parametrize("act", ACTS)
async def test_what_is_used_while_a_quote_is_looked_at_is_billed_by_a_fresh_one(house: House, act: str) -> None:
    await sell(house, "api")
    subscription, key = await take(house, "api"), await key_of(house)
    house.pass_time(timedelta(days=3))
    quote = (await _asked(house, act, subscription))["preview"]
    house.pass_time(timedelta(minutes=5))
    assert (await tell(house, key, {"subscriptionId": subscription, "quantity": "500"}))["accepted"] == 1
    refused = await _asked(house, act, subscription, quote["quoteToken"])
    (error,) = refused["userErrors"]
    assert (refused["invoice"], error["code"]) == (None, "QUOTE_STALE")
    fresh = error["freshQuote"]
    done = await _asked(house, act, subscription, fresh["quoteToken"])
    total = {"cancelSubscription": "5.00", "changePlan": "13.92"}[act]
    assert (done["userErrors"], done["invoice"]["total"]["amount"]) == ([], total)
    assert fresh["dueNow"]["amount"] == total
    await house.deliver()
    assert await house.audit() == []
