"""A changed price is a new one: who is there stays at the old one, until a migration moves them."""

from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import col, select

from models.events import BillingEvent
from services.selling import migrating
from tests.scenarios.changing import CHANGE, END, FORGET, HALF, START, UPDATE, Changer, changer_of, clean, codes, totals
from tests.scenarios.curating import ADMIN, MIGRATE, migrate, refused, reprice, told
from tests.scenarios.merchant import Merchant
from tests.scenarios.orders import ordered
from tests.support.house import House
from tests.support.tables import everything

MARCH = timedelta(days=31)
ATTACH = """mutation ($card: String!) { attachPaymentMethod(input: {paymentMethodId: $card, makeDefault: true}) {
  userErrors { code } } }"""


@pytest.fixture
async def changer(house: House) -> Changer:
    return await changer_of(house)


async def buyer(house: House, user: str, plan: str, **wish: Any) -> str:
    """Somebody else with a card and a subscription."""
    await house.ask(ATTACH, {"card": "pm_card_visa"}, user)
    return await ordered(house, user, by=user, planCode=plan, **wish)


async def history(house: House, plan: str) -> list[dict[str, Any]]:
    query = """query ($c: String) { plan(code: $c) { priceHistory { nodes { amount { amount } isActive isDefault
      effectiveFrom replacedBy { amount { amount } } subscriptionsCount } } } }"""
    return (await house.ask(query, {"c": plan}, ADMIN))["plan"]["priceHistory"]["nodes"]


def amount(text: str) -> dict[str, str]:
    return {"amount": text}


async def test_present_subscribers_renew_at_the_old_price_and_new_ones_pay_the_new(
    changer: Changer, house: House
) -> None:
    await changer.begin("small")
    house.pass_time(HALF)
    await reprice(house, "small", "15.00")
    assert await history(house, "small") == [
        {
            "amount": amount("15.00"),
            "isActive": True,
            "isDefault": True,
            "effectiveFrom": "2026-02-14T09:30:00Z",
            "replacedBy": None,
            "subscriptionsCount": 0,
        },
        {
            "amount": amount("10.00"),
            "isActive": False,
            "isDefault": False,
            "effectiveFrom": START,
            "replacedBy": {"amount": amount("15.00")},
            "subscriptionsCount": 1,
        },
    ]
    await buyer(house, "late", "small")
    shown = await changer.pass_by(HALF)
    assert totals(shown) == [("PAID", 1000, 1000), ("PAID", 1000, 1000)]
    late = (await house.ask("{ mySubscription { amount { amountMinor } } }", user="late"))["mySubscription"]
    assert late["amount"]["amountMinor"] == 1500
    assert [each["subscriptionsCount"] for each in await history(house, "small")] == [1, 1]
    await clean(house)


async def test_a_migration_moves_them_with_their_next_period(changer: Changer, house: House) -> None:
    await changer.begin("small", quantity=2)
    old, new = await reprice(house, "small", "15.00")
    moved = await migrate(house, old, new)
    assert (moved["affected"], moved["remaining"], moved["skipped"], codes(moved)) == (1, 0, 0, [])
    (first,) = moved["preview"]
    assert (first["at"], first["amountBefore"], first["amountAfter"]) == (
        END,
        {"amountMinor": 2000},
        {"amountMinor": 3000},
    )
    shown = await changer.mine()
    assert (shown["scheduledChange"]["at"], shown["amount"]["amountMinor"]) == (END, 2000)
    async with house.app.database.read() as session:
        events = (await session.exec(select(BillingEvent.type).order_by(col(BillingEvent.id)))).all()
    assert events[-1] == "subscription.change_scheduled"
    shown = await changer.pass_by(HALF * 2)
    assert totals(shown) == [("PAID", 2000, 2000), ("PAID", 3000, 3000)]
    assert (shown["plan"]["code"], shown["amount"]["amountMinor"]) == ("small", 3000)
    assert [each["subscriptionsCount"] for each in await history(house, "small")] == [1, 0]
    await clean(house)


async def test_a_dry_run_tells_and_changes_nothing(changer: Changer, house: House) -> None:
    await changer.begin("small")
    old, new = await reprice(house, "small", "15.00")
    before = await everything(house.app)
    dry = await migrate(house, old, new, dryRun=True)
    left_out = await told(house, MIGRATE, i={"fromPriceId": old, "toPriceId": new, "effectiveAt": "PERIOD_END"})
    assert dry == left_out
    assert (dry["affected"], dry["remaining"], dry["preview"][0]["amountAfter"]["amountMinor"]) == (1, 1, 1500)
    assert await everything(house.app) == before


async def test_repeating_it_moves_only_who_is_left(changer: Changer, house: House) -> None:
    await changer.begin("small")
    old, new = await reprice(house, "small", "15.00")
    await migrate(house, old, new)
    before = await everything(house.app)
    assert (await migrate(house, old, new))["affected"] == 0
    assert await everything(house.app) == before
    await house.ask(ATTACH, {"card": "pm_card_visa"}, "late")
    third = (await reprice(house, "small", "18.00"))[1]
    late = await ordered(house, "late", by="late", planCode="small")
    fourth = (await reprice(house, "small", "19.00"))[1]
    moved = await migrate(house, third, fourth)
    assert [each["subscription"]["id"] for each in moved["preview"]] == [late]


async def test_what_one_call_has_no_time_for_remains_for_the_next(
    changer: Changer, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await changer.begin("small")
    for user in ("b", "c"):
        await buyer(house, user, "small")
    old, new = await reprice(house, "small", "15.00")
    monkeypatch.setattr(migrating, "_AT_ONCE", 2)
    machine, step = house.machine, timedelta(seconds=3)
    asked = type(machine).now

    def later(self: Any) -> Any:
        if self is machine:
            machine.advance(step)
        return asked(self)

    monkeypatch.setattr(type(machine), "now", later)
    first = await migrate(house, old, new)
    monkeypatch.undo()
    assert (first["affected"] + first["remaining"], first["affected"] in (1, 2)) == (3, True)
    second = await migrate(house, old, new)
    assert (second["affected"], second["remaining"]) == (first["remaining"], 0)


async def test_notice_moves_those_a_period_later_whose_period_ends_too_soon(changer: Changer, house: House) -> None:
    await changer.begin("small")
    old, new = await reprice(house, "small", "15.00")
    moved = await migrate(house, old, new, noticeDays=30)
    assert moved["preview"][0]["at"] == "2026-03-31T09:30:00Z"
    shown = await changer.pass_by(HALF * 2)
    assert shown["amount"]["amountMinor"] == 1000
    shown = await changer.pass_by(MARCH)
    assert totals(shown) == [("PAID", 1000, 1000), ("PAID", 1000, 1000), ("PAID", 1500, 1500)]
    await clean(house)


async def test_at_once_the_rest_of_the_period_comes_on_the_next_invoice(changer: Changer, house: House) -> None:
    await changer.begin("small")
    old, new = await reprice(house, "small", "15.00")
    house.pass_time(HALF)
    moved = await migrate(house, old, new, at="NOW")
    assert (moved["affected"], moved["preview"][0]["at"]) == (1, "2026-02-14T09:30:00Z")
    assert (await changer.mine())["amount"]["amountMinor"] == 1500
    shown = await changer.pass_by(HALF)
    assert totals(shown) == [("PAID", 1000, 1000), ("PAID", 1750, 1750)]
    await clean(house)


async def test_another_plan_of_the_product_takes_them_over(changer: Changer, house: House) -> None:
    await changer.begin("small")
    old, _ = await reprice(house, "small", "15.00")
    large, _ = await reprice(house, "large", "20.00", isDefault=True)
    assert (await migrate(house, old, large))["affected"] == 1
    shown = await changer.pass_by(HALF * 2)
    assert (shown["plan"]["code"], totals(shown)[1]) == ("large", ("PAID", 2000, 2000))
    await clean(house)


async def test_customers_cannot_take_it_back_but_may_leave(changer: Changer, house: House) -> None:
    await changer.begin("small")
    old, new = await reprice(house, "small", "15.00")
    await migrate(house, old, new)
    for query, wish in (
        (FORGET, {}),
        (CHANGE, {"planCode": "small"}),
        (CHANGE, {"planCode": "small", "effectiveAt": "NOW"}),
        (UPDATE, {"items": [{"planCode": "small", "quantity": 1}]}),
    ):
        before = await everything(house.app)
        assert codes(await changer.ask(query, **wish)) == ["NOT_PERMITTED"], wish
        assert await everything(house.app) == before
    assert codes(await changer.ask(CHANGE, planCode="large")) == []
    assert codes(await changer.ask(FORGET)) == []
    await migrate(house, old, new)
    assert codes(await changer.ask(FORGET, ADMIN)) == []


async def test_who_has_something_else_agreed_is_left_alone(changer: Changer, house: House) -> None:
    merchant = Merchant(house)
    await changer.begin("small")
    await changer.ask(CHANGE, planCode="large")  # plans to leave
    await buyer(house, "ends", "small", autoRenew=False)
    await merchant.customer("own")
    await house.ask(ATTACH, {"card": "pm_card_visa"}, "own")
    await ordered(
        house,
        "own",
        items=[{"planCode": "small", "unitAmount": {"amount": "5.00", "currencyCode": "USD"}}],
    )
    manual = """mutation { createManualSubscription(input: {customer: {userId: "kid"}, planCode: "small",
      interval: MONTH, periodStart: "2026-01-31", periodEnd: "2026-02-28"}) { userErrors { code } } }"""
    assert (await told(house, manual))["userErrors"] == []
    old, new = await reprice(house, "small", "15.00")
    before = await everything(house.app)
    assert (await migrate(house, old, new))["affected"] == 0
    assert await everything(house.app) == before


async def test_an_open_invoice_puts_a_move_at_once_off(changer: Changer, house: House) -> None:
    await changer.begin("small")
    old, new = await reprice(house, "small", "15.00")
    await house.ask(ATTACH, {"card": "pm_card_chargeCustomerFail"}, "demo-card")
    shown = await changer.pass_by(HALF * 2)
    assert shown["status"] == "PAST_DUE"
    before = await everything(house.app)
    moved = await migrate(house, old, new, at="NOW")
    assert (moved["affected"], moved["skipped"], moved["remaining"], moved["preview"]) == (0, 1, 0, [])
    assert await everything(house.app) == before
    assert (await migrate(house, old, new))["affected"] == 1


async def test_what_cannot_be_a_migration_is_refused(changer: Changer, house: House) -> None:
    await changer.begin("small")
    old, new = await reprice(house, "small", "15.00")
    newest = (await reprice(house, "small", "16.00"))[1]
    other, _ = await reprice(house, "reader-pro", "7.00")
    yearly, _ = await reprice(house, "yearly", "120.00")
    yuan, _ = await reprice(house, "reader-pro", "101.00", "CNY")
    at = {"effectiveAt": "PERIOD_END", "dryRun": False}
    for wish, code, field in (
        ({"fromPriceId": "prc_none", "toPriceId": newest}, "NOT_FOUND", "fromPriceId"),
        ({"fromPriceId": old, "toPriceId": "prc_none"}, "NOT_FOUND", "toPriceId"),
        ({"fromPriceId": newest, "toPriceId": newest}, "INVALID", "toPriceId"),
        ({"fromPriceId": old, "toPriceId": new}, "INVALID", "toPriceId"),
        ({"fromPriceId": old, "toPriceId": other}, "INVALID", "toPriceId"),
        ({"fromPriceId": old, "toPriceId": yearly}, "INVALID", "toPriceId"),
        ({"fromPriceId": old, "toPriceId": yuan}, "CURRENCY_MISMATCH", "toPriceId"),
        ({"fromPriceId": old, "toPriceId": newest, "effectiveAt": "AT_DATE"}, "INVALID", "effectiveAt"),
        ({"fromPriceId": old, "toPriceId": newest, "effectiveAt": "NOW", "noticeDays": 3}, "INVALID", "noticeDays"),
        ({"fromPriceId": old, "toPriceId": newest, "noticeDays": -1}, "INVALID", "noticeDays"),
        ({"fromPriceId": old, "toPriceId": newest, "noticeDays": 366}, "INVALID", "noticeDays"),
    ):
        await refused(house, MIGRATE, code, [field], i={**at, **wish})


async def test_archived_plans_renew_and_are_not_sold(changer: Changer, house: House) -> None:
    await changer.begin("small")
    ids = await house.ask('{ product(code: "letters") { id } }')
    archive = """mutation ($id: ID!) { archiveProduct(id: $id) { product { isArchived isActive
      plans { totalCount } } userErrors { code } } }"""
    withdrawn = await told(house, archive, id=ids["product"]["id"])
    assert withdrawn["product"] == {"isArchived": True, "isActive": False, "plans": {"totalCount": 0}}
    await house.ask(ATTACH, {"card": "pm_card_visa"}, "late")
    subscribe = 'mutation { subscribe(input: {planCode: "small"}) { subscription { id } userErrors { code field } } }'
    assert (await told(house, subscribe, "late"))["userErrors"] == [{"code": "PLAN_ARCHIVED", "field": ["planCode"]}]
    by_product = subscribe.replace('planCode: "small"', 'productCode: "letters"')
    assert (await told(house, by_product, "late"))["userErrors"] == [{"code": "NOT_FOUND", "field": ["productCode"]}]
    assert codes(await changer.ask(CHANGE, planCode="large")) == ["PLAN_ARCHIVED"]
    shown = await changer.pass_by(HALF * 2)
    assert (shown["status"], shown["plan"]["code"]) == ("ACTIVE", "small")
    assert totals(shown) == [("PAID", 1000, 1000), ("PAID", 1000, 1000)]
    await clean(house)


async def test_what_is_not_offered_is_not_sold_until_it_is_again(changer: Changer, house: House) -> None:
    await changer.begin("small")
    id = (await house.ask('{ product(code: "letters") { id } }'))["product"]["id"]
    offer = """mutation ($id: ID!, $i: ProductInput!) { updateProduct(id: $id, input: $i) {
      product { isActive } userErrors { code } } }"""
    assert (await told(house, offer, id=id, i={"isActive": False}))["product"] == {"isActive": False}
    await house.ask(ATTACH, {"card": "pm_card_visa"}, "late")
    for named in ('planCode: "small"', 'productCode: "letters"', 'items: [{planCode: "small"}]'):
        subscribe = (
            f"mutation {{ subscribe(input: {{{named}}}) {{ subscription {{ id }} userErrors {{ code field }} }} }}"
        )
        refusal = {"code": "PLAN_ARCHIVED", "field": [named.split(":")[0]]}
        assert await told(house, subscribe, "late") == {"subscription": None, "userErrors": [refusal]}
    assert codes(await changer.ask(CHANGE, planCode="large")) == ["PLAN_ARCHIVED"]
    shown = await changer.pass_by(HALF * 2)
    assert totals(shown) == [("PAID", 1000, 1000), ("PAID", 1000, 1000)]
    assert (await told(house, offer, id=id, i={"isActive": True}))["product"] == {"isActive": True}
    assert codes(await changer.ask(CHANGE, planCode="large")) == []
    await clean(house)
