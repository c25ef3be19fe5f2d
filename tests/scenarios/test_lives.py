"""Lives told in months through the public API: what was asked for, paid and given back, to the cent and to the day.

Each ends with nothing left to bill.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from tests.scenarios.merchant import ADMIN, Merchant, do, done, nothing_left_to_bill
from tests.support.house import House

BOOK = """query ($id: ID!) { subscription(id: $id) {
  status isActive plan { code } currentPeriod { start end } nextBillingAt
  invoices(first: 100) { nodes {
    status reason issuedAt total { amount } amountDue { amount } amountPaid { amount } creditApplied { amount }
    lines { kind amount { amount } } } } } }"""


async def told(house: House, id: str) -> dict[str, Any]:
    return (await house.ask(BOOK, {"id": id}, ADMIN))["subscription"]


async def bills(house: House, id: str) -> list[tuple[str, str, str, str, str]]:
    """(day, reason, total, paid, status) of each invoice, in the order in which they were issued."""
    rows = sorted((await told(house, id))["invoices"]["nodes"], key=lambda row: row["issuedAt"])
    return [
        (
            row["issuedAt"][:10],
            row["reason"].removeprefix("SUBSCRIPTION_"),
            row["total"]["amount"],
            row["amountPaid"]["amount"],
            row["status"],
        )
        for row in rows
    ]


async def customer(house: House, user: str, card: str = "pm_card_visa", **more: Any) -> str:
    """A customer of the merchant's with a card: its id."""
    id = await Merchant(house).customer(user, **more)
    await save(house, user, card)
    return id


async def save(house: House, user: str, card: str) -> str:
    """Save a card and make it the default."""
    given = {"paymentMethodId": card, "makeDefault": True}
    saved = await done(
        house, "attachPaymentMethod", "AttachPaymentMethodInput", given, "paymentMethod { id }", user=user
    )
    return saved["paymentMethod"]["id"]


async def subscribe(house: House, user: str, plan: str, **more: Any) -> str:
    """Subscribe with the default card: the subscription's id."""
    card = (await house.ask("{ me { defaultPaymentMethod { id } } }", user=user))["me"]["defaultPaymentMethod"]["id"]
    given = {"planCode": plan, "paymentMethodId": card, **more}
    begun = await done(house, "subscribe", "SubscribeInput", given, "subscription { id }", user=user)
    return begun["subscription"]["id"]


async def change(house: House, user: str, id: str, plan: str, **more: Any) -> dict[str, Any]:
    given = {"subscriptionId": id, "planCode": plan, **more}
    return await done(house, "changePlan", "ChangePlanInput", given, "subscription { status }", user=user)


async def statuses(house: House, id: str) -> Sequence[str]:
    history = await house.ask("query ($id: ID!) { subscription(id: $id) { statusHistory { to } } }", {"id": id}, ADMIN)
    return [each["to"] for each in history["subscription"]["statusHistory"]]


async def test_a_life_over_a_leap_day_with_coupon_upgrade_pause_downgrade_and_refund(house: House) -> None:
    merchant = Merchant(house)
    await merchant.live_until("2027-12-31", step=timedelta(days=800))
    await merchant.product("app")
    await merchant.plan("basic", "10.00", product="app")
    await merchant.plan("pro", "25.00", product="app")
    half = {"code": "HALF", "percentOff": "50", "duration": "REPEATING", "durationInPeriods": 3}
    await done(house, "createCoupon", "CouponInput", half, "coupon { id }")
    await customer(house, "ana")
    life = await subscribe(house, "ana", "basic", couponCode="HALF")

    # 31 December → 31 January → 29 February: three periods at half the price.
    await merchant.live_until("2028-03-10")
    # 21 of the period's 31 days are left. What was paid for them goes back, and the new plan costs the half too, for
    # the coupon takes something off this period.
    await change(house, "ana", life, "pro", effectiveAt="NOW", proration="PRORATE_NOW")
    # The coupon's periods are over.
    await merchant.live_until("2028-04-10")
    paused = {"subscriptionId": life, "until": "2028-04-20T09:30:00Z"}
    await done(house, "pauseSubscription", "PauseSubscriptionInput", paused, "subscription { status }", user="ana")
    await merchant.live_until("2028-04-15")
    assert ((await told(house, life))["status"], (await told(house, life))["isActive"]) == ("PAUSED", False)
    # Ten days stood still: the period ends on 10 May instead of 30 April, and the 10th is the new anchor.
    await merchant.live_until("2028-05-20")
    await change(house, "ana", life, "basic")
    await merchant.live_until("2028-06-25")
    gone = {"subscriptionId": life, "effectiveAt": "NOW", "refundUnused": True, "reason": "UNUSED"}
    ended = await done(
        house, "cancelSubscription", "CancelSubscriptionInput", gone, "refund { status amount { amount } }", user=ADMIN
    )
    # 15 of 30 days of USD 10.00 are unused.
    assert ended["refund"] == {"status": "SUCCEEDED", "amount": {"amount": "5.00"}}

    assert await bills(house, life) == [
        ("2027-12-31", "CREATE", "5.00", "5.00", "PAID"),
        ("2028-01-31", "CYCLE", "5.00", "5.00", "PAID"),
        ("2028-02-29", "CYCLE", "5.00", "5.00", "PAID"),
        ("2028-03-10", "UPDATE", "5.08", "5.08", "PAID"),
        ("2028-03-31", "CYCLE", "25.00", "25.00", "PAID"),
        ("2028-05-10", "CYCLE", "25.00", "25.00", "PAID"),
        ("2028-06-10", "CYCLE", "10.00", "10.00", "PAID"),
    ]
    assert await statuses(house, life) == ["INCOMPLETE", "ACTIVE", "PAUSED", "ACTIVE", "CANCELED"]
    await nothing_left_to_bill(house)


async def test_a_life_in_yen_with_trial_billing_day_decline_and_new_card(house: House) -> None:
    merchant = Merchant(house)
    await merchant.plan("streaming", "980", "JPY", trialPeriodDays=7, billingDay=5, taxPercent="10")
    await customer(house, "yuki", "pm_card_chargeCustomerFail", timezone="Asia/Tokyo")
    life = await subscribe(house, "yuki", "streaming")
    # Begun on 31 January, free until 7 February; 26 days to 5 March, of a period of 28.
    await merchant.live_until("2026-02-08")
    assert (await told(house, life))["status"] == "PAST_DUE"
    # Retried two and seven days after the refusal, in vain; then the customer brings another card.
    await merchant.live_until("2026-02-16")
    assert (await told(house, life))["status"] == "PAST_DUE"
    await save(house, "yuki", "pm_card_visa")
    await house.work()
    assert (await told(house, life))["status"] == "ACTIVE"
    await merchant.live_until("2026-05-06")
    quit = {"subscriptionId": life, "effectiveAt": "PERIOD_END"}
    await done(house, "cancelSubscription", "CancelSubscriptionInput", quit, "subscription { status }", user="yuki")
    await merchant.live_until("2026-06-10")
    # 980 × 26 ÷ 28 = 910, and a tenth of tax.
    assert await bills(house, life) == [
        ("2026-02-07", "CYCLE", "1001", "1001", "PAID"),
        ("2026-03-05", "CYCLE", "1078", "1078", "PAID"),
        ("2026-04-05", "CYCLE", "1078", "1078", "PAID"),
        ("2026-05-05", "CYCLE", "1078", "1078", "PAID"),
    ]
    assert await statuses(house, life) == ["TRIALING", "ACTIVE", "PAST_DUE", "ACTIVE", "CANCELED"]
    await nothing_left_to_bill(house)


async def test_a_life_in_dinar_with_quantities_downgrade_credit_and_a_voided_invoice(house: House) -> None:
    merchant = Merchant(house)
    await merchant.product("seats")
    await merchant.plan("team", "3.330", "KWD", product="seats")
    await merchant.plan("solo", "1.000", "KWD", product="seats")
    await customer(house, "dalal", timezone="Asia/Kuwait")
    life = await subscribe(house, "dalal", "team")
    # 28 days; half of them later two plans down: 14 days of 3.330 go back, 14 days of 1.000 are asked for.
    await merchant.live_until("2026-02-14")
    await change(house, "dalal", life, "solo", effectiveAt="NOW", proration="PRORATE_NOW")
    # 1.165 is left over: the next invoice of 1.000 is paid by it whole, the one after in part.
    await merchant.live_until("2026-04-01")
    assert await bills(house, life) == [
        ("2026-01-31", "CREATE", "3.330", "3.330", "PAID"),
        ("2026-02-14", "UPDATE", "-1.170", "0.000", "PAID"),
        ("2026-02-28", "CYCLE", "1.000", "0.000", "PAID"),
        ("2026-03-31", "CYCLE", "1.000", "0.830", "PAID"),
    ]
    await do(
        house,
        "cancelSubscription",
        "CancelSubscriptionInput",
        {"subscriptionId": life, "effectiveAt": "NOW"},
        "subscription { status }",
        user="dalal",
    )
    await nothing_left_to_bill(house)
