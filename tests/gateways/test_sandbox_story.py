"""The story that `npm/story.mjs` tells with the npm client, told with the Python SDK over a socket: a shop that knows
Stripe's API and nothing of ours."""

import asyncio
import sqlite3
from contextlib import closing
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import stripe

from tests.gateways.sandbox_alone import PATIENCE, SECRET, Alone

# The SDK hands httpx its form in a way httpx has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
USD = {"amount": 900, "currency": "usd"}


async def test_a_shop_sells_saves_refunds_and_hears_of_it(alone: Alone) -> None:
    customer, card = await keeps_a_customer_and_a_card(alone)
    paid = await charges_it_off_session(alone, customer, card)
    await takes_a_decline_as_an_answer(alone)
    await passes_3d_secure_in_the_browser(alone)
    await saves_a_card_for_later(alone, customer)
    await refunds(alone, paid)
    await disputes_and_coupons(alone)
    await repeats_itself_safely(alone)
    await pages_through_everything(alone)
    await trusts_only_what_is_signed(alone)


async def keeps_a_customer_and_a_card(alone: Alone) -> tuple[str, str]:
    v1 = alone.client.v1
    customer = await v1.customers.create_async({"email": "mei@example.com", "metadata": {"user": "7"}})
    card = await v1.payment_methods.attach_async("pm_card_visa", {"customer": customer.id})
    kept = await v1.customers.update_async(
        customer.id,
        {
            "invoice_settings": {"default_payment_method": card.id},
            "expand": ["invoice_settings.default_payment_method"],
        },
    )
    assert kept.invoice_settings.default_payment_method.card.last4 == "4242"
    return customer.id, card.id


async def charges_it_off_session(alone: Alone, customer: str, card: str) -> str:
    intents = alone.client.v1.payment_intents
    intent = await intents.create_async(
        {"amount": 4900, "currency": "aed", "customer": customer, "allowed_payment_method_types": ["card"]}
    )
    paid = await intents.confirm_async(
        intent.id, {"payment_method": card, "off_session": True, "expand": ["latest_charge.balance_transaction"]}
    )
    assert (paid.status, paid.latest_charge.balance_transaction.net) == ("succeeded", 4900)
    with pytest.raises(stripe.InvalidRequestError) as late:
        await intents.cancel_async(paid.id)
    assert late.value.code == "payment_intent_unexpected_state"
    return paid.id


async def takes_a_decline_as_an_answer(alone: Alone) -> None:
    intents = alone.client.v1.payment_intents
    with pytest.raises(stripe.CardError) as declined:
        await intents.create_async({**USD, "payment_method": "pm_card_chargeDeclined", "confirm": True})
    error = declined.value.error
    assert (declined.value.http_status, error.code, error.decline_code) == (402, "card_declined", "generic_decline")
    paid = await intents.confirm_async(error.payment_intent.id, {"payment_method": "pm_card_mastercard"})
    assert paid.status == "succeeded"


async def passes_3d_secure_in_the_browser(alone: Alone) -> None:
    intent = await alone.client.v1.payment_intents.create_async(
        {**USD, "payment_method": "pm_card_threeDSecure2Required"}
    )
    async with httpx.AsyncClient(
        base_url=alone.url, headers={"Authorization": "Bearer pk_test_sandbox"}, timeout=PATIENCE
    ) as browser:
        known = {"client_secret": intent.client_secret}
        asked = await browser.post(
            f"/v1/payment_intents/{intent.id}/confirm", data={**known, "return_url": "http://shop.test/back"}
        )
        url = asked.json()["next_action"]["redirect_to_url"]["url"]
        answered = await browser.post(url, data={"outcome": "succeeded"})
        back = parse_qs(urlsplit(answered.headers["location"]).query)
        assert back["redirect_status"] == ["succeeded"]
        seen = (await browser.get(f"/v1/payment_intents/{intent.id}", params=known)).json()
    assert (seen["status"], "metadata" in seen) == ("succeeded", False)


async def saves_a_card_for_later(alone: Alone, customer: str) -> None:
    v1 = alone.client.v1
    asked = await v1.setup_intents.create_async(
        {"customer": customer, "payment_method": "pm_card_authenticationRequiredOnSetup", "confirm": True}
    )
    async with httpx.AsyncClient(timeout=PATIENCE) as holder:
        url = asked.next_action.use_stripe_sdk["stripe_js"]
        assert (await holder.post(url, data={"outcome": "succeeded"})).json()["status"] == "succeeded"
    saved = await v1.setup_intents.retrieve_async(asked.id)
    paid = await v1.payment_intents.create_async(
        {**USD, "customer": customer, "payment_method": saved.payment_method, "off_session": True, "confirm": True}
    )
    assert (saved.status, paid.status) == ("succeeded", "succeeded")


async def refunds(alone: Alone, paid: str) -> None:
    create = alone.client.v1.refunds.create_async
    first = await create({"payment_intent": paid, "amount": 900})
    rest = await create({"payment_intent": paid, "expand": ["charge"]})
    assert (first.amount, rest.amount, rest.charge.refunded) == (900, 4000, True)
    with pytest.raises(stripe.InvalidRequestError) as empty:
        await create({"payment_intent": paid})
    assert empty.value.code == "charge_already_refunded"


async def disputes_and_coupons(alone: Alone) -> None:
    v1 = alone.client.v1
    paid = await v1.payment_intents.create_async({**USD, "payment_method": "pm_card_createDispute", "confirm": True})
    dispute = (await v1.disputes.list_async({"payment_intent": paid.id})).data[0]
    assert (await v1.disputes.close_async(dispute.id)).status == "lost"
    await v1.coupons.create_async({"id": "SPRING", "percent_off": 25.5})
    code = await v1.promotion_codes.create_async(
        {"promotion": {"type": "coupon", "coupon": "SPRING"}, "code": "Friends"}
    )
    found = await v1.promotion_codes.list_async({"code": "FRIENDS", "expand": ["data.promotion.coupon"]})
    assert [(entry.id, entry.promotion.coupon.percent_off) for entry in found.data] == [(code.id, 25.5)]
    assert (await v1.coupons.delete_async("SPRING")).deleted is True


async def repeats_itself_safely(alone: Alone) -> None:
    create = alone.client.v1.payment_intents.create_async
    asked = {**USD, "payment_method": "pm_card_visa", "confirm": True}
    first = await create(asked, {"idempotency_key": "order-1"})
    again = await create(asked, {"idempotency_key": "order-1"})
    assert again.id == first.id
    assert again.last_response.headers["idempotent-replayed"] == "true"
    assert again.last_response.headers["original-request"] == first.last_response.request_id
    with pytest.raises(stripe.IdempotencyError):
        await create({**asked, "amount": 901}, {"idempotency_key": "order-1"})
    with closing(sqlite3.connect(alone.database, isolation_level=None)) as books:
        books.execute("BEGIN IMMEDIATE")  # whichever is the first, it is under way until the other has been answered
        asking = [asyncio.create_task(create(asked, {"idempotency_key": "order-2"})) for _ in range(2)]
        await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
        books.execute("ROLLBACK")
    both = await asyncio.gather(*asking, return_exceptions=True)
    refused = [answer for answer in both if isinstance(answer, stripe.APIError)]
    assert [(busy.http_status, busy.error.code) for busy in refused] == [(409, "idempotency_key_in_use")]
    assert [answer.status for answer in both if isinstance(answer, stripe.PaymentIntent)] == ["succeeded"]


async def pages_through_everything(alone: Alone) -> None:
    customers = alone.client.v1.customers
    made = [(await customers.create_async({"email": "p@a.ge"})).id for _ in range(12)]
    page = await customers.list_async({"email": "p@a.ge", "limit": 5})
    assert [customer.id async for customer in page.auto_paging_iter()] == made[::-1]


async def trusts_only_what_is_signed(alone: Alone) -> None:
    page = await alone.client.v1.events.list_async({"limit": 100})
    happened = [event.id async for event in page.auto_paging_iter()]
    async with asyncio.timeout(PATIENCE):
        arrived = [(await alone.next_event()).id for _ in happened]
    assert sorted(arrived) == sorted(happened)
    await alone.client.v1.customers.create_async({})
    async with asyncio.timeout(PATIENCE):
        head, _, payload = (await alone.hooks.get()).partition(b"\r\n\r\n")
    header = next(line for line in head.decode().split("\r\n") if line.lower().startswith("stripe-signature:"))
    header = header.partition(": ")[2]
    second = int(header.partition(",")[0].removeprefix("t="))
    assert header == stripe.WebhookSignature.generate_signature_header(payload.decode(), SECRET, second)
    with pytest.raises(stripe.SignatureVerificationError):
        alone.client.construct_event(payload + b" ", header, SECRET)
