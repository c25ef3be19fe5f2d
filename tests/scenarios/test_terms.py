"""The further terms of a subscription, each told to its end, on both databases."""

from datetime import timedelta
from typing import Any

import pytest

from services.subscriptions.happening import work_on_due_subscriptions
from tests.scenarios.orders import (
    ADMIN,
    ATTACH,
    billed,
    customer_id,
    day_by_day,
    life,
    ordered,
    pass_to,
    states,
    subscribe,
)
from tests.support.house import House

USER = "demo-card"


async def test_several_products_are_one_subscription_billed_together(house: House) -> None:
    items = [{"productCode": "classic_coffee", "quantity": 2}, {"productCode": "specialy_cup"}]
    order = await ordered(house, USER, by=USER, items=items, interval="MONTH")
    await day_by_day(house, 28)
    told = await life(house, order)
    assert [(each["product"]["code"], each["quantity"], each["plan"]["code"]) for each in told["items"]] == [
        ("classic_coffee", 2, "classic-coffee-monthly"),
        ("specialty_coffee", 1, "specialty-coffee-monthly"),
    ]
    assert billed(told) == [
        ("2026-01-31", "2026-02-28", "AED177.00", "PAID"),
        ("2026-02-28", "2026-03-31", "AED177.00", "PAID"),
    ]
    assert [line["amount"]["formatted"] for line in told["invoices"]["nodes"][0]["lines"]] == ["AED98.00", "AED79.00"]
    assert (told["pricePaid"]["formatted"], told["totalPaid"]["formatted"]) == ("AED177.00", "AED354.00")
    for plan in ("classic-coffee-yearly", "specialty-coffee-monthly"):
        again = await subscribe(house, USER, planCode=plan)
        assert again["userErrors"] == [{"code": "ALREADY_SUBSCRIBED", "field": None}]
        assert again["subscription"]["id"] == order
    assert await house.audit() == []


async def test_an_unpaid_order_of_several_products_is_continued_or_replaced(house: House) -> None:
    items = [{"planCode": "classic-coffee-monthly"}, {"planCode": "specialty-coffee-monthly"}]
    first = await subscribe(house, USER, items=items)
    same = await subscribe(house, USER, items=items)
    assert same["subscription"] == first["subscription"]
    other = await subscribe(house, USER, planCode="specialty-coffee-monthly")
    assert other["userErrors"] == []
    assert (await life(house, first["subscription"]["id"]))["status"] == "INCOMPLETE_EXPIRED"
    both = await subscribe(house, USER, items=items, periodCount=3)
    assert both["userErrors"] == []
    assert (await life(house, other["subscription"]["id"]))["status"] == "INCOMPLETE_EXPIRED"
    house.pass_time(timedelta(minutes=5))
    still = await subscribe(house, USER, items=items, periodCount=3)
    assert still["subscription"]["id"] == both["subscription"]["id"]
    assert await house.audit() == []


COFFEE = {"planCode": "classic-coffee-monthly"}
REFUSED: dict[str, tuple[dict[str, Any], str, list[str]]] = {
    "no items": ({"items": []}, "INVALID", ["items"]),
    "a plan and items": ({"planCode": "reader-pro", "items": [COFFEE]}, "INVALID", ["items"]),
    "twice the same plan": ({"items": [COFFEE, {"productCode": "classic_cup"}]}, "INVALID", ["items"]),
    "months and years": ({"items": [COFFEE, {"planCode": "specialty-coffee-yearly"}]}, "INVALID", ["items"]),
    "two currencies": ({"items": [COFFEE, {"planCode": "reader-pro"}]}, "CURRENCY_MISMATCH", ["items"]),
    "no such plan": ({"items": [COFFEE, {"planCode": "tea"}]}, "NOT_FOUND", ["items"]),
    "none of it": ({"items": [{**COFFEE, "quantity": 0}]}, "INVALID", ["items"]),
    "no name at all": ({"items": [{"quantity": 1}]}, "REQUIRED", ["items"]),
    "a day that no month has": ({**COFFEE, "billingDay": 32}, "INVALID", ["billingDay"]),
    "two ends": ({**COFFEE, "periodCount": 2, "endsAt": "2026-05-01T00:00:00Z"}, "INVALID", ["periodCount"]),
    "over before it begins": ({**COFFEE, "endsAt": "2026-01-01T00:00:00Z"}, "INVALID", ["endsAt"]),
    "no period at all": ({**COFFEE, "periodCount": 0}, "INVALID", ["periodCount"]),
    "too long ago": ({**COFFEE, "startAt": "2020-01-01T00:00:00Z"}, "INVALID", ["startAt"]),
    "days to pay what is charged": ({**COFFEE, "daysUntilDue": 14}, "INVALID", ["daysUntilDue"]),
    "a price in other money": (
        {"items": [{**COFFEE, "unitAmount": {"amount": "1.00", "currencyCode": "USD"}}]},
        "CURRENCY_MISMATCH",
        ["items"],
    ),
    "a price below zero": (
        {"items": [{**COFFEE, "unitAmount": {"amount": "-1.00", "currencyCode": "AED"}}]},
        "INVALID",
        ["items"],
    ),
    "more tax than price": ({**COFFEE, "taxPercent": "100.5"}, "INVALID", ["taxPercent"]),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_terms_that_do_not_go_together_are_refused(small_house: House, case: str) -> None:
    wish, code, field = REFUSED[case]
    told = await subscribe(small_house, ADMIN, customerId=await customer_id(small_house, USER), **wish)
    assert told == {"subscription": None, "userErrors": [{"code": code, "field": field}]}


MERCHANTS: dict[str, Any] = {
    "startAt": "2026-03-01T00:00:00Z",
    "endsAt": "2026-05-01T00:00:00Z",
    "collectionMethod": "SEND_INVOICE",
    "daysUntilDue": 14,
    "taxPercent": "0",
}


@pytest.mark.parametrize("field", MERCHANTS)
async def test_customers_do_not_choose_the_merchants_terms(small_house: House, field: str) -> None:
    told = await subscribe(small_house, USER, planCode="reader-pro", **{field: MERCHANTS[field]})
    assert told == {"subscription": None, "userErrors": [{"code": "NOT_PERMITTED", "field": [field]}]}


async def test_customers_do_not_choose_their_price(small_house: House) -> None:
    item = {"planCode": "reader-pro", "unitAmount": {"amount": "0.01", "currencyCode": "USD"}}
    told = await subscribe(small_house, USER, items=[item])
    assert told == {"subscription": None, "userErrors": [{"code": "NOT_PERMITTED", "field": ["items"]}]}


async def test_a_price_and_a_tax_of_ones_own_hold_for_every_period(house: House) -> None:
    item = {"planCode": "reader-pro", "quantity": 5, "unitAmount": {"amount": "5.00", "currencyCode": "USD"}}
    order = await ordered(house, USER, items=[item], taxPercent="7.5")
    await day_by_day(house, 28)
    told = await life(house, order)
    assert told["items"][0]["unitAmountOverride"] == {"formatted": "$5.00"}
    assert (told["amount"]["formatted"], told["taxPercent"]) == ("$25.00", "7.5")
    assert [each[2] for each in billed(told)] == ["$26.88", "$26.88"]
    assert await house.audit() == []


async def test_billing_day_31_begins_with_an_exact_stub_and_keeps_to_the_ends_of_months(house: House) -> None:
    """In a leap year. 16 of 31 days of $7.00 are $3.61."""
    await pass_to(house, "2028-01-15T09:30Z")
    order = await ordered(house, USER, by=USER, planCode="reader-pro", billingDay=31)
    assert billed(await life(house, order)) == [("2028-01-15", "2028-01-31", "$3.61", "PAID")]
    await day_by_day(house, 107)
    told = await life(house, order)
    assert (told["amount"]["formatted"], told["billingDay"]) == ("$7.00", 31)
    assert billed(told) == [
        ("2028-01-15", "2028-01-31", "$3.61", "PAID"),
        ("2028-01-31", "2028-02-29", "$7.00", "PAID"),
        ("2028-02-29", "2028-03-31", "$7.00", "PAID"),
        ("2028-03-31", "2028-04-30", "$7.00", "PAID"),
        ("2028-04-30", "2028-05-31", "$7.00", "PAID"),
    ]
    assert await house.audit() == []


async def test_a_stub_that_is_too_little_to_charge_comes_with_the_next_period(house: House) -> None:
    """One of 31 days of $7.00 is $0.23, less than the gateway charges."""
    order = await ordered(house, USER, by=USER, planCode="reader-pro", billingDay=1)
    first = await life(house, order)
    assert billed(first) == [("2026-01-31", "2026-02-01", "$0.23", "PAID")]
    assert (first["status"], first["pricePaid"]) == ("ACTIVE", None)
    await day_by_day(house, 1)
    told = await life(house, order)
    assert billed(told)[1] == ("2026-02-01", "2026-03-01", "$7.00", "PAID")
    assert told["pricePaid"]["formatted"] == "$7.23"
    assert await house.audit() == []


async def test_a_fixed_end_prorates_the_last_period_up_to_it(house: House) -> None:
    order = await ordered(house, USER, planCode="reader-pro", endsAt="2026-04-15T09:30:00Z")
    await day_by_day(house, 73)
    last = await life(house, order)
    assert (last["status"], last["nextBillingAt"], last["endsAt"]) == ("ACTIVE", None, "2026-04-15T09:30:00Z")
    await day_by_day(house, 30)
    told = await life(house, order)
    assert billed(told) == [
        ("2026-01-31", "2026-02-28", "$7.00", "PAID"),
        ("2026-02-28", "2026-03-31", "$7.00", "PAID"),
        ("2026-03-31", "2026-04-15", "$3.50", "PAID"),
    ]
    assert (told["status"], told["endedAt"]) == ("CANCELED", "2026-04-15T09:30:00Z")
    assert told["cancellation"] == {"reason": "TERM_ENDED", "requestedBy": None}
    assert await house.audit() == []


async def test_a_number_of_periods_is_billed_in_full_and_then_over(house: House) -> None:
    order = await ordered(house, USER, by=USER, planCode="reader-pro", periodCount=2)
    await day_by_day(house, 100)
    told = await life(house, order)
    assert billed(told) == [
        ("2026-01-31", "2026-02-28", "$7.00", "PAID"),
        ("2026-02-28", "2026-03-31", "$7.00", "PAID"),
    ]
    assert (told["status"], told["endedAt"]) == ("CANCELED", "2026-03-31T09:30:00Z")
    assert told["cancellation"] == {"reason": "TERM_ENDED", "requestedBy": None}
    assert (await subscribe(house, USER, planCode="reader-pro"))["userErrors"] == []
    assert await house.audit() == []


async def test_a_start_in_the_past_is_billed_one_period_per_pass(house: House) -> None:
    order = await ordered(house, USER, planCode="reader-pro", startAt="2025-11-15T12:00:00Z")
    expected = [
        ("2025-11-15", "2025-12-15", "$7.00", "PAID"),
        ("2025-12-15", "2026-01-15", "$7.00", "PAID"),
        ("2026-01-15", "2026-02-15", "$7.00", "PAID"),
    ]
    for passed in range(3):
        assert billed(await life(house, order)) == expected[: passed + 1]
        await work_on_due_subscriptions(house.app)
    await house.deliver()
    told = await life(house, order)
    assert (billed(told), told["startedAt"]) == (expected, "2025-11-15T12:00:00Z")
    assert (told["status"], told["nextBillingAt"]) == ("ACTIVE", "2026-02-15T12:00:00Z")
    assert await house.audit() == []


async def test_a_start_to_come_gives_no_access_and_pays_with_the_card_when_it_comes(house: House) -> None:
    order = await ordered(house, USER, planCode="reader-pro", startAt="2026-02-10T00:00:00Z", with_card=False)
    await pass_to(house, "2026-02-09T23:59:59Z")
    before = await life(house, order)
    assert (before["status"], before["isActive"], before["invoices"]["nodes"]) == ("SCHEDULED", False, [])
    again = await subscribe(house, USER, planCode="reader-pro")
    assert again["userErrors"] == [{"code": "ALREADY_SUBSCRIBED", "field": None}]
    await pass_to(house, "2026-02-10T00:00:00Z")
    told = await life(house, order)
    assert (told["status"], told["isActive"]) == ("ACTIVE", True)
    assert states(told) == ["SCHEDULED", "INCOMPLETE", "ACTIVE"]
    assert billed(told) == [("2026-02-10", "2026-03-10", "$7.00", "PAID")]
    (payment,) = told["invoices"]["nodes"][0]["payments"]
    assert payment["attempts"] == [{"trigger": "PURCHASE", "outcome": "SUCCEEDED"}]
    assert await house.audit() == []


async def test_a_start_without_a_card_waits_23_hours_for_one(house: House) -> None:
    order = await ordered(house, "demo-new", planCode="reader-pro", startAt="2026-02-10T00:00:00Z", with_card=False)
    await pass_to(house, "2026-02-10T00:00:00Z")
    begun = await life(house, order)
    assert (begun["status"], begun["isActive"]) == ("INCOMPLETE", False)
    assert begun["invoices"]["nodes"][0]["payments"][0]["attempts"] == []
    await pass_to(house, "2026-02-10T23:00:00Z")
    told = await life(house, order)
    assert (told["status"], told["invoices"]["nodes"][0]["status"]) == ("INCOMPLETE_EXPIRED", "VOID")
    assert await house.audit() == []


@pytest.mark.parametrize("user", ["demo-new", "demo-decline"])
async def test_a_card_that_comes_after_the_start_pays_it_at_once(house: House, user: str) -> None:
    order = await ordered(house, user, planCode="reader-pro", startAt="2026-02-10T00:00:00Z", with_card=False)
    await pass_to(house, "2026-02-10T00:00:00Z")
    assert (await life(house, order))["status"] == "INCOMPLETE"
    await house.ask(ATTACH, {"card": "pm_card_visa"}, user)
    await house.work()
    await house.deliver()
    told = await life(house, order)
    assert (told["status"], billed(told)) == ("ACTIVE", [("2026-02-10", "2026-03-10", "$7.00", "PAID")])
    assert await house.audit() == []


async def test_a_start_to_come_and_an_end_may_be_agreed_on_together(house: House) -> None:
    order = await ordered(
        house, USER, planCode="reader-pro", startAt="2026-02-10T00:00:00Z", periodCount=1, with_card=False
    )
    assert (await life(house, order))["endsAt"] == "2026-03-10T00:00:00Z"
    await pass_to(house, "2026-02-10T00:00:00Z")
    await pass_to(house, "2026-03-10T00:00:00Z")
    told = await life(house, order)
    assert (told["status"], billed(told)) == ("CANCELED", [("2026-02-10", "2026-03-10", "$7.00", "PAID")])
    assert await house.audit() == []


CANCEL = """mutation ($input: CancelSubscriptionInput!) { cancelSubscription(input: $input) {
  subscription { status } userErrors { code } } }"""


async def test_a_start_to_come_that_is_canceled_never_comes(house: House) -> None:
    """By default a cancellation waits for the end of the paid period: here none has begun."""
    order = await ordered(house, USER, planCode="reader-pro", startAt="2026-02-10T00:00:00Z", with_card=False)
    told = (await house.ask(CANCEL, {"input": {"subscriptionId": order}}, USER))["cancelSubscription"]
    assert told == {"subscription": {"status": "CANCELED"}, "userErrors": []}
    await pass_to(house, "2026-02-10T00:00:00Z")
    assert billed(await life(house, order)) == []
    assert (await subscribe(house, USER, planCode="reader-pro"))["userErrors"] == []
    assert await house.audit() == []
