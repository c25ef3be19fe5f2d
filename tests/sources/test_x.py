"""Rows X: what more than one source asks for."""

from datetime import timedelta

import pytest

from tests.scenarios.by_hand import write_down
from tests.scenarios.merchant import ADMIN, done
from tests.scenarios.shopping import Shopper
from tests.sources.asking import CARD, card_of, plan, seen, subscribed
from tests.support.house import House


@pytest.fixture
def house(small_house: House) -> House:
    """What rows ask for does not depend on the engine; the stories beside them are told on both."""
    return small_house


async def test_x_01_money_reads_the_same_everywhere(house: House) -> None:
    shown = "{ amount amountMinor currencyCode formatted }"
    id = await subscribed(house)
    seven = {"amount": "7.00", "amountMinor": 700, "currencyCode": "USD", "formatted": "$7.00"}
    assert await seen(house, id, f"amount {shown} latestPayment {{ amount {shown} invoice {{ total {shown} }} }}") == {
        "amount": seven,
        "latestPayment": {"amount": seven, "invoice": {"total": seven}},
    }
    whole = (await write_down(house))["subscription"]["id"]
    assert (await seen(house, whole, f"totalPaid {shown}", ADMIN))["totalPaid"] == {
        "amount": "3540.00",
        "amountMinor": 354000,
        "currencyCode": "AED",
        "formatted": "AED3,540.00",
    }


async def test_x_02_one_plan_has_prices_in_several_currencies(house: House) -> None:
    assert (await plan(house, "reader-pro", "prices { currencyCode amount { amount } }"))["prices"] == [
        {"currencyCode": "USD", "amount": {"amount": "7.00"}},
        {"currencyCode": "CNY", "amount": {"amount": "101.00"}},
    ]
    id = await subscribed(house, currencyCode="CNY")
    assert await seen(house, id, "amount { amountMinor currencyCode }") == {
        "amount": {"amountMinor": 10100, "currencyCode": "CNY"}
    }


async def test_x_03_either_id_finds_the_object(house: House) -> None:
    id = await subscribed(house)
    customer = (await seen(house, id, "customer { id gatewayAccounts { customerId } }"))["customer"]
    gateway = customer["gatewayAccounts"][0]["customerId"]
    query = "query ($by: CustomerLookup!) { customer(by: $by) { id } }"
    for by in ({"id": customer["id"]}, {"gatewayCustomerId": gateway}, {"userId": CARD}):
        assert (await house.ask(query, {"by": by}, ADMIN))["customer"] == {"id": customer["id"]}
    payment = (await seen(house, id, "latestPayment { id gatewayPaymentId }"))["latestPayment"]
    query = "query ($by: PaymentLookup!) { payment(by: $by) { id } }"
    for by in ({"id": payment["id"]}, {"gatewayPaymentId": payment["gatewayPaymentId"]}):
        assert (await house.ask(query, {"by": by}, CARD))["payment"] == {"id": payment["id"]}
    card = await card_of(house, "id gatewayId")
    query = "query ($id: String) { paymentMethods(filter: {paymentMethodId: $id}) { nodes { id } } }"
    for name in (card["id"], card["gatewayId"]):
        assert (await house.ask(query, {"id": name}, CARD))["paymentMethods"]["nodes"] == [{"id": card["id"]}]


@pytest.mark.parametrize("notes", [{}, {"seat": "12A"}, [{"seat": "12A"}, {}]])
async def test_x_04_notes_are_kept_as_object_or_list(house: House, notes: object) -> None:
    id = await subscribed(house, metadata=notes)
    assert await seen(house, id, "metadata") == {"metadata": notes}


async def test_x_05_instants_are_in_utc_and_days_are_dates(house: House) -> None:
    told = (await write_down(house, periodStart="2026-01-31", periodEnd="2027-01-31"))["subscription"]["id"]
    assert await seen(house, told, "currentPeriod { start end }", ADMIN) == {
        "currentPeriod": {"start": "2026-01-31T00:00:00Z", "end": "2027-01-31T00:00:00Z"}
    }


async def test_x_06_many_cards_one_default_and_a_card_of_its_own(house: House) -> None:
    id = await subscribed(house)
    other = await Shopper(house, CARD).save_card("pm_card_mastercard")
    given = {"subscriptionId": id, "paymentMethodId": other}
    change = ("updateSubscriptionPaymentMethod", "UpdateSubscriptionPaymentMethodInput")
    cards = "paymentMethod { id } effectivePaymentMethod { card { brand } } customer { paymentMethods { totalCount } }"
    assert (await seen(house, id, cards)) == {
        "paymentMethod": None,
        "effectivePaymentMethod": {"card": {"brand": "visa"}},
        "customer": {"paymentMethods": {"totalCount": 2}},
    }
    await done(house, *change, given, "subscription { id }", user=CARD)
    assert (await seen(house, id, cards)) == {
        "paymentMethod": {"id": other},
        "effectivePaymentMethod": {"card": {"brand": "mastercard"}},
        "customer": {"paymentMethods": {"totalCount": 2}},
    }


async def test_x_07_the_saved_card_pays_each_period_without_the_customer(house: House) -> None:
    id = await subscribed(house)
    for days in (28, 31):
        house.pass_time(timedelta(days=days))
        await house.work()
    told = await seen(
        house, id, "collectionMethod totalPaid { amountMinor } payments { nodes { attempts { trigger } } }"
    )
    assert (told["collectionMethod"], told["totalPaid"]) == ("CHARGE_AUTOMATICALLY", {"amountMinor": 2100})
    triggers = [attempt["trigger"] for each in told["payments"]["nodes"] for attempt in each["attempts"]]
    assert triggers == ["RENEWAL", "RENEWAL", "PURCHASE"]


async def test_x_08_the_whole_set_of_statuses_is_declared(house: House) -> None:
    query = '{ __type(name: "SubscriptionStatus") { enumValues { name } } }'
    assert [value["name"] for value in (await house.ask(query))["__type"]["enumValues"]] == [
        "SCHEDULED",
        "INCOMPLETE",
        "INCOMPLETE_EXPIRED",
        "TRIALING",
        "ACTIVE",
        "PAST_DUE",
        "PAUSED",
        "UNPAID",
        "CANCELED",
    ]


async def test_x_09_a_client_sees_whether_money_is_real(house: House) -> None:
    assert (await house.ask("{ serverInfo { livemode environment } gatewayConfig { platform livemode } }")) == {
        "serverInfo": {"livemode": False, "environment": "DEVELOPMENT"},
        "gatewayConfig": {"platform": "SANDBOX", "livemode": False},
    }
