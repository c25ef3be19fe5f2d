"""What a subscription consists of changes in mid-period: to the cent, in each way of handling money."""

from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import select

from models.base import new_id
from models.credits import CreditBalance
from models.subscriptions import Subscription
from tests.scenarios.changing import (
    CHANGE,
    END,
    ERRORS,
    HALF,
    MIDDLE,
    PERIOD,
    START,
    UPDATE,
    Changer,
    amounts,
    changer_of,
    clean,
    codes,
    totals,
)
from tests.scenarios.merchant import Merchant, done
from tests.scenarios.metering import key_of, sell, tell
from tests.support.house import House
from tests.support.outside import charges_by_invoice

ADMIN = "demo-admin"
FORTH = """query ($after: String) { invoices(first: 2, after: $after) {
  nodes { number } pageInfo { endCursor } } }"""
BACK = """query ($before: String) { invoices(last: 2, before: $before) {
  nodes { number } pageInfo { startCursor } } }"""


@pytest.fixture
async def changer(house: House) -> Changer:
    return await changer_of(house)


# ── each way of handling money ──


async def test_an_upgrade_in_mid_period_is_prorated_and_paid_at_once(changer: Changer, house: House) -> None:
    await changer.begin("small")
    house.pass_time(HALF)
    told = await changer.change("large")
    assert codes(told) == []
    assert (told["subscription"]["plan"]["code"], told["subscription"]["status"]) == ("large", "ACTIVE")
    assert told["subscription"]["currentPeriod"] == {"start": START, "end": END}
    assert told["subscription"]["amount"]["amountMinor"] == 2000
    assert (told["invoice"]["status"], told["invoice"]["reason"]) == ("PAID", "SUBSCRIPTION_UPDATE")
    assert [(line["kind"], line["amount"]["amountMinor"]) for line in told["invoice"]["lines"]] == [
        ("CREDIT", -500),
        ("RECURRING", 1000),
    ]
    assert told["payment"]["status"] == "SUCCEEDED"
    renewed = await changer.pass_by(HALF)
    assert totals(renewed) == [("PAID", 1000, 1000), ("PAID", 500, 500), ("PAID", 2000, 2000)]
    assert sorted((await charges_by_invoice(house)).values()) == [1, 1, 1]
    await clean(house)


async def test_a_downgrade_goes_to_the_balance_and_pays_for_what_comes(changer: Changer, house: House) -> None:
    await changer.begin("large")
    house.pass_time(HALF)
    told = await changer.change("small")
    assert (codes(told), told["payment"], told["invoice"]["status"]) == ([], None, "PAID")
    assert (told["invoice"]["total"]["amountMinor"], amounts(told["invoice"])) == (-500, [-1000, 500])
    renewed = await changer.pass_by(HALF)
    assert totals(renewed) == [("PAID", 2000, 2000), ("PAID", -500, 0), ("PAID", 1000, 500)]
    assert sorted((await charges_by_invoice(house)).values()) == [1, 1]
    await clean(house)


async def test_invoices_of_one_instant_are_listed_by_their_numbers(changer: Changer, house: House) -> None:
    await changer.begin("small")
    for plan in ("large", "huge") * 4:
        assert codes(await changer.change(plan)) == []
    told = [each["number"] for each in (await changer.mine())["invoices"]["nodes"]]
    assert [int(number.rpartition("-")[2]) for number in told] == list(range(9, 0, -1))
    forth, back, after, before = [], [], None, None
    for _ in range(5):
        page = (await house.ask(FORTH, {"after": after}, changer.user))["invoices"]
        forth += [each["number"] for each in page["nodes"]]
        after = page["pageInfo"]["endCursor"]
        page = (await house.ask(BACK, {"before": before}, changer.user))["invoices"]
        back = [each["number"] for each in page["nodes"]] + back
        before = page["pageInfo"]["startCursor"]
    assert (forth, back) == (told, told)


async def test_the_lines_wait_for_the_next_invoice(changer: Changer, house: House) -> None:
    await changer.begin("small")
    house.pass_time(HALF)
    told = await changer.change("large", "PRORATE_NEXT_INVOICE")
    assert (codes(told), told["invoice"], told["subscription"]["plan"]["code"]) == ([], None, "large")
    renewed = await changer.pass_by(HALF)
    assert totals(renewed) == [("PAID", 1000, 1000), ("PAID", 2500, 2500)]
    assert amounts(renewed["invoices"]["nodes"][0]) == [2000, -500, 1000]
    later = await changer.pass_by(timedelta(days=31))
    assert totals(later)[-1] == ("PAID", 2000, 2000)
    await clean(house)


async def test_changes_on_the_next_invoice_are_cut_to_the_time_that_each_lasted(changer: Changer, house: House) -> None:
    await changer.begin("small")
    house.pass_time(PERIOD / 4)
    await changer.change("large", "PRORATE_NEXT_INVOICE")
    house.pass_time(PERIOD / 4)
    await changer.change("huge", "PRORATE_NEXT_INVOICE")
    renewed = await changer.pass_by(HALF)
    # The whole period: a quarter of 10, a quarter of 20, half of 40 = 27.50, of which 10 were paid in advance.
    assert amounts(renewed["invoices"]["nodes"][0]) == [4000, -750, 500, 2000]
    assert totals(renewed)[-1] == ("PAID", 5750, 5750)
    await clean(house)


async def test_what_waited_is_paid_with_a_change_at_once(changer: Changer, house: House) -> None:
    await changer.begin("small")
    house.pass_time(PERIOD / 4)
    await changer.change("large", "PRORATE_NEXT_INVOICE")
    house.pass_time(PERIOD / 4)
    told = await changer.change("huge")
    assert (amounts(told["invoice"]), told["invoice"]["total"]["amountMinor"]) == ([2000, -750, 500], 1750)
    assert totals(await changer.pass_by(HALF))[-1] == ("PAID", 4000, 4000)
    await clean(house)


async def test_without_money_only_the_next_period_costs_more(changer: Changer, house: House) -> None:
    await changer.begin("small")
    house.pass_time(HALF)
    told = await changer.change("large", "NONE", user=ADMIN)
    assert (codes(told), told["invoice"], told["subscription"]["amount"]["amountMinor"]) == ([], None, 2000)
    assert totals(await changer.pass_by(HALF)) == [("PAID", 1000, 1000), ("PAID", 2000, 2000)]
    await clean(house)


async def test_nobody_helps_himself_to_the_rest_of_a_period_for_nothing(changer: Changer) -> None:
    """Up without money after each renewal, and down at each end: everything for the price of the least."""
    before = await changer.begin("small")
    change, more = {"planCode": "huge", "proration": "NONE"}, {"items": [{"planCode": "small", "quantity": 100}]}
    wishes: list[tuple[str, str, str, dict[str, Any]]] = [
        (CHANGE, "previewChangePlan", "ChangePlanInput", {**change, "effectiveAt": "NOW"}),
        (CHANGE, "previewChangePlan", "ChangePlanInput", {**change, "effectiveAt": "AT_DATE", "date": MIDDLE}),
        (UPDATE, "previewUpdateSubscription", "UpdateSubscriptionInput", {**more, "proration": "NONE"}),
    ]
    for act, field, kind, wish in wishes:
        preview = f"query ($input: {kind}!) {{ {field}(input: $input) {{ preview {{ quoteToken }} {ERRORS} }} }}"
        for query in (act, preview):
            (refused,) = (await changer.ask(query, **wish))["userErrors"]
            assert (refused["code"], refused["field"]) == ("NOT_PERMITTED", ["proration"])
    assert await changer.mine() == before


async def test_a_fresh_period_at_full_price_forfeits_the_rest(changer: Changer, house: House) -> None:
    await changer.begin("small")
    house.pass_time(HALF)
    told = await changer.change("large", "FULL_PRICE_RESET")
    assert (codes(told), amounts(told["invoice"])) == ([], [2000])
    assert told["subscription"]["currentPeriod"] == {"start": MIDDLE, "end": "2026-03-14T09:30:00Z"}
    renewed = await changer.pass_by(timedelta(days=28))
    assert renewed["currentPeriod"] == {"start": "2026-03-14T09:30:00Z", "end": "2026-04-14T09:30:00Z"}
    assert totals(renewed) == [("PAID", 1000, 1000), ("PAID", 2000, 2000), ("PAID", 2000, 2000)]
    await clean(house)


# ── another interval ──


async def test_a_quarter_of_a_year_used_gives_three_quarters_back(changer: Changer, house: House) -> None:
    await changer.begin("yearly")
    house.pass_time(timedelta(days=365) / 4)
    told = await changer.change("small")
    assert (codes(told), amounts(told["invoice"])) == ([], [-9000, 1000])
    shown = told["subscription"]
    assert (shown["interval"], shown["currentPeriod"]["start"]) == ("MONTH", "2026-05-02T15:30:00Z")
    assert (shown["currentPeriod"]["end"], shown["billingCycleAnchor"]) == (
        "2026-06-02T15:30:00Z",
        "2026-05-02T15:30:00Z",
    )
    # 80.00 in the balance pay for eight months.
    for _ in range(9):
        shown = await changer.pass_by(timedelta(days=31))
    dues = [due for _, _, due in totals(shown)]
    assert dues == [12000, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1000]
    await clean(house)


async def test_monthly_to_yearly_begins_a_year_now(changer: Changer, house: House) -> None:
    await changer.begin("small")
    house.pass_time(HALF)
    told = await changer.change("yearly")
    assert (codes(told), amounts(told["invoice"])) == ([], [-500, 12000])
    assert told["subscription"]["currentPeriod"] == {"start": MIDDLE, "end": "2027-02-14T09:30:00Z"}
    assert totals(await changer.mine()) == [("PAID", 1000, 1000), ("PAID", 11500, 11500)]
    await clean(house)


@pytest.mark.parametrize("proration", ["NONE", "PRORATE_NEXT_INVOICE"])
async def test_a_new_period_wants_its_money_now(changer: Changer, proration: str) -> None:
    before = await changer.begin("small")
    told = await changer.change("yearly", proration, user=ADMIN)
    assert (codes(told), told["userErrors"][0]["field"]) == (["INVALID"], ["proration"])
    assert await changer.mine() == before


async def test_another_interval_at_the_periods_end_needs_no_proration(changer: Changer, house: House) -> None:
    await changer.begin("small")
    house.pass_time(HALF)
    told = await changer.ask(CHANGE, planCode="yearly")
    assert (codes(told), told["subscription"]["scheduledChange"]["at"]) == ([], END)
    shown = await changer.pass_by(HALF)
    assert (shown["plan"]["code"], shown["currentPeriod"]) == ("yearly", {"start": END, "end": "2027-02-28T09:30:00Z"})
    assert totals(shown) == [("PAID", 1000, 1000), ("PAID", 12000, 12000)]
    await clean(house)


# ── quantity and items ──


async def test_more_and_fewer_of_the_same_are_prorated(changer: Changer, house: House) -> None:
    await changer.begin("small", quantity=2)
    house.pass_time(HALF)
    up = await changer.ask(UPDATE, items=[{"planCode": "small", "quantity": 5}])
    assert (codes(up), amounts(up["invoice"])) == ([], [-1000, 2500])
    assert [item["quantity"] for item in up["subscription"]["items"]] == [5]
    house.pass_time(HALF / 2)
    down = await changer.ask(UPDATE, items=[{"planCode": "small", "quantity": 1}])
    assert (codes(down), amounts(down["invoice"])) == ([], [-1250, 250])
    assert totals(await changer.pass_by(HALF / 2)) == [
        ("PAID", 2000, 2000),
        ("PAID", 1500, 1500),
        ("PAID", -1000, 0),
        ("PAID", 1000, 0),
    ]
    await clean(house)


async def test_items_of_other_products_come_and_go(changer: Changer, house: House) -> None:
    await Merchant(house).plan("stamps", "4.00")
    await changer.begin("small")
    house.pass_time(HALF)
    both = [{"planCode": "small"}, {"planCode": "stamps", "quantity": 3}]
    told = await changer.ask(UPDATE, items=both)
    # What stays is left alone.
    assert (codes(told), amounts(told["invoice"])) == ([], [600])
    assert told["subscription"]["amount"]["amountMinor"] == 2200
    refused = await changer.subscribe("stamps")
    assert codes(refused) == ["ALREADY_SUBSCRIBED"]
    gone = await changer.ask(UPDATE, items=[{"planCode": "small"}])
    assert (codes(gone), amounts(gone["invoice"])) == ([], [-600])
    assert [item["plan"]["code"] for item in gone["subscription"]["items"]] == ["small"]
    assert totals(await changer.pass_by(HALF))[-1] == ("PAID", 1000, 400)
    free = await changer.subscribe("stamps", paymentMethodId=await changer.default_card())
    assert free["subscription"]["status"] == "ACTIVE"
    await clean(house)


async def test_the_plan_changes_to_another_product_and_frees_the_first(changer: Changer, house: House) -> None:
    await Merchant(house).plan("stamps", "4.00")
    await changer.begin("small")
    house.pass_time(HALF)
    told = await changer.change("stamps")
    assert (codes(told), amounts(told["invoice"])) == ([], [-500, 200])
    again = await changer.subscribe("small", paymentMethodId=await changer.default_card())
    # 3.00 of the balance are used for it.
    assert (again["subscription"]["status"], codes(again)) == ("ACTIVE", [])
    assert totals(await changer.mine()) == [("PAID", 1000, 700)]
    await clean(house)


async def test_a_price_of_its_own_comes_from_the_merchant_alone(changer: Changer, house: House) -> None:
    await changer.begin("small")
    house.pass_time(HALF)
    priced = [{"planCode": "small", "unitAmount": {"amount": "6.00", "currencyCode": "USD"}}]
    refused = await changer.ask(UPDATE, items=priced)
    assert [(e["code"], e["field"]) for e in refused["userErrors"]] == [("NOT_PERMITTED", ["items", "0", "unitAmount"])]
    told = await changer.ask(UPDATE, user="demo-admin", items=priced)
    assert (codes(told), amounts(told["invoice"])) == ([], [-500, 300])
    # It stays when only the quantity changes.
    more = await changer.ask(UPDATE, items=[{"planCode": "small", "quantity": 2}])
    assert (codes(more), amounts(more["invoice"])) == ([], [-300, 600])
    await clean(house)


# ── tax, yen and dinar ──


async def test_tax_is_given_back_and_charged_with_the_price(changer: Changer, house: House) -> None:
    await changer.begin("small", by="demo-admin", taxPercent="7.7")
    house.pass_time(HALF)
    told = await changer.change("large")
    assert codes(told) == []
    # 10.00 cost 10.77: half of it is 5.385, and half of 20.00 bears 0.77 of tax.
    assert amounts(told["invoice"]) == [-539, 1000, 77]
    assert told["invoice"]["taxTotal"]["amountMinor"] == 77
    await clean(house)


@pytest.mark.parametrize(
    ("currency", "prices", "lines"),
    [("JPY", ("1000", "1501"), [-667, 1001]), ("KWD", ("1.250", "3.750"), [-830, 2500])],
)
async def test_yen_and_dinar(
    changer: Changer, house: House, currency: str, prices: tuple[str, str], lines: list[int]
) -> None:
    shop = Merchant(house)
    await shop.product("foreign")
    await shop.plan("f-small", prices[0], currency, product="foreign")
    await shop.plan("f-large", prices[1], currency, product="foreign")
    await changer.begin("f-small")
    house.pass_time(PERIOD / 3)
    told = await changer.change("f-large")
    assert (codes(told), amounts(told["invoice"])) == ([], lines)
    back = await changer.change("f-small")
    assert (codes(back), amounts(back["invoice"])) == ([], [-lines[1], -lines[0]])
    await clean(house)


async def test_what_comes_to_too_little_waits_in_the_balance(changer: Changer, house: House) -> None:
    await Merchant(house).plan("small-plus", "10.50", product="letters")
    await changer.begin("small")
    house.pass_time(HALF)
    told = await changer.change("small-plus")
    assert (codes(told), told["payment"], told["invoice"]["status"]) == ([], None, "PAID")
    assert amounts(told["invoice"]) == [-500, 525]
    assert totals(await changer.pass_by(HALF))[-1] == ("PAID", 1050, 1075)
    await clean(house)


# ── coupons, credits, usage ──


async def test_a_coupon_goes_back_with_the_price_and_takes_off_the_new_one(changer: Changer, house: House) -> None:
    coupon = {"code": "HALF", "percentOff": "50", "duration": "FOREVER"}
    await done(house, "createCoupon", "CouponInput", coupon, "coupon { id }")
    await changer.begin("small", couponCode="HALF")
    house.pass_time(HALF)
    told = await changer.change("large")
    assert (codes(told), told["subscription"]["amount"]["amountMinor"]) == ([], 1000)
    # Half of the 5.00 that were paid, half of 20.00, and half off that.
    assert amounts(told["invoice"]) == [-250, 1000, -500]
    assert totals(await changer.pass_by(HALF)) == [("PAID", 500, 500), ("PAID", 250, 250), ("PAID", 1000, 1000)]
    await clean(house)


async def test_a_coupon_of_one_period_is_not_given_twice(changer: Changer, house: House) -> None:
    coupon = {"code": "FIRST", "amountsOff": [{"amount": "4.00", "currencyCode": "USD"}], "duration": "ONCE"}
    await done(house, "createCoupon", "CouponInput", coupon, "coupon { id }")
    await changer.begin("small", couponCode="FIRST")
    house.pass_time(HALF)
    up = await changer.change("large", "PRORATE_NEXT_INVOICE")
    assert codes(up) == []
    # 6.00 were paid: half of that comes back, and the second period is paid in full.
    renewed = await changer.pass_by(HALF)
    assert amounts(renewed["invoices"]["nodes"][0]) == [2000, -300, 1000]
    await clean(house)


async def use_up(house: House, subscription_id: str, used: int) -> None:
    """So many of the hundred stamps are gone."""
    async with house.app.database.write() as session:
        row = await session.get_one(Subscription, subscription_id)
        of_stamps = select(CreditBalance).where(CreditBalance.unit == "stamp")
        balance = (await session.exec(of_stamps)).first() or CreditBalance(
            id=new_id("credit_balance"),
            subscription_id=row.id,
            customer_id=row.customer_id,
            unit="stamp",
            created_at=house.clock.now(),
            updated_at=house.clock.now(),
        )
        balance.total_granted, balance.total_used, balance.remaining = 100, used, 100 - used
        session.add(balance)


@pytest.mark.parametrize(("used", "credit"), [(0, -500), (40, -500), (70, -300), (100, 0)])
async def test_what_has_been_used_up_is_not_given_back(changer: Changer, house: House, used: int, credit: int) -> None:
    credits = [{"unit": "stamp", "total": 100}]
    await Merchant(house).plan("stamped", "10.00", product="letters", credits=credits)
    await changer.begin("stamped")
    house.pass_time(HALF)
    await use_up(house, changer.subscribed[-1], used)
    told = await changer.change("large", "USAGE_AWARE")
    assert codes(told) == []
    assert amounts(told["invoice"]) == ([credit, 1000] if credit else [1000])
    await clean(house)


async def test_usage_is_closed_at_the_old_price_on_the_changes_invoice(changer: Changer, house: House) -> None:
    await Merchant(house).product("api")
    await sell(house, "calls-1", productCode="api")
    await sell(house, "calls-3", productCode="api", prices=[{"currencyCode": "USD", "unitAmountDecimal": "0.03"}])
    await changer.begin("small")
    key, row = await key_of(house), changer.subscribed[-1]
    both = [{"planCode": "small"}, {"planCode": "calls-1"}]
    assert codes(await changer.ask(UPDATE, items=both)) == []
    house.pass_time(HALF / 2)
    assert (await tell(house, key, {"subscriptionId": row, "quantity": "200"}))["accepted"] == 1
    house.pass_time(HALF / 2)
    changed = await changer.ask(UPDATE, items=[{"planCode": "large"}, {"planCode": "calls-3"}])
    assert [(line["kind"], line["amount"]["amountMinor"]) for line in changed["invoice"]["lines"]] == [
        ("USAGE", 200),
        ("CREDIT", -500),
        ("RECURRING", 1000),
    ]
    house.pass_time(HALF / 2)
    await tell(house, key, {"subscriptionId": row, "quantity": "100", "idempotencyKey": "later"})
    renewed = await changer.pass_by(HALF / 2)
    # A hundred more at the new price, and nothing of the old ones again.
    assert totals(renewed)[-1] == ("PAID", 2300, 2300)
    await clean(house)


async def test_usage_waits_for_the_next_invoice_where_no_money_moves(changer: Changer, house: House) -> None:
    await Merchant(house).product("api")
    await sell(house, "calls-1", productCode="api")
    await changer.begin("small")
    key, row = await key_of(house), changer.subscribed[-1]
    await changer.ask(UPDATE, items=[{"planCode": "small"}, {"planCode": "calls-1"}])
    await tell(house, key, {"subscriptionId": row, "quantity": "200"})
    house.pass_time(HALF)
    told = await changer.ask(UPDATE, ADMIN, items=[{"planCode": "small"}], proration="NONE")
    assert (codes(told), told["invoice"]) == ([], None)
    assert totals(await changer.pass_by(HALF)) == [("PAID", 1000, 1000), ("PAID", 1200, 1200)]
    await clean(house)
