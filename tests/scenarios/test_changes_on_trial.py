"""Changes while nothing is paid yet: on trial, and before the start."""

from datetime import timedelta
from typing import Any

import pytest

from tests.scenarios.changing import CHANGE, UPDATE, Changer, amounts, changer_of, clean, codes, totals
from tests.scenarios.merchant import Merchant
from tests.scenarios.orders import billed, customer_id, life, subscribe
from tests.support.house import House

FORESEEN = """query ($id: ID!) { subscription(id: $id) { upcomingInvoices(first: 3) {
  period { start end } total { formatted } } } }"""


@pytest.fixture
async def changer(house: House) -> Changer:
    """On trial from 31 January to 7 February."""
    changer = await changer_of(house)
    await Merchant(house).plan("tried", "10.00", product="letters", trialPeriodDays=7)
    told = await subscribe(house, changer.user, planCode="tried", paymentMethodId=await changer.default_card())
    assert told["subscription"]["status"] == "TRIALING"
    changer.subscribed.append(told["subscription"]["id"])
    return changer


@pytest.mark.parametrize("proration", ["PRORATE_NOW", "FULL_PRICE_RESET", "NONE"])
async def test_on_trial_a_change_moves_no_money_and_the_trial_goes_on(
    changer: Changer, house: House, proration: str
) -> None:
    house.pass_time(timedelta(days=3))
    before = (await changer.mine())["currentPeriod"]
    told = await changer.change("yearly", proration, user="demo-admin")
    shown = told["subscription"]
    assert (codes(told), told["invoice"], shown["status"], shown["currentPeriod"]) == ([], None, "TRIALING", before)
    paid = await changer.pass_by(timedelta(days=4))
    assert (paid["status"], paid["plan"]["code"]) == ("ACTIVE", "yearly")
    assert paid["currentPeriod"] == {"start": "2026-02-07T09:30:00Z", "end": "2027-02-07T09:30:00Z"}
    assert [total for _, total, _ in totals(paid) if total] == [12000]
    await clean(house)


async def test_what_was_tried_before_is_not_free_again_on_anothers_trial(changer: Changer, house: House) -> None:
    """For as long as the other's trial lasts, and so with each new product."""
    shop = Merchant(house)
    await shop.product("dear")
    await shop.plan("dear", "500.00", product="dear", trialPeriodDays=7)
    letters, card = changer.subscribed[-1], await changer.default_card()
    tried = await subscribe(house, changer.user, planCode="dear", paymentMethodId=card)
    changer.subscribed.append(tried["subscription"]["id"])
    await changer.cancel(effectiveAt="NOW")
    changer.subscribed.append(letters)
    before = await changer.mine()
    soon = (house.clock.now() + timedelta(days=1)).isoformat()
    for query, wish, field in (
        (UPDATE, {"items": [{"planCode": "tried"}, {"planCode": "dear"}]}, "items"),
        (CHANGE, {"planCode": "dear", "effectiveAt": "NOW"}, "planId"),
        (CHANGE, {"planCode": "dear", "effectiveAt": "AT_DATE", "date": soon}, "planId"),
    ):
        (refused,) = (await changer.ask(query, **wish))["userErrors"]
        assert (refused["code"], refused["field"]) == ("INVALID_STATE", [field])
    assert await changer.mine() == before
    assert codes(await changer.ask(CHANGE, planCode="dear")) == []  # paid for from its first day
    paid = await changer.pass_by(timedelta(days=7))
    assert (paid["status"], paid["plan"]["code"], totals(paid)[-1][1]) == ("ACTIVE", "dear", 50000)
    await clean(house)


async def test_what_is_planned_for_the_trials_end_moves_with_it(changer: Changer, house: House) -> None:
    await changer.ask(CHANGE, planCode="large")
    later = await changer.ask(UPDATE, "demo-admin", trialEnd="2026-02-10T00:00:00Z")
    assert codes(later) == []
    assert later["subscription"]["currentPeriod"]["end"] == "2026-02-10T00:00:00Z"
    assert later["subscription"]["scheduledChange"]["at"] == "2026-02-10T00:00:00Z"
    assert (await changer.pass_by(timedelta(days=7)))["status"] == "TRIALING"
    paid = await changer.pass_by(timedelta(days=3))
    assert (paid["status"], paid["plan"]["code"]) == ("ACTIVE", "large")
    assert paid["currentPeriod"] == {"start": "2026-02-10T00:00:00Z", "end": "2026-03-10T00:00:00Z"}
    assert [total for _, total, _ in totals(paid) if total] == [2000]
    await clean(house)


async def test_a_trial_is_ended_now(changer: Changer, house: House) -> None:
    house.pass_time(timedelta(days=1))
    told = await changer.ask(UPDATE, "demo-admin", trialEnd="2026-01-01T00:00:00Z")
    assert (codes(told), told["subscription"]["currentPeriod"]["end"]) == ([], "2026-02-01T09:30:00Z")
    paid = await changer.pass_by(timedelta(0))
    assert (paid["status"], paid["currentPeriod"]["end"]) == ("ACTIVE", "2026-03-01T09:30:00Z")
    assert [total for _, total, _ in totals(paid) if total] == [1000]
    far = await changer.ask(UPDATE, "demo-admin", trialEnd="2026-02-10T00:00:00Z")
    assert codes(far) == ["INVALID_STATE"]
    await clean(house)


async def test_a_trial_has_its_limit(changer: Changer) -> None:
    told = await changer.ask(UPDATE, "demo-admin", trialEnd="2028-02-01T00:00:00Z")
    assert [(e["code"], e["field"]) for e in told["userErrors"]] == [("INVALID", ["trialEnd"])]


async def test_before_its_start_a_subscription_changes_without_money(changer: Changer, house: House) -> None:
    await Merchant(house).plan("stamps", "4.00")
    await Merchant(house).plan("stamps-yearly", "40.00", product="stamps-product", interval="YEAR")
    told = await subscribe(
        house,
        "demo-admin",
        planCode="stamps",
        customerId=await customer_id(house, changer.user),
        startAt="2026-02-05T00:00:00Z",
    )
    assert told["subscription"]["status"] == "SCHEDULED"
    changer.subscribed.append(told["subscription"]["id"])
    changed = await changer.change("stamps-yearly")
    assert (codes(changed), changed["invoice"]) == ([], None)
    assert changed["subscription"]["currentPeriod"] == {
        "start": "2026-02-05T00:00:00Z",
        "end": "2027-02-05T00:00:00Z",
    }
    await changer.pass_by(timedelta(days=5))
    paid = await changer.pass_by(timedelta(0))
    assert (paid["status"], [amounts(each) for each in paid["invoices"]["nodes"]]) == ("ACTIVE", [[4000]])
    await clean(house)


async def _to_come(changer: Changer, **more: Any) -> None:
    """A subscription to something else, for 10 February."""
    customer = await customer_id(changer.house, changer.user)
    await Merchant(changer.house).plan("stamps", "28.00")
    await Merchant(changer.house).plan("stamps-yearly", "280.00", product="stamps-product", interval="YEAR")
    told = await subscribe(
        changer.house, "demo-admin", planCode="stamps", customerId=customer, startAt="2026-02-10T09:30:00Z", **more
    )
    assert told["subscription"]["status"] == "SCHEDULED"
    changer.subscribed.append(told["subscription"]["id"])


async def _billed_until(changer: Changer, day: str) -> list[tuple[str, str, str, str]]:
    """What was foreseen is what is billed; the rest of the day's pass is the worker's."""
    id = changer.subscribed[-1]
    foreseen = (await changer.house.ask(FORESEEN, {"id": id}, "demo-admin"))["subscription"]["upcomingInvoices"]
    await Merchant(changer.house).live_until(day)
    invoices = billed(await life(changer.house, id))
    told = [(each["period"]["start"][:10], each["period"]["end"][:10], each["total"]["formatted"]) for each in foreseen]
    assert told[: len(invoices)] == [each[:3] for each in invoices]
    await clean(changer.house)
    return list(invoices)


async def test_another_billing_day_before_the_start_leaves_no_gap_behind_the_first_period(changer: Changer) -> None:
    """10 days of 31 up to the 20th, as had it been subscribed to with that day."""
    await _to_come(changer)
    moved = await changer.ask(UPDATE, billingDay=20)
    period = {"start": "2026-02-10T09:30:00Z", "end": "2026-02-20T09:30:00Z"}
    assert (codes(moved), moved["subscription"]["currentPeriod"]) == ([], period)
    assert await _billed_until(changer, "2026-03-21") == [
        ("2026-02-10", "2026-02-20", "$9.03", "PAID"),
        ("2026-02-20", "2026-03-20", "$28.00", "PAID"),
        ("2026-03-20", "2026-04-20", "$28.00", "PAID"),
    ]


async def test_a_later_end_before_the_start_bills_the_first_period_once(changer: Changer) -> None:
    await _to_come(changer, endsAt="2026-02-24T09:30:00Z")
    assert (await changer.mine())["currentPeriod"]["end"] == "2026-02-24T09:30:00Z"
    longer = await changer.ask(UPDATE, "demo-admin", endsAt="2026-03-20T09:30:00Z")
    period = {"start": "2026-02-10T09:30:00Z", "end": "2026-03-10T09:30:00Z"}
    assert (codes(longer), longer["subscription"]["currentPeriod"]) == ([], period)
    assert await _billed_until(changer, "2026-03-21") == [
        ("2026-02-10", "2026-03-10", "$28.00", "PAID"),
        ("2026-03-10", "2026-03-20", "$9.03", "PAID"),
    ]


async def test_another_interval_before_the_start_leaves_the_trial_as_long_as_it_is(changer: Changer) -> None:
    await _to_come(changer, trialPeriodDays=10)
    told = await changer.change("stamps-yearly")
    period = {"start": "2026-02-10T09:30:00Z", "end": "2026-02-20T09:30:00Z"}
    assert (codes(told), told["subscription"]["currentPeriod"]) == ([], period)
    assert await _billed_until(changer, "2026-02-21") == [("2026-02-20", "2027-02-20", "$280.00", "PAID")]
