"""A year of several subscriptions through the public API: each invoice as the hand-written oracle has it."""

import random
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from billing.money import Money
from tests.scenarios.merchant import ADMIN, Merchant, done
from tests.support.house import House
from tests.support.year import YEAR, Billed, Sold, expected, sold

SEED = 4
SUBSCRIPTIONS = 8
INVOICES = """query ($id: ID!, $after: String) { subscription(id: $id) {
  status
  invoices(first: 100, after: $after) { nodes {
    status total { amountMinor } amountDue { amountMinor } creditApplied { amountMinor } amountPaid { amountMinor }
    period { start end } } } } }"""


async def subscribed(house: House, number: int, each: Sold) -> str:
    """Sold as a merchant's back end would: a plan, coupons that last, a customer with a card. The subscription's id."""
    merchant, name = Merchant(house), f"year-{number}"
    more: dict[str, Any] = {"interval": each.interval.name, "intervalCount": each.count}
    if each.tax is not None:
        more["taxPercent"] = str(each.tax)
    if each.billing_day is not None:
        more["billingDay"] = each.billing_day
    await merchant.plan(name, str(Money(each.unit, each.currency).major), each.currency, **more)
    customer = await merchant.customer(name, timezone=each.zone)
    await done(
        house,
        "attachPaymentMethod",
        "AttachPaymentMethodInput",
        {"paymentMethodId": "pm_card_visa", "makeDefault": True},
        "paymentMethod { id }",
        user=name,
    )
    wish: dict[str, Any] = {"planCode": name, "customerId": customer}
    card = await house.ask("{ me { defaultPaymentMethod { id } } }", user=name)
    wish["paymentMethodId"] = card["me"]["defaultPaymentMethod"]["id"]
    wish["items"] = None if each.quantity == 1 else [{"planCode": name, "quantity": each.quantity}]
    if wish["items"] is not None:
        del wish["planCode"]
    else:
        del wish["items"]
    if each.runs_for is not None:
        wish["endsAt"] = (house.clock.now() + each.runs_for).isoformat()
    off = coupon_of(name, each)
    if off is not None:
        await done(house, "createCoupon", "CouponInput", off, "coupon { id }")
        wish["couponCode"] = off["code"]
    told = await done(house, "subscribe", "SubscribeInput", wish, "subscription { id status }", user=ADMIN)
    assert told["subscription"]["status"] == "ACTIVE"
    return told["subscription"]["id"]


def coupon_of(name: str, each: Sold) -> dict[str, Any] | None:
    coupon: dict[str, Any] = {"code": f"off-{name}", "duration": "FOREVER"}
    if each.percent_off is not None:
        return {**coupon, "percentOff": str(each.percent_off)}
    if each.amount_off is not None:
        amount = str(Money(each.amount_off, each.currency).major)
        return {**coupon, "amountsOff": [{"amount": amount, "currencyCode": each.currency}]}
    return None


async def invoices_of(house: House, id: str) -> tuple[str, list[Billed]]:
    told = (await house.ask(INVOICES, {"id": id}, ADMIN))["subscription"]
    rows = sorted(told["invoices"]["nodes"], key=lambda row: row["period"]["start"])
    assert {row["status"] for row in rows} == {"PAID"}
    return told["status"], [
        (
            datetime.fromisoformat(row["period"]["start"]),
            datetime.fromisoformat(row["period"]["end"]),
            row["total"]["amountMinor"],
            row["amountPaid"]["amountMinor"],
        )
        for row in rows
    ]


@pytest.mark.parametrize("seed", [SEED])
async def test_a_year_through_the_api_is_what_the_oracle_says(house: House, seed: int) -> None:
    rng = random.Random(seed)
    book: list[tuple[str, Sold]] = []
    for number in range(SUBSCRIPTIONS):
        # A first purchase below the gateway's minimum is refused, and only one coupon can be given with it.
        each = next(one for one in iter(lambda: sold(rng), None) if wanted(one))
        house.pass_time(timedelta(hours=rng.randrange(24), microseconds=rng.randrange(3_600_000_000)))
        each = at(each, house)
        book.append((await subscribed(house, number, each), each))
    await Merchant(house).live(YEAR / timedelta(days=1) - 9)
    horizon = house.clock.now()
    for id, each in book:
        status, billed = await invoices_of(house, id)
        assert billed == [row for row in expected(each) if row[0] <= horizon], f"seed {seed}: {each}"
        assert status == ("ACTIVE" if each.runs_for is None else "CANCELED")
    assert await house.audit() == []


def wanted(each: Sold) -> bool:
    return each.unit >= 500 and (each.percent_off is None or each.amount_off is None)


def at(each: Sold, house: House) -> Sold:
    return replace(each, start=house.clock.now())
