"""What a customer has with us beside subscriptions: a balance by currency, and coupons."""

from tests.scenarios.changing import HALF, changer_of, clean
from tests.scenarios.merchant import done
from tests.support.house import House

MINE = """{ me { balance { amountMinor currencyCode } discounts { coupon { code } periodsLeft }
  subscriptions(first: 5) { nodes { discounts { coupon { code } } } } } }"""


async def test_a_downgrade_leaves_a_balance_and_a_coupon_is_told_of_until_the_end(house: House) -> None:
    changer = await changer_of(house)
    terms = {"code": "TENTH", "percentOff": "10", "duration": "FOREVER"}
    await done(house, "createCoupon", "CouponInput", terms, "coupon { id }")
    await changer.begin("huge", couponCode="TENTH")
    coupon = {"coupon": {"code": "TENTH"}}
    assert (await house.ask(MINE, user="demo-card"))["me"] == {
        "balance": [],
        "discounts": [{**coupon, "periodsLeft": None}],
        "subscriptions": {"nodes": [{"discounts": [coupon]}]},
    }
    await changer.pass_by(HALF)
    await changer.change("small", "PRORATE_NOW")
    # Half of 36.00 back, half of 9.00 charged.
    assert (await house.ask(MINE, user="demo-card"))["me"]["balance"] == [{"amountMinor": 1350, "currencyCode": "USD"}]
    canceled = """mutation ($id: ID!) { cancelSubscription(input: {subscriptionId: $id, effectiveAt: NOW}) {
        userErrors { code } } }"""
    assert await house.ask(canceled, {"id": changer.subscribed[-1]}, "demo-card") == {
        "cancelSubscription": {"userErrors": []}
    }
    assert (await house.ask(MINE, user="demo-card"))["me"] == {
        "balance": [{"amountMinor": 1350, "currencyCode": "USD"}],
        "discounts": [],
        "subscriptions": {"nodes": [{"discounts": []}]},
    }
    await clean(house)
