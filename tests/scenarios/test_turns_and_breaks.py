"""Changes that meet a pause, a trial, a coupon or the end of dunning: only time that there was is paid for."""

from datetime import timedelta

import pytest

from gateways.sandbox.currencies import LEAST_AMOUNT
from tests.scenarios.changing import CHANGE, UPDATE, Changer, amounts, changer_of, clean, codes, totals
from tests.scenarios.merchant import Merchant, done
from tests.scenarios.metering import pass_to, take
from tests.scenarios.orders import subscribe
from tests.scenarios.test_credits import balance, sell_credits
from tests.scenarios.test_pauses import pause, resume
from tests.support.house import House

UPCOMING = "{ mySubscription { upcomingInvoices(first: 1) { total { amountMinor } } } }"
DAY = timedelta(days=1)


@pytest.fixture
async def changer(house: House) -> Changer:
    return await changer_of(house)


async def test_a_change_on_a_day_within_a_pause_is_made_when_it_goes_on(changer: Changer, house: House) -> None:
    await changer.begin("small")
    await changer.ask(CHANGE, planCode="large", effectiveAt="AT_DATE", date="2026-02-14T09:30:00Z")
    house.pass_time(7 * DAY)
    assert (await pause(changer))["userErrors"] == []
    house.pass_time(14 * DAY)
    await house.work()
    assert (await resume(changer))["userErrors"] == []
    # Three quarters of the period are left: what was paid for them comes back, and they are charged anew.
    changed = await changer.pass_by(timedelta(0))
    assert amounts(changed["invoices"]["nodes"][0]) == [-750, 1500]
    assert changed["currentPeriod"]["end"] == "2026-03-14T09:30:00Z"
    assert totals(await changer.pass_by(21 * DAY)) == [("PAID", 1000, 1000), ("PAID", 750, 750), ("PAID", 2000, 2000)]
    await clean(house)


async def test_a_coupon_for_months_takes_nothing_off_a_year(changer: Changer, house: House) -> None:
    coupon = {"code": "MONTHS", "percentOff": "50", "duration": "FOREVER", "interval": "MONTH"}
    await done(house, "createCoupon", "CouponInput", coupon, "coupon { id }")
    await changer.begin("small", couponCode="MONTHS")
    house.pass_time(14 * DAY)
    told = await changer.change("yearly")
    assert codes(told) == []
    # Half of the 5.00 that were paid comes back.
    assert amounts(told["invoice"]) == [-250, 12000]
    assert told["subscription"]["amount"]["amountMinor"] == 12000
    await clean(house)


async def test_a_coupon_for_months_is_not_in_what_a_planned_year_is_foreseen_to_cost(
    changer: Changer, house: House
) -> None:
    coupon = {"code": "MONTHS", "percentOff": "50", "duration": "FOREVER", "interval": "MONTH"}
    await done(house, "createCoupon", "CouponInput", coupon, "coupon { id }")
    await changer.begin("small", couponCode="MONTHS")
    assert codes(await changer.ask(CHANGE, planCode="yearly")) == []
    (foreseen,) = (await house.ask(UPCOMING, user=changer.user))["mySubscription"]["upcomingInvoices"]
    assert foreseen["total"]["amountMinor"] == 12000
    year = await changer.pass_by(28 * DAY)
    assert totals(year) == [("PAID", 500, 500), ("PAID", 12000, 12000)]
    await clean(house)


async def test_what_a_trial_changed_to_has_been_tried(changer: Changer, house: House) -> None:
    shop = Merchant(house)
    await shop.plan("tried", "10.00", product="letters", trialPeriodDays=7)
    await shop.plan("other", "30.00", trialPeriodDays=7)
    told = await subscribe(house, changer.user, planCode="tried", paymentMethodId=await changer.default_card())
    changer.subscribed.append(told["subscription"]["id"])
    assert codes(await changer.change("other")) == []
    house.pass_time(2 * DAY)
    assert (await changer.cancel(effectiveAt="NOW"))["subscription"]["status"] == "CANCELED"
    again = await subscribe(house, changer.user, planCode="other", paymentMethodId=await changer.default_card())
    assert again["subscription"]["status"] == "ACTIVE"
    await clean(house)


async def test_what_a_trial_would_have_changed_to_at_its_end_has_not(changer: Changer, house: House) -> None:
    shop = Merchant(house)
    await shop.plan("tried", "10.00", product="letters", trialPeriodDays=7)
    await shop.plan("other", "30.00", trialPeriodDays=7)
    told = await subscribe(house, changer.user, planCode="tried", paymentMethodId=await changer.default_card())
    changer.subscribed.append(told["subscription"]["id"])
    assert codes(await changer.ask(CHANGE, planCode="other")) == []
    paid = await changer.pass_by(7 * DAY)
    assert (paid["status"], paid["plan"]["code"]) == ("ACTIVE", "other")
    assert (await changer.cancel(effectiveAt="NOW"))["subscription"]["status"] == "CANCELED"
    again = await subscribe(house, changer.user, planCode="other", paymentMethodId=await changer.default_card())
    assert again["subscription"]["status"] == "TRIALING"
    await clean(house)


async def test_a_pause_at_the_periods_end_moves_with_that_end(changer: Changer, house: House) -> None:
    await Merchant(house).plan("tried", "10.00", product="letters", trialPeriodDays=7)
    told = await subscribe(house, changer.user, planCode="tried", paymentMethodId=await changer.default_card())
    changer.subscribed.append(told["subscription"]["id"])
    assert (await pause(changer, effectiveAt="PERIOD_END", until="2026-02-20T00:00:00Z"))["userErrors"] == []
    later = await changer.ask(UPDATE, "demo-admin", trialEnd="2026-02-10T00:00:00Z")
    assert codes(later) == []
    assert (await changer.pass_by(8 * DAY))["status"] == "TRIALING"
    assert (await changer.pass_by(4 * DAY))["status"] == "PAUSED"
    paid = await changer.pass_by(9 * DAY)
    assert (paid["status"], paid["currentPeriod"]["start"]) == ("ACTIVE", "2026-02-20T00:00:00Z")
    await clean(house)


async def test_a_pause_that_would_be_over_before_the_new_end_is_none(changer: Changer, house: House) -> None:
    await changer.begin("small")
    assert (await pause(changer, effectiveAt="PERIOD_END", until="2026-03-20T00:00:00Z"))["userErrors"] == []
    house.pass_time(7 * DAY)
    assert codes(await changer.change("yearly")) == []
    for _ in range(8):
        assert (await changer.pass_by(7 * DAY))["status"] == "ACTIVE"
    await clean(house)


async def test_credits_are_granted_when_the_gateway_calls_the_amount_too_small(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sell_credits(house, "cups", {"unit": "cup", "total": 3})
    await take(house, "cups")
    monkeypatch.setitem(LEAST_AMOUNT, "usd", 1000)
    await pass_to(house, 28)
    entries = (await balance(house))["entries"]["nodes"]
    assert [(each["kind"], each["quantity"]) for each in entries] == [("GRANT", 3), ("EXPIRE", -3), ("GRANT", 3)]
    assert await house.audit() == []
