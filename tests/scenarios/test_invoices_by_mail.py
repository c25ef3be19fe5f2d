"""Invoices that are sent and waited for, and payments recorded for any invoice, told to their end on both databases."""

from typing import Any

from tests.scenarios.by_hand import aed, record, renew, write_down
from tests.scenarios.orders import (
    ADMIN,
    ATTACH,
    billed,
    default_card,
    life,
    ordered,
    pass_to,
    states,
    subscribe,
)
from tests.support.house import House
from tests.support.outside import gateway_books

USER = "demo-card"
WAITS = "query ($id: ID!) { subscription(id: $id) { paymentConfirmation nextAction { type } } }"
PAY = """mutation ($input: StartSubscriptionPaymentInput!) { startSubscriptionPayment(input: $input) {
  userErrors { code field } } }"""
CANCEL = """mutation ($id: ID!) { cancelSubscription(input: {subscriptionId: $id, effectiveAt: NOW}) {
  subscription { status } userErrors { code } } }"""

PREVIEW_CANCEL = """query ($id: ID!) { previewCancelSubscription(input: {subscriptionId: $id, effectiveAt: NOW}) {
  preview { dueNow { formatted } warnings } userErrors { code } } }"""


async def _by_mail(house: House, **more: Any) -> str:
    return await ordered(
        house, "mail", with_card=False, **{"planCode": "reader-pro", "collectionMethod": "SEND_INVOICE", **more}
    )


def _newest(life: dict[str, Any]) -> dict[str, Any]:
    return life["invoices"]["nodes"][0]


async def _waits(house: House, order: str) -> tuple[str, str]:
    told = (await house.ask(WAITS, {"id": order}, ADMIN))["subscription"]
    return told["paymentConfirmation"], told["nextAction"]["type"]


async def test_a_sent_invoice_is_waited_for_until_it_is_overdue_and_then_paid(house: House) -> None:
    order = await _by_mail(house, daysUntilDue=14)
    begun = await life(house, order)
    assert (begun["status"], begun["collectionMethod"], begun["daysUntilDue"]) == ("ACTIVE", "SEND_INVOICE", 14)
    assert (_newest(begun)["status"], _newest(begun)["dueAt"]) == ("OPEN", "2026-02-14T09:30:00Z")
    assert _newest(begun)["payments"] == []
    assert await _waits(house, order) == ("PENDING", "PAY_OFFLINE")
    await pass_to(house, "2026-02-14T09:29:59Z")
    assert (await life(house, order))["status"] == "ACTIVE"
    await pass_to(house, "2026-02-14T09:30:00Z")
    behind = await life(house, order)
    assert (behind["status"], behind["isActive"]) == ("PAST_DUE", True)
    await pass_to(house, "2026-02-21T09:30:00Z")
    assert (await life(house, order))["isActive"] is False
    paid = await record(house, _newest(behind)["id"], "wire", "7.00", "USD", reference="wire 1")
    assert (paid["userErrors"], paid["invoice"]["status"]) == ([], "PAID")
    told = await life(house, order)
    assert (told["status"], told["isActive"], told["pricePaid"]["formatted"]) == ("ACTIVE", True, "$7.00")
    assert states(told) == ["INCOMPLETE", "ACTIVE", "PAST_DUE", "ACTIVE"]
    assert await _waits(house, order) == ("PAID", "NONE")
    assert not any((await gateway_books(house)).values())
    assert await house.audit() == []


async def test_each_period_is_sent_and_one_that_is_overdue_keeps_it_behind(house: House) -> None:
    order = await _by_mail(house, daysUntilDue=40)
    await pass_to(house, "2026-02-28T09:30:00Z")
    await pass_to(house, "2026-03-12T09:30:00Z")
    both = await life(house, order)
    assert [each["dueAt"] for each in both["invoices"]["nodes"]] == ["2026-04-09T09:30:00Z", "2026-03-12T09:30:00Z"]
    assert both["status"] == "PAST_DUE"
    second, first = (each["id"] for each in both["invoices"]["nodes"])
    await record(house, first, "half", "3.50", "USD")
    assert (await life(house, order))["status"] == "PAST_DUE"
    await record(house, first, "rest", "3.50", "USD")
    assert (await life(house, order))["status"] == "ACTIVE"
    await pass_to(house, "2026-03-31T09:30:00Z")
    await pass_to(house, "2026-04-09T09:30:00Z")
    assert (await life(house, order))["status"] == "PAST_DUE"
    await record(house, second, "second", "7.00", "USD")
    told = await life(house, order)
    assert (told["status"], [each[3] for each in billed(told)]) == ("ACTIVE", ["PAID", "PAID", "OPEN"])
    assert await house.audit() == []


async def test_what_is_too_much_pays_of_the_next_invoice(house: House) -> None:
    order = await _by_mail(house)
    await record(house, _newest(await life(house, order))["id"], "much", "10.00", "USD")
    await pass_to(house, "2026-02-28T09:30:00Z")
    told = await life(house, order)
    assert [each["amountDue"]["formatted"] for each in told["invoices"]["nodes"]] == ["$4.00", "$0.00"]
    assert await house.audit() == []


async def test_an_amount_that_no_gateway_would_charge_can_be_sent(house: House) -> None:
    order = await _by_mail(house, billingDay=1)
    first = _newest(await life(house, order))
    assert (first["status"], first["amountDue"]["formatted"]) == ("OPEN", "$0.23")


async def test_no_card_is_tried_for_a_sent_invoice_even_if_there_is_one(house: House) -> None:
    order = await ordered(house, USER, planCode="reader-pro", collectionMethod="SEND_INVOICE")
    card = await default_card(house, USER)
    asked = {"input": {"subscriptionId": order, "paymentMethodId": card}}
    told = (await house.ask(PAY, asked, USER))["startSubscriptionPayment"]
    assert told["userErrors"] == [{"code": "INVALID_STATE", "field": ["subscriptionId"]}]
    await pass_to(house, "2026-03-02T09:30:00Z")
    await house.ask(ATTACH, {"card": "pm_card_mastercard"}, USER)
    await house.work()
    assert (await life(house, order))["status"] == "PAST_DUE"
    assert not any((await gateway_books(house)).values())
    assert await house.audit() == []


async def test_a_sent_invoice_stays_owed_when_the_subscription_is_canceled(house: House) -> None:
    order = await _by_mail(house)
    told = (await house.ask(PREVIEW_CANCEL, {"id": order}, ADMIN))["previewCancelSubscription"]["preview"]
    assert (told["dueNow"]["formatted"], told["warnings"]) == ("$0.00", [])
    gone = (await house.ask(CANCEL, {"id": order}, ADMIN))["cancelSubscription"]
    assert gone == {"subscription": {"status": "CANCELED"}, "userErrors": []}
    assert _newest(await life(house, order))["status"] == "OPEN"
    paid = await record(house, _newest(await life(house, order))["id"], "late", "7.00", "USD")
    assert paid["invoice"]["status"] == "PAID"
    assert (await life(house, order))["status"] == "CANCELED"
    assert await house.audit() == []


async def test_a_start_to_come_is_invoiced_by_mail_when_it_comes(house: House) -> None:
    order = await _by_mail(house, startAt="2026-02-10T00:00:00Z")
    assert (await life(house, order))["status"] == "SCHEDULED"
    await pass_to(house, "2026-02-10T00:00:00Z")
    told = await life(house, order)
    assert (told["status"], _newest(told)["dueAt"]) == ("ACTIVE", "2026-03-12T00:00:00Z")


async def test_a_renewal_that_the_card_refused_may_be_paid_in_another_way(house: House) -> None:
    order = await ordered(house, USER, planCode="reader-pro")
    await house.ask(ATTACH, {"card": "pm_card_chargeCustomerFail"}, USER)
    await pass_to(house, "2026-02-28T09:30:00Z")
    behind = await life(house, order)
    assert behind["status"] == "PAST_DUE"
    invoice = _newest(behind)["id"]
    part = await record(house, invoice, "part", "3.00", "USD")
    assert part["userErrors"] == [{"code": "INVALID", "field": ["payment"]}]
    paid = await record(house, invoice, "cash", "7.00", "USD")
    assert (paid["userErrors"], paid["invoice"]["status"]) == ([], "PAID")
    await house.deliver()
    told = await life(house, order)
    assert (told["status"], told["totalPaid"]["formatted"]) == ("ACTIVE", "$14.00")
    assert [(each["platform"], each["status"]) for each in _newest(told)["payments"]] == [
        ("SANDBOX", "CANCELED"),
        ("MANUAL", "SUCCEEDED"),
    ]
    intents = (await gateway_books(house))["intents"]
    assert [intent["status"] for intent in intents] == ["succeeded", "canceled"]
    await pass_to(house, "2026-03-05T09:30:00Z")
    assert (await life(house, order))["status"] == "ACTIVE"
    assert await house.audit() == []


async def test_a_first_payment_may_come_in_another_way(house: House) -> None:
    begun = await subscribe(house, USER, planCode="reader-pro")
    order = begun["subscription"]["id"]
    invoice = _newest(await life(house, order))["id"]
    assert (await record(house, invoice, "cash", "7.00", "USD"))["userErrors"] == []
    told = await life(house, order)
    assert (told["status"], told["isActive"]) == ("ACTIVE", True)
    await pass_to(house, "2026-02-02T09:30:00Z")
    assert (await life(house, order))["status"] == "ACTIVE"
    assert await house.audit() == []


async def test_what_the_card_has_paid_meanwhile_wins(house: House) -> None:
    begun = await house.ask(
        """mutation { subscribe(input: {planCode: "reader-pro"}) {
          subscription { id } paymentIntent { clientSecret } userErrors { code } } }""",
        user=USER,
    )
    secret = begun["subscribe"]["paymentIntent"]["clientSecret"]
    order = begun["subscribe"]["subscription"]["id"]
    await house.http.post(
        f"/sandbox/stripe/v1/payment_intents/{secret.partition('_secret_')[0]}/confirm",
        data={"payment_method": "pm_card_visa"},
        headers={"Authorization": "Bearer sk_test_sandbox"},
    )
    told = await record(house, _newest(await life(house, order))["id"], "cash", "7.00", "USD")
    assert told["userErrors"] == [{"code": "ALREADY_PAID", "field": ["invoiceId"]}]
    assert (await life(house, order))["totalPaid"]["formatted"] == "$7.00"
    await house.deliver()
    assert await house.audit() == []


CARDS = """query ($id: ID!) { subscription(id: $id) {
  effectivePaymentMethod { id } customer { defaultPaymentMethod { usedBy { id } } } } }"""
UNPAID = "{ subscriptions(filter: {paymentConfirmation: [PENDING]}) { nodes { id } } }"


async def test_what_was_agreed_on_by_hand_waits_for_what_is_unpaid_and_no_card_pays_it(small_house: House) -> None:
    house = small_house
    days = {"periodStart": "2026-01-01", "periodEnd": "2027-01-01"}
    payment = {"amountDue": aed("100.00"), "amountPaid": aed("30.00")}
    told = await write_down(house, customer={"userId": "demo-card"}, payment=payment, **days)
    order, invoice = told["subscription"]["id"], told["invoice"]["id"]
    assert await _waits(house, order) == ("PENDING", "PAY_OFFLINE")
    assert (await house.ask(UNPAID, user=ADMIN))["subscriptions"]["nodes"] == [{"id": order}]
    nobody = {"effectivePaymentMethod": None, "customer": {"defaultPaymentMethod": {"usedBy": []}}}
    assert (await house.ask(CARDS, {"id": order}, ADMIN))["subscription"] == nobody
    await house.work()
    events = '{ billingEvents(types: ["subscription.created"]) { nodes { payload } } }'
    (event,) = (await house.ask(events, user=ADMIN))["billingEvents"]["nodes"]
    assert (event["payload"]["subscription_id"], event["payload"]["payment_method_id"]) == (
        "subscription_givin_id",
        None,
    )
    assert (await record(house, invoice, "rest", "70.00", "AED"))["invoice"]["status"] == "PAID"
    assert await _waits(house, order) == ("PAID", "NONE")
    assert (await renew(house, order, "again"))["invoice"]["status"] == "OPEN"
    assert await _waits(house, order) == ("PENDING", "PAY_OFFLINE")
    wish = {"planCode": "reader-pro", "collectionMethod": "SEND_INVOICE"}
    sent = await ordered(house, USER, with_card=False, **wish)
    assert (await house.ask(CARDS, {"id": sent}, ADMIN))["subscription"] == nobody
