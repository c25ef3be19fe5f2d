"""What the figures say of lives whose figures can be worked out by hand; exact, whatever the engine."""

from datetime import timedelta
from typing import Any

import pytest

from tests.support.house import House, counted

ADMIN = "demo-admin"
FIGURES = """
  mrr { amount } arr { amount } activeSubscriptions trialing churnRate revenue { amount } recoveredByDunning { amount }
  arpu { amount } otherCurrencyCodes"""
SERIES = "series { date mrr { amount } revenue { amount } newSubscriptions churned }"
METRICS = f"""query($range: DateTimeRange!, $currency: CurrencyCode) {{
  metrics(range: $range, currencyCode: $currency) {{ period {{ start end }} {FIGURES} {SERIES} }} }}"""
SUBSCRIBE = "subscribe(input: $input) { subscription { id } payment { id } userErrors { code } }"


async def figures(house: House, gte: str, lt: str | None, currency: str | None = None) -> dict[str, Any]:
    """The figures; amounts as text, the series as tuples of day, MRR, revenue, begun, lost."""
    wish = {"range": {"gte": gte, "lt": lt}, "currency": currency}
    told = (await house.ask(METRICS, wish, ADMIN))["metrics"]
    told["series"] = [
        (each["date"], each["mrr"]["amount"], each["revenue"]["amount"], each["newSubscriptions"], each["churned"])
        for each in told["series"]
    ]
    return {
        name: each["amount"] if isinstance(each, dict) and "amount" in each else each for name, each in told.items()
    }


async def change(house: House, user: str, field: str, kind: str, given: dict[str, Any]) -> Any:
    name = field.partition("(")[0]
    told = (await house.ask(f"mutation($input: {kind}!) {{ {field} }}", {"input": given}, user))[name]
    assert told["userErrors"] == []
    return told


async def offer(
    house: House, code: str, amount: str, currency: str = "USD", interval: str = "MONTH", **more: Any
) -> None:
    prices = [{"currencyCode": currency, "amount": amount}]
    wish = {"code": code, "name": code, "productCode": "premium", "interval": interval, "prices": prices, **more}
    await change(house, ADMIN, "createPlan(input: $input) { userErrors { code } }", "PlanInput", wish)


async def card(house: House, user: str, reference: str = "pm_card_visa") -> str:
    field = "attachPaymentMethod(input: $input) { paymentMethod { id } userErrors { code } }"
    wish = {"paymentMethodId": reference, "makeDefault": True}
    return (await change(house, user, field, "AttachPaymentMethodInput", wish))["paymentMethod"]["id"]


async def subscribe(house: House, user: str, plan: str, **more: Any) -> dict[str, str]:
    """The ids of what was made: subscription and payment."""
    wish = {"planCode": plan, "paymentMethodId": await card(house, user), **more}
    told = await change(house, user, SUBSCRIBE, "SubscribeInput", wish)
    payment = told["payment"]
    return {"subscription": told["subscription"]["id"], "payment": payment["id"] if payment else ""}


async def days(house: House, count: int) -> None:
    for _ in range(count):
        house.pass_time(timedelta(days=1))
        await house.work()


async def test_a_month_of_ten_subscriptions_as_worked_out_by_hand(house: House) -> None:
    await offer(house, "tea", "10.00")
    await offer(house, "weekly", "6.00", interval="WEEK")
    await offer(house, "tried", "10.00", trialPeriodDays=14)
    await offer(house, "yen", "1000", "JPY")
    coupon = {"code": "TEN", "percentOff": "10", "duration": "FOREVER"}
    await change(house, ADMIN, "createCoupon(input: $input) { userErrors { code } }", "CouponInput", coupon)
    await subscribe(house, "u0", "premium-monthly")  # 9.99 a month
    await subscribe(house, "u1", "premium-yearly")  # 99.00 a year: 8.25
    await subscribe(house, "u2", "weekly", quantity=2)  # 12.00 a week: 52.00
    await subscribe(house, "u3", "tea", couponCode="TEN")  # 9.00
    await subscribe(house, "u4", "tried")  # nothing yet
    leaves = await subscribe(house, "u5", "tea")
    pauses = await subscribe(house, "u6", "tea")
    await subscribe(house, "u7", "tea")
    refunded = await subscribe(house, "u8", "tea")
    await subscribe(house, "u9", "yen")

    first = await figures(house, "2026-01-31T00:00:00Z", None)
    assert first == {
        "period": {"start": "2026-01-31T00:00:00Z", "end": "2026-01-31T09:30:00.000001Z"},
        "mrr": "119.24",
        "arr": "1430.88",
        "activeSubscriptions": 8,
        "trialing": 1,
        "churnRate": "0.0000",
        "revenue": "169.99",
        "recoveredByDunning": "0.00",
        "arpu": "14.91",
        "otherCurrencyCodes": ["JPY"],
        "series": [("2026-01-31", "119.24", "169.99", 8, 0)],
    }

    await days(house, 5)
    refund = {"paymentId": refunded["payment"], "amount": {"amount": "4.00", "currencyCode": "USD"}}
    refund |= {"reason": "OTHER", "idempotencyKey": "r"}
    await change(house, ADMIN, "refundPayment(input: $input) { userErrors { code } }", "RefundPaymentInput", refund)
    await days(house, 5)
    end = {"subscriptionId": leaves["subscription"], "effectiveAt": "NOW"}
    await change(
        house, "u5", "cancelSubscription(input: $input) { userErrors { code } }", "CancelSubscriptionInput", end
    )
    pause = {"subscriptionId": pauses["subscription"]}
    await change(
        house, "u6", "pauseSubscription(input: $input) { userErrors { code } }", "PauseSubscriptionInput", pause
    )
    await days(house, 10)
    await card(house, "u7", "pm_card_chargeCustomerFail")
    await days(house, 9)  # the first of March
    await card(house, "u7")
    await house.work()

    february = await figures(house, "2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z")
    series = {day: rest for day, *rest in february.pop("series")}
    assert february == {
        "period": {"start": "2026-02-01T00:00:00Z", "end": "2026-03-01T00:00:00Z"},
        "mrr": "109.24",
        "arr": "1310.88",
        "activeSubscriptions": 7,
        "trialing": 0,
        "churnRate": "0.1250",
        "revenue": "82.99",
        "recoveredByDunning": "0.00",
        "arpu": "15.61",
        "otherCurrencyCodes": ["JPY"],
    }
    told = {
        "2026-02-05": ["119.24", "-4.00", 0, 0],
        "2026-02-07": ["119.24", "12.00", 0, 0],
        "2026-02-10": ["99.24", "0.00", 0, 1],
        "2026-02-14": ["109.24", "22.00", 1, 0],
        "2026-02-21": ["109.24", "12.00", 0, 0],
        "2026-02-28": ["109.24", "40.99", 0, 0],
    }
    assert {day: rest for day, rest in series.items() if rest[1:] != ["0.00", 0, 0]} == told
    assert list(series) == [f"2026-02-{day:02}" for day in range(1, 29)]

    march = await figures(house, "2026-03-01T00:00:00Z", None)
    assert (march["mrr"], march["revenue"], march["recoveredByDunning"]) == ("109.24", "10.00", "10.00")
    assert march["churnRate"] == "0.0000"
    yen = await figures(house, "2026-01-31T00:00:00Z", "2026-02-01T00:00:00Z", "JPY")
    assert (yen["mrr"], yen["arr"], yen["arpu"], yen["revenue"]) == ("1000", "12000", "1000", "1000")
    assert (yen["activeSubscriptions"], yen["otherCurrencyCodes"]) == (1, ["USD"])
    assert await figures(house, "2026-01-31T00:00:00Z", "2026-02-01T00:00:00Z") == {
        **first,
        "period": {"start": "2026-01-31T00:00:00Z", "end": "2026-02-01T00:00:00Z"},
    }, "what is past stays as it was"


async def test_a_change_of_plan_counts_from_its_instant_on(house: House) -> None:
    order = {"subscriptionId": (await subscribe(house, "u0", "premium-monthly"))["subscription"]}
    await days(house, 3)
    wish = {**order, "planCode": "premium-yearly", "effectiveAt": "NOW"}
    await change(house, "u0", "changePlan(input: $input) { userErrors { code } }", "ChangePlanInput", wish)
    told = await figures(house, "2026-01-31T00:00:00Z", "2026-02-05T00:00:00Z")
    assert [each[:2] for each in told["series"]] == [
        ("2026-01-31", "9.99"),
        ("2026-02-01", "9.99"),
        ("2026-02-02", "9.99"),
        ("2026-02-03", "8.25"),
    ]


async def test_days_are_those_of_the_organizations_zone(house: House) -> None:
    wish = {"timezone": "Asia/Tokyo", "defaultCurrencyCode": "EUR"}
    await change(house, ADMIN, "updateOrganization(input: $input) { userErrors { code } }", "OrganizationInput", wish)
    await offer(house, "euro", "10.00", "EUR")
    house.pass_time(timedelta(hours=8))  # 17:30 in London, the next day in Tokyo
    await subscribe(house, "u0", "euro")
    told = await figures(house, "2026-01-31T00:00:00Z", "2026-02-02T00:00:00Z")
    assert told["series"] == [("2026-01-31", "0.00", "0.00", 0, 0), ("2026-02-01", "10.00", "10.00", 1, 0)]
    assert told["mrr"] == "10.00"


async def test_where_nothing_was_there_is_nothing(small_house: House) -> None:
    told = await figures(small_house, "2026-01-01T00:00:00Z", "2026-01-03T00:00:00Z")
    assert told.pop("series") == [(f"2026-01-0{day}", "0.00", "0.00", 0, 0) for day in (1, 2)]
    assert {name: each for name, each in told.items() if name not in ("period", "otherCurrencyCodes")} == {
        "mrr": "0.00",
        "arr": "0.00",
        "activeSubscriptions": 0,
        "trialing": 0,
        "churnRate": "0.0000",
        "revenue": "0.00",
        "recoveredByDunning": "0.00",
        "arpu": "0.00",
    }


@pytest.mark.parametrize(
    ("range", "message"),
    [
        ({}, "range: say from when on, with gte."),
        (
            {"gte": "2026-01-02T00:00:00Z", "lt": "2026-01-01T00:00:00Z"},
            "range: the end is after the start, and the start has passed.",
        ),
        (
            {"gte": "2026-01-01T00:00:00Z", "lt": "2026-01-01T00:00:00Z"},
            "range: the end is after the start, and the start has passed.",
        ),
        ({"gte": "2026-03-01T00:00:00Z"}, "range: the end is after the start, and the start has passed."),
        ({"gte": "2024-01-01T00:00:00Z"}, "range: at most 400 days at once, and the start has passed."),
    ],
)
async def test_a_range_without_days_or_with_too_many_is_refused(
    small_house: House, range: dict[str, str], message: str
) -> None:
    answer = (await small_house.post(METRICS, {"range": range}, ADMIN)).json()
    assert [(each["message"], each["extensions"]["code"]) for each in answer["errors"]] == [(message, "BAD_USER_INPUT")]


async def test_the_number_of_statements_does_not_grow_with_subscriptions_or_days(house: House) -> None:
    found = []
    for users, since in ((range(1), "2026-01-31T00:00:00Z"), (range(1, 6), "2025-02-01T00:00:00Z")):
        for user in users:
            await subscribe(house, f"u{user}", "premium-monthly")
        async with counted(house.app) as statements:
            told = await figures(house, since, None)
        assert told["activeSubscriptions"] == users.stop
        found.append(len(statements))
    assert found == [12, 12]
