"""Ending now with what is unused given back: to the card that paid, and to the balance what the balance had paid."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gateways.sandbox import Fault
from tests.scenarios.changing import UPDATE, Changer
from tests.scenarios.merchant import Merchant, nothing_left_to_bill
from tests.scenarios.shopping import Shopper
from tests.services.returns import balances, give_back
from tests.support.databases import copy_of_file
from tests.support.house import House, open_house
from tests.support.outside import dashboard, faults_always, sandbox_of
from tests.support.tables import everything

CANCEL = """
mutation Cancel($input: CancelSubscriptionInput!) {
  cancelSubscription(input: $input) {
    subscription { status cancellation { reason refund { amount { amountMinor } } } }
    refund { amount { amountMinor } status reason }
    invoice { reason status total { amountMinor } lines { description explanation { text } amount { amountMinor } } }
    userErrors { code field }
  }
}
"""
CHANGE = """
mutation Change($input: ChangePlanInput!) { changePlan(input: $input) { userErrors { code message } } }
"""
PRICES = {"small": 10, "large": 20}
PLAIN = {"effectiveAt": "NOW", "refundUnused": True}


async def cancel(shopper: Shopper, **more: Any) -> dict[str, Any]:
    given = {"subscriptionId": shopper.subscribed[-1], **PLAIN, **more}
    return (await shopper.house.ask(CANCEL, {"input": given}, shopper.user))["cancelSubscription"]


async def bought(house: House, plan: str) -> Shopper:
    shopper = Shopper(house, "demo-card")
    told = await shopper.subscribe(None, planId=plan, paymentMethodId=await shopper.default_card())
    assert told["subscription"]["status"] == "ACTIVE"
    return shopper


async def gateway_refunds(house: House) -> list[int]:
    return [row.amount for row in reversed((await dashboard(house).refunds.list_async({"limit": 100})).data)]


async def test_three_quarters_of_a_year_go_back_to_the_cent(house: House) -> None:
    shopper = await bought(house, await Merchant(house).plan("yearly", "99.99", interval="YEAR"))
    house.pass_time(timedelta(days=91, hours=6))
    told = await cancel(shopper, reason="MISSING_FEATURES")
    assert told == {
        "subscription": {
            "status": "CANCELED",
            "cancellation": {"reason": "MISSING_FEATURES", "refund": {"amount": {"amountMinor": 7499}}},
        },
        "refund": {"amount": {"amountMinor": 7499}, "status": "SUCCEEDED", "reason": "REQUESTED_BY_CUSTOMER"},
        "invoice": None,
        "userErrors": [],
    }
    await house.deliver()
    assert await gateway_refunds(house) == [7499]
    assert await balances(house) == {"gateway": 2500, "revenue": -9999, "refunds": 7499}
    house.pass_time(timedelta(days=800))
    assert await house.due() == {}
    assert await house.audit() == []


async def test_a_pause_keeps_what_was_unused_when_it_began(house: House) -> None:
    shopper = await bought(house, await Merchant(house).plan("monthly", "28.00"))
    house.pass_time(timedelta(days=7))
    pausing = "mutation ($id: ID!) { pauseSubscription(input: {subscriptionId: $id}) { userErrors { code } } }"
    await house.ask(pausing, {"id": shopper.subscribed[-1]}, "demo-card")
    house.pass_time(timedelta(days=60))
    assert (await cancel(shopper))["refund"]["amount"] == {"amountMinor": 2100}
    assert await house.audit() == []


async def test_what_the_balance_had_paid_goes_back_to_the_balance(house: House) -> None:
    merchant = Merchant(house)
    await merchant.product("desk")
    large = await merchant.plan("large", "20.00", product="desk")
    small = await merchant.plan("small", "10.00", product="desk")
    shopper = await bought(house, large)
    house.pass_time(timedelta(days=14))
    given = {"subscriptionId": shopper.subscribed[-1], "planId": small, "effectiveAt": "NOW"}
    assert (await house.ask(CHANGE, {"input": given}, "demo-card"))["changePlan"]["userErrors"] == []
    house.pass_time(timedelta(days=14))
    await house.work()
    # 10.00 for March: 5.00 by the balance, 5.00 by the card. A quarter of it later 7.50 are unused.
    assert await balances(house) == {"gateway": 2500, "revenue": -2500}
    house.pass_time(timedelta(days=7, hours=18))
    told = await cancel(shopper)
    assert told["refund"]["amount"] == {"amountMinor": 500}
    assert (told["invoice"]["reason"], told["invoice"]["status"], told["invoice"]["total"]) == (
        "SUBSCRIPTION_CANCEL",
        "PAID",
        {"amountMinor": -250},
    )
    [line] = told["invoice"]["lines"]
    assert line["explanation"]["text"] == (
        "USD 7.50 is unused, USD 5.00 of it goes back to the card; the balance had paid USD 5.00."
    )
    assert await balances(house) == {"gateway": 2000, "revenue": -2250, "refunds": 500, "customer_balance": -250}
    assert await house.audit() == []


@pytest.mark.parametrize(
    ("before", "after", "days", "to_card", "to_balance", "kept"),
    [
        # 20.00 paid; half of it used and a quarter at the half price: 7.50 are left, all of them on the balance.
        ("large", "small", 7, [], 750, 1250),
        # 10.00 and 5.00 paid, nothing of the second half used: the card that paid the change gets its 5.00 back.
        ("small", "large", 0, [500], 500, 500),
        # A quarter of the large one used: 5.00 are unused, and the card can have them all.
        ("small", "large", 7, [500], 0, 1000),
    ],
)
async def test_after_a_change_what_its_credit_had_paid_goes_back_to_the_balance(
    house: House, before: str, after: str, days: int, to_card: list[int], to_balance: int, kept: int
) -> None:
    merchant = Merchant(house)
    await merchant.product("desk")
    plans = {code: await merchant.plan(code, f"{price}.00", product="desk") for code, price in PRICES.items()}
    shopper = await bought(house, plans[before])
    house.pass_time(timedelta(days=14))
    given = {"subscriptionId": shopper.subscribed[-1], "planId": plans[after], "effectiveAt": "NOW"}
    assert (await house.ask(CHANGE, {"input": given}, "demo-card"))["changePlan"]["userErrors"] == []
    house.pass_time(timedelta(days=days))
    told = await cancel(shopper)
    assert (told["subscription"]["status"], told["userErrors"]) == ("CANCELED", [])
    await house.deliver()
    assert await gateway_refunds(house) == to_card
    books = await balances(house)
    assert -books.get("customer_balance", 0) == to_balance
    assert -books["revenue"] - books.get("refunds", 0) == kept
    assert await house.audit() == []


async def test_what_a_change_was_paid_with_does_not_go_back_twice(house: House) -> None:
    """20.00 paid, exchanged for the small one twice over, and then all of it refunded: nothing is left to give."""
    merchant = Merchant(house)
    await merchant.product("desk")
    plans = {code: await merchant.plan(code, f"{price}.00", product="desk") for code, price in PRICES.items()}
    least = await merchant.plan("least", "5.00", product="desk")
    shopper = await bought(house, plans["large"])
    house.pass_time(timedelta(days=7))
    for plan in (plans["small"], least):
        given = {"subscriptionId": shopper.subscribed[-1], "planId": plan, "effectiveAt": "NOW"}
        assert (await house.ask(CHANGE, {"input": given}, "demo-card"))["changePlan"]["userErrors"] == []
        house.pass_time(timedelta(days=7))
    intent = (await dashboard(house).payment_intents.list_async()).data[0].id
    await give_back(house, intent)
    await house.deliver()
    before = await balances(house)
    told = await cancel(shopper)
    assert (told["subscription"]["status"], told["refund"], told["invoice"]) == ("CANCELED", None, None)
    assert await balances(house) == before
    assert await house.audit() == []


async def test_no_more_goes_back_than_the_dashboard_has_left(house: House) -> None:
    shopper = await bought(house, await Merchant(house).plan("monthly", "28.00"))
    intent = (await dashboard(house).payment_intents.list_async()).data[0].id
    await give_back(house, intent, 2500)
    house.pass_time(timedelta(days=7))
    told = await cancel(shopper)
    assert (told["refund"]["amount"], told["invoice"]) == ({"amountMinor": 300}, None)
    await house.deliver()
    assert await gateway_refunds(house) == [2500, 300]
    assert await house.audit() == []


async def test_with_nothing_unused_nothing_goes_back(house: House) -> None:
    shopper = await bought(house, await Merchant(house).plan("monthly", "28.00"))
    house.pass_time(timedelta(days=28) - timedelta(seconds=1))
    told = await cancel(shopper)
    assert (told["subscription"]["status"], told["refund"], told["userErrors"]) == ("CANCELED", None, [])
    assert await gateway_refunds(house) == []
    assert await house.audit() == []


async def test_what_waited_for_the_next_invoice_is_billed_for_the_time_that_there_was(house: House) -> None:
    """An upgrade at half of the month, its lines on the next invoice; a quarter later it ends."""
    merchant = Merchant(house)
    await merchant.product("desk")
    small = await merchant.plan("small", "10.00", product="desk")
    large = await merchant.plan("large", "20.00", product="desk")
    shopper = await bought(house, small)
    house.pass_time(timedelta(days=14))
    given = {
        "subscriptionId": shopper.subscribed[-1],
        "planId": large,
        "effectiveAt": "NOW",
        "proration": "PRORATE_NEXT_INVOICE",
    }
    assert (await house.ask(CHANGE, {"input": given}, "demo-card"))["changePlan"]["userErrors"] == []
    house.pass_time(timedelta(days=7))
    told = await cancel(shopper)
    # −5.00 for the half of the small one that was not used, 5.00 for the quarter of the large one that was.
    assert sorted(line["amount"]["amountMinor"] for line in told["invoice"]["lines"]) == [-500, 500]
    assert (told["invoice"]["total"], told["refund"]) == ({"amountMinor": 0}, None)
    assert await house.audit() == []


async def test_the_same_key_ends_and_gives_back_once(house: House) -> None:
    shopper = await bought(house, await Merchant(house).plan("monthly", "28.00"))
    house.pass_time(timedelta(days=7))
    first = await cancel(shopper, idempotencyKey="enough")
    assert await cancel(shopper, idempotencyKey="enough") == first
    assert await gateway_refunds(house) == [2100]
    without = await cancel(shopper)
    assert without["userErrors"] == [{"code": "INVALID_STATE", "field": ["subscriptionId"]}]


async def test_with_the_gateway_away_it_neither_ends_nor_gives_back(house: House) -> None:
    shopper = await bought(house, await Merchant(house).plan("monthly", "28.00"))
    await house.deliver()
    faults_always(house, Fault.WEBHOOKS_OFF)
    house.pass_time(timedelta(days=7))
    sandbox_of(house).faults.at_rate(Fault.RESET_AFTER, 1.0, 0, path_contains="/v1/refunds")
    away = await cancel(shopper)
    assert away["userErrors"] == [{"code": "GATEWAY_UNAVAILABLE", "field": None}]
    sandbox_of(house).faults.clear()
    faults_always(house, Fault.WEBHOOKS_OFF)
    assert (await cancel(shopper))["refund"]["status"] == "SUCCEEDED"
    assert await gateway_refunds(house) == [2100]
    assert await house.audit() == []


@pytest.mark.parametrize(
    "more", [{"effectiveAt": "PERIOD_END"}, {"effectiveAt": "AT_DATE", "date": "2026-02-10T00:00:00Z"}]
)
async def test_unused_time_is_given_back_only_by_ending_now(small_house: House, more: dict[str, Any]) -> None:
    shopper = await bought(small_house, await Merchant(small_house).plan("monthly", "28.00"))
    told = await cancel(shopper, **more)
    assert told["subscription"] is None
    assert told["userErrors"] == [{"code": "INVALID", "field": ["refundUnused"]}]


PREVIEW = """query ($input: CancelSubscriptionInput!) { previewCancelSubscription(input: $input) {
  preview { refundNow { amountMinor } } userErrors { code field } } }"""


async def test_support_gives_back_by_an_end_no_more_than_it_may_at_all(stocked_file: Path, tmp_path: Path) -> None:
    """28.00 are paid and 14 of 28 days left; support may give back 13.99 of a payment, then 14.00."""
    url = copy_of_file(stocked_file, tmp_path / "capped.db")
    refused = [{"code": "NOT_PERMITTED", "field": ["refundUnused"]}]
    async with open_house(url, demo=False, support_refund_cap=1399) as house:
        shopper = await bought(house, await Merchant(house).plan("monthly", "28.00"))
        house.pass_time(timedelta(days=14))
        given = {"subscriptionId": shopper.subscribed[-1], **PLAIN}
        before = await everything(house.app)
        preview = (await house.ask(PREVIEW, {"input": given}, "demo-support"))["previewCancelSubscription"]
        assert preview == {"preview": None, "userErrors": refused}
        told = (await house.ask(CANCEL, {"input": given}, "demo-support"))["cancelSubscription"]
        assert (told["subscription"], told["refund"], told["userErrors"]) == (None, None, refused)
        assert await everything(house.app) == before
        assert await gateway_refunds(house) == []
        preview = (await house.ask(PREVIEW, {"input": given}, "demo-admin"))["previewCancelSubscription"]
        assert preview["preview"] == {"refundNow": {"amountMinor": 1400}}
    async with open_house(url, demo=False, support_refund_cap=1400) as house:
        house.pass_time(timedelta(days=14))
        told = (await house.ask(CANCEL, {"input": given}, "demo-support"))["cancelSubscription"]
        assert (told["userErrors"], told["refund"]["amount"]) == ([], {"amountMinor": 1400})
        assert await gateway_refunds(house) == [1400]
        assert await house.audit() == []


async def test_what_was_never_paid_gives_nothing_back(small_house: House) -> None:
    shopper = Shopper(small_house, "demo-new")
    await shopper.subscribe()
    told = await cancel(shopper)
    assert (told["subscription"]["status"], told["refund"]) == ("INCOMPLETE_EXPIRED", None)
    assert await gateway_refunds(small_house) == []
    assert await small_house.audit() == []


async def test_what_waited_and_had_ended_is_billed_for_the_time_that_there_was(small_house: House) -> None:
    """A dollar a day and seat: seven days of three, seven of two and seven of one are 42.00 of the 84.00 paid."""
    await Merchant(small_house).plan("seats", "28.00")
    changer = Changer(small_house, "demo-card")
    await changer.begin("seats", quantity=3)
    for quantity in (2, 1):
        small_house.pass_time(timedelta(days=7))
        items = [{"planCode": "seats", "quantity": quantity}]
        await changer.ask(UPDATE, items=items, proration="PRORATE_NEXT_INVOICE")
    small_house.pass_time(timedelta(days=7))
    told = await cancel(changer)
    assert sorted(line["amount"]["amountMinor"] for line in told["invoice"]["lines"]) == [-6300, 700, 1400]
    assert (await balances(small_house))["customer_balance"] == -4200
    assert await small_house.audit() == []


@pytest.mark.parametrize("passed", [timedelta(), timedelta(hours=-1)], ids=["at once", "the clock set back"])
async def test_what_waited_for_no_time_at_all_waits_no_more(small_house: House, passed: timedelta) -> None:
    """Something more on the next invoice, and the end before there was any time of it: nothing to bill of that."""
    merchant = Merchant(small_house)
    for product in ("desk", "chair"):
        await merchant.product(product)
        await merchant.plan(product, "28.00", product=product)
    changer = Changer(small_house, "demo-card")
    await changer.begin("desk")
    items = [{"planCode": "desk"}, {"planCode": "chair"}]
    assert (await changer.ask(UPDATE, items=items, proration="PRORATE_NEXT_INVOICE"))["userErrors"] == []
    small_house.pass_time(passed)
    told = await cancel(changer)
    assert (told["refund"]["amount"], told["invoice"]) == ({"amountMinor": 2800}, None)
    await nothing_left_to_bill(small_house)
