"""What happens at the gateway without us reaches our rows by webhooks, in any order, however often, however late."""

import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from gateways.sandbox import Fault
from models.base import metadata
from services.inbox.webhooks import follow_customer
from tests.scenarios.shopping import Shopper
from tests.support.deliveries import dump, event, inbox, send
from tests.support.house import House
from tests.support.meanwhile import before_writing, just_after
from tests.support.outside import ASKS_ALWAYS, DECLINES, VISA, charges_by_invoice, dashboard, sandbox_of

CARDS = """
{ me { paymentMethods(first: 5) { nodes {
  isDefault card { last4 expMonth expYear } billingDetails { name address { postalCode } } metadata
} } } }
"""

ACCOUNT = "{ me { gatewayAccounts { customerId } } }"

CHOOSE = """mutation ($id: ID!) { setDefaultPaymentMethod(input: {paymentMethodId: $id}) { userErrors { code } } }"""
DETACH = """mutation ($id: ID!) { detachPaymentMethod(input: {paymentMethodId: $id}) { userErrors { code } } }"""

SETUP = """
mutation { createSetupIntent(input: {usage: OFF_SESSION}) {
  setupIntent { id gatewayId status clientSecret }
  userErrors { code }
} }
"""


async def cards(house: House, user: str = "demo-card") -> list[tuple[str, bool]]:
    """The last four digits of the customer's cards, newest first, and which is the default."""
    told = await house.ask(CARDS, user=user)
    return [(row["card"]["last4"], row["isDefault"]) for row in told["me"]["paymentMethods"]["nodes"]]


async def account(house: House, user: str = "demo-card") -> str:
    told = await house.ask(ACCOUNT, user=user)
    return told["me"]["gatewayAccounts"][0]["customerId"]


async def saved_ref(house: House) -> str:
    told = await house.ask("{ me { defaultPaymentMethod { gatewayId } } }", user="demo-card")
    return told["me"]["defaultPaymentMethod"]["gatewayId"]


async def test_a_card_attached_on_the_dashboard_is_kept(house: House) -> None:
    await dashboard(house).payment_methods.attach_async("pm_card_mastercard", {"customer": await account(house)})
    assert await cards(house) == [("4242", True)]
    await house.deliver()
    assert await cards(house) == [("4444", False), ("4242", True)]


async def test_a_first_card_attached_on_the_dashboard_becomes_the_default(house: House) -> None:
    await Shopper(house, "demo-new").subscribe()
    await dashboard(house).payment_methods.attach_async(
        "pm_card_mastercard", {"customer": await account(house, "demo-new")}
    )
    await house.deliver()
    assert await cards(house, "demo-new") == [("4444", True)]


async def test_a_card_updated_on_the_dashboard_is_followed(house: House) -> None:
    await dashboard(house).payment_methods.update_async(
        await saved_ref(house),
        {
            "card": {"exp_month": 7, "exp_year": 2031},
            "billing_details": {"name": "Dana C.", "address": {"postal_code": "10115"}},
            "metadata": {"note": "renewed"},
        },
    )
    await house.deliver()
    told = await house.ask(CARDS, user="demo-card")
    assert told["me"]["paymentMethods"]["nodes"] == [
        {
            "isDefault": True,
            "card": {"last4": "4242", "expMonth": 7, "expYear": 2031},
            "billingDetails": {"name": "Dana C.", "address": {"postalCode": "10115"}},
            "metadata": {"note": "renewed"},
        }
    ]


async def test_a_card_detached_on_the_dashboard_gives_way_to_the_newest_other_one(house: House) -> None:
    shopper = Shopper(house, "demo-card")
    for card in ("pm_card_mastercard", "pm_card_amex"):
        await shopper.save_card(card)
    assert await cards(house) == [("0005", False), ("4444", False), ("4242", True)]
    await dashboard(house).payment_methods.detach_async(await saved_ref(house))
    await house.deliver()
    assert await cards(house) == [("0005", True), ("4444", False)]


async def test_the_last_card_detached_leaves_an_active_subscription_asking_for_one(house: House) -> None:
    shopper = Shopper(house, "demo-card")
    await shopper.subscribe(paymentMethodId=await shopper.default_card())
    await dashboard(house).payment_methods.detach_async(await saved_ref(house))
    await house.deliver()
    assert await cards(house) == []
    mine = await house.ask("{ mySubscription { status isActive nextAction { type } } }", user="demo-card")
    assert mine["mySubscription"] == {
        "status": "ACTIVE",
        "isActive": True,
        "nextAction": {"type": "ADD_PAYMENT_METHOD"},
    }


@pytest.mark.parametrize("seed", range(3))
async def test_a_default_chosen_on_the_dashboard_is_followed_in_any_order(house: House, seed: int) -> None:
    """The customer's event may come before the card's own."""
    await house.deliver()
    v1, customer = dashboard(house), await account(house)
    card = await v1.payment_methods.attach_async("pm_card_mastercard", {"customer": customer})
    await v1.customers.update_async(customer, {"invoice_settings": {"default_payment_method": card.id}})
    sandbox_of(house).faults.dice = random.Random(seed)
    sandbox_of(house).faults.arm(Fault.WEBHOOKS_SHUFFLED)
    await house.deliver()
    assert await cards(house) == [("4444", True), ("4242", False)]


async def test_a_customer_deleted_on_the_dashboard_keeps_no_card_and_may_buy_again(house: House) -> None:
    gone = await account(house)
    await dashboard(house).customers.delete_async(gone)
    await house.deliver()
    assert await cards(house) == []
    assert (await house.ask(ACCOUNT, user="demo-card"))["me"]["gatewayAccounts"] == []

    shopper = Shopper(house, "demo-card")
    told = await shopper.subscribe(setupFutureUsage="OFF_SESSION")
    assert told["userErrors"] == []
    await shopper.browser.confirm(told["paymentIntent"]["clientSecret"], VISA)
    await house.deliver()
    assert await account(house) != gone
    assert await cards(house) == [("4242", True)]
    mine = await house.ask("{ mySubscription { status } }", user="demo-card")
    assert mine["mySubscription"] == {"status": "ACTIVE"}


async def test_late_news_of_a_customer_deleted_there_take_nothing_from_who_has_come_anew(house: House) -> None:
    """Two look at it at once; before the slower one writes, the customer has saved a card with another account."""
    gone, shopper = await account(house), Shopper(house, "demo-card")
    await dashboard(house).customers.delete_async(gone)

    async def come_anew() -> None:
        await house.deliver()
        assert await cards(house) == []
        await shopper.save_card("pm_card_mastercard")

    await follow_customer(before_writing(house.app, come_anew), gone)
    assert await account(house) != gone
    assert await cards(house) == [("4444", True)]


async def test_a_default_chosen_while_an_older_one_is_heard_of_stays(house: House) -> None:
    shopper, customer = Shopper(house, "demo-card"), await account(house)
    await shopper.save_card("pm_card_mastercard")
    amex = await shopper.save_card("pm_card_amex")
    listed = await dashboard(house).payment_methods.list_async({"customer": customer, "type": "card"})
    older = next(card.id for card in listed.data if card.card.last4 == "4444")
    await dashboard(house).customers.update_async(customer, {"invoice_settings": {"default_payment_method": older}})

    async def choose() -> None:
        told = await house.ask(CHOOSE, {"id": amex}, "demo-card")
        assert told["setDefaultPaymentMethod"]["userErrors"] == []

    await follow_customer(just_after(house.app, "retrieve_customer", choose), customer)
    assert await cards(house) == [("0005", True), ("4444", False), ("4242", False)]


async def test_a_card_taken_away_while_it_is_heard_of_stays_away(house: House) -> None:
    shopper, customer = Shopper(house, "demo-card"), await account(house)
    master = await shopper.save_card("pm_card_mastercard")
    listed = await dashboard(house).payment_methods.list_async({"customer": customer, "type": "card"})
    chosen = next(card.id for card in listed.data if card.card.last4 == "4444")
    await dashboard(house).customers.update_async(customer, {"invoice_settings": {"default_payment_method": chosen}})

    async def detach() -> None:
        told = await house.ask(DETACH, {"id": master}, "demo-card")
        assert told["detachPaymentMethod"]["userErrors"] == []

    await follow_customer(just_after(house.app, "retrieve_payment_method", detach), customer)
    assert await cards(house) == [("4242", True)]


async def test_a_card_saved_in_the_browser_is_kept(house: House) -> None:
    shopper = Shopper(house, "demo-new")
    told = (await house.ask(SETUP, user="demo-new"))["createSetupIntent"]
    assert (told["setupIntent"]["status"], told["userErrors"]) == ("REQUIRES_PAYMENT_METHOD", [])
    await shopper.browser.confirm(told["setupIntent"]["clientSecret"], VISA)
    await house.deliver()
    assert await cards(house, "demo-new") == [("4242", True)]
    assert await setup_intents(house) == [(told["setupIntent"]["gatewayId"], "succeeded")]


async def test_a_saved_card_that_is_challenged_is_kept_when_the_challenge_is_passed(house: House) -> None:
    shopper = Shopper(house, "demo-new")
    intent = (await house.ask(SETUP, user="demo-new"))["createSetupIntent"]["setupIntent"]
    for outcome, kept, status in (
        ("failed", [], "requires_payment_method"),
        ("succeeded", [("3184", True)], "succeeded"),
    ):
        address = await shopper.browser.confirm_challenged(intent["clientSecret"], ASKS_ALWAYS)
        await shopper.browser.answer(address, outcome)
        await house.deliver()
        assert await cards(house, "demo-new") == kept
        assert await setup_intents(house) == [(intent["gatewayId"], status)]


async def test_a_card_that_is_refused_when_saved_is_not_kept(house: House) -> None:
    shopper = Shopper(house, "demo-new")
    intent = (await house.ask(SETUP, user="demo-new"))["createSetupIntent"]["setupIntent"]
    answer = await shopper.browser.confirm(intent["clientSecret"], DECLINES)
    assert (answer.status_code, answer.json()["error"]["code"]) == (402, "card_declined")
    await house.deliver()
    assert await cards(house, "demo-new") == []
    assert await setup_intents(house) == [(intent["gatewayId"], "requires_payment_method")]


async def test_only_the_setup_intents_own_event_saves_the_card(house: House) -> None:
    """setup_intent.succeeded alone is enough: payment_method.attached may be lost."""
    shopper = Shopper(house, "demo-new")
    intent = (await house.ask(SETUP, user="demo-new"))["createSetupIntent"]["setupIntent"]
    await house.deliver()
    sandbox_of(house).faults.at_rate(Fault.WEBHOOKS_OFF, 1.0, seed=0, path_contains="payment_method.")
    await shopper.browser.confirm(intent["clientSecret"], VISA)
    await house.deliver()
    assert await cards(house, "demo-new") == [("4242", True)]


async def test_an_intent_canceled_on_the_dashboard_is_followed_by_another_when_the_customer_pays(house: House) -> None:
    shopper = Shopper(house, "demo-card")
    first = await shopper.subscribe()
    await dashboard(house).payment_intents.cancel_async(first["paymentIntent"]["gatewayId"])
    await house.deliver()
    again = await shopper.subscribe(paymentMethodId=await shopper.default_card())
    assert (again["subscription"]["status"], again["userErrors"]) == ("ACTIVE", [])
    assert again["subscription"]["id"] == first["subscription"]["id"]
    assert again["payment"]["id"] == first["payment"]["id"]
    assert again["paymentIntent"]["gatewayId"] != first["paymentIntent"]["gatewayId"]
    assert list((await charges_by_invoice(house)).values()) == [1]
    assert await house.audit() == []


async def setup_intents(house: House) -> list[tuple[str, str]]:
    table = metadata().tables["setup_intents"]
    async with house.app.database.read() as session:
        rows = (await (await session.connection()).execute(table.select())).mappings().all()
    return [(row["gateway_ref"], str(row["status"])) for row in rows]


async def event_row(house: House, reference: str) -> dict[str, Any]:
    table = metadata().tables["gateway_events"]
    async with house.app.database.read() as session:
        query = table.select().where(table.c.gateway_ref == reference)
        return dict((await (await session.connection()).execute(query)).mappings().one())


async def test_an_event_that_cannot_be_worked_on_is_tried_again_with_back_off(house: House) -> None:
    shopper = Shopper(house, "demo-new")
    told = await shopper.subscribe()
    await house.deliver()
    await shopper.browser.confirm(told["paymentIntent"]["clientSecret"], VISA)
    news = event("payment_intent", told["paymentIntent"]["gatewayId"], "payment_intent.succeeded")
    assert (await send(house, news)).status_code == 200
    faults = sandbox_of(house).faults
    faults.at_rate(Fault.ERROR_500_BEFORE, 1.0, seed=0, path_contains="/v1/")

    for tries, wait in enumerate((10, 20, 40), start=1):
        await house.work()
        row = await event_row(house, news["id"])
        assert (str(row["status"]), row["tries"], row["processed_at"]) == ("failed", tries, None)
        assert row["error"] == "GatewayUnavailable: APIError (HTTP 500)"
        assert row["due_at"] == house.machine.now() + timedelta(seconds=wait)
        assert row["leased_until"] is None
        house.pass_time(timedelta(seconds=wait) - timedelta(seconds=1))
        assert (await house.work())["inbox"] == 0
        house.pass_time(timedelta(seconds=1))

    faults.clear()
    assert (await house.work())["inbox"] == 1
    row = await event_row(house, news["id"])
    assert (str(row["status"]), row["tries"], row["error"], row["due_at"]) == ("processed", 4, None, None)
    assert row["processed_at"] == house.machine.now()
    mine = await house.ask("{ mySubscription { status } }", user="demo-new")
    assert mine["mySubscription"] == {"status": "ACTIVE"}


async def test_an_event_that_cannot_be_true_is_kept_as_failed_and_the_others_go_on(house: House) -> None:
    """Somebody has made 9.00 of an intent before the customer paid it in the browser."""
    shopper = Shopper(house, "demo-new")
    told = (await shopper.subscribe())["paymentIntent"]
    await dashboard(house).payment_intents.update_async(told["gatewayId"], {"amount": 900})
    await shopper.browser.confirm(told["clientSecret"], VISA)
    owner = await account(house, "demo-new")
    await dashboard(house).payment_methods.attach_async("pm_card_mastercard", {"customer": owner})
    await house.deliver()
    states = {kind: state for _, kind, state in await inbox(house)}
    assert (states["payment_intent.succeeded"], states["payment_method.attached"]) == ("failed", "processed")
    assert await cards(house, "demo-new") == [("4444", True)]


async def test_one_events_trouble_does_not_stop_the_others(house: House) -> None:
    shopper = Shopper(house, "demo-new")
    told = await shopper.subscribe()
    await house.deliver()
    await shopper.browser.confirm(told["paymentIntent"]["clientSecret"], VISA)
    customer = await account(house)
    bad = event("customer", customer, "customer.updated")
    good = event("payment_intent", told["paymentIntent"]["gatewayId"], "payment_intent.succeeded")
    for news in (bad, good):
        await send(house, news)
    sandbox_of(house).faults.at_rate(Fault.ERROR_500_BEFORE, 1.0, seed=0, path_contains=customer)
    await house.work()
    assert [(ref, status) for ref, _, status in await inbox(house) if ref in (bad["id"], good["id"])] == [
        (bad["id"], "failed"),
        (good["id"], "processed"),
    ]


async def settled_decline(shopper: Shopper) -> None:
    told = await shopper.subscribe(setupFutureUsage="OFF_SESSION")
    await shopper.browser.confirm(told["paymentIntent"]["clientSecret"], DECLINES)
    await shopper.house.deliver()
    await shopper.browser.confirm(told["paymentIntent"]["clientSecret"], VISA)


async def replaced_and_canceled(shopper: Shopper) -> None:
    await shopper.subscribe()
    await shopper.subscribe(currencyCode="CNY", paymentMethodId=await shopper.save_card("pm_card_mastercard"))
    await shopper.cancel(effectiveAt="NOW")


async def open_and_declined(shopper: Shopper) -> None:
    told = await shopper.subscribe()
    await shopper.browser.confirm(told["paymentIntent"]["clientSecret"], DECLINES)


async def card_saved_and_detached(shopper: Shopper) -> None:
    await shopper.save_card("pm_card_mastercard")
    card = await shopper.save_card("pm_card_visa")
    method = await shopper.house.ask(
        "query ($id: ID!) { paymentMethod(id: $id) { gatewayId } }", {"id": card}, shopper.user
    )
    await dashboard(shopper.house).payment_methods.detach_async(method["paymentMethod"]["gatewayId"])


LIVES: list[Callable[[Shopper], Any]] = [
    settled_decline,
    replaced_and_canceled,
    open_and_declined,
    card_saved_and_detached,
]


@pytest.mark.parametrize("life", LIVES, ids=lambda life: life.__name__)
async def test_all_events_sent_again_shuffled_change_no_row(house: House, life: Callable[[Shopper], Any]) -> None:
    await life(Shopper(house, "demo-new"))
    await house.deliver()
    before = await dump(house)
    stored = await inbox(house)

    page = await dashboard(house).events.list_async({"limit": 100})
    events = [item.to_dict() for item in page.data]
    random.Random(1).shuffle(events)
    assert len(events) == len(stored)
    for told in events:
        answer = await send(house, told)
        assert answer.json() == {"received": True, "duplicate": True}
    await house.work()
    assert await dump(house) == before

    for told in events:  # the same news under ids that we have never seen: worked on anew
        answer = await send(house, {**told, "id": f"{told['id']}_again"})
        assert answer.json() == {"received": True, "duplicate": False}
    await house.work()
    assert await dump(house) == before
    assert "failed" not in {status for _, _, status in await inbox(house)}
    assert await house.audit() == []
