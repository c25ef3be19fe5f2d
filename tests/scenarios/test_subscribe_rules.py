"""Which plan, which card, which subscription: what `subscribe` starts, continues, replaces and refuses."""

from datetime import timedelta
from typing import Any

import pytest

from gateways.sandbox import Fault
from tests.scenarios.shopping import Shopper
from tests.scenarios.standing import standing
from tests.support.house import House
from tests.support.outside import (
    DECLINES,
    MASTERCARD,
    VISA,
    charges_by_invoice,
    dashboard,
    faults_always,
    gateway_books,
    sandbox_of,
)
from tests.support.shelf import take_off_sale

SUBSCRIPTIONS = """
{ me { subscriptions(first: 5) { nodes {
  status plan { code } currencyCode invoices(first: 2) { nodes { status total { formatted } payments { status } } }
} } } }
"""


async def subscriptions(house: House, user: str) -> list[dict[str, Any]]:
    """Newest first, each with its one invoice and that one's payment status."""
    told = await house.ask(SUBSCRIPTIONS, user=user)
    return [
        {
            "status": row["status"],
            "plan": row["plan"]["code"],
            "invoices": [
                (invoice["status"], invoice["total"]["formatted"], [p["status"] for p in invoice["payments"]])
                for invoice in row["invoices"]["nodes"]
            ],
        }
        for row in told["me"]["subscriptions"]["nodes"]
    ]


async def test_a_free_plan_is_active_at_once_and_asks_the_gateway_nothing(house: House) -> None:
    shopper = Shopper(house, "demo-new")
    told = await shopper.subscribe("free")
    assert told == {
        "subscription": {
            "id": shopper.subscribed[0],
            "status": "ACTIVE",
            "isActive": True,
            "nextAction": {"type": "NONE"},
        },
        "payment": None,
        "paymentIntent": None,
        "nextAction": {"type": "NONE", "redirectUrl": None, "clientSecret": None},
        "userErrors": [],
    }
    assert await subscriptions(house, "demo-new") == [
        {"status": "ACTIVE", "plan": "free", "invoices": [("PAID", "$0.00", [])]}
    ]
    accounts = await house.ask("{ me { gatewayAccounts { customerId } } }", user="demo-new")
    assert accounts["me"]["gatewayAccounts"] == []
    assert await gateway_books(house) == {"intents": [], "charges": []}
    assert await house.audit() == []


async def test_a_plan_is_sold_in_each_of_its_currencies(house: House) -> None:
    shopper = Shopper(house, "demo-card")
    told = await shopper.subscribe(currencyCode="CNY", paymentMethodId=await shopper.default_card())
    assert told["subscription"]["status"] == "ACTIVE"
    assert (await gateway_books(house))["charges"] == [
        {"amount": 10100, "amount_captured": 10100, "currency": "cny", "paid": True, "status": "succeeded"}
    ]
    assert await house.audit() == []


@pytest.mark.parametrize(
    ("wish", "plan", "charged"),
    [
        ({"productCode": "premium", "interval": "YEAR"}, "premium-yearly", (9900, "usd")),
        ({"productCode": "premium"}, "premium-monthly", (999, "usd")),
        ({"productCode": "acme-music", "interval": "MONTH", "currencyCode": "SGD"}, "basic-streaming", (300, "sgd")),
        ({"planCode": "classic_cup", "interval": "YEAR"}, "classic-coffee-yearly", (49000, "aed")),
        ({"planCode": "specialy_cup"}, "specialty-coffee-monthly", (7900, "aed")),
    ],
)
async def test_a_product_and_an_interval_name_a_plan(
    small_house: House, wish: dict[str, Any], plan: str, charged: tuple[int, str]
) -> None:
    shopper = Shopper(small_house, "demo-card")
    await shopper.subscribe(None, paymentMethodId=await shopper.default_card(), **wish)
    assert [row["plan"] for row in await subscriptions(small_house, "demo-card")] == [plan]
    charges = (await gateway_books(small_house))["charges"]
    assert [(charge["amount_captured"], charge["currency"]) for charge in charges] == [charged]


@pytest.mark.parametrize(
    ("wish", "code", "field"),
    [
        ({}, "REQUIRED", ["planCode"]),
        ({"planCode": "no-such-plan"}, "NOT_FOUND", ["planCode"]),
        ({"planId": "pln_00000000000000000000000000000000"}, "NOT_FOUND", ["planId"]),
        ({"productCode": "premium", "interval": "WEEK"}, "NOT_FOUND", ["productCode"]),
        ({"planCode": "basic-monthly"}, "PLAN_NOT_FOR_SALE", ["planCode"]),
        ({"planCode": "premium-monthly", "currencyCode": "CNY"}, "CURRENCY_UNSUPPORTED", ["currencyCode"]),
        ({"planCode": "reader-pro", "quantity": 0}, "INVALID", ["quantity"]),
    ],
)
async def test_what_is_not_sold_is_refused_and_leaves_nothing(
    small_house: House, wish: dict[str, Any], code: str, field: list[str]
) -> None:
    await take_off_sale(small_house.app, "basic-monthly")
    shopper = Shopper(small_house, "demo-card")
    told = await shopper.subscribe(None, **wish)
    assert told == {
        "subscription": None,
        "payment": None,
        "paymentIntent": None,
        "nextAction": None,
        "userErrors": [{"code": code, "field": field}],
    }
    assert await subscriptions(small_house, "demo-card") == []
    assert await gateway_books(small_house) == {"intents": [], "charges": []}


MONTHLY, YEARLY = {"planCode": "classic-coffee-monthly"}, {"planCode": "classic-coffee-yearly"}


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({**MONTHLY, "planId": "another"}, "planId"),
        ({**MONTHLY, "productCode": "specialty_coffee"}, "planCode"),
        ({**MONTHLY, "interval": "YEAR"}, "interval"),
        ({"items": [{**MONTHLY, "productCode": "specialty_coffee"}]}, "items"),
        ({"items": [YEARLY], "interval": "MONTH"}, "interval"),
    ],
    ids=["two plans", "a plan and a product", "a plan and an interval", "an item twice", "an item and an interval"],
)
async def test_nothing_else_is_sold_than_was_named(small_house: House, wish: dict[str, Any], field: str) -> None:
    plan = (await small_house.ask('{ plan(code: "reader-pro") { id } }'))["plan"]["id"]
    wish = {name: plan if value == "another" else value for name, value in wish.items()}
    shopper = Shopper(small_house, "demo-new")
    told = await shopper.subscribe(None, **wish)
    assert (told["subscription"], told["userErrors"]) == (None, [{"code": "INVALID", "field": [field]}])
    assert await subscriptions(small_house, "demo-new") == []


async def test_nothing_else_is_changed_to_than_was_named(small_house: House) -> None:
    shopper = Shopper(small_house, "demo-card")
    order = (await shopper.subscribe(paymentMethodId=await shopper.default_card()))["subscription"]["id"]
    change = """mutation ($input: UpdateSubscriptionInput!) {
      updateSubscription(input: $input) { userErrors { code field } } }"""
    for product, problems in (("premium", [{"code": "INVALID", "field": ["items", "0"]}]), ("reader-pro", [])):
        two = {"subscriptionId": order, "items": [{"planCode": "reader-pro", "productCode": product, "quantity": 2}]}
        told = (await small_house.ask(change, {"input": two}, "demo-card"))["updateSubscription"]
        assert told["userErrors"] == problems


async def test_a_plan_may_be_named_in_every_way_at_once(small_house: House) -> None:
    plan = (await small_house.ask('{ plan(code: "classic-coffee-monthly") { id } }'))["plan"]["id"]
    names = {"planId": plan, **MONTHLY, "productCode": "classic_cup", "interval": "MONTH"}
    told = await Shopper(small_house, "demo-new").subscribe(None, **names)
    assert (told["subscription"]["status"], told["userErrors"]) == ("INCOMPLETE", [])


async def test_anothers_card_looks_like_a_missing_one(small_house: House) -> None:
    foreign = await Shopper(small_house, "demo-card").default_card()
    shopper = Shopper(small_house, "demo-new")
    told = [await shopper.subscribe(paymentMethodId=card) for card in (foreign, "pmd_" + "0" * 32)]
    assert [answer["userErrors"] for answer in told] == [[{"code": "NOT_FOUND", "field": ["paymentMethodId"]}]] * 2
    assert await subscriptions(small_house, "demo-new") == []
    assert await gateway_books(small_house) == {"intents": [], "charges": []}


@pytest.mark.parametrize("again", ["premium-monthly", "premium-yearly"])
async def test_a_second_subscription_to_a_product_is_refused_with_the_first(small_house: House, again: str) -> None:
    shopper = Shopper(small_house, "demo-card")
    card = await shopper.default_card()
    first = await shopper.subscribe("premium-monthly", paymentMethodId=card)
    second = await shopper.subscribe(again, paymentMethodId=card)
    assert second["userErrors"] == [{"code": "ALREADY_SUBSCRIBED", "field": None}]
    assert second["subscription"] == first["subscription"]
    assert second["payment"] == first["payment"]
    assert second["nextAction"]["type"] == "NONE"
    assert len((await gateway_books(small_house))["charges"]) == 1


async def test_another_product_is_another_subscription(small_house: House) -> None:
    shopper = Shopper(small_house, "demo-card")
    card = await shopper.default_card()
    for plan in ("reader-pro", "premium-monthly"):
        assert (await shopper.subscribe(plan, paymentMethodId=card))["userErrors"] == []
    assert [(row["plan"], row["status"]) for row in await subscriptions(small_house, "demo-card")] == [
        ("premium-monthly", "ACTIVE"),
        ("reader-pro", "ACTIVE"),
    ]
    assert await small_house.audit() == []


async def test_the_same_wish_continues_with_the_same_intent(house: House) -> None:
    shopper = Shopper(house, "demo-new")
    first = await shopper.subscribe()
    house.pass_time(timedelta(hours=22))
    assert await shopper.subscribe() == first
    assert (await gateway_books(house))["intents"] == [
        {"amount": 700, "amount_received": 0, "currency": "usd", "status": "requires_payment_method"}
    ]


async def test_continuing_may_change_whether_the_card_is_kept(house: House) -> None:
    shopper = Shopper(house, "demo-new")
    first = await shopper.subscribe()
    assert first["paymentIntent"]["setupFutureUsage"] is None
    kept = await shopper.subscribe(setupFutureUsage="OFF_SESSION")
    assert kept["paymentIntent"] == {**first["paymentIntent"], "setupFutureUsage": "OFF_SESSION"}
    intent = await dashboard(house).payment_intents.retrieve_async(first["paymentIntent"]["gatewayId"])
    assert intent.setup_future_usage == "off_session"

    await shopper.browser.confirm(kept["paymentIntent"]["clientSecret"], VISA)
    await house.deliver()
    told = await standing(house, "demo-new")
    assert told["customer"]["defaultPaymentMethod"] == {"card": {"last4": "4242"}}
    assert told["customer"]["subscriptions"]["nodes"][0]["nextAction"]["type"] == "NONE"


async def pin(shopper: Shopper, card: str) -> None:
    mutation = """mutation Pin($input: UpdateSubscriptionPaymentMethodInput!) {
      updateSubscriptionPaymentMethod(input: $input) { invoice { status } userErrors { code } } }"""
    wish = {"subscriptionId": shopper.subscribed[-1], "paymentMethodId": card}
    told = await shopper.house.ask(mutation, {"input": wish}, shopper.user)
    assert told["updateSubscriptionPaymentMethod"] == {"invoice": {"status": "OPEN"}, "userErrors": []}


SAID = """query { mySubscription { id name metadata cancelAtPeriodEnd version
  latestPayment { redirectUrl intent { nextAction { type returnUrl errorUrl } } } } }"""


async def test_continuing_may_say_anew_what_money_does_not_depend_on(small_house: House) -> None:
    shopper = Shopper(small_house, "demo-new")
    await shopper.subscribe(name="First", returnUrl="https://shop.example/a")
    said = {
        "name": "Second",
        "metadata": {"cart": 2},
        "autoRenew": False,
        "returnUrl": "https://shop.example/b",
        "errorUrl": "https://shop.example/c",
    }
    await shopper.subscribe(**said)
    told = (await small_house.ask(SAID, user="demo-new"))["mySubscription"]
    version = told.pop("version")
    waits = {"type": "CONFIRM_WITH_SDK", "returnUrl": said["returnUrl"], "errorUrl": said["errorUrl"]}
    assert told == {
        "id": shopper.subscribed[0],
        "name": "Second",
        "metadata": {"cart": 2},
        "cancelAtPeriodEnd": True,
        "latestPayment": {"redirectUrl": said["returnUrl"], "intent": {"nextAction": waits}},
    }
    assert len(shopper.subscribed) == 1
    # What is not said again stays, and nothing is written.
    await shopper.subscribe()
    assert (await small_house.ask(SAID, user="demo-new"))["mySubscription"] == {**told, "version": version}


async def test_a_trial_given_by_staff_takes_the_place_of_what_waits_for_money(small_house: House) -> None:
    shopper = Shopper(small_house, "demo-new")
    await shopper.subscribe("premium-monthly")
    me = (await small_house.ask("{ me { id } }", user="demo-new"))["me"]["id"]
    staff = Shopper(small_house, "demo-admin")
    told = await staff.subscribe("premium-monthly", customerId=me, trialPeriodDays=5)
    assert (told["userErrors"], told["subscription"]["status"], told["payment"]) == ([], "TRIALING", None)
    assert [each["status"] for each in await subscriptions(small_house, "demo-new")] == [
        "TRIALING",
        "INCOMPLETE_EXPIRED",
    ]
    again = await staff.subscribe("premium-monthly", customerId=me, trialPeriodDays=9)
    assert again["userErrors"] == [{"code": "ALREADY_SUBSCRIBED", "field": None}]


async def test_a_card_chosen_meanwhile_pays_off_session_what_was_to_keep_the_browsers_card(house: House) -> None:
    """Stripe refuses to charge off session what is to keep the card: nobody is there who could allow it."""
    shopper = Shopper(house, "demo-new")
    first = await shopper.subscribe(setupFutureUsage="OFF_SESSION")
    await shopper.save_card("pm_card_visa")
    await pin(shopper, await shopper.save_card("pm_card_mastercard"))
    await house.work()
    tries = await house.ask(
        "query ($id: ID!) { payment(by: {id: $id}) { status attempts { outcome } } }",
        {"id": first["payment"]["id"]},
        "demo-new",
    )
    assert tries["payment"] == {"status": "SUCCEEDED", "attempts": [{"outcome": "SUCCEEDED"}]}
    assert [row["status"] for row in await subscriptions(house, "demo-new")] == ["ACTIVE"]
    intent = await dashboard(house).payment_intents.retrieve_async(first["paymentIntent"]["gatewayId"])
    assert (intent.status, intent.setup_future_usage) == ("succeeded", None)


async def test_an_unanswered_try_off_session_is_asked_for_again_before_another_card_is_kept(house: House) -> None:
    shopper = Shopper(house, "demo-new")
    first = await shopper.subscribe(setupFutureUsage="OFF_SESSION")
    other = await shopper.save_card("pm_card_visa")
    await pin(shopper, await shopper.save_card("pm_card_mastercard"))
    sandbox_of(house).faults.arm(Fault.TIMEOUT_BEFORE, count=2, path_contains="/confirm")
    await house.work()
    again = await shopper.subscribe(setupFutureUsage="OFF_SESSION", paymentMethodId=other)
    assert (again["subscription"]["status"], again["userErrors"]) == ("ACTIVE", [])
    assert again["payment"]["id"] == first["payment"]["id"]
    made = (await dashboard(house).charges.list_async()).data
    assert [(each.status, each.payment_method_details.card.last4) for each in made] == [("succeeded", "4444")]


async def test_a_decline_in_the_browser_is_recovered_by_a_saved_card_on_the_same_intent(house: House) -> None:
    shopper = Shopper(house, "demo-card")
    faults_always(house, Fault.WEBHOOKS_OFF)
    first = await shopper.subscribe()
    await shopper.browser.confirm(first["paymentIntent"]["clientSecret"], DECLINES)
    again = await shopper.subscribe(paymentMethodId=await shopper.default_card())
    assert (again["subscription"]["status"], again["userErrors"]) == ("ACTIVE", [])
    assert again["payment"]["id"] == first["payment"]["id"]
    assert again["paymentIntent"]["gatewayId"] == first["paymentIntent"]["gatewayId"]
    tries = await house.ask(
        "query ($id: ID!) { payment(by: {id: $id}) { attempts { sequence outcome error { declineCode } } } }",
        {"id": again["payment"]["id"]},
        "demo-card",
    )
    assert tries["payment"]["attempts"] == [
        {"sequence": 1, "outcome": "DECLINED", "error": {"declineCode": "generic_decline"}},
        {"sequence": 2, "outcome": "SUCCEEDED", "error": None},
    ]
    assert await house.audit() == []


@pytest.mark.parametrize(
    ("first", "second", "statuses"),
    [
        (
            {"planCode": "reader-pro", "currencyCode": "USD"},
            {"planCode": "reader-pro", "currencyCode": "CNY"},
            [("INCOMPLETE", "CN¥101.00"), ("INCOMPLETE_EXPIRED", "$7.00")],
        ),
        (
            {"planCode": "premium-monthly"},
            {"planCode": "premium-yearly"},
            [("INCOMPLETE", "$99.00"), ("INCOMPLETE_EXPIRED", "$9.99")],
        ),
        (
            {"planCode": "reader-pro"},
            {"planCode": "reader-pro", "quantity": 2},
            [("INCOMPLETE", "$14.00"), ("INCOMPLETE_EXPIRED", "$7.00")],
        ),
    ],
    ids=["another currency", "another plan", "another quantity"],
)
async def test_another_wish_ends_the_unpaid_one_and_starts_anew(
    house: House, first: dict[str, Any], second: dict[str, Any], statuses: list[tuple[str, str]]
) -> None:
    shopper = Shopper(house, "demo-new")
    old = await shopper.subscribe(None, **first)
    new = await shopper.subscribe(None, **second)
    assert new["userErrors"] == []
    assert new["subscription"]["id"] != old["subscription"]["id"]
    assert [(row["status"], row["invoices"][0][1]) for row in await subscriptions(house, "demo-new")] == statuses
    assert [row["invoices"][0][0::2] for row in await subscriptions(house, "demo-new")] == [
        ("OPEN", ["REQUIRES_PAYMENT_METHOD"]),
        ("VOID", ["CANCELED"]),
    ]
    assert [intent["status"] for intent in (await gateway_books(house))["intents"]] == [
        "canceled",
        "requires_payment_method",
    ]

    late = await shopper.browser.confirm(old["paymentIntent"]["clientSecret"], VISA)
    assert (late.status_code, late.json()["error"]["code"]) == (400, "payment_intent_unexpected_state")
    await house.deliver()
    assert await house.audit() == []


async def test_an_unpaid_one_that_was_paid_meanwhile_wins_over_another_wish(house: House) -> None:
    shopper = Shopper(house, "demo-new")
    faults_always(house, Fault.WEBHOOKS_OFF)
    old = await shopper.subscribe()
    await shopper.browser.confirm(old["paymentIntent"]["clientSecret"], VISA)
    told = await shopper.subscribe(currencyCode="CNY")
    assert told["userErrors"] == [{"code": "ALREADY_SUBSCRIBED", "field": None}]
    assert (told["subscription"]["id"], told["subscription"]["status"]) == (old["subscription"]["id"], "ACTIVE")
    assert list((await charges_by_invoice(house)).values()) == [1]
    assert await house.audit() == []


async def test_an_unpaid_one_is_given_up_after_23_hours(house: House) -> None:
    shopper = Shopper(house, "demo-new")
    first = await shopper.subscribe()
    house.pass_time(timedelta(hours=23) - timedelta(seconds=1))
    await house.work()
    assert (await subscriptions(house, "demo-new"))[0]["status"] == "INCOMPLETE"
    house.pass_time(timedelta(seconds=1))
    await house.work()
    assert await subscriptions(house, "demo-new") == [
        {"status": "INCOMPLETE_EXPIRED", "plan": "reader-pro", "invoices": [("VOID", "$7.00", ["CANCELED"])]}
    ]
    assert [intent["status"] for intent in (await gateway_books(house))["intents"]] == ["canceled"]
    mine = await house.ask("{ mySubscription { id } }", user="demo-new")
    assert mine["mySubscription"] is None
    late = await shopper.browser.confirm(first["paymentIntent"]["clientSecret"], VISA)
    assert late.status_code == 400
    await house.deliver()
    assert (await subscriptions(house, "demo-new"))[0]["status"] == "INCOMPLETE_EXPIRED"
    assert await house.audit() == []

    again = await shopper.subscribe()
    assert again["subscription"]["id"] != first["subscription"]["id"]
    assert again["subscription"]["status"] == "INCOMPLETE"


async def test_an_expiry_that_finds_the_payment_made_activates_from_the_first_instant(house: House) -> None:
    shopper = Shopper(house, "demo-new")
    faults_always(house, Fault.WEBHOOKS_OFF)
    told = await shopper.subscribe()
    await shopper.browser.confirm(told["paymentIntent"]["clientSecret"], VISA)
    house.pass_time(timedelta(hours=23))
    # The sweep that comes first cannot read the intent: the expiry finds out by itself.
    sandbox_of(house).faults.arm(Fault.ERROR_500_BEFORE, count=2, path_contains=told["paymentIntent"]["gatewayId"])
    await house.work()
    mine = await house.ask(
        "{ mySubscription { status startedAt activatedAt currentPeriod { start end } statusHistory { to cause } } }",
        user="demo-new",
    )
    assert mine["mySubscription"] == {
        "status": "ACTIVE",
        "startedAt": "2026-01-31T09:30:00Z",
        "activatedAt": "2026-02-01T08:30:00Z",
        "currentPeriod": {"start": "2026-01-31T09:30:00Z", "end": "2026-02-28T09:30:00Z"},
        "statusHistory": [
            {"to": "INCOMPLETE", "cause": "subscribe"},
            {"to": "ACTIVE", "cause": "incomplete_expired"},
        ],
    }
    assert list((await charges_by_invoice(house)).values()) == [1]
    assert await house.audit() == []


async def test_a_kept_card_is_not_lost_when_it_cannot_be_read_at_first(small_house: House) -> None:
    shopper = Shopper(small_house, "demo-new")
    faults_always(small_house, Fault.WEBHOOKS_OFF)
    told = await shopper.subscribe(setupFutureUsage="OFF_SESSION")
    await shopper.browser.confirm(told["paymentIntent"]["clientSecret"], MASTERCARD)
    sandbox_of(small_house).faults.arm(Fault.ERROR_500_BEFORE, count=2, path_contains="payment_methods/")
    refreshed = await shopper.refresh()
    assert refreshed["userErrors"] == [{"code": "GATEWAY_UNAVAILABLE"}]
    assert refreshed["subscription"]["status"] == "INCOMPLETE"
    small_house.pass_time(timedelta(minutes=2))
    await small_house.work()
    me = (await standing(small_house, "demo-new"))["customer"]
    assert me["defaultPaymentMethod"] == {"card": {"last4": "4444"}}
    assert me["subscriptions"]["nodes"][0]["status"] == "ACTIVE"
