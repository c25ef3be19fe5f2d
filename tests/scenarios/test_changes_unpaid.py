"""Changes that cannot be paid, are asked about by the bank, repeated, made at the same time, or refused."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from tests.scenarios.changing import CHANGE, HALF, UPDATE, Changer, amounts, changer_of, clean, codes, totals
from tests.scenarios.merchant import Merchant
from tests.support.house import House
from tests.support.outside import charges_by_invoice

ATTACH = """mutation ($card: String!) { attachPaymentMethod(input: {paymentMethodId: $card, makeDefault: true}) {
  userErrors { code } } }"""


@pytest.fixture
async def changer(house: House) -> Changer:
    return await changer_of(house)


async def pay_with(changer: Changer, card: str) -> None:
    told = await changer.house.ask(ATTACH, {"card": card}, changer.user)
    assert told["attachPaymentMethod"]["userErrors"] == []


async def refused(changer: Changer, query: str, *, user: str | None = None, **wish: Any) -> tuple[str, list[str]]:
    """Code and field of the one refusal; nothing has changed."""
    before = await changer.mine()
    told = await changer.ask(query, user, **wish)
    assert await changer.mine() == before
    (error,) = told["userErrors"]
    return error["code"], error["field"]


# ── cards that do not pay ──


async def test_a_decline_leaves_the_change_in_place_and_the_subscription_past_due(
    changer: Changer, house: House
) -> None:
    await changer.begin("small")
    await pay_with(changer, "pm_card_chargeCustomerFail")
    house.pass_time(HALF)
    told = await changer.change("large")
    assert codes(told) == ["CARD_DECLINED"]
    shown = told["subscription"]
    assert (shown["plan"]["code"], shown["status"], shown["isActive"]) == ("large", "PAST_DUE", True)
    assert (told["invoice"]["status"], told["invoice"]["amountDue"]["amountMinor"]) == ("OPEN", 500)
    # The worker does not try it again at once.
    assert (await changer.pass_by(timedelta(hours=1)))["status"] == "PAST_DUE"
    await pay_with(changer, "pm_card_mastercard")
    assert (await changer.pass_by(timedelta(0)))["status"] == "ACTIVE"
    assert totals(await changer.mine()) == [("PAID", 1000, 1000), ("PAID", 500, 500)]
    assert sorted((await charges_by_invoice(house)).values()) == [1, 1]
    await clean(house)


@pytest.mark.parametrize("by", ["demo-card", "demo-admin"])
async def test_what_the_bank_asks_about_is_paid_when_it_has_its_answer(changer: Changer, house: House, by: str) -> None:
    await changer.begin("small")
    await pay_with(changer, "pm_card_authenticationRequired")
    house.pass_time(HALF)
    told = await changer.ask(CHANGE, by, planCode="large", effectiveAt="NOW", returnUrl="https://shop.example/return")
    assert (told["subscription"]["plan"]["code"], told["subscription"]["status"]) == ("large", "PAST_DUE")
    if by == "demo-card":
        assert codes(told) == ["PAYMENT_ACTION_REQUIRED"]
        assert told["nextAction"]["type"] == "REDIRECT"
        await changer.browser.answer(told["nextAction"]["redirectUrl"], "succeeded")
    else:
        # Nobody is there to answer: the customer pays it later.
        assert codes(told) == ["CARD_DECLINED"]
        await pay_with(changer, "pm_card_visa")
        await house.work()
    await house.deliver()
    shown = await changer.mine()
    assert (shown["status"], totals(shown)) == ("ACTIVE", [("PAID", 1000, 1000), ("PAID", 500, 500)])
    assert sorted((await charges_by_invoice(house)).values()) == [1, 1]
    await clean(house)


async def test_a_customer_who_walks_away_from_the_bank_does_not_keep_what_is_not_paid(
    changer: Changer, house: House
) -> None:
    await changer.begin("small")
    await pay_with(changer, "pm_card_authenticationRequired")
    await changer.change("yearly", returnUrl="https://shop.example/return")
    access = [(await changer.pass_by(timedelta(days=1)))["isActive"] for _ in range(24)]
    assert access == [True] * 6 + [False] * 18
    shown = await changer.mine()
    assert (shown["plan"]["code"], shown["status"]) == ("yearly", "CANCELED")
    assert sorted(totals(shown)) == [("PAID", 1000, 1000), ("UNCOLLECTIBLE", 11000, 11000)]
    assert sorted((await charges_by_invoice(house)).values()) == [0, 1]
    await clean(house)


async def test_without_a_card_nothing_is_changed_that_costs(changer: Changer) -> None:
    changer.user = "demo-new"
    changer.subscribed.append((await changer.subscribe("free"))["subscription"]["id"])
    assert await refused(changer, CHANGE, planCode="premium-monthly", effectiveAt="NOW") == (
        "PAYMENT_METHOD_REQUIRED",
        None,
    )
    told = await changer.ask(CHANGE, planCode="premium-monthly")
    assert (codes(told), told["subscription"]["scheduledChange"]["plan"]["code"]) == ([], "premium-monthly")


# ── twice ──


async def test_the_same_key_tells_of_the_same_change(changer: Changer, house: House) -> None:
    before = await changer.begin("small")
    house.pass_time(HALF)
    wish = {"idempotencyKey": "once", "expectedVersion": before["version"]}
    first = await changer.change("large", **wish)
    house.pass_time(HALF / 2)
    assert await changer.change("large", **wish) == first
    other = await changer.change("huge", **wish)
    assert codes(other) == ["IDEMPOTENCY_CONFLICT"]
    assert totals(await changer.mine()) == [("PAID", 1000, 1000), ("PAID", 500, 500)]


async def test_without_a_key_a_change_that_is_made_already_costs_nothing_more(changer: Changer, house: House) -> None:
    await changer.begin("small")
    house.pass_time(HALF)
    await changer.change("large", "FULL_PRICE_RESET")
    house.pass_time(timedelta(days=1))
    again = await changer.change("large", "FULL_PRICE_RESET")
    assert (codes(again), again["invoice"]) == ([], None)
    assert totals(await changer.mine()) == [("PAID", 1000, 1000), ("PAID", 2000, 2000)]


async def test_two_changes_at_once_are_made_one_after_the_other(changer: Changer, house: House) -> None:
    await changer.begin("small")
    house.pass_time(HALF)
    told = await asyncio.gather(*(changer.change("large") for _ in range(5)))
    assert {each["subscription"]["plan"]["code"] for each in told if each["subscription"]} == {"large"}
    await house.deliver()
    assert totals(await changer.mine()) == [("PAID", 1000, 1000), ("PAID", 500, 500)]
    assert sorted((await charges_by_invoice(house)).values()) == [1, 1]
    await clean(house)


async def test_of_two_different_changes_of_one_version_one_is_made(changer: Changer, house: House) -> None:
    before = await changer.begin("small")
    house.pass_time(HALF)
    told = await asyncio.gather(
        *(changer.change(plan, expectedVersion=before["version"]) for plan in ("large", "huge"))
    )
    assert sorted(codes(each) for each in told) == [[], ["VERSION_CONFLICT"]]
    await house.deliver()
    assert len((await changer.mine())["invoices"]["nodes"]) == 2
    await clean(house)


async def test_up_and_down_again_at_one_instant_costs_nothing(changer: Changer, house: House) -> None:
    await changer.begin("small")
    house.pass_time(HALF / 3)
    await changer.change("huge")
    down = await changer.change("small")
    (up,) = [each for each in (await changer.mine())["invoices"]["nodes"] if each["total"]["amountMinor"] == 2500]
    assert [-each for each in amounts(up)] == amounts(down["invoice"])[::-1]
    renewed = await changer.pass_by(HALF * 5 / 3)
    assert sorted(due for _, _, due in totals(renewed)) == [0, 0, 1000, 2500]
    await clean(house)


# ── refused ──


async def test_what_is_not_paid_gives_nothing_back_and_is_not_charged_twice(changer: Changer, house: House) -> None:
    await changer.begin("small")
    await pay_with(changer, "pm_card_chargeCustomerFail")
    await changer.pass_by(HALF * 2)
    house.pass_time(timedelta(days=1))
    for proration in ("PRORATE_NOW", "PRORATE_NEXT_INVOICE", "USAGE_AWARE", "FULL_PRICE_RESET"):
        wish = {"planCode": "large", "effectiveAt": "NOW", "proration": proration}
        assert await refused(changer, CHANGE, **wish) == ("INVALID_STATE", ["subscriptionId"])
    told = await changer.change("large", "NONE", user="demo-admin")
    assert (codes(told), told["subscription"]["plan"]["code"], told["invoice"]) == ([], "large", None)
    assert codes(await changer.ask(CHANGE, planCode="huge")) == []


async def test_what_cannot_be_chosen_is_refused_by_name(changer: Changer, house: House) -> None:
    shop = Merchant(house)
    await shop.plan("hidden", "5.00", isOnlineSale=False)
    await shop.plan("euros", "5.00", "EUR")
    await shop.plan("stamps", "4.00")
    await changer.begin("small")
    now: dict[str, Any] = {"effectiveAt": "NOW"}
    assert await refused(changer, CHANGE, planCode="none", **now) == ("NOT_FOUND", ["planId"])
    assert await refused(changer, CHANGE, planCode="hidden", **now) == ("PLAN_NOT_FOR_SALE", ["planId"])
    assert await refused(changer, CHANGE, planCode="euros", **now) == ("CURRENCY_UNSUPPORTED", ["planId"])
    assert await refused(changer, CHANGE, planCode="large", currencyCode="EUR", **now) == (
        "CURRENCY_MISMATCH",
        ["currencyCode"],
    )
    assert await refused(changer, CHANGE, **now) == ("REQUIRED", ["planId"])
    assert await refused(changer, CHANGE, planCode="large", date="2026-02-03T00:00:00Z") == ("INVALID", ["date"])
    assert await refused(changer, CHANGE, planCode="large", effectiveAt="AT_DATE") == ("REQUIRED", ["date"])
    assert await refused(changer, UPDATE, items=[]) == ("INVALID", ["items"])
    assert await refused(changer, UPDATE, items=[{"planCode": "small"}] * 2) == ("INVALID", ["items"])
    assert await refused(changer, UPDATE, proration="NONE") == ("INVALID", ["proration"])
    mixed = [{"planCode": "small"}, {"planCode": "yearly"}]
    assert await refused(changer, UPDATE, items=mixed) == ("INVALID", ["items"])
    assert codes(await changer.ask(UPDATE, items=[{"planCode": "small"}, {"planCode": "stamps", "quantity": 2}])) == []
    assert await refused(changer, CHANGE, planCode="stamps", **now) == ("INVALID", ["planId"])
    assert codes(await changer.ask(UPDATE, items=[{"planCode": "small"}])) == []
    await changer.subscribe("stamps", paymentMethodId=await changer.default_card())
    changer.subscribed.pop()
    both = [{"planCode": "small"}, {"planCode": "stamps"}]
    assert await refused(changer, UPDATE, items=both) == ("ALREADY_SUBSCRIBED", ["items"])
    told = await changer.ask(CHANGE, "demo-admin", planCode="hidden", **now)
    assert codes(told) == []
    await clean(house)


async def test_what_has_no_paid_period_is_not_changed(changer: Changer) -> None:
    changer.subscribed.append((await changer.subscribe("small"))["subscription"]["id"])
    wish = {"planCode": "large", "effectiveAt": "NOW"}
    assert await refused(changer, CHANGE, **wish) == ("INVALID_STATE", ["subscriptionId"])
    await changer.cancel(effectiveAt="NOW")
    assert await refused(changer, CHANGE, **wish) == ("INVALID_STATE", ["subscriptionId"])
