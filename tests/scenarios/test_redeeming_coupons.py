"""Who may redeem a coupon, how often, and what becomes of a redemption: counted exactly, on both databases."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import col, select

from models.coupons import DiscountUse
from models.invoices import Invoice, open_invoices_of
from models.subscriptions import Subscription
from services.app import WORKER
from services.changes import Why
from services.payments.stopping import collecting_stopped, void_collection
from tests.scenarios.couponing import A_MONTH, Story, codes, on_it, totals
from tests.scenarios.merchant import Merchant, do
from tests.support.house import House

A_DAY = timedelta(hours=24)


@pytest.fixture
async def story(house: House) -> Story:
    return await Story(house).begin()


async def test_of_twenty_customers_at_once_as_many_redeem_it_as_the_cap_says(story: Story) -> None:
    await story.coupon("FIVE", percentOff="100", maxRedemptions=5)
    users = [f"user-{n}" for n in range(20)]
    told = await asyncio.gather(*(story.subscribe(user=user, card=False, couponCode="FIVE") for user in users))
    assert sorted(codes(each) for each in told) == [[]] * 5 + [["COUPON_EXHAUSTED"]] * 15
    assert [each["subscription"]["status"] for each in told if not codes(each)] == ["ACTIVE"] * 5
    assert await story.standing("FIVE") == ("EXHAUSTED", 5)
    # Those who were refused have begun nothing.
    mine = await asyncio.gather(*(story.mine(user) for user in users))
    assert sum(each is not None for each in mine) == 5
    assert await story.house.audit() == []


async def test_of_twenty_at_once_as_many_use_a_word_as_its_own_cap_says(story: Story) -> None:
    await story.coupon("MANY", percentOff="100", maxRedemptions=100)
    await story.promote("MANY", "Few", maxRedemptions=3)
    told = await asyncio.gather(
        *(story.subscribe(user=f"user-{n}", card=False, promotionCode="FEW") for n in range(20))
    )
    assert sorted(codes(each) for each in told) == [[]] * 3 + [["COUPON_EXHAUSTED"]] * 17
    # What was refused by the word's cap was not counted for the coupon either.
    assert await story.standing("MANY") == ("ACTIVE", 3)


async def test_one_customer_redeems_it_once_whatever_is_asked_at_once(story: Story) -> None:
    await story.coupon("MINE", percentOff="100", maxRedemptionsPerCustomer=1)
    for plan in ("tea", "milk"):
        await Merchant(story.house).plan(plan, "5.00")
    told = await asyncio.gather(
        *(
            story.subscribe(user="demo-new", card=False, couponCode="MINE", planCode=p)
            for p in ("coffee", "tea", "milk")
        )
    )
    assert sorted(codes(each) for each in told) == [[], ["COUPON_ALREADY_REDEEMED"], ["COUPON_ALREADY_REDEEMED"]]
    assert await story.standing("MINE") == ("ACTIVE", 1)


async def test_a_failed_first_payment_uses_none_up(story: Story) -> None:
    await story.coupon("LAST", percentOff="10", maxRedemptions=1)
    declined = await story.subscribe(user="demo-decline", couponCode="LAST")
    assert codes(declined) == ["CARD_DECLINED"]
    # It is reserved for who may still pay, and nobody else gets it meanwhile.
    assert await story.standing("LAST") == ("EXHAUSTED", 1)
    assert codes(await story.subscribe(couponCode="LAST")) == ["COUPON_EXHAUSTED"]
    story.house.pass_time(A_DAY)
    await story.house.deliver()
    assert await story.standing("LAST") == ("ACTIVE", 0)
    assert totals(await story.buy(couponCode="LAST")) == [900]
    assert await story.standing("LAST") == ("EXHAUSTED", 1)
    assert await story.house.audit() == []


async def test_canceling_before_the_first_payment_gives_it_back(story: Story) -> None:
    await story.coupon("LAST", percentOff="10", maxRedemptions=1)
    await story.promote("LAST", "SPRING", maxRedemptions=1)
    begun = await story.subscribe(user="demo-decline", promotionCode="spring")
    given = {"subscriptionId": begun["subscription"]["id"], "effectiveAt": "NOW"}
    ended = await do(
        story.house,
        "cancelSubscription",
        "CancelSubscriptionInput",
        given,
        "subscription { status }",
        user="demo-decline",
    )
    assert ended["subscription"]["status"] == "INCOMPLETE_EXPIRED"
    assert await story.standing("LAST") == ("ACTIVE", 0)
    assert codes(await story.subscribe(promotionCode="SPRING")) == []


async def test_canceling_what_was_paid_gives_nothing_back(story: Story) -> None:
    await story.coupon("LAST", percentOff="10", maxRedemptions=1)
    begun = await story.buy(couponCode="LAST")
    given = {"subscriptionId": begun["id"], "effectiveAt": "NOW"}
    asked = "subscription { status discounts { coupon { code } } }"
    ended = await do(story.house, "cancelSubscription", "CancelSubscriptionInput", given, asked, user=story.user)
    assert ended["subscription"] == {"status": "CANCELED", "discounts": []}
    assert await story.standing("LAST") == ("EXHAUSTED", 1)


async def test_the_same_coupon_again_continues_and_another_one_replaces(story: Story) -> None:
    await story.coupon("ONE", percentOff="10", maxRedemptions=1, maxRedemptionsPerCustomer=1)
    await story.coupon("TWO", percentOff="20")
    user = "demo-decline"
    first = await story.subscribe(user=user, couponCode="ONE")
    again = await story.subscribe(user=user, couponCode="ONE")
    assert again["subscription"]["id"] == first["subscription"]["id"]
    assert again["payment"]["id"] == first["payment"]["id"]
    assert await story.standing("ONE") == ("EXHAUSTED", 1)
    other = await story.subscribe(user=user, couponCode="TWO")
    assert (totals(other["subscription"]), on_it(other["subscription"])) == ([800], [("TWO", 0)])
    assert (await story.standing("ONE"), await story.standing("TWO")) == (("ACTIVE", 0), ("ACTIVE", 1))
    # The same coupon with another quantity: what the old wish had reserved is what the new one redeems.
    await story.subscribe(user=user, couponCode="ONE")
    more = await story.subscribe(user=user, couponCode="ONE", quantity=2)
    assert totals(more["subscription"]) == [1800]
    assert (await story.standing("ONE"), await story.standing("TWO")) == (("EXHAUSTED", 1), ("ACTIVE", 0))


async def test_a_coupon_that_cannot_be_redeemed_leaves_the_unpaid_subscription_alone(story: Story) -> None:
    await story.coupon("ONE", percentOff="10")
    first = await story.subscribe(user="demo-decline", couponCode="ONE")
    assert codes(await story.subscribe(user="demo-decline", couponCode="NONE")) == ["COUPON_INVALID"]
    assert (await story.mine("demo-decline"))["id"] == first["subscription"]["id"]


@pytest.mark.parametrize("typed", ["Straße25", "STRASSE25", "  strasse25 "])
async def test_a_word_is_found_however_it_is_written(story: Story, typed: str) -> None:
    await story.coupon("internal", percentOff="25")
    await story.promote("internal", "Straße25")
    begun = await story.buy(promotionCode=typed)
    assert totals(begun) == [750]
    assert begun["discounts"][0]["promotionCode"] == {"code": "Straße25"}
    assert begun["invoices"]["nodes"][0]["lines"][-1]["description"] == "Straße25 (25 % off)"


async def test_a_word_for_a_first_purchase_is_for_nobody_who_ever_had_a_subscription(story: Story) -> None:
    await story.coupon("WELCOME", percentOff="100", duration="FOREVER")
    await story.promote("WELCOME", "HELLO", firstPurchaseOnly=True)
    await Merchant(story.house).plan("tea", "5.00")
    declined = await story.subscribe(user="demo-decline")
    assert codes(declined) == ["CARD_DECLINED"]
    assert codes(await story.subscribe(user="demo-decline", promotionCode="HELLO", planCode="tea")) == []
    await story.buy()
    assert codes(await story.subscribe(promotionCode="HELLO", planCode="tea")) == ["COUPON_NOT_APPLICABLE"]


@pytest.mark.parametrize(
    ("terms", "wish", "code", "field"),
    [
        ({}, {"couponCode": "none"}, "COUPON_INVALID", "couponCode"),
        ({}, {"couponCode": "c"}, "COUPON_INVALID", "couponCode"),  # a coupon's own code is exact
        ({}, {"promotionCode": "C"}, "COUPON_INVALID", "promotionCode"),
        ({}, {"couponCode": "C", "promotionCode": "C"}, "INVALID", "promotionCode"),
        ({"isActive": False}, {"couponCode": "C"}, "COUPON_INVALID", "couponCode"),
        ({"startsAt": "2026-02-01T00:00:00Z"}, {"couponCode": "C"}, "COUPON_EXPIRED", "couponCode"),
        ({"interval": "YEAR"}, {"couponCode": "C"}, "COUPON_NOT_APPLICABLE", "couponCode"),
        ({"appliesToProductCodes": ["reader-pro"]}, {"couponCode": "C"}, "COUPON_NOT_APPLICABLE", "couponCode"),
    ],
)
async def test_what_is_refused_and_why(
    story: Story, terms: dict[str, Any], wish: dict[str, Any], code: str, field: str
) -> None:
    await story.coupon("C", percentOff="10", **terms)
    told = await story.subscribe(**wish)
    assert [(error["code"], error["field"]) for error in told["userErrors"]] == [(code, [field])]
    assert told["subscription"] is None
    await story.buy()
    applied = await story.apply(**wish)
    assert [(error["code"], error["field"]) for error in applied["userErrors"]] == [(code, [field])]


async def test_an_amount_in_another_currency_is_refused(story: Story) -> None:
    await story.coupon("EURO", amountsOff=[{"amount": "1.00", "currencyCode": "EUR"}])
    assert codes(await story.subscribe(couponCode="EURO")) == ["COUPON_NOT_APPLICABLE"]
    assert totals(await story.buy(couponCode="EURO", currencyCode="EUR")) == [800]


@pytest.mark.parametrize(
    ("given", "code", "field"),
    [
        ({"code": "C", "percentOff": "10"}, "ALREADY_EXISTS", ["code"]),
        ({"code": "two words", "percentOff": "10"}, "INVALID", ["code"]),
        ({}, "REQUIRED", ["percentOff"]),
        ({"percentOff": "101"}, "INVALID", ["percentOff"]),
        ({"amountsOff": []}, "REQUIRED", ["percentOff"]),
        ({"amountsOff": [{"amount": "0.001", "currencyCode": "USD"}]}, "INVALID", ["amountsOff"]),
        ({"amountsOff": [{"amount": "1.005", "currencyCode": "KWD"}]}, "INVALID", ["amountsOff"]),
        ({"amountsOff": [{"amount": "-1", "currencyCode": "USD"}]}, "INVALID", ["amountsOff"]),
        (
            {"percentOff": "10", "appliesToProductCodes": ["coffee-product", "no"]},
            "INVALID",
            ["appliesToProductCodes", "1"],
        ),
        ({"percentOff": "10", "duration": "REPEATING"}, "REQUIRED", ["durationInPeriods"]),
    ],
)
async def test_coupons_that_are_not_made(story: Story, given: dict[str, Any], code: str, field: list[str]) -> None:
    await story.coupon("C", percentOff="10")
    told = await do(story.house, "createCoupon", "CouponInput", given, "coupon { id }")
    assert told["coupon"] is None
    assert [(error["code"], error["field"]) for error in told["userErrors"]] == [(code, field)]


async def test_a_word_is_taken_however_it_is_written_until_it_is_withdrawn(story: Story) -> None:
    await story.coupon("C", percentOff="10")
    await story.promote("C", "Spring")

    async def make(**given: Any) -> list[str]:
        asked = "promotionCode { id }"
        return codes(await do(story.house, "createPromotionCode", "CreatePromotionCodeInput", given, asked))

    assert await make(couponCode="C", code="SPRING") == ["ALREADY_EXISTS"]
    assert await make(couponCode="none", code="SUMMER") == ["NOT_FOUND"]
    at_once = await asyncio.gather(*(make(couponCode="C", code=code) for code in ("summer", "Summer", "SUMMER")))
    assert sorted(at_once) == [[], ["ALREADY_EXISTS"], ["ALREADY_EXISTS"]]


async def test_an_unpaid_or_ended_subscription_takes_no_coupon(story: Story) -> None:
    await story.coupon("C", percentOff="10")
    unpaid = await story.subscribe(user="demo-decline")
    story.subscribed.append(unpaid["subscription"]["id"])
    assert codes(await story.apply(user="demo-decline", couponCode="C")) == ["INVALID_STATE"]
    assert codes(await story.remove("C")) == ["INVALID_STATE"]
    story.house.pass_time(A_DAY)
    await story.house.deliver()
    assert codes(await story.apply(user="demo-decline", couponCode="C")) == ["INVALID_STATE"]
    assert codes(await story.apply(user="demo-card", couponCode="C")) == ["NOT_FOUND"]
    assert await story.standing("C") == ("ACTIVE", 0)


async def test_a_voided_invoice_gives_its_period_back(story: Story) -> None:
    await story.coupon("TWICE", percentOff="50", duration="REPEATING", durationInPeriods=2)
    begun = await story.buy(couponCode="TWICE")
    await story.pay_by("pm_card_chargeCustomerFail")
    assert await story.months(1) == [500, 500]
    assert on_it(await story.mine()) == [("TWICE", 0)]
    app, why = story.house.app, Why("test", WORKER, story.house.clock.now())
    async with app.database.read() as session:
        invoices = await open_invoices_of(session, begun["id"])
    async with collecting_stopped(app, invoices, why) as fences, app.database.write() as session:
        for payment_id, fence in fences.items():
            await void_collection(session, payment_id, fence, why)
    assert on_it(await story.mine()) == [("TWICE", 1)]
    await story.pay_by("pm_card_visa")
    story.house.pass_time(A_MONTH)
    await story.house.work()
    assert totals(await story.mine()) == [500, 500, 500]
    async with app.database.read() as session:
        uses = (await session.exec(select(DiscountUse).order_by(col(DiscountUse.period_number)))).all()
        numbered = {each.id: each.occasion for each in (await session.exec(select(Invoice))).all()}
        row = await session.get_one(Subscription, begun["id"])
    assert [(use.period_number, numbered[use.invoice_id]) for use in uses] == [(0, "0"), (2, "2")]
    assert row.discount_amount_minor == 500
