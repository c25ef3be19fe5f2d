"""Changes to come: at the period's end or at a date, carried out, taken back, replaced, put off; dates that move."""

from datetime import timedelta
from typing import Any

import pytest

from tests.scenarios.changing import (
    CHANGE,
    END,
    FORGET,
    HALF,
    UPDATE,
    Changer,
    amounts,
    changer_of,
    clean,
    codes,
    totals,
)
from tests.scenarios.merchant import Merchant
from tests.support.house import House

ATTACH = """mutation ($card: String!) { attachPaymentMethod(input: {paymentMethodId: $card, makeDefault: true}) {
  userErrors { code } } }"""


@pytest.fixture
async def changer(house: House) -> Changer:
    return await changer_of(house)


def planned(plan: str, at: str, proration: str = "NONE", quantity: int = 1) -> dict[str, Any]:
    items = [{"quantity": quantity, "plan": {"code": plan}}]
    return {"at": at, "proration": proration, "plan": {"code": plan}, "items": items}


async def test_a_change_at_the_periods_end_is_what_the_next_period_begins_with(changer: Changer, house: House) -> None:
    await changer.begin("large", quantity=2)
    house.pass_time(HALF)
    told = await changer.ask(CHANGE, planCode="small")
    assert (codes(told), told["invoice"]) == ([], None)
    assert told["subscription"]["scheduledChange"] == planned("small", END, quantity=2)
    assert (told["subscription"]["plan"]["code"], told["subscription"]["amount"]["amountMinor"]) == ("large", 4000)
    shown = await changer.pass_by(HALF)
    assert (shown["plan"]["code"], shown["scheduledChange"]) == ("small", None)
    assert totals(shown) == [("PAID", 4000, 4000), ("PAID", 2000, 2000)]
    await clean(house)


async def test_it_is_taken_back_and_nothing_changes(changer: Changer, house: House) -> None:
    before = await changer.begin("large")
    wish = (await changer.ask(CHANGE, planCode="small"))["subscription"]
    told = await changer.ask(FORGET, expectedVersion=wish["version"])
    assert (codes(told), told["subscription"]["scheduledChange"]) == ([], None)
    assert await changer.ask(FORGET) == told
    assert codes(await changer.ask(FORGET, expectedVersion=wish["version"])) == ["VERSION_CONFLICT"]
    # Planning what it is already takes back too.
    await changer.ask(CHANGE, planCode="small")
    back = await changer.ask(CHANGE, planCode="large")
    assert (codes(back), back["subscription"]["scheduledChange"]) == ([], None)
    shown = await changer.pass_by(HALF * 2)
    assert (shown["plan"], totals(shown)) == (before["plan"], [("PAID", 2000, 2000), ("PAID", 2000, 2000)])
    await clean(house)


async def test_one_plan_replaces_another_and_a_change_at_once_both(changer: Changer, house: House) -> None:
    await changer.begin("large")
    first = await changer.ask(CHANGE, planCode="small")
    assert (await changer.ask(CHANGE, planCode="small"))["subscription"] == first["subscription"]
    second = await changer.ask(CHANGE, planCode="huge", effectiveAt="AT_DATE", date="2026-02-14T09:30:00Z")
    assert second["subscription"]["scheduledChange"] == planned("huge", "2026-02-14T09:30:00Z", "PRORATE_NOW")
    now = await changer.change("small")
    assert (now["subscription"]["plan"]["code"], now["subscription"]["scheduledChange"]) == ("small", None)
    await clean(house)


@pytest.mark.parametrize(("late", "last"), [(0, 0), (5, 0), (60, 2)])
async def test_a_change_at_a_date_is_reckoned_from_that_date(
    changer: Changer, house: House, late: int, last: int
) -> None:
    """However late the worker comes to it."""
    await changer.begin("small")
    await changer.ask(CHANGE, planCode="large", effectiveAt="AT_DATE", date="2026-02-14T09:30:00Z")
    house.pass_time(HALF + timedelta(days=late))
    for _ in range(3):
        await house.work()
    shown = await changer.mine()
    assert totals(shown) == [("PAID", 1000, 1000), ("PAID", 500, 500), *[("PAID", 2000, 2000)] * last]
    assert shown["currentPeriod"]["start"] == {0: "2026-01-31T09:30:00Z", 2: "2026-03-31T09:30:00Z"}[last]
    await clean(house)


async def test_at_a_date_with_an_open_invoice_it_is_put_off_to_the_periods_end(changer: Changer, house: House) -> None:
    await changer.begin("small")
    await house.ask(ATTACH, {"card": "pm_card_chargeCustomerFail"}, changer.user)
    await changer.ask(CHANGE, planCode="large", effectiveAt="AT_DATE", date="2026-03-05T00:00:00Z")
    await changer.pass_by(HALF * 2)
    shown = await changer.pass_by(timedelta(days=5))
    assert (shown["status"], shown["plan"]["code"]) == ("PAST_DUE", "small")
    assert shown["scheduledChange"] == planned("large", "2026-03-31T09:30:00Z", "PRORATE_NOW")
    await house.ask(ATTACH, {"card": "pm_card_visa"}, changer.user)
    await house.work()
    shown = await changer.pass_by(timedelta(days=26))
    assert (shown["status"], shown["plan"]["code"]) == ("ACTIVE", "large")
    assert totals(shown) == [("PAID", 1000, 1000), ("PAID", 1000, 1000), ("PAID", 2000, 2000)]
    await clean(house)


async def test_a_product_to_come_is_held_for_it(changer: Changer, house: House) -> None:
    await Merchant(house).plan("stamps", "4.00")
    await changer.begin("small")
    await changer.ask(CHANGE, planCode="stamps")
    again = await changer.subscribe("stamps", paymentMethodId=await changer.default_card())
    assert codes(again) == ["ALREADY_SUBSCRIBED"]
    await changer.ask(FORGET)
    again = await changer.subscribe("stamps", paymentMethodId=await changer.default_card())
    assert again["subscription"]["status"] == "ACTIVE"
    changer.subscribed.pop()
    assert codes(await changer.ask(CHANGE, planCode="stamps")) == ["ALREADY_SUBSCRIBED"]


async def test_what_has_ended_plans_nothing_and_holds_no_product(changer: Changer, house: House) -> None:
    await Merchant(house).plan("stamps", "4.00")
    await changer.begin("small")
    await changer.ask(CHANGE, planCode="stamps")
    await changer.cancel(effectiveAt="NOW")
    ended = await changer.mine()
    assert (ended["status"], ended["scheduledChange"]) == ("CANCELED", None)
    assert codes(await changer.ask(FORGET)) == []
    assert await changer.mine() == ended
    for plan in ("small", "stamps"):
        again = await changer.subscribe(plan, paymentMethodId=await changer.default_card())
        assert again["subscription"]["status"] == "ACTIVE"
    await clean(house)


async def test_what_ends_before_cannot_change_then(changer: Changer, house: House) -> None:
    await changer.begin("small")
    at_the_end = {"planCode": "large", "effectiveAt": "AT_DATE", "date": END, "proration": "NONE"}
    assert codes(await changer.ask(CHANGE, "demo-admin", **at_the_end)) == []
    await changer.ask(FORGET)
    for proration in ("PRORATE_NOW", "FULL_PRICE_RESET"):
        told = await changer.ask(CHANGE, planCode="large", proration=proration)
        assert [(e["code"], e["field"]) for e in told["userErrors"]] == [("INVALID", ["proration"])]
    past = await changer.ask(CHANGE, planCode="large", effectiveAt="AT_DATE", date="2026-01-31T09:30:00Z")
    assert [(e["code"], e["field"]) for e in past["userErrors"]] == [("INVALID", ["date"])]
    await changer.cancel(effectiveAt="PERIOD_END")
    told = await changer.ask(CHANGE, planCode="large")
    assert [(e["code"], e["field"]) for e in told["userErrors"]] == [("INVALID_STATE", ["effectiveAt"])]
    # Until its end it may change at once.
    assert codes(await changer.change("large")) == []
    house.pass_time(HALF * 2)
    late = await changer.change("huge")
    assert [e["message"] for e in late["userErrors"]] == ["Its period is just ending. Read it again in a minute."]
    await house.work()
    assert codes(await changer.change("huge")) == ["INVALID_STATE"]


# ── dates ──


async def test_another_billing_day_makes_the_next_period_a_stub(changer: Changer, house: House) -> None:
    await changer.begin("small")
    told = await changer.ask(UPDATE, billingDay=15)
    assert codes(told) == []
    shown = told["subscription"]
    assert (shown["billingDay"], shown["currentPeriod"]["end"], shown["billingCycleAnchor"]) == (
        15,
        END,
        "2026-03-15T09:30:00Z",
    )
    assert (await changer.ask(UPDATE, billingDay=15))["subscription"] == shown
    stub = await changer.pass_by(HALF * 2)
    assert stub["currentPeriod"] == {"start": END, "end": "2026-03-15T09:30:00Z"}
    # 15 of the 28 days from 15 February to 15 March.
    assert totals(stub)[-1] == ("PAID", 536, 536)
    full = await changer.pass_by(timedelta(days=15))
    assert full["currentPeriod"]["end"] == "2026-04-15T09:30:00Z"
    assert totals(full)[-1] == ("PAID", 1000, 1000)
    await clean(house)


async def test_another_billing_day_makes_this_period_no_longer_and_no_shorter(changer: Changer, house: House) -> None:
    """28 days at 28.00: a dollar a day, also for seats that come after one another."""
    await Merchant(house).plan("seats", "28.00")
    house.pass_time(timedelta(days=10))
    await changer.begin("seats")  # from 10 February to 10 March
    assert codes(await changer.ask(UPDATE, billingDay=1)) == []
    for days, quantity, expected in ((8, 2, [-2000, 4000]), (10, 3, [-2000, 3000])):
        house.pass_time(timedelta(days=days))
        told = await changer.ask(UPDATE, items=[{"planCode": "seats", "quantity": quantity}])
        assert (codes(told), amounts(told["invoice"])) == ([], expected)
    await clean(house)


async def test_another_billing_day_makes_a_stub_no_other_part_of_a_period(changer: Changer, house: House) -> None:
    """Ten of the 31 days from 10 January at 31.00: a dollar a day, also when the day is the first one since."""
    await Merchant(house).plan("seats", "31.00")
    await changer.begin("seats", billingDay=10)  # from 31 January to 10 February
    assert codes(await changer.ask(UPDATE, billingDay=1)) == []
    house.pass_time(timedelta(days=5))
    for quantity, expected in ((2, [-500, 1000]), (1, [-1000, 500])):
        told = await changer.ask(UPDATE, items=[{"planCode": "seats", "quantity": quantity}])
        assert (codes(told), amounts(told["invoice"])) == ([], expected)
    await clean(house)


async def test_a_change_within_a_stub_charges_its_part_of_a_full_period(changer: Changer, house: House) -> None:
    await changer.begin("small", billingDay=14)
    assert totals(await changer.mine()) == [("PAID", 452, 452)]  # 14 of 31 days
    house.pass_time(timedelta(days=7))
    told = await changer.change("large")
    assert (codes(told), amounts(told["invoice"])) == ([], [-226, 452])
    back = await changer.change("small")
    assert (codes(back), amounts(back["invoice"])) == ([], [-452, 226])
    yearly = await changer.change("yearly")
    # The billing day stays: the first year is a stub of a week.
    assert yearly["subscription"]["currentPeriod"]["end"] == "2026-02-14T09:30:00Z"
    assert amounts(yearly["invoice"]) == [-226, 230]
    await clean(house)


async def test_a_fixed_end_is_the_merchants_to_set(changer: Changer, house: House) -> None:
    await changer.begin("small")
    end = "2026-03-14T21:30:00Z"
    wishes: dict[str, Any] = {"endsAt": end, "trialEnd": end, "daysUntilDue": 5}
    for name, value in wishes.items():
        told = await changer.ask(UPDATE, None, **{name: value})
        assert [(e["code"], e["field"]) for e in told["userErrors"]] == [("NOT_PERMITTED", [name])]
    for name, code in (("trialEnd", "INVALID_STATE"), ("daysUntilDue", "INVALID")):
        told = await changer.ask(UPDATE, "demo-admin", **{name: wishes[name]})
        assert [(e["code"], e["field"]) for e in told["userErrors"]] == [(code, [name])]
    told = await changer.ask(UPDATE, "demo-admin", endsAt="2026-01-31T09:30:00Z")
    assert [(e["code"], e["field"]) for e in told["userErrors"]] == [("INVALID", ["endsAt"])]
    assert codes(await changer.ask(UPDATE, "demo-admin", endsAt=end)) == []
    last = await changer.pass_by(HALF * 2)
    assert (last["currentPeriod"]["end"], last["endsAt"]) == (end, end)
    assert totals(last)[-1] == ("PAID", 468, 468)  # 14.5 of 31 days
    house.pass_time(timedelta(days=7, hours=6))
    up = await changer.change("large")
    assert (codes(up), amounts(up["invoice"])) == ([], [-234, 468])
    assert (await changer.pass_by(timedelta(days=7, hours=6)))["status"] == "CANCELED"
    await clean(house)


async def test_all_of_an_update_is_made_or_nothing(changer: Changer, house: House) -> None:
    before = await changer.begin("small")
    told = await changer.ask(UPDATE, name="Mine", billingDay=3, items=[{"planCode": "none"}])
    assert codes(told) == ["NOT_FOUND"]
    assert await changer.mine() == before
    told = await changer.ask(UPDATE, name="Mine", billingDay=3, items=[{"planCode": "large"}])
    shown = told["subscription"]
    assert (codes(told), shown["plan"]["code"], shown["billingDay"]) == ([], "large", 3)
    assert codes(await changer.ask(UPDATE, billingDay=32)) == ["INVALID"]
    await clean(house)
