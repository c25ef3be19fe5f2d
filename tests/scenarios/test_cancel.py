"""Ending a subscription: now, when its period is over, or before it was ever paid."""

from datetime import timedelta

import pytest

from gateways.sandbox import Fault
from tests.scenarios.orders import billed, life, ordered, states
from tests.scenarios.shopping import Shopper
from tests.support.house import START, House
from tests.support.outside import VISA, charges_by_invoice, faults_always, gateway_books

HISTORY = """
{ me { subscriptions(first: 5) { nodes {
  status isActive canceledAt endsAt endedAt nextBillingAt version statusHistory { to at actor cause }
} } } }
"""


async def active(house: House) -> Shopper:
    shopper = Shopper(house, "demo-card")
    told = await shopper.subscribe(paymentMethodId=await shopper.default_card())
    assert told["subscription"]["status"] == "ACTIVE"
    return shopper


async def history(house: House, user: str = "demo-card") -> dict:
    return (await house.ask(HISTORY, user=user))["me"]["subscriptions"]["nodes"][0]


async def test_cancel_now_ends_access_at_once_and_refunds_nothing(house: House) -> None:
    shopper = await active(house)
    house.pass_time(timedelta(days=3))
    told = await shopper.cancel(effectiveAt="NOW", reason="TOO_EXPENSIVE", comment="Found a library.")
    assert told == {
        "subscription": {
            "id": shopper.subscribed[0],
            "status": "CANCELED",
            "isActive": False,
            "cancelAtPeriodEnd": False,
            "endsAt": "2026-02-03T09:30:00Z",
            "endedAt": "2026-02-03T09:30:00Z",
            "cancellation": {"reason": "TOO_EXPENSIVE", "comment": "Found a library.", "requestedBy": "CUSTOMER"},
        },
        "invoice": None,
        "userErrors": [],
    }
    assert (await gateway_books(house))["charges"] == [
        {"amount": 700, "amount_captured": 700, "currency": "usd", "paid": True, "status": "succeeded"}
    ]
    again = await shopper.cancel(effectiveAt="NOW")
    assert again["userErrors"] == [{"code": "INVALID_STATE", "field": ["subscriptionId"]}]
    anew = await shopper.subscribe(paymentMethodId=await shopper.default_card())
    assert anew["subscription"]["status"] == "ACTIVE"
    assert len(shopper.subscribed) == 2
    assert await house.audit() == []


async def test_cancel_at_period_end_keeps_access_until_the_worker_ends_it(house: House) -> None:
    shopper = await active(house)
    house.pass_time(timedelta(days=1))
    told = await shopper.cancel(effectiveAt="PERIOD_END", reason="UNUSED")
    assert told == {
        "subscription": {
            "id": shopper.subscribed[0],
            "status": "ACTIVE",
            "isActive": True,
            "cancelAtPeriodEnd": True,
            "endsAt": "2026-02-28T09:30:00Z",
            "endedAt": None,
            "cancellation": {"reason": "UNUSED", "comment": None, "requestedBy": "CUSTOMER"},
        },
        "invoice": None,
        "userErrors": [],
    }
    before = await history(house)
    assert await shopper.cancel(effectiveAt="PERIOD_END") == told
    assert await history(house) == before

    house.pass_time(timedelta(days=27) - timedelta(seconds=1))
    await house.work()
    assert await history(house) == before
    house.pass_time(timedelta(seconds=1))
    await house.work()
    after = await history(house)
    assert after == {
        "status": "CANCELED",
        "isActive": False,
        "canceledAt": "2026-02-01T09:30:00Z",
        "endsAt": "2026-02-28T09:30:00Z",
        "endedAt": "2026-02-28T09:30:00Z",
        "nextBillingAt": None,
        "version": before["version"] + 1,
        "statusHistory": [
            *before["statusHistory"],
            {"to": "CANCELED", "at": "2026-02-28T09:30:00Z", "actor": "worker", "cause": "period_over"},
        ],
    }
    house.pass_time(timedelta(days=400))
    assert await house.due() == {}
    assert await history(house) == after
    assert await house.audit() == []


async def test_the_end_waits_for_a_late_worker_and_happens_once(house: House) -> None:
    shopper = await active(house)
    await shopper.cancel(effectiveAt="PERIOD_END")
    house.pass_time(timedelta(days=60))
    assert (await house.work())["happened"] == 1
    assert (await house.work())["happened"] == 0
    assert [change["to"] for change in (await history(house))["statusHistory"]] == ["INCOMPLETE", "ACTIVE", "CANCELED"]


async def test_a_subscription_that_is_not_canceled_does_not_end(small_house: House) -> None:
    await active(small_house)
    small_house.pass_time(timedelta(days=28))
    assert (await small_house.work())["happened"] == 1  # its renewal
    assert (await history(small_house))["status"] == "ACTIVE"


@pytest.mark.parametrize("effective_at", ["NOW", "PERIOD_END"])
async def test_an_unpaid_one_ends_at_once_either_way(house: House, effective_at: str) -> None:
    shopper = Shopper(house, "demo-new")
    first = await shopper.subscribe()
    told = await shopper.cancel(effectiveAt=effective_at)
    assert told["subscription"]["status"] == "INCOMPLETE_EXPIRED"
    assert told["subscription"]["endedAt"] == f"{START:%Y-%m-%dT%H:%M:%SZ}"
    assert told["invoice"] == {"status": "VOID"}
    assert told["userErrors"] == []
    late = await shopper.browser.confirm(first["paymentIntent"]["clientSecret"], VISA)
    assert late.status_code == 400
    assert (await gateway_books(house))["charges"] == []
    assert await house.audit() == []


async def test_a_payment_made_meanwhile_wins_over_the_cancellation(house: House) -> None:
    shopper = Shopper(house, "demo-new")
    faults_always(house, Fault.WEBHOOKS_OFF)
    first = await shopper.subscribe()
    await shopper.browser.confirm(first["paymentIntent"]["clientSecret"], VISA)
    told = await shopper.cancel(effectiveAt="NOW")
    assert told == {
        "subscription": None,
        "invoice": None,
        "userErrors": [{"code": "INVALID_STATE", "field": ["subscriptionId"]}],
    }
    assert (await history(house, "demo-new"))["status"] == "ACTIVE"
    assert list((await charges_by_invoice(house)).values()) == [1]
    again = await shopper.cancel(effectiveAt="NOW")
    assert again["subscription"]["status"] == "CANCELED"
    assert await house.audit() == []


async def test_a_stale_version_changes_nothing(house: House) -> None:
    shopper = await active(house)
    before = await history(house)
    for effective_at in ("NOW", "PERIOD_END"):
        told = await shopper.cancel(effectiveAt=effective_at, expectedVersion=before["version"] - 1)
        assert told["userErrors"] == [{"code": "VERSION_CONFLICT", "field": ["expectedVersion"]}]
        assert await history(house) == before
    told = await shopper.cancel(effectiveAt="PERIOD_END", expectedVersion=before["version"])
    assert told["userErrors"] == []


async def test_why_it_ends_may_be_told_when_the_end_is_settled(small_house: House) -> None:
    shopper = await active(small_house)
    await shopper.cancel(effectiveAt="PERIOD_END")
    settled = await history(small_house)
    told = await shopper.cancel(effectiveAt="PERIOD_END", reason="UNUSED", comment="No time to read")
    said = {"reason": "UNUSED", "comment": "No time to read", "requestedBy": "CUSTOMER"}
    assert told["subscription"]["cancellation"] == said
    again = await shopper.cancel(effectiveAt="PERIOD_END", reason="LOW_QUALITY")
    assert again["subscription"]["cancellation"] == {**said, "reason": "LOW_QUALITY"}
    for repeated in ({}, {"reason": "LOW_QUALITY"}, {"comment": ""}):
        assert await shopper.cancel(effectiveAt="PERIOD_END", **repeated) == again
    assert await history(small_house) == {**settled, "version": settled["version"] + 2}
    await small_house.work()
    events = '{ billingEvents(types: ["subscription.cancel_scheduled"]) { nodes { type } } }'
    assert len((await small_house.ask(events, user="demo-admin"))["billingEvents"]["nodes"]) == 1


async def test_a_foreign_and_a_missing_subscription_look_the_same(small_house: House) -> None:
    owner = await active(small_house)
    before = await history(small_house)
    stranger = Shopper(small_house, "demo-new")
    for subscription in (owner.subscribed[0], "sbs_" + "0" * 32):
        stranger.subscribed = [subscription]
        assert await stranger.cancel(effectiveAt="NOW") == {
            "subscription": None,
            "invoice": None,
            "userErrors": [{"code": "NOT_FOUND", "field": ["subscriptionId"]}],
        }
    assert await history(small_house) == before


async def test_support_may_end_a_customers_subscription(small_house: House) -> None:
    owner = await active(small_house)
    staff = Shopper(small_house, "demo-support", subscribed=owner.subscribed)
    told = await staff.cancel(effectiveAt="NOW", reason="FRAUD")
    assert told["subscription"]["status"] == "CANCELED"
    assert told["subscription"]["cancellation"] == {"reason": "FRAUD", "comment": None, "requestedBy": "SUPPORT"}


async def test_what_is_to_end_at_the_very_instant_of_its_start_is_never_billed(small_house: House) -> None:
    house, start = small_house, "2026-02-10T09:30:00Z"
    order = await ordered(house, "demo-card", planCode="reader-pro", startAt=start)
    told = await Shopper(house, "demo-card", subscribed=[order]).cancel(effectiveAt="AT_DATE", date=start)
    assert (told["subscription"]["status"], told["subscription"]["endsAt"]) == ("SCHEDULED", start)
    house.pass_time(timedelta(days=10))
    await house.work()
    now = await life(house, order)
    assert (states(now), now["endedAt"], billed(now)) == (["SCHEDULED", "CANCELED"], start, [])
    assert await charges_by_invoice(house) == {}
    assert await house.audit() == []
