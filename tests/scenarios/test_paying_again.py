"""Paying an open invoice again while the customer is present: on its own intent, oldest first, five times an hour."""

from datetime import timedelta
from typing import Any

import pytest

from gateways.sandbox import Fault
from tests.scenarios.shopping import Shopper
from tests.support.house import House
from tests.support.outside import ASKS_ALWAYS, RETURN_URL, charges_by_invoice, sandbox_of

ANSWER = """subscription { status isActive } payment { status attempts { trigger outcome } }
  paymentIntent { gatewayId status clientSecret } success paymentTicketId
  nextAction { type redirectUrl returnUrl errorUrl }
  userErrors { code field message ... on TooManyAttemptsError { retryAt } ... on CardDeclinedError { declineCode } }"""
START = f"""mutation ($input: StartSubscriptionPaymentInput!) {{
  startSubscriptionPayment(input: $input) {{ {ANSWER} }} }}"""
RETRY = f"""mutation ($input: RetryPaymentInput!) {{ retryPayment(input: $input) {{ {ANSWER} }} }}"""
TICKET = "query ($id: ID!) { node(id: $id) { ... on ChargeAttempt { sequence } } }"
ERROR_URL = "https://shop.example/failed"
MINE = """{ mySubscription { id status isActive nextAction { type }
  invoices { nodes { id number status payments { id status attempts { trigger outcome } } } } } }"""
BAD, GOOD, ASKS = "pm_card_chargeCustomerFail", "pm_card_visa", "pm_card_authenticationRequired"


class Payer(Shopper):
    """A customer who falls behind and pays again."""

    async def start(self, card: str, **more: Any) -> dict[str, Any]:
        wish = {"subscriptionId": self.subscribed[-1], "paymentMethodId": card, **more}
        return (await self.house.ask(START, {"input": wish}, self.user))["startSubscriptionPayment"]

    async def retry(self, invoice: str, card: str | None = None, **more: Any) -> dict[str, Any]:
        wish = {"invoiceId": invoice, "paymentMethodId": card, **more}
        return (await self.house.ask(RETRY, {"input": wish}, self.user))["retryPayment"]

    async def mine(self) -> dict[str, Any]:
        return (await self.house.ask(MINE, user=self.user))["mySubscription"]

    async def open_invoices(self) -> list[str]:
        """Ids, the oldest first."""
        nodes = (await self.mine())["invoices"]["nodes"]
        return [invoice["id"] for invoice in reversed(nodes) if invoice["status"] == "OPEN"]

    async def fall_behind(self, months: int = 1) -> str:
        """Active on a card that pays, then renewed on one that does not: that card's id."""
        told = await self.subscribe(paymentMethodId=await self.default_card())
        assert told["subscription"]["status"] == "ACTIVE"
        attach = """mutation { attachPaymentMethod(input: {paymentMethodId: "%s", makeDefault: true}) {
            paymentMethod { id } userErrors { code } } }"""
        bad = (await self.house.ask(attach % BAD, user=self.user))["attachPaymentMethod"]["paymentMethod"]["id"]
        self.house.pass_time(timedelta(days=30 * months))
        await self.house.work()
        assert (await self.mine())["status"] == "PAST_DUE"
        return bad


def _codes(told: dict[str, Any]) -> list[str]:
    return [error["code"] for error in told["userErrors"]]


async def test_a_declined_renewal_is_paid_with_another_card_at_once(house: House) -> None:
    payer = Payer(house, "demo-card")
    await payer.fall_behind()
    good = await payer.save_card(GOOD)
    (invoice,) = await payer.open_invoices()
    told = await payer.retry(invoice, good)
    assert (told["success"], told["userErrors"], told["nextAction"]["type"]) == (True, [], "NONE")
    assert told["subscription"] == {"status": "ACTIVE", "isActive": True}
    assert told["payment"] == {
        "status": "SUCCEEDED",
        "attempts": [
            {"trigger": "RENEWAL", "outcome": "DECLINED"},
            {"trigger": "CUSTOMER_RETRY", "outcome": "SUCCEEDED"},
        ],
    }
    assert sorted((await charges_by_invoice(house)).values()) == [1, 1]
    assert await house.audit() == []


async def test_a_retry_without_a_card_takes_the_one_that_pays_the_subscription(house: House) -> None:
    payer = Payer(house, "demo-card")
    await payer.fall_behind()
    (invoice,) = await payer.open_invoices()
    told = await payer.retry(invoice)
    assert (told["success"], _codes(told)) == (False, ["CARD_DECLINED"])
    assert told["subscription"]["status"] == "PAST_DUE"
    assert [a["trigger"] for a in told["payment"]["attempts"]] == ["RENEWAL", "CUSTOMER_RETRY"]


async def test_the_first_payment_is_made_with_start_subscription_payment(house: House) -> None:
    payer = Payer(house, "demo-card")
    begun = await payer.subscribe()
    assert begun["subscription"]["status"] == "INCOMPLETE"
    told = await payer.start(await payer.default_card())
    assert (told["success"], told["subscription"]["status"], told["userErrors"]) == (True, "ACTIVE", [])
    assert told["paymentIntent"]["gatewayId"] == begun["paymentIntent"]["gatewayId"]
    again = await payer.start(await payer.default_card())
    assert (again["success"], _codes(again)) == (True, ["ALREADY_PAID"])
    assert list((await charges_by_invoice(house)).values()) == [1]


async def test_a_challenge_on_a_retry_is_carried_on_on_the_same_intent(house: House) -> None:
    payer = Payer(house, "demo-card")
    await payer.fall_behind()
    asks = await payer.save_card(ASKS)
    (invoice,) = await payer.open_invoices()
    told = await payer.start(asks, returnUrl=RETURN_URL, errorUrl=ERROR_URL)
    assert _codes(told) == ["PAYMENT_ACTION_REQUIRED"]
    assert (told["nextAction"]["type"], told["nextAction"]["returnUrl"]) == ("REDIRECT", RETURN_URL)
    assert told["nextAction"]["errorUrl"] == ERROR_URL
    ticket = await house.ask(TICKET, {"id": told["paymentTicketId"]}, payer.user)
    assert ticket == {"node": {"sequence": 2}}
    assert told["paymentIntent"]["clientSecret"].startswith(told["paymentIntent"]["gatewayId"])
    again = await payer.retry(invoice, asks)
    assert again["paymentIntent"] == told["paymentIntent"]
    assert [a["outcome"] for a in again["payment"]["attempts"]] == ["DECLINED", "REQUIRES_ACTION"]
    await payer.browser.answer(again["nextAction"]["redirectUrl"], "succeeded")
    await house.deliver()
    mine = await payer.mine()
    assert (mine["status"], mine["invoices"]["nodes"][0]["status"]) == ("ACTIVE", "PAID")
    assert [a["outcome"] for a in mine["invoices"]["nodes"][0]["payments"][0]["attempts"]] == ["DECLINED", "SUCCEEDED"]
    assert sorted((await charges_by_invoice(house)).values()) == [1, 1]


async def test_another_card_takes_the_place_of_a_challenge_that_nobody_answered(house: House) -> None:
    payer = Payer(house, "demo-card")
    await payer.fall_behind()
    asks, good = await payer.save_card(ASKS), await payer.save_card(GOOD)
    (invoice,) = await payer.open_invoices()
    assert _codes(await payer.retry(invoice, asks)) == ["PAYMENT_ACTION_REQUIRED"]
    told = await payer.retry(invoice, good)
    assert told["success"] is True
    assert [a["outcome"] for a in told["payment"]["attempts"]] == ["DECLINED", "ABANDONED", "SUCCEEDED"]
    assert sorted((await charges_by_invoice(house)).values()) == [1, 1]


async def test_the_worker_leaves_a_challenge_to_the_customer_whatever_card_is_chosen_meanwhile(house: House) -> None:
    payer = Payer(house, "demo-card")
    await payer.fall_behind()
    asks, good = await payer.save_card(ASKS), await payer.save_card(GOOD)
    told = await payer.start(asks, returnUrl=RETURN_URL)
    choose = (
        """mutation ($id: ID!) { setDefaultPaymentMethod(input: {paymentMethodId: $id}) { userErrors { code } } }"""
    )
    await house.ask(choose, {"id": good}, payer.user)
    worked = await house.work()
    assert worked["collected"] == 1
    assert await house.work() == dict.fromkeys(worked, 0)
    await payer.browser.answer(told["nextAction"]["redirectUrl"], "succeeded")
    await house.deliver()
    assert (await payer.mine())["status"] == "ACTIVE"
    assert sorted((await charges_by_invoice(house)).values()) == [1, 1]


async def test_five_tries_an_hour_and_then_the_next_one_is_told(house: House) -> None:
    payer = Payer(house, "demo-card")
    bad = await payer.fall_behind()
    (invoice,) = await payer.open_invoices()
    for _ in range(5):
        assert _codes(await payer.retry(invoice, bad)) == ["CARD_DECLINED"]
        house.pass_time(timedelta(minutes=1))
    first = house.clock.now() - timedelta(minutes=5)
    refused = await payer.start(bad)
    (error,) = refused["userErrors"]
    free_at = first + timedelta(hours=1)
    assert error == {
        "code": "TOO_MANY_ATTEMPTS",
        "field": None,
        "message": f"This invoice was tried 5 times within an hour. Try again at {free_at:%Y-%m-%d %H:%M:%S} UTC.",
        "retryAt": free_at.isoformat().replace("+00:00", "Z"),
    }
    assert len(refused["payment"]["attempts"]) == 6
    good = await payer.save_card(GOOD)
    assert _codes(await payer.retry(invoice, good)) == ["TOO_MANY_ATTEMPTS"]
    house.pass_time(free_at - house.clock.now() - timedelta(seconds=1))
    assert _codes(await payer.retry(invoice, good)) == ["TOO_MANY_ATTEMPTS"]
    house.pass_time(timedelta(seconds=1))
    assert (await payer.retry(invoice, good))["success"] is True
    assert sorted((await charges_by_invoice(house)).values()) == [1, 1]


async def test_subscribing_again_and_again_is_limited_alike(house: House) -> None:
    payer = Payer(house, "demo-decline")
    card = await payer.default_card()
    for _ in range(5):
        assert _codes(await payer.subscribe(paymentMethodId=card)) == ["CARD_DECLINED"]
    assert _codes(await payer.subscribe(paymentMethodId=card)) == ["TOO_MANY_ATTEMPTS"]
    good = await payer.save_card(GOOD)
    assert _codes(await payer.start(good)) == ["TOO_MANY_ATTEMPTS"]
    house.pass_time(timedelta(hours=1))
    assert (await payer.start(good))["success"] is True


async def test_the_oldest_invoice_is_paid_first_and_the_next_follows_of_itself(house: House) -> None:
    payer = Payer(house, "demo-card")
    await payer.fall_behind(months=2)
    good = await payer.save_card(GOOD)
    oldest, newer = await payer.open_invoices()
    refused = await payer.retry(newer, good)
    mine = await payer.mine()
    number = next(i["number"] for i in mine["invoices"]["nodes"] if i["id"] == oldest)
    assert refused["userErrors"] == [
        {
            "code": "INVALID_STATE",
            "field": ["invoiceId"],
            "message": f"Invoice {number} is older and must be paid first; this one follows of itself.",
        }
    ]
    assert (await payer.retry(oldest, good))["success"] is True
    assert await payer.open_invoices() == [newer]
    # The renewals' own card still does not pay; the customer does.
    await house.work()
    assert (await payer.mine())["status"] == "PAST_DUE"
    assert (await payer.retry(newer, good))["subscription"]["status"] == "ACTIVE"
    assert sorted((await charges_by_invoice(house)).values()) == [1, 1, 1]


async def test_what_cannot_be_paid_says_why(house: House) -> None:
    payer = Payer(house, "demo-card")
    told = await payer.subscribe(paymentMethodId=await payer.default_card())
    (paid,) = [i["id"] for i in (await payer.mine())["invoices"]["nodes"]]
    again = await payer.retry(paid)
    assert (again["success"], _codes(again)) == (True, ["ALREADY_PAID"])
    card = await payer.default_card()
    stranger = Payer(house, "demo-decline", subscribed=[told["subscription"]["id"]])
    assert (await stranger.retry(paid))["userErrors"][0]["field"] == ["invoiceId"]
    assert _codes(await stranger.start(card)) == ["NOT_FOUND"]
    await payer.cancel(effectiveAt="NOW")
    ended = await payer.start(card)
    assert (_codes(ended), ended["payment"]) == (["INVALID_STATE"], None)

    unpaid = Payer(house, "demo-new")
    await unpaid.subscribe()
    (invoice,) = await unpaid.open_invoices()
    assert [(e["code"], e["field"]) for e in (await unpaid.retry(invoice))["userErrors"]] == [
        ("PAYMENT_METHOD_REQUIRED", ["paymentMethodId"])
    ]
    assert [(e["code"], e["field"]) for e in (await unpaid.start(card))["userErrors"]] == [
        ("NOT_FOUND", ["paymentMethodId"])
    ]
    await unpaid.cancel(effectiveAt="NOW")
    void = await unpaid.retry(invoice)
    assert [(e["code"], e["message"]) for e in void["userErrors"]] == [
        ("INVALID_STATE", "The invoice is void; nothing is owed.")
    ]


async def test_one_key_is_one_try(house: House) -> None:
    payer = Payer(house, "demo-card")
    bad = await payer.fall_behind()
    (invoice,) = await payer.open_invoices()
    first = await payer.retry(invoice, bad, idempotencyKey="once")
    again = await payer.retry(invoice, bad, idempotencyKey="once")
    assert (_codes(first), first["payment"]) == (["CARD_DECLINED"], again["payment"])
    assert _codes(again) == ["CARD_DECLINED"]
    other = await payer.retry(invoice, await payer.save_card(GOOD), idempotencyKey="once")
    assert _codes(other) == ["IDEMPOTENCY_CONFLICT"]
    assert _codes(await payer.retry(invoice, bad, idempotencyKey="x" * 256)) == ["INVALID"]


@pytest.mark.parametrize("fault", [Fault.TIMEOUT_AFTER, Fault.TIMEOUT_BEFORE])
async def test_a_retry_whose_answer_is_lost_is_found_out_and_charged_once(house: House, fault: Fault) -> None:
    payer = Payer(house, "demo-card")
    await payer.fall_behind()
    good = await payer.save_card(GOOD)
    (invoice,) = await payer.open_invoices()
    faults = sandbox_of(house).faults
    faults.arm(fault, count=2, path_contains="/confirm")
    faults.arm(Fault.KEYS_FORGOTTEN, count=1000)
    told = await payer.retry(invoice, good)
    assert (told["success"], _codes(told)) == (False, ["PAYMENT_OUTCOME_UNKNOWN"])
    house.pass_time(timedelta(seconds=60))
    await house.work()
    assert (await payer.mine())["status"] == "ACTIVE"
    assert sorted((await charges_by_invoice(house)).values()) == [1, 1]
    assert await house.audit() == []


async def test_staff_tries_again_for_a_customer(house: House) -> None:
    payer = Payer(house, "demo-card")
    await payer.fall_behind()
    good = await payer.save_card(GOOD)
    (invoice,) = await payer.open_invoices()
    query = """mutation ($input: RetryPaymentInput!) { retryPayment(input: $input) {
        success payment { attempts { trigger } } userErrors { code } } }"""
    told = await house.ask(query, {"input": {"invoiceId": invoice, "paymentMethodId": good}}, "demo-support")
    assert told["retryPayment"] == {
        "success": True,
        "payment": {"attempts": [{"trigger": "RENEWAL"}, {"trigger": "ADMIN_RETRY"}]},
        "userErrors": [],
    }


async def test_a_card_typed_into_the_browser_pays_an_open_renewal_too(house: House) -> None:
    payer = Payer(house, "demo-card")
    bad = await payer.fall_behind()
    (invoice,) = await payer.open_invoices()
    secret = (await payer.retry(invoice, bad))["paymentIntent"]["clientSecret"]
    url = await payer.browser.confirm_challenged(secret, ASKS_ALWAYS)
    await payer.browser.answer(url, "succeeded")
    await house.deliver()
    assert (await payer.mine())["status"] == "ACTIVE"
    assert sorted((await charges_by_invoice(house)).values()) == [1, 1]
