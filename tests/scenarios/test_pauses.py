"""Pauses told on both databases: no access, no bills, and what was paid for is there when it goes on."""

from datetime import timedelta
from typing import Any

import pytest

from tests.scenarios.changing import UPDATE, Changer, amounts
from tests.scenarios.merchant import Merchant, done
from tests.scenarios.shopping import Shopper
from tests.scenarios.test_paying_again import Payer
from tests.support.house import House
from tests.support.outside import charges_by_invoice

SHOWN = """subscription {
  status isActive pausedAt pausedUntil nextBillingAt billingCycleAnchor currentPeriod { start end }
} userErrors { code message field }"""
PAUSE = f"mutation Pause($input: PauseSubscriptionInput!) {{ pauseSubscription(input: $input) {{ {SHOWN} }} }}"
RESUME = f"mutation Resume($input: ResumeSubscriptionInput!) {{ resumeSubscription(input: $input) {{ {SHOWN} }} }}"

STANDING = """
{ me { subscriptions(first: 1) { nodes {
  status isActive pausedAt pausedUntil cancelAt endedAt currentPeriod { start end } scheduledChange { at }
  statusHistory { to cause }
  invoices(first: 9) { nodes { status total { amountMinor } period { start end } } }
} } } }
"""


async def active(house: House, **more: Any) -> Shopper:
    shopper = Shopper(house, "demo-card")
    told = await shopper.subscribe(paymentMethodId=await shopper.default_card(), **more)
    assert told["userErrors"] == []
    return shopper


async def pause(shopper: Shopper, **more: Any) -> dict[str, Any]:
    given = {"subscriptionId": shopper.subscribed[-1], **more}
    return (await shopper.house.ask(PAUSE, {"input": given}, shopper.user))["pauseSubscription"]


async def resume(shopper: Shopper, **more: Any) -> dict[str, Any]:
    given = {"subscriptionId": shopper.subscribed[-1], **more}
    return (await shopper.house.ask(RESUME, {"input": given}, shopper.user))["resumeSubscription"]


async def standing(house: House) -> dict[str, Any]:
    return (await house.ask(STANDING, user="demo-card"))["me"]["subscriptions"]["nodes"][0]


def bills(told: dict[str, Any]) -> list[tuple[str, str, str, int]]:
    """Status, first and last day, and amount of each invoice, oldest first."""
    return [
        (each["status"], each["period"]["start"], each["period"]["end"], each["total"]["amountMinor"])
        for each in reversed(told["invoices"]["nodes"])
    ]


async def test_a_pause_over_the_periods_end_bills_nothing_and_moves_it(house: House) -> None:
    shopper = await active(house)
    house.pass_time(timedelta(days=10))
    told = await pause(shopper)
    assert told == {
        "subscription": {
            "status": "PAUSED",
            "isActive": False,
            "pausedAt": "2026-02-10T09:30:00Z",
            "pausedUntil": None,
            "nextBillingAt": None,
            "billingCycleAnchor": "2026-01-31T09:30:00Z",
            "currentPeriod": {"start": "2026-01-31T09:30:00Z", "end": "2026-02-28T09:30:00Z"},
        },
        "userErrors": [],
    }
    assert await pause(shopper) == told
    house.pass_time(timedelta(days=40))
    assert await house.due() == {}
    gone_on = (await resume(shopper))["subscription"]
    assert (gone_on["status"], gone_on["isActive"], gone_on["pausedAt"]) == ("ACTIVE", True, None)
    assert gone_on["currentPeriod"] == {"start": "2026-01-31T09:30:00Z", "end": "2026-04-09T09:30:00Z"}
    assert gone_on["billingCycleAnchor"] == gone_on["nextBillingAt"] == "2026-04-09T09:30:00Z"

    house.pass_time(timedelta(days=18) - timedelta(seconds=1))
    assert (await house.work())["happened"] == 0
    house.pass_time(timedelta(seconds=1))
    assert (await house.work())["happened"] == 1
    now = await standing(house)
    assert bills(now) == [
        ("PAID", "2026-01-31T09:30:00Z", "2026-02-28T09:30:00Z", 700),
        ("PAID", "2026-04-09T09:30:00Z", "2026-05-09T09:30:00Z", 700),
    ]
    assert [change["to"] for change in now["statusHistory"]] == ["INCOMPLETE", "ACTIVE", "PAUSED", "ACTIVE"]
    assert list((await charges_by_invoice(house)).values()) == [1, 1]
    assert await house.audit() == []


async def test_paused_until_a_date_it_goes_on_by_itself_however_late_the_worker_is(house: House) -> None:
    shopper = await active(house)
    house.pass_time(timedelta(days=10))
    told = await pause(shopper, until="2026-02-20T00:00:00Z")
    assert told["subscription"]["pausedUntil"] == "2026-02-20T00:00:00Z"
    house.pass_time(timedelta(days=12))
    assert (await house.work())["happened"] == 1
    now = await standing(house)
    assert (now["status"], now["pausedUntil"]) == ("ACTIVE", None)
    # 9 days and 14.5 hours of pause, not the 12 days until somebody noticed.
    assert now["currentPeriod"]["end"] == "2026-03-10T00:00:00Z"
    assert [change["cause"] for change in now["statusHistory"]][2:] == ["pauseSubscription", "pause_over"]
    assert await house.audit() == []


async def test_the_date_of_a_pause_can_be_moved_and_taken_away(house: House) -> None:
    shopper = await active(house)
    await pause(shopper, until="2026-02-20T00:00:00Z")
    assert (await pause(shopper, until="2026-02-21T00:00:00Z"))["subscription"]["pausedUntil"] == "2026-02-21T00:00:00Z"
    assert (await pause(shopper))["subscription"]["pausedUntil"] is None
    house.pass_time(timedelta(days=400))
    assert await house.due() == {}
    assert (await resume(shopper))["subscription"]["currentPeriod"]["end"] == "2027-04-04T09:30:00Z"
    assert await house.audit() == []


async def test_a_pause_at_the_periods_end_keeps_access_until_then_and_bills_nothing(house: House) -> None:
    shopper = await active(house)
    house.pass_time(timedelta(days=1))
    told = (await pause(shopper, effectiveAt="PERIOD_END", until="2026-03-15T00:00:00Z"))["subscription"]
    assert (told["status"], told["isActive"], told["pausedAt"]) == ("ACTIVE", True, "2026-02-28T09:30:00Z")
    house.pass_time(timedelta(days=28))
    assert (await house.work())["happened"] == 1
    paused = await standing(house)
    assert (paused["status"], paused["pausedAt"]) == ("PAUSED", "2026-02-28T09:30:00Z")
    house.pass_time(timedelta(days=14))
    await house.work()
    now = await standing(house)
    assert bills(now) == [
        ("PAID", "2026-01-31T09:30:00Z", "2026-02-28T09:30:00Z", 700),
        ("PAID", "2026-03-15T00:00:00Z", "2026-04-15T00:00:00Z", 700),
    ]
    assert await house.audit() == []


async def test_a_planned_pause_is_taken_back_by_resuming(house: House) -> None:
    shopper = await active(house)
    await pause(shopper, effectiveAt="PERIOD_END", until="2026-03-15T00:00:00Z")
    told = (await resume(shopper))["subscription"]
    assert (told["status"], told["pausedAt"], told["pausedUntil"]) == ("ACTIVE", None, None)
    house.pass_time(timedelta(days=28))
    await house.work()
    assert [bill[0] for bill in bills(await standing(house))] == ["PAID", "PAID"]
    again = await resume(shopper)
    assert [(error["code"], error["message"]) for error in again["userErrors"]] == [
        ("INVALID_STATE", "The subscription is active and not paused.")
    ]
    assert await house.audit() == []


async def test_with_a_billing_day_the_period_after_a_pause_is_the_stub_up_to_it(house: House) -> None:
    plan = await Merchant(house).plan("on-the-15th", "31.00")
    shopper = Shopper(house, "demo-card")
    card = await shopper.default_card()
    told = await shopper.subscribe(None, planId=plan, billingDay=15, paymentMethodId=card)
    assert told["userErrors"] == []
    house.pass_time(timedelta(days=5))
    await pause(shopper)
    house.pass_time(timedelta(days=7))
    gone_on = (await resume(shopper))["subscription"]
    assert gone_on["currentPeriod"]["end"] == "2026-02-22T09:30:00Z"
    house.pass_time(timedelta(days=10))
    await house.work()
    first, stub = bills(await standing(house))
    # 15 of the 31 days up to the first 15th, then 21 of the 28 from the 22nd to the next.
    assert first == ("PAID", "2026-01-31T09:30:00Z", "2026-02-15T09:30:00Z", 1500)
    assert stub == ("PAID", "2026-02-22T09:30:00Z", "2026-03-15T09:30:00Z", 2325)
    assert await house.audit() == []


async def test_a_paused_trial_goes_on_for_the_days_that_were_left_of_it(house: House) -> None:
    """Seven days from 31 January; its periods end on the fifth."""
    shopper = Shopper(house, "demo-card")
    await shopper.subscribe("basic-monthly", paymentMethodId=await shopper.default_card())
    house.pass_time(timedelta(days=3))
    await pause(shopper, until="2026-02-13T09:30:00Z")
    house.pass_time(timedelta(days=12))
    assert (await house.work())["happened"] == 2  # it goes on, and the end of the trial is announced
    now = await standing(house)
    assert (now["status"], now["isActive"]) == ("TRIALING", True)
    assert now["currentPeriod"] == {"start": "2026-01-31T09:30:00Z", "end": "2026-02-17T09:30:00Z"}
    assert bills(now) == []
    house.pass_time(timedelta(days=2))
    await house.work()
    now = await standing(house)
    assert [change["to"] for change in now["statusHistory"]] == ["TRIALING", "PAUSED", "TRIALING", "ACTIVE"]
    # 16 of the 28 days up to the fifth, of 29.90.
    assert bills(now) == [("PAID", "2026-02-17T09:30:00Z", "2026-03-05T09:30:00Z", 1709)]
    assert await house.audit() == []


async def test_a_pause_is_refused_while_an_invoice_is_open(house: House) -> None:
    shopper = Payer(house, "demo-card")
    await shopper.fall_behind()
    before = await standing(house)
    refused = await pause(shopper)
    assert refused["subscription"] is None
    assert [(error["code"], error["field"]) for error in refused["userErrors"]] == [
        ("INVALID_STATE", ["subscriptionId"])
    ]
    assert await standing(house) == before
    assert await house.audit() == []


async def test_what_is_planned_for_the_end_moves_along_and_a_date_stays(house: House) -> None:
    merchant = Merchant(house)
    await merchant.product("desk")
    small, large = (
        await merchant.plan("small", "10.00", product="desk"),
        await merchant.plan("large", "20.00", product="desk"),
    )
    shopper = Shopper(house, "demo-card")
    await shopper.subscribe(None, planId=small, paymentMethodId=await shopper.default_card())
    change = "mutation ($input: ChangePlanInput!) { changePlan(input: $input) { userErrors { code } } }"
    given = {"subscriptionId": shopper.subscribed[-1], "planId": large, "effectiveAt": "PERIOD_END"}
    assert (await house.ask(change, {"input": given}, "demo-card"))["changePlan"] == {"userErrors": []}
    await shopper.cancel(effectiveAt="AT_DATE", date="2026-05-01T00:00:00Z")
    house.pass_time(timedelta(days=10))
    await pause(shopper)
    house.pass_time(timedelta(days=10))
    await resume(shopper)
    now = await standing(house)
    assert (now["scheduledChange"], now["cancelAt"]) == (
        {"at": "2026-03-10T09:30:00Z"},
        "2026-05-01T00:00:00Z",
    )
    house.pass_time(timedelta(days=18))
    await house.work()
    assert bills(await standing(house))[-1] == ("PAID", "2026-03-10T09:30:00Z", "2026-04-10T09:30:00Z", 2000)
    assert await house.audit() == []


async def test_a_pause_planned_for_the_end_comes_at_the_end_that_a_change_makes(house: House) -> None:
    shopper = await active(house, planCode="premium-monthly")
    await pause(shopper, effectiveAt="PERIOD_END")
    house.pass_time(timedelta(days=10))
    named = {"subscriptionId": shopper.subscribed[-1], "planCode": "premium-yearly", "effectiveAt": "NOW"}
    await done(house, "changePlan", "ChangePlanInput", named, SHOWN.partition(" userErrors")[0], user="demo-card")
    year = {"start": "2026-02-10T09:30:00Z", "end": "2027-02-10T09:30:00Z"}
    house.pass_time(timedelta(days=20))
    await house.work()
    now = await standing(house)
    assert (now["status"], now["currentPeriod"], now["pausedAt"]) == ("ACTIVE", year, year["end"])
    house.pass_time(timedelta(days=346))
    await house.work()
    assert (await standing(house))["status"] == "PAUSED"
    assert await house.audit() == []


async def test_a_date_to_end_comes_during_a_pause_too(house: House) -> None:
    shopper = await active(house)
    await shopper.cancel(effectiveAt="AT_DATE", date="2026-02-15T00:00:00Z")
    await pause(shopper)
    house.pass_time(timedelta(days=20))
    await house.work()
    now = await standing(house)
    assert (now["status"], now["endedAt"]) == ("CANCELED", "2026-02-20T09:30:00Z")
    assert await house.audit() == []


async def test_a_paused_one_can_be_canceled(house: House) -> None:
    shopper = await active(house)
    await pause(shopper)
    told = await shopper.cancel(effectiveAt="NOW")
    assert told["subscription"]["status"] == "CANCELED"
    gone = await resume(shopper)
    assert [error["code"] for error in gone["userErrors"]] == ["INVALID_STATE"]
    house.pass_time(timedelta(days=400))
    assert await house.due() == {}
    assert await house.audit() == []


@pytest.mark.parametrize(
    ("more", "code", "field"),
    [
        ({"until": "2026-01-31T09:30:00Z"}, "INVALID", ["until"]),
        ({"effectiveAt": "PERIOD_END", "until": "2026-02-28T09:30:00Z"}, "INVALID", ["until"]),
        ({"effectiveAt": "AT_DATE"}, "INVALID", ["effectiveAt"]),
        ({"expectedVersion": 99}, "VERSION_CONFLICT", ["expectedVersion"]),
    ],
)
async def test_a_pause_that_cannot_be_is_refused(
    small_house: House, more: dict[str, Any], code: str, field: list[str]
) -> None:
    shopper = await active(small_house)
    before = await standing(small_house)
    told = await pause(shopper, **more)
    assert [(error["code"], error["field"]) for error in told["userErrors"]] == [(code, field)]
    assert await standing(small_house) == before


async def test_the_same_key_pauses_once(small_house: House) -> None:
    shopper = await active(small_house)
    await pause(shopper, idempotencyKey="holiday")
    small_house.pass_time(timedelta(days=1))
    await resume(shopper)
    told = await pause(shopper, idempotencyKey="holiday")
    assert (told["subscription"]["status"], told["userErrors"]) == ("ACTIVE", [])


async def test_a_pause_makes_a_changed_period_no_longer_and_no_shorter(small_house: House) -> None:
    """28 days at 28.00: a dollar a day, also when the days that are left lie in months of 31."""
    house = small_house
    changer = Changer(house, "demo-card")
    await Merchant(house).plan("seats", "28.00")
    await changer.begin("seats")
    house.pass_time(timedelta(days=14))
    more = await changer.ask(UPDATE, items=[{"planCode": "seats", "quantity": 2}])
    await pause(changer)
    house.pass_time(timedelta(days=50))
    await resume(changer)
    less = await changer.ask(UPDATE, items=[{"planCode": "seats", "quantity": 1}])
    assert (amounts(more["invoice"]), amounts(less["invoice"])) == ([-1400, 2800], [-2800, 1400])
    assert await house.audit() == []


async def test_a_pause_until_the_end_of_all_days_foresees_nothing(small_house: House) -> None:
    shopper = await active(small_house)
    id, until = shopper.subscribed[-1], "9999-12-31T23:59:59Z"
    preview = """query ($input: PauseSubscriptionInput!) { previewPauseSubscription(input: $input) {
      preview { schedule { at } } userErrors { code } } }"""
    quoted = await small_house.ask(preview, {"input": {"subscriptionId": id, "until": until}}, shopper.user)
    assert quoted["previewPauseSubscription"] == {"preview": {"schedule": []}, "userErrors": []}
    assert (await pause(shopper, until=until))["subscription"]["pausedUntil"] == until
    upcoming = "query ($id: ID!) { subscription(id: $id) { upcomingInvoices(first: 36) { at } } }"
    told = await small_house.ask(upcoming, {"id": id}, shopper.user)
    assert told == {"subscription": {"upcomingInvoices": []}}


async def test_what_rests_from_its_periods_end_on_does_not_renew_then(small_house: House) -> None:
    shopper = await active(small_house)
    told = (await pause(shopper, effectiveAt="PERIOD_END"))["subscription"]
    assert (told["pausedAt"], told["nextBillingAt"]) == ("2026-02-28T09:30:00Z", None)
    assert (await resume(shopper))["subscription"]["nextBillingAt"] == "2026-02-28T09:30:00Z"
