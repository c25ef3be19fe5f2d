"""Subscribing over HTTP, the browser's half by publishable key: one final state, however the news come."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.scenarios.shopping import CHANNELS, Channel, Shopper
from tests.scenarios.standing import standing
from tests.support.house import House
from tests.support.outside import ASKS_ALWAYS, DECLINES, MASTERCARD, NO_FUNDS, RETURN_URL, VISA, charges_by_invoice

STATES = Path(__file__).parent / "states"


def waits_for_a_card(told: dict[str, Any]) -> str:
    """The answer to a wish without a card: the client secret that the browser confirms with."""
    secret = told["paymentIntent"]["clientSecret"]
    assert told["subscription"]["status"] == "INCOMPLETE"
    assert told["payment"]["status"] == "REQUIRES_PAYMENT_METHOD"
    assert told["nextAction"] == {"type": "CONFIRM_WITH_SDK", "redirectUrl": None, "clientSecret": secret}
    assert told["userErrors"] == []
    return secret


def returned(answer: httpx.Response) -> str:
    """What the bank's page tells the shop's own page about the challenge."""
    assert answer.status_code == 303
    back = urlsplit(answer.headers["location"])
    assert f"{back.scheme}://{back.netloc}{back.path}" == RETURN_URL
    return parse_qs(back.query)["redirect_status"][0]


async def saved_card(shopper: Shopper) -> None:
    told = await shopper.subscribe(paymentMethodId=await shopper.default_card())
    assert told["subscription"]["status"] == "ACTIVE"
    assert told["nextAction"]["type"] == "NONE"
    assert told["userErrors"] == []


async def card_in_the_browser(shopper: Shopper) -> None:
    told = await shopper.subscribe()
    secret = waits_for_a_card(told)
    answer = await shopper.browser.confirm(secret, VISA)
    assert (answer.status_code, answer.json()["status"]) == (200, "succeeded")


async def card_in_the_browser_kept(shopper: Shopper) -> None:
    told = await shopper.subscribe(setupFutureUsage="OFF_SESSION")
    secret = waits_for_a_card(told)
    assert told["paymentIntent"]["setupFutureUsage"] == "OFF_SESSION"
    answer = await shopper.browser.confirm(secret, VISA)
    assert (answer.status_code, answer.json()["status"]) == (200, "succeeded")


async def decline_then_another_card_in_the_browser(shopper: Shopper) -> None:
    secret = waits_for_a_card(await shopper.subscribe(setupFutureUsage="OFF_SESSION"))
    for declining, code in ((DECLINES, "generic_decline"), (NO_FUNDS, "insufficient_funds")):
        answer = await shopper.browser.confirm(secret, declining)
        assert (answer.status_code, answer.json()["error"]["decline_code"]) == (402, code)
        await shopper.hear()
    answer = await shopper.browser.confirm(secret, MASTERCARD)
    assert (answer.status_code, answer.json()["status"]) == (200, "succeeded")


async def decline_in_the_browser(shopper: Shopper) -> None:
    secret = waits_for_a_card(await shopper.subscribe())
    answer = await shopper.browser.confirm(secret, NO_FUNDS)
    assert (answer.status_code, answer.json()["error"]["code"]) == (402, "card_declined")


async def saved_card_declines_then_another_saved_one(shopper: Shopper) -> None:
    told = await shopper.subscribe(paymentMethodId=await shopper.save_card("pm_card_chargeCustomerFail"))
    assert told["subscription"]["status"] == "INCOMPLETE"
    assert told["payment"]["status"] == "FAILED"
    assert told["userErrors"] == [
        {
            "code": "CARD_DECLINED",
            "field": ["paymentMethodId"],
            "declineCode": "generic_decline",
            "isRetryable": True,
        }
    ]
    await shopper.hear()
    again = await shopper.subscribe(paymentMethodId=await shopper.save_card("pm_card_mastercard"))
    assert again["userErrors"] == []
    assert again["subscription"] == {
        "id": told["subscription"]["id"],
        "status": "ACTIVE",
        "isActive": True,
        "nextAction": {"type": "NONE"},
    }
    assert again["paymentIntent"]["gatewayId"] == told["paymentIntent"]["gatewayId"]


async def saved_card_declines_then_another_in_the_browser(shopper: Shopper) -> None:
    told = await shopper.subscribe(paymentMethodId=await shopper.save_card("pm_card_chargeCustomerFail"))
    assert told["nextAction"]["type"] == "CONFIRM_WITH_SDK"
    await shopper.hear()
    answer = await shopper.browser.confirm(told["nextAction"]["clientSecret"], VISA)
    assert (answer.status_code, answer.json()["id"]) == (200, told["paymentIntent"]["gatewayId"])


async def challenge_passed(shopper: Shopper) -> None:
    secret = waits_for_a_card(await shopper.subscribe(setupFutureUsage="OFF_SESSION"))
    address = await shopper.browser.confirm_challenged(secret, ASKS_ALWAYS)
    await shopper.hear()
    assert returned(await shopper.browser.answer(address, "succeeded")) == "succeeded"


async def challenge_failed(shopper: Shopper) -> None:
    secret = waits_for_a_card(await shopper.subscribe())
    address = await shopper.browser.confirm_challenged(secret, ASKS_ALWAYS)
    await shopper.hear()
    assert returned(await shopper.browser.answer(address, "failed")) == "failed"


async def challenge_failed_then_passed(shopper: Shopper) -> None:
    secret = waits_for_a_card(await shopper.subscribe())
    for outcome in ("failed", "succeeded"):
        address = await shopper.browser.confirm_challenged(secret, ASKS_ALWAYS)
        await shopper.hear()
        assert returned(await shopper.browser.answer(address, outcome)) == outcome
        await shopper.hear()


async def challenge_of_a_saved_card_passed(shopper: Shopper) -> None:
    told = await shopper.subscribe(
        paymentMethodId=await shopper.save_card("pm_card_authenticationRequired"),
        returnUrl=RETURN_URL,
    )
    assert told["subscription"]["status"] == "INCOMPLETE"
    address = told["nextAction"]["redirectUrl"]
    assert told["nextAction"] == {"type": "REDIRECT", "redirectUrl": address, "clientSecret": None}
    assert told["userErrors"] == [
        {
            "code": "PAYMENT_ACTION_REQUIRED",
            "field": None,
            "nextAction": {"type": "REDIRECT", "redirectUrl": address},
        }
    ]
    await shopper.hear()
    assert returned(await shopper.browser.answer(address, "succeeded")) == "succeeded"


async def challenge_of_a_saved_card_failed(shopper: Shopper) -> None:
    told = await shopper.subscribe(
        paymentMethodId=await shopper.save_card("pm_card_authenticationRequired"),
        returnUrl=RETURN_URL,
    )
    await shopper.hear()
    assert returned(await shopper.browser.answer(told["nextAction"]["redirectUrl"], "failed")) == "failed"


STORIES: dict[Callable[[Shopper], Awaitable[None]], str] = {
    saved_card: "demo-card",
    card_in_the_browser: "demo-new",
    card_in_the_browser_kept: "demo-new",
    decline_then_another_card_in_the_browser: "demo-new",
    decline_in_the_browser: "demo-new",
    saved_card_declines_then_another_saved_one: "demo-new",
    saved_card_declines_then_another_in_the_browser: "demo-new",
    challenge_passed: "demo-new",
    challenge_failed: "demo-new",
    challenge_failed_then_passed: "demo-new",
    challenge_of_a_saved_card_passed: "demo-new",
    challenge_of_a_saved_card_failed: "demo-new",
}


# Every channel on the embedded database, the two hardest on the other one.
WAYS = [("sqlite", channel) for channel in CHANNELS] + [
    ("postgresql", channel) for channel in CHANNELS if channel.is_hard
]


@pytest.mark.parametrize(
    ("database_url", "channel"),
    WAYS,
    ids=[f"{database}, {channel.name}" for database, channel in WAYS],
    indirect=["database_url"],
)
@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
async def test_every_channel_leads_to_the_same_state(
    house: House, story: Callable[[Shopper], Awaitable[None]], channel: Channel
) -> None:
    shopper = Shopper(house, STORIES[story], channel)
    await story(shopper)
    await shopper.come_to_rest()

    assert await standing(house, shopper.user) == json.loads((STATES / f"{story.__name__}.json").read_text())
    assert await house.audit() == []
    paid = await house.ask("{ invoices { nodes { id status } } }", user=shopper.user)
    assert await charges_by_invoice(house) == {
        invoice["id"]: 1 if invoice["status"] == "PAID" else 0 for invoice in paid["invoices"]["nodes"]
    }
