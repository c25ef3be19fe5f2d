"""A card's life through the public API: saved, chosen, pinned, used, changed, replaced, and taken away."""

from datetime import timedelta
from typing import Any

import pytest

from billing.errors import ErrorCode, UserProblem
from gateways.sandbox import Fault
from models.customers import customer_of_user, live_payment_methods
from services.wallet.card_changes import CardDetails, detach_payment_method, update_payment_method
from tests.scenarios.by_hand import write_down
from tests.scenarios.shopping import Shopper
from tests.support.deliveries import event, send
from tests.support.house import House
from tests.support.meanwhile import just_after
from tests.support.outside import charges_by_invoice, dashboard, sandbox_of

GOOD, OTHER, BAD = "pm_card_visa", "pm_card_mastercard", "pm_card_chargeCustomerFail"
ERRORS = "userErrors { code field message ... on VersionConflictError { currentVersion } }"
CARD = """id isDefault isExpiringSoon isArchived version usedBy { id } cardHolderName cardHolderZip
  card { brand last4 expMonth expYear } billingDetails { address { line1 city postalCode countryCode } }"""
UPDATE = f"""mutation ($input: UpdatePaymentMethodInput!) {{ updatePaymentMethod(input: $input) {{
  paymentMethod {{ {CARD} }} {ERRORS} }} }}"""
DETACH = f"""mutation ($id: ID!) {{ detachPaymentMethod(input: {{paymentMethodId: $id}}) {{
  paymentMethod {{ {CARD} }} {ERRORS} }} }}"""
PIN = f"""mutation ($input: UpdateSubscriptionPaymentMethodInput!) {{
  updateSubscriptionPaymentMethod(input: $input) {{
    subscription {{ id version status paymentMethod {{ id }} effectivePaymentMethod {{ id }} }}
    invoice {{ status }} {ERRORS} }} }}"""
CHOOSE = f"""mutation ($id: ID!, $pins: Boolean!) {{
  setDefaultPaymentMethod(input: {{paymentMethodId: $id, applyToSubscriptions: $pins}}) {{
    paymentMethod {{ id isDefault }} updatedSubscriptions {{ id paymentMethod {{ id }} }} {ERRORS} }} }}"""
CARDS = f"{{ paymentMethods {{ nodes {{ {CARD} }} }} }}"
MINE = """{ mySubscription { id version status paymentMethod { id } effectivePaymentMethod { id }
  latestPayment { status paymentMethod { id } attempts { trigger outcome } } } }"""


class Holder(Shopper):
    """A customer with cards and a subscription."""

    async def change(self, card: str, **more: Any) -> dict[str, Any]:
        wish = {"paymentMethodId": card, **more}
        return (await self.house.ask(UPDATE, {"input": wish}, self.user))["updatePaymentMethod"]

    async def detach(self, card: str) -> dict[str, Any]:
        return (await self.house.ask(DETACH, {"id": card}, self.user))["detachPaymentMethod"]

    async def pin(self, **more: Any) -> dict[str, Any]:
        wish = {"subscriptionId": self.subscribed[-1], **more}
        return (await self.house.ask(PIN, {"input": wish}, self.user))["updateSubscriptionPaymentMethod"]

    async def choose(self, card: str, *, pins: bool = True) -> dict[str, Any]:
        return (await self.house.ask(CHOOSE, {"id": card, "pins": pins}, self.user))["setDefaultPaymentMethod"]

    async def cards(self) -> list[dict[str, Any]]:
        return (await self.house.ask(CARDS, user=self.user))["paymentMethods"]["nodes"]

    async def mine(self) -> dict[str, Any]:
        return (await self.house.ask(MINE, user=self.user))["mySubscription"]

    async def pass_month(self) -> dict[str, Any]:
        self.house.pass_time(timedelta(days=31))
        await self.house.work()
        await self.house.deliver()
        return await self.mine()


def _codes(told: dict[str, Any]) -> list[str]:
    return [error["code"] for error in told["userErrors"]]


async def test_a_cards_life(house: House) -> None:
    holder = Holder(house, "demo-new")
    visa = await holder.save_card(GOOD)  # a first card becomes the default
    await holder.subscribe(paymentMethodId=visa)
    (subscription,) = holder.subscribed
    assert (await holder.mine())["status"] == "ACTIVE"
    (card,) = await holder.cards()
    assert (card["isDefault"], card["usedBy"]) == (True, [{"id": subscription}])

    # Pinned, and used by the renewal.
    master = await holder.save_card(OTHER)
    pinned = await holder.pin(paymentMethodId=master)
    assert (pinned["subscription"]["paymentMethod"], pinned["invoice"], _codes(pinned)) == ({"id": master}, None, [])
    assert [(c["id"], c["isDefault"], c["usedBy"]) for c in await holder.cards()] == [
        (master, False, [{"id": subscription}]),
        (visa, True, []),
    ]
    renewed = await holder.pass_month()
    assert (renewed["latestPayment"]["status"], renewed["latestPayment"]["paymentMethod"]) == (
        "SUCCEEDED",
        {"id": master},
    )

    # Changed by its holder.
    changed = await holder.change(
        master,
        cardHolderName="Ada Lovelace",
        cardHolderZip="10115",
        expMonth=3,
        expYear=2026,
        address={"city": "Berlin"},
    )
    assert _codes(changed) == []
    told = changed["paymentMethod"]
    assert (told["cardHolderName"], told["cardHolderZip"]) == ("Ada Lovelace", "10115")
    assert told["billingDetails"]["address"] == {
        "line1": None,
        "city": "Berlin",
        "postalCode": "10115",
        "countryCode": None,
    }
    # March 2026 is its last month; the 3rd is within thirty days of its end.
    assert house.clock.now().isoformat() == "2026-03-03T09:30:00+00:00"
    assert told["isExpiringSoon"] is True

    # Replaced by its issuer: the same card with a new number, as the gateway's card updater tells.
    reference = await house.ask("query($id: ID!) { paymentMethod(id: $id) { gatewayId } }", {"id": master}, "demo-new")
    reference = reference["paymentMethod"]["gatewayId"]
    v1 = dashboard(house)
    await v1.payment_methods.update_async(reference, {"card": {"exp_month": 8, "exp_year": 2031}})
    await house.deliver()
    told = next(c for c in await holder.cards() if c["id"] == master)
    assert (told["card"]["expMonth"], told["card"]["expYear"], told["isExpiringSoon"]) == (8, 2031, False)

    # Chosen as the default, which takes the pin away.
    chosen = await holder.choose(master)
    assert chosen["updatedSubscriptions"] == [{"id": subscription, "paymentMethod": None}]
    assert [(c["isDefault"], c["usedBy"]) for c in await holder.cards()] == [
        (True, [{"id": subscription}]),
        (False, []),
    ]

    # Taken away: any but the last.
    away = await holder.detach(visa)
    assert (_codes(away), away["paymentMethod"]["isArchived"], away["paymentMethod"]["usedBy"]) == ([], True, [])
    assert await holder.detach(visa) == away
    refused = await holder.detach(master)
    assert refused == {
        "paymentMethod": None,
        "userErrors": [
            {
                "code": "PAYMENT_METHOD_IN_USE",
                "message": "This is the last card, and a subscription goes on. Save another card first, or cancel the "
                "subscription.",
                "field": ["paymentMethodId"],
            }
        ],
    }
    await holder.cancel(effectiveAt="NOW")
    assert _codes(await holder.detach(master)) == []
    assert await holder.cards() == []
    await house.deliver()
    assert await holder.cards() == []
    listed = (await v1.payment_methods.retrieve_async(reference)).to_dict()
    assert listed["customer"] is None
    assert await house.audit() == []


async def test_soon_is_thirty_days_before_the_end_of_the_month(house: House) -> None:
    holder = Holder(house, "demo-card")
    (card,) = await holder.cards()
    assert (card["card"]["expMonth"], card["card"]["expYear"]) == (1, 2027)
    house.pass_time((_at(house, 2027, 1, 2) - house.clock.now()) - timedelta(seconds=1))
    assert (await holder.cards())[0]["isExpiringSoon"] is False
    house.pass_time(timedelta(seconds=1))
    assert (await holder.cards())[0]["isExpiringSoon"] is True
    house.pass_time(timedelta(days=365))
    assert (await holder.cards())[0]["isExpiringSoon"] is True


def _at(house: House, year: int, month: int, day: int) -> Any:
    return house.clock.now().replace(year=year, month=month, day=day, hour=0, minute=0, second=0)


async def test_the_card_updaters_own_event_is_followed_by_reading_the_card(house: House) -> None:
    holder = Holder(house, "demo-card")
    (before,) = await holder.cards()
    async with house.app.database.read() as session:
        customer = await customer_of_user(session, "demo-card")
        assert customer is not None
        (row,) = await live_payment_methods(session, customer.id)
    await dashboard(house).payment_methods.update_async(row.gateway_ref, {"card": {"exp_year": 2033}})
    assert (await holder.cards()) == [before]  # not heard of yet
    told = await send(house, event("payment_method", row.gateway_ref, "payment_method.automatically_updated"))
    assert told.status_code == 200
    await house.work()
    (after,) = await holder.cards()
    assert after == {**before, "version": before["version"] + 1, "card": {**before["card"], "expYear": 2033}}


@pytest.mark.parametrize("token", ["tok_mastercard", "pm_card_mastercard"])
async def test_a_token_saves_the_card_and_pays_what_is_open(house: House, token: str) -> None:
    holder = Holder(house, "demo-card")
    await holder.subscribe(paymentMethodId=await holder.default_card())
    bad = await holder.save_card(BAD)
    await holder.choose(bad)
    assert (await holder.pass_month())["status"] == "PAST_DUE"
    pinned = await holder.pin(cardToken=token, idempotencyKey="new-card")
    assert (pinned["invoice"], _codes(pinned)) == ({"status": "OPEN"}, [])
    card = pinned["subscription"]["paymentMethod"]["id"]
    assert card not in (bad, await holder.default_card())
    assert await holder.pin(cardToken=token, idempotencyKey="new-card") == pinned
    assert [c["card"]["brand"] for c in await holder.cards()] == ["mastercard", "visa", "visa"]
    await house.work()
    mine = await holder.mine()
    assert mine["status"] == "ACTIVE"
    assert mine["latestPayment"] == {
        "status": "SUCCEEDED",
        "paymentMethod": {"id": card},
        "attempts": [
            {"trigger": "RENEWAL", "outcome": "DECLINED"},
            {"trigger": "PAYMENT_METHOD_UPDATED", "outcome": "SUCCEEDED"},
        ],
    }
    again = await holder.pin(cardToken="tok_visa", idempotencyKey="new-card")
    assert _codes(again) == ["IDEMPOTENCY_CONFLICT"]
    assert sorted((await charges_by_invoice(house)).values()) == [1, 1]


async def test_an_open_invoice_waits_if_it_shall_and_for_the_same_card(house: House) -> None:
    holder = Holder(house, "demo-card")
    good = await holder.default_card()
    await holder.subscribe(paymentMethodId=good)
    bad = await holder.save_card(BAD)
    await holder.choose(bad)
    await holder.pass_month()
    assert (await holder.pin(paymentMethodId=bad))["invoice"] is None
    assert (await holder.pin(paymentMethodId=good, retryOpenInvoice=False))["invoice"] is None
    worked = await house.work()
    assert worked["collected"] == 0
    assert (await holder.mine())["status"] == "PAST_DUE"
    # Back and forth: what is another card than before is tried.
    await holder.pin(paymentMethodId=bad, retryOpenInvoice=False)
    assert (await holder.pin(paymentMethodId=good))["invoice"] == {"status": "OPEN"}
    await house.work()
    assert (await holder.mine())["status"] == "ACTIVE"


async def test_a_first_card_waits_with_the_open_invoice_if_it_shall(house: House) -> None:
    holder = Holder(house, "demo-card")
    card = await holder.default_card()
    await holder.subscribe(paymentMethodId=card)
    told = await house.ask("query($id: ID!) { paymentMethod(id: $id) { gatewayId } }", {"id": card}, holder.user)
    await dashboard(house).payment_methods.detach_async(told["paymentMethod"]["gatewayId"])
    await house.deliver()
    assert (await holder.pass_month())["status"] == "PAST_DUE"
    pinned = await holder.pin(cardToken="tok_mastercard", retryOpenInvoice=False)
    assert (pinned["invoice"], _codes(pinned)) == (None, [])
    assert (await house.work())["collected"] == 0
    assert (await holder.mine())["status"] == "PAST_DUE"
    await house.deliver()
    assert (await house.work())["collected"] == 0


async def test_the_last_card_may_go_where_nothing_is_charged_to_cards(house: House) -> None:
    """What goes on was paid at the counter: no gateway ever hears of it."""
    holder = Holder(house, "demo-new")
    card = await holder.save_card(GOOD)
    told = await write_down(house, customer={"userId": "demo-new"}, periodEnd="2026-11-20")
    assert (told["userErrors"], told["subscription"]["isActive"]) == ([], True)
    away = await holder.detach(card)
    assert (_codes(away), away["paymentMethod"]["isArchived"]) == ([], True)


async def test_a_new_default_pays_what_a_pinned_card_could_not(house: House) -> None:
    holder = Holder(house, "demo-card")
    good = await holder.default_card()
    await holder.subscribe(paymentMethodId=good)
    await holder.pin(paymentMethodId=await holder.save_card(BAD))
    assert (await holder.pass_month())["status"] == "PAST_DUE"
    kept = await holder.choose(good, pins=False)
    assert kept["updatedSubscriptions"] == []
    assert (await house.work())["collected"] == 0
    chosen = await holder.choose(good)
    assert [s["id"] for s in chosen["updatedSubscriptions"]] == holder.subscribed
    await house.work()
    assert (await holder.mine())["status"] == "ACTIVE"


async def test_a_detached_card_gives_way_to_the_default_and_the_newest_other(house: House) -> None:
    holder = Holder(house, "demo-card")
    first = await holder.default_card()
    await holder.subscribe(paymentMethodId=first)
    master = await holder.save_card(OTHER)
    await holder.pin(paymentMethodId=master)
    assert _codes(await holder.detach(master)) == []
    mine = await holder.mine()
    assert (mine["paymentMethod"], mine["effectivePaymentMethod"]) == (None, {"id": first})
    newest = await holder.save_card(OTHER)
    assert _codes(await holder.detach(first)) == []
    assert await holder.default_card() == newest
    assert (await holder.pass_month())["latestPayment"]["paymentMethod"] == {"id": newest}


async def test_refusals(house: House) -> None:
    holder = Holder(house, "demo-card")
    card = await holder.default_card()
    begun = await holder.subscribe(paymentMethodId=card)
    subscription = begun["subscription"]["id"]
    version = (await holder.mine())["version"]

    async def pin(**more: Any) -> list[tuple[str, list[str] | None]]:
        return [(error["code"], error["field"]) for error in (await holder.pin(**more))["userErrors"]]

    assert await pin() == [("REQUIRED", ["paymentMethodId"])]
    assert await pin(paymentMethodId=card, cardToken="tok_visa") == [("REQUIRED", ["paymentMethodId"])]
    assert await pin(paymentMethodId="pmd_none") == [("NOT_FOUND", ["paymentMethodId"])]
    assert await pin(cardToken="tok_none") == [("NOT_FOUND", ["cardToken"])]
    assert await pin(cardToken="4242 4242 4242 4242") == [("INVALID", ["cardToken"])]
    assert await pin(cardToken="5555-5555-5555-4444") == [("INVALID", ["cardToken"])]
    assert await pin(cardToken="tok_chargeDeclined") == [("CARD_DECLINED", ["cardToken"])]
    stale = await holder.pin(paymentMethodId=card, expectedVersion=version + 7)
    assert (_codes(stale), stale["userErrors"][0]["currentVersion"]) == (["VERSION_CONFLICT"], version)
    assert await pin(subscriptionId="sbs_none", cardToken="tok_visa") == [("NOT_FOUND", ["subscriptionId"])]
    assert len(await holder.cards()) == 1

    (shown,) = await holder.cards()
    conflict = await holder.change(card, cardHolderName="Eve", expectedVersion=shown["version"] + 1)
    assert conflict["userErrors"][0]["currentVersion"] == shown["version"]
    past = await holder.change(card, expMonth=1, expYear=2025)
    assert [(e["code"], e["field"]) for e in past["userErrors"]] == [("INVALID", ["expYear"])]
    assert _codes(await holder.change(card, cardHolderName="x" * 251)) == ["INVALID"]
    twice = await holder.change(card, cardHolderZip="10115", address={"postalCode": "10117"})
    assert [(e["code"], e["field"]) for e in twice["userErrors"]] == [("INVALID", ["cardHolderZip"])]
    assert (await holder.change(card))["paymentMethod"] == shown
    assert await holder.cards() == [shown]

    stranger = Holder(house, "demo-decline", subscribed=[subscription])
    assert _codes(await stranger.change(card, cardHolderName="Eve")) == ["NOT_FOUND"]
    assert _codes(await stranger.detach(card)) == ["NOT_FOUND"]
    assert _codes(await stranger.pin(paymentMethodId=card)) == ["NOT_FOUND"]
    assert await holder.cards() == [shown]

    await holder.cancel(effectiveAt="NOW")
    assert await pin(paymentMethodId=card) == [("INVALID_STATE", ["subscriptionId"])]
    assert _codes(await holder.detach(card)) == []
    assert _codes(await holder.change(card, cardHolderName="Eve")) == ["NOT_FOUND"]
    assert _codes(await holder.choose(card)) == ["NOT_FOUND"]


async def test_a_card_number_never_comes_in_by_attaching_either(house: House) -> None:
    attach = f"""mutation {{ attachPaymentMethod(input: {{paymentMethodId: "4242424242424242"}}) {{
        paymentMethod {{ id }} {ERRORS} }} }}"""
    told = (await house.ask(attach, user="demo-card"))["attachPaymentMethod"]
    assert told == {
        "paymentMethod": None,
        "userErrors": [
            {
                "code": "INVALID",
                "field": ["paymentMethodId"],
                "message": "paymentMethodId: this looks like a card's number, which must never come here. Let the "
                "browser give the card to the gateway and send what it gets for it.",
            }
        ],
    }


@pytest.mark.parametrize("fault", [Fault.TIMEOUT_BEFORE, Fault.TIMEOUT_AFTER])
async def test_a_detaching_whose_answer_is_lost_is_repeated_safely(house: House, fault: Fault) -> None:
    holder = Holder(house, "demo-card")
    card = await holder.default_card()
    sandbox_of(house).faults.arm(fault, count=2, path_contains="/detach")
    lost = await holder.detach(card)
    assert _codes(lost) == ["GATEWAY_UNAVAILABLE"]
    assert [c["id"] for c in await holder.cards()] == [card]
    again = await holder.detach(card)
    assert (_codes(again), again["paymentMethod"]["isArchived"]) == ([], True)
    assert await holder.cards() == []


async def test_two_detach_one_card_at_once(house: House) -> None:
    holder = Holder(house, "demo-card")
    card = await holder.default_card()

    async def twin() -> None:
        assert _codes(await holder.detach(card)) == []

    app = just_after(house.app, "detach_payment_method", twin)
    row = await detach_payment_method(app, house.actor("demo-card"), payment_method_id=card)
    assert row.archived_at is not None
    assert await holder.cards() == []


async def test_a_card_that_is_taken_away_while_it_is_changed_does_not_come_back(house: House) -> None:
    holder = Holder(house, "demo-card")
    card = await holder.default_card()

    async def away() -> None:
        assert _codes(await holder.detach(card)) == []

    with pytest.raises(UserProblem) as refused:
        await update_payment_method(
            just_after(house.app, "update_payment_method", away),
            house.actor("demo-card"),
            payment_method_id=card,
            details=CardDetails(name="Ada Lovelace"),
            expected_version=None,
        )
    assert (refused.value.code, await holder.cards()) == (ErrorCode.NOT_FOUND, [])


async def test_what_two_change_of_a_card_at_once_is_both_kept(house: House) -> None:
    """The answer to the first comes last."""
    holder = Holder(house, "demo-card")
    card = await holder.default_card()

    async def other() -> None:
        assert _codes(await holder.change(card, expMonth=3, expYear=2030)) == []

    row = await update_payment_method(
        just_after(house.app, "update_payment_method", other),
        house.actor("demo-card"),
        payment_method_id=card,
        details=CardDetails(name="Ada Lovelace"),
        expected_version=None,
    )
    assert row.id == card
    (told,) = await holder.cards()
    assert (told["cardHolderName"], told["card"]["expMonth"], told["card"]["expYear"]) == ("Ada Lovelace", 3, 2030)


async def test_cards_are_found_by_what_is_known_of_them(house: House) -> None:
    holder = Holder(house, "demo-card")
    visa, master = await holder.default_card(), await holder.save_card(OTHER)
    await holder.change(master, cardHolderName="Ada Lovelace", cardHolderZip="10115", expMonth=3, expYear=2030)
    query = """query ($filter: PaymentMethodFilter!) {
        paymentMethods(filter: $filter) { totalCount nodes { id gatewayId } } }"""

    async def found(user: str = "demo-card", **filter: Any) -> list[str]:
        page = (await house.ask(query, {"filter": filter}, user))["paymentMethods"]
        assert page["totalCount"] == len(page["nodes"])
        return [node["id"] for node in page["nodes"]]

    everything = (await house.ask(query, {"filter": {}}, "demo-card"))["paymentMethods"]["nodes"]
    assert [node["id"] for node in everything] == [master, visa]
    assert await found(paymentMethodId=visa) == [visa]
    assert await found(paymentMethodId=everything[0]["gatewayId"]) == [master]
    assert await found(cardHolderName="Ada Lovelace") == [master]
    assert await found(cardHolderName="Ada") == []
    assert await found(cardHolderZip="10115") == [master]
    assert await found(platform="SANDBOX", type="card") == [master, visa]
    assert await found(platform="STRIPE") == []
    assert await found(card={"brand": "visa"}) == [visa]
    assert await found(card={"last4": "4444"}) == [master]
    assert await found(card={"expiringBefore": "2027-01-31"}) == []
    assert await found(card={"expiringBefore": "2027-02-01"}) == [visa]
    assert await found(card={"expiringBefore": "2030-03-31"}) == [visa]
    assert await found(card={"expiringBefore": "2030-04-01"}) == [master, visa]
    assert await found(card={"brand": "visa", "last4": "4444"}) == []
    account = await house.ask("{ me { gatewayAccounts { customerId } } }", user="demo-card")
    customer = account["me"]["gatewayAccounts"][0]["customerId"]
    assert await found("demo-support", gatewayCustomerId=customer) == [master, visa]
    assert await found("demo-support", userId="demo-card", card={"brand": "visa"}) == [visa]
    assert await found(userId="demo-card") == [master, visa]
    refused = (await house.post(query, {"filter": {"userId": "demo-decline"}}, "demo-card")).json()
    assert [error["extensions"]["code"] for error in refused["errors"]] == ["FORBIDDEN"]
