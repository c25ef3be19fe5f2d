"""The clock jumps: back an hour, forward forty days, three days without a worker. Each missed period is billed once."""

from datetime import timedelta
from itertools import pairwise

import pytest

from tests.scenarios.merchant import Merchant, done
from tests.scenarios.shopping import Shopper
from tests.support.house import House

INVOICES = """{ mySubscription { status invoices(first: 100) { nodes {
  status reason total { amount } period { start end } payments { attempts { outcome } } } } } }"""


async def daily(house: House) -> Shopper:
    """A subscription by the day, begun at 09:30."""
    await Merchant(house).plan("by-the-day", "1.00", interval="DAY")
    shopper = Shopper(house, "demo-card")
    told = await shopper.subscribe("by-the-day", paymentMethodId=await shopper.default_card())
    assert told["userErrors"] == []
    return shopper


async def days_billed(house: House) -> list[str]:
    """The days of the periods that were billed, oldest first; each must have been charged just once."""
    life = (await house.ask(INVOICES, user="demo-card"))["mySubscription"]
    assert life["status"] == "ACTIVE"
    invoices = sorted(life["invoices"]["nodes"], key=lambda each: each["period"]["start"])
    for each in invoices:
        outcomes = [attempt["outcome"] for payment in each["payments"] for attempt in payment["attempts"]]
        assert (each["status"], each["total"]["amount"], outcomes) == ("PAID", "1.00", ["SUCCEEDED"])
    for each, following in pairwise(invoices):
        assert each["period"]["end"] == following["period"]["start"]
    return [each["period"]["start"][:10] for each in invoices]


async def test_back_an_hour_bills_nothing_again(house: House) -> None:
    await daily(house)
    house.pass_time(timedelta(days=1))
    await house.work()
    assert await days_billed(house) == ["2026-01-31", "2026-02-01"]
    house.clock.advance(timedelta(hours=-1))
    await house.work()
    assert await days_billed(house) == ["2026-01-31", "2026-02-01"]
    house.pass_time(timedelta(days=1))
    await house.work()
    assert await days_billed(house) == ["2026-01-31", "2026-02-01"]
    house.pass_time(timedelta(hours=1))
    await house.work()
    assert await days_billed(house) == ["2026-01-31", "2026-02-01", "2026-02-02"]
    assert await house.audit() == []


@pytest.mark.parametrize("days", [3, 40])
async def test_each_period_missed_is_billed_once(house: House, days: int) -> None:
    await daily(house)
    house.pass_time(timedelta(days=days))
    await house.work()
    start = house.clock.now() - timedelta(days=days)
    assert await days_billed(house) == [(start + timedelta(days=n)).date().isoformat() for n in range(days + 1)]
    await house.work()
    assert len(await days_billed(house)) == days + 1
    assert await house.audit() == []


async def test_forward_and_back_again_bills_nothing_twice(house: House) -> None:
    """A clock set forty days ahead by mistake, and corrected: what was billed stays billed, nothing is billed again."""
    await daily(house)
    house.clock.advance(timedelta(days=40))
    await house.work()
    ahead = await days_billed(house)
    house.clock.advance(timedelta(days=-40))
    await house.work()
    for _ in range(40):
        house.clock.advance(timedelta(days=1))
        await house.work()
    assert await days_billed(house) == ahead
    assert await house.audit() == []


TERMS = "subscription { status currentPeriod { start end } trial { start end } }"


async def set_back_after(house: House, plan: str = "reader-pro") -> dict[str, str]:
    """A subscription that has just begun, and the clock set back by an hour: the input that names it."""
    shopper = Shopper(house, "demo-card")
    told = await shopper.subscribe(plan, paymentMethodId=await shopper.default_card())
    assert told["userErrors"] == []
    house.clock.advance(timedelta(hours=-1))
    return {"subscriptionId": shopper.subscribed[-1]}


async def test_back_an_hour_a_pause_that_has_begun_ends_at_once(house: House) -> None:
    shopper = Shopper(house, "demo-card")
    await shopper.subscribe(paymentMethodId=await shopper.default_card())
    house.pass_time(timedelta(days=10))
    named = {"subscriptionId": shopper.subscribed[-1]}
    await done(house, "pauseSubscription", "PauseSubscriptionInput", named, TERMS)
    house.clock.advance(timedelta(hours=-1))
    told = (await done(house, "resumeSubscription", "ResumeSubscriptionInput", named, TERMS))["subscription"]
    period = {"start": "2026-01-31T09:30:00Z", "end": "2026-02-28T09:30:00Z"}
    assert (told["status"], told["currentPeriod"]) == ("ACTIVE", period)


async def test_back_an_hour_a_change_costs_no_more_than_the_period_does(house: House) -> None:
    named = await set_back_after(house)
    wish = {**named, "planCode": "premium-monthly", "effectiveAt": "NOW"}
    asked = "invoice { total { amountMinor } lines { amount { amountMinor } } }"
    bill = (await done(house, "changePlan", "ChangePlanInput", wish, asked, user="demo-card"))["invoice"]
    assert (bill["total"]["amountMinor"], [line["amount"]["amountMinor"] for line in bill["lines"]]) == (
        299,
        [-700, 999],
    )
    assert await house.audit() == []


async def test_back_an_hour_a_trial_does_not_end_before_it_began(house: House) -> None:
    named = await set_back_after(house, "basic-monthly")
    ended = {**named, "trialEnd": "2026-01-01T00:00:00Z"}
    told = await done(house, "updateSubscription", "UpdateSubscriptionInput", ended, TERMS)
    begun = "2026-01-31T09:30:00Z"
    assert told["subscription"]["trial"] == {"start": begun, "end": begun}
