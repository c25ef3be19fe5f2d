"""Coupons over the months of a subscription, told through the public API, on both databases."""

from datetime import timedelta

import pytest

from tests.scenarios.couponing import A_MONTH, Story, codes, newest, on_it, price, totals
from tests.scenarios.merchant import Merchant, done
from tests.support.house import House
from tests.support.outside import gateway_books


@pytest.fixture
async def story(house: House) -> Story:
    return await Story(house).begin()


async def _ends_well(story: Story) -> None:
    assert await story.house.audit() == []


async def test_a_coupon_of_three_months_takes_something_off_three_of_five_invoices(story: Story) -> None:
    await story.coupon("QUARTER", percentOff="25", duration="REPEATING", durationInPeriods=3)
    begun = await story.buy(couponCode="QUARTER")
    assert price(begun) == (750, 1000, 250)
    assert (on_it(begun), begun["discounts"][0]["end"]) == ([("QUARTER", 2)], None)
    assert await story.months(1) == [750, 750]
    assert await story.months(1) == [750, 750, 750]
    third = await story.mine()
    assert (price(third), on_it(third)) == ((750, 1000, 250), [("QUARTER", 0)])
    assert third["discounts"][0]["end"] == "2026-04-30T09:30:00Z"
    assert await story.months(2) == [750, 750, 750, 1000, 1000]
    after = await story.mine()
    assert (price(after), on_it(after)) == ((1000, 1000, 0), [])
    assert await story.standing("QUARTER") == ("ACTIVE", 1)
    assert [payment["status"] for each in after["invoices"]["nodes"] for payment in each["payments"]] == [
        "SUCCEEDED"
    ] * 5
    await _ends_well(story)


async def test_once_is_the_first_invoice_and_forever_all_of_them(story: Story) -> None:
    await story.coupon("FIRST", percentOff="50")
    await story.coupon("ALWAYS", amountsOff=[{"amount": "1.00", "currencyCode": "USD"}], duration="FOREVER")
    begun = await story.buy(couponCode="FIRST")
    assert (price(begun), on_it(begun)) == ((500, 1000, 500), [("FIRST", 0)])
    applied = await story.apply(couponCode="ALWAYS")
    assert codes(applied) == []
    # What was billed stays as it is; the next period has the new coupon and not the old one any more.
    assert price(applied["subscription"]) == (500, 1000, 500)
    assert on_it(applied["subscription"]) == [("FIRST", 0), ("ALWAYS", None)]
    assert await story.months(4) == [500, 900, 900, 900, 900]
    assert on_it(await story.mine()) == [("ALWAYS", None)]
    await _ends_well(story)


@pytest.mark.parametrize(("currency", "paid"), [("USD", 700), ("EUR", 650)])
async def test_an_amount_is_taken_off_in_the_currency_that_is_paid(story: Story, currency: str, paid: int) -> None:
    amounts = [{"amount": "3.00", "currencyCode": "USD"}, {"amount": "2.50", "currencyCode": "EUR"}]
    await story.coupon("LESS", amountsOff=amounts)
    assert totals(await story.buy(couponCode="LESS", currencyCode=currency)) == [paid]
    await _ends_well(story)


async def test_a_coupon_for_one_product_takes_something_off_its_lines_alone(story: Story) -> None:
    merchant = Merchant(story.house)
    await merchant.plan("tea", "5.00")
    await merchant.plan("milk", "1.00")
    await story.coupon("TEATIME", percentOff="20", duration="FOREVER", appliesToProductCodes=["tea-product"])
    items = [{"planCode": "coffee"}, {"planCode": "tea", "quantity": 2}, {"planCode": "milk"}]
    begun = await story.buy(items=items, couponCode="TEATIME")
    lines = newest(begun)["lines"]
    assert [(each["kind"], each["amount"]["amountMinor"], each["discount"]["amountMinor"]) for each in lines] == [
        ("RECURRING", 1000, 0),
        ("RECURRING", 1000, 200),
        ("RECURRING", 100, 0),
        ("DISCOUNT", -200, 0),
    ]
    assert lines[-1]["description"] == "TEATIME (20 % off)"
    assert await story.months(1) == [1900, 1900]
    await _ends_well(story)


async def test_percentages_go_before_amounts_whatever_came_first(story: Story) -> None:
    await story.coupon("THREE", amountsOff=[{"amount": "3.00", "currencyCode": "USD"}], duration="FOREVER")
    await story.coupon("TENTH", percentOff="10", duration="FOREVER")
    await story.buy(couponCode="THREE")
    assert codes(await story.apply(couponCode="TENTH")) == []
    assert await story.months(1) == [700, 600]  # 10.00 − 10 % − 3.00
    assert [
        (each["description"], each["amount"]["amountMinor"])
        for each in newest(await story.mine())["lines"]
        if each["kind"] == "DISCOUNT"
    ] == [("TENTH (10 % off)", -100), ("THREE (USD 3.00 off)", -300)]
    await _ends_well(story)


async def test_all_off_needs_no_card_and_no_payment(story: Story) -> None:
    await story.coupon("GIFT", percentOff="100", duration="FOREVER")
    told = await story.subscribe(user="demo-new", card=False, couponCode="GIFT")
    assert (codes(told), told["payment"]) == ([], None)
    begun = told["subscription"]
    assert (begun["status"], price(begun), begun["nextAction"]) == ("ACTIVE", (0, 1000, 1000), {"type": "NONE"})
    story.house.pass_time(A_MONTH)
    await story.house.work()
    renewed = await story.mine("demo-new")
    assert renewed["status"] == "ACTIVE"
    assert [
        (each["status"], each["total"]["amountMinor"], each["payments"]) for each in renewed["invoices"]["nodes"]
    ] == [
        ("PAID", 0, []),
        ("PAID", 0, []),
    ]
    assert (await gateway_books(story.house))["charges"] == []
    await _ends_well(story)


async def test_what_is_left_below_the_gateways_minimum_is_asked_for_with_the_next_invoice(story: Story) -> None:
    await story.coupon("NEARLY", amountsOff=[{"amount": "9.70", "currencyCode": "USD"}])
    begun = newest(await story.buy(couponCode="NEARLY"))
    assert (begun["status"], begun["total"]["amountMinor"], begun["payments"]) == ("PAID", 30, [])
    assert begun["creditApplied"]["amountMinor"] == 30
    assert await story.months(1) == [30, 1000]
    second = newest(await story.mine())
    assert second["creditApplied"]["amountMinor"] == -30
    assert second["payments"] == [{"status": "SUCCEEDED", "amount": {"amountMinor": 1030}}]
    await _ends_well(story)


async def test_a_change_within_a_period_gets_its_percentages_and_uses_nothing_up(story: Story) -> None:
    await Merchant(story.house).plan("large-coffee", "20.00", product="coffee-product")
    await story.coupon("HALF", percentOff="50", duration="REPEATING", durationInPeriods=2)
    await story.coupon("ONE", amountsOff=[{"amount": "1.00", "currencyCode": "USD"}], duration="FOREVER")
    await story.buy(couponCode="HALF")
    await story.apply(couponCode="ONE")
    story.house.pass_time(timedelta(days=14))  # half of 31 January to 28 February
    given = {
        "subscriptionId": story.subscribed[-1],
        "planCode": "large-coffee",
        "effectiveAt": "NOW",
        "proration": "PRORATE_NOW",
    }
    await done(story.house, "changePlan", "ChangePlanInput", given, "subscription { id }", user=story.user)
    changed = newest(await story.mine())
    assert [
        (each["kind"], each["amount"]["amountMinor"], each["discount"]["amountMinor"]) for each in changed["lines"]
    ] == [
        ("CREDIT", -250, 0),  # half of what was paid
        ("RECURRING", 1000, 500),
        ("DISCOUNT", -500, 0),
    ]
    assert on_it(await story.mine()) == [("HALF", 1), ("ONE", None)]
    story.house.pass_time(timedelta(days=14))
    await story.house.work()
    assert newest(await story.mine())["total"]["amountMinor"] == 900  # 20.00 − 50 % − 1.00
    assert on_it(await story.mine()) == [("HALF", 0), ("ONE", None)]
    assert await story.months(1) == [500, 250, 900, 1900]
    await _ends_well(story)


async def test_a_new_period_at_full_price_is_a_period_of_the_coupon(story: Story) -> None:
    await Merchant(story.house).plan("large-coffee", "20.00", product="coffee-product")
    await story.coupon("TWICE", percentOff="50", duration="REPEATING", durationInPeriods=2)
    await story.buy(couponCode="TWICE")
    story.house.pass_time(timedelta(days=3))
    given = {
        "subscriptionId": story.subscribed[-1],
        "planCode": "large-coffee",
        "effectiveAt": "NOW",
        "proration": "FULL_PRICE_RESET",
    }
    await done(story.house, "changePlan", "ChangePlanInput", given, "subscription { id }", user=story.user)
    assert on_it(await story.mine()) == [("TWICE", 0)]
    assert await story.months(1) == [500, 1000, 2000]
    await _ends_well(story)


async def test_a_coupon_that_is_withdrawn_or_over_goes_on_where_it_was_applied(story: Story) -> None:
    await story.coupon("SHORT", percentOff="10", duration="FOREVER", expiresAt="2026-02-01T00:00:00Z")
    await story.buy(couponCode="SHORT")
    assert await story.months(2) == [900, 900, 900]
    assert await story.standing("SHORT") == ("EXPIRED", 1)
    await _ends_well(story)


async def test_a_coupon_that_is_taken_off_is_on_no_later_invoice(story: Story) -> None:
    await story.coupon("TENTH", percentOff="10", duration="FOREVER")
    await story.buy(couponCode="TENTH")
    assert codes(await story.apply(couponCode="TENTH")) == ["COUPON_ALREADY_REDEEMED"]
    removed = await story.remove("TENTH")
    assert (codes(removed), on_it(removed["subscription"])) == ([], [])
    assert codes(await story.remove("TENTH")) == ["NOT_FOUND"]
    assert await story.months(1) == [900, 1000]
    assert price(await story.mine()) == (1000, 1000, 0)
    # It stays redeemed, and may be put on again as often as its caps allow.
    assert await story.standing("TENTH") == ("ACTIVE", 1)
    assert codes(await story.apply(couponCode="TENTH")) == []
    assert await story.months(1) == [900, 1000, 900]
    assert await story.standing("TENTH") == ("ACTIVE", 2)
    await _ends_well(story)


PREVIEW = """query ($input: SubscribeInput!) { previewSubscribe(input: $input) {
  preview { dueNow { amountMinor } discountTotal { amountMinor } total { amountMinor } quoteToken
    schedule { amount { amountMinor } } }
  userErrors { code } } }"""
UPCOMING = (
    """{ mySubscription { upcomingInvoices(first: 4) { discountTotal { amountMinor } total { amountMinor } } } }"""
)


async def test_a_preview_and_the_forecast_know_for_how_long_a_coupon_lasts(story: Story) -> None:
    await story.coupon("QUARTER", percentOff="25", duration="REPEATING", durationInPeriods=3)
    await story.promote("QUARTER", "Spring")
    wish = {"planCode": "coffee", "promotionCode": "SPRING", "paymentMethodId": await story.card(story.user)}
    preview = (await story.house.ask(PREVIEW, {"input": wish}, story.user))["previewSubscribe"]["preview"]
    assert [preview[name]["amountMinor"] for name in ("dueNow", "discountTotal", "total")] == [750, 250, 750]
    assert [each["amount"]["amountMinor"] for each in preview["schedule"]][:4] == [750, 750, 1000, 1000]
    assert await story.standing("QUARTER") == ("ACTIVE", 0)  # a preview reserves nothing
    begun = await story.buy(promotionCode="SPRING", quoteToken=preview["quoteToken"])
    assert totals(begun) == [750]
    upcoming = (await story.house.ask(UPCOMING, user=story.user))["mySubscription"]["upcomingInvoices"]
    foreseen = [each["total"]["amountMinor"] for each in upcoming]
    assert foreseen == [750, 750, 1000, 1000]
    assert (await story.months(4))[1:] == foreseen


async def test_a_quote_does_not_hold_a_coupon_that_is_used_up_meanwhile(story: Story) -> None:
    await story.coupon("LAST", percentOff="100", maxRedemptions=1)
    wish = {"planCode": "coffee", "couponCode": "LAST", "paymentMethodId": await story.card(story.user)}
    preview = (await story.house.ask(PREVIEW, {"input": wish}, story.user))["previewSubscribe"]["preview"]
    assert codes(await story.subscribe(user="demo-new", card=False, couponCode="LAST")) == []
    late = await story.subscribe(couponCode="LAST", quoteToken=preview["quoteToken"])
    assert (codes(late), late["subscription"]) == (["COUPON_EXHAUSTED"], None)


async def test_free_days_use_no_period_up(story: Story) -> None:
    await Merchant(story.house).plan("tea", "10.00", trialPeriodDays=7)
    await story.coupon("TWICE", percentOff="50", duration="REPEATING", durationInPeriods=2)
    told = await story.subscribe(planCode="tea", couponCode="TWICE")
    assert (codes(told), told["subscription"]["status"]) == ([], "TRIALING")
    assert (totals(told["subscription"]), on_it(told["subscription"])) == ([], [("TWICE", 2)])
    assert price(told["subscription"]) == (500, 1000, 500)
    story.house.pass_time(timedelta(days=7))
    await story.house.work()
    assert on_it(await story.mine()) == [("TWICE", 1)]
    assert await story.months(2) == [500, 500, 1000]
    assert await story.standing("TWICE") == ("ACTIVE", 1)
    await _ends_well(story)
