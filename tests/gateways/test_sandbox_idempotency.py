"""Idempotency keys, on either database: replayed, refused, in flight, forgotten."""

import asyncio
from datetime import timedelta

import pytest
import stripe

from gateways.sandbox import Fault
from tests.support.waiting import until

ASKED = {"amount": 900, "currency": "usd", "payment_method": "pm_card_visa", "confirm": True}
FORM = {"amount": "900", "currency": "usd", "payment_method": "pm_card_visa", "confirm": "true"}


async def post(bench, path: str, form, key: str):
    async with bench.raw() as wire:
        return await wire.post(path, data=form, headers={"Idempotency-Key": key})


async def charges(bench) -> int:
    return len((await bench.v1.charges.list_async({"limit": 100})).data)


async def test_a_replay_answers_the_same_and_says_so(bench) -> None:
    first = await post(bench, "/v1/payment_intents", FORM, "k")
    again = await post(bench, "/v1/payment_intents", FORM, "k")
    assert (again.status_code, again.content) == (200, first.content)
    assert (first.headers["idempotency-key"], first.headers["original-request"]) == ("k", first.headers["request-id"])
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["original-request"] == first.headers["request-id"]
    assert again.headers["request-id"] != first.headers["request-id"]
    assert await charges(bench) == 1


async def test_a_decline_is_replayed_and_a_new_key_tries_anew(bench) -> None:
    customer, method = await bench.saved_card("pm_card_chargeCustomerFail")
    intent = await bench.v1.payment_intents.create_async({"amount": 900, "currency": "usd", "customer": customer})
    answers = [
        await post(bench, f"/v1/payment_intents/{intent.id}/confirm", {"payment_method": method}, key)
        for key in ("attempt-1", "attempt-1", "attempt-2")
    ]
    assert [answer.status_code for answer in answers] == [402, 402, 402]
    assert [answer.headers.get("idempotent-replayed") for answer in answers] == [None, "true", None]
    assert answers[0].content == answers[1].content != answers[2].content
    assert await charges(bench) == 2


async def test_a_wrong_state_is_kept_and_a_validation_failure_is_not(bench) -> None:
    intent = await bench.v1.payment_intents.create_async({"amount": 900, "currency": "usd"})
    path = f"/v1/payment_intents/{intent.id}/confirm"
    refused = [await post(bench, path, {}, "state") for _ in range(2)]
    assert [answer.headers.get("idempotent-replayed") for answer in refused] == [None, "true"]
    assert {answer.json()["error"]["code"] for answer in refused} == {"payment_intent_unexpected_state"}
    for form, code in (
        ({"currency": "usd"}, "parameter_missing"),
        ({"amount": "9", "currency": "usd"}, "amount_too_small"),
        ({**FORM, "customer": "cus_no"}, "resource_missing"),
    ):
        answer = await post(bench, "/v1/payment_intents", form, "invalid")
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)
        assert "idempotent-replayed" not in answer.headers
    assert (await post(bench, "/v1/payment_intents", FORM, "invalid")).status_code == 200


@pytest.mark.parametrize(
    ("path", "form"), [("/v1/payment_intents", {**FORM, "amount": "901"}), ("/v1/customers", {"name": "Mei"})]
)
async def test_the_same_key_with_something_else_is_refused(bench, path, form) -> None:
    await post(bench, "/v1/payment_intents", FORM, "k")
    answer = await post(bench, path, form, "k")
    error = answer.json()["error"]
    assert (answer.status_code, error["type"]) == (400, "idempotency_error")
    assert error["message"].startswith("Keys for idempotent requests can only be used with the same parameters")
    with pytest.raises(stripe.IdempotencyError):
        await bench.v1.customers.create_async({}, {"idempotency_key": "k"})
    assert (await bench.v1.customers.list_async()).data == []


async def test_parameters_in_another_order_are_the_same_request(quick) -> None:
    first = await post(quick, "/v1/payment_intents", FORM, "k")
    again = await post(quick, "/v1/payment_intents", dict(reversed(FORM.items())), "k")
    assert again.content == first.content


async def test_a_key_in_flight_is_a_conflict_that_leaves_no_trace(quick) -> None:
    async with quick.sandbox._store._writer:  # the first one is under way for as long as nobody else may write
        slow = asyncio.create_task(post(quick, "/v1/payment_intents", FORM, "k"))
        await until(lambda: "k" in quick.sandbox._wire._keys_in_flight)
        hasty = await post(quick, "/v1/payment_intents", FORM, "k")
    assert (hasty.status_code, hasty.json()["error"]["code"]) == (409, "idempotency_key_in_use")
    first = await slow
    again = await post(quick, "/v1/payment_intents", FORM, "k")
    assert (first.status_code, again.content) == (200, first.content)
    assert await charges(quick) == 1


async def test_the_sdk_waits_out_a_conflict_and_gets_the_first_answer(quick) -> None:
    from tests.gateways.sandbox_fixtures import make_client

    client = make_client(quick.sandbox, retries=2)
    quick.sandbox.faults.arm(Fault.CONFLICT_409, count=2)
    intent = await client.v1.payment_intents.create_async(ASKED, {"idempotency_key": "k"})
    assert intent.status == "succeeded"
    assert await charges(quick) == 1


async def test_a_key_is_kept_for_a_day_of_the_billing_clock(bench) -> None:
    first = await post(bench, "/v1/payment_intents", FORM, "k")
    bench.clock.advance(timedelta(hours=23, minutes=59))
    assert (await post(bench, "/v1/payment_intents", FORM, "k")).content == first.content
    bench.clock.advance(timedelta(minutes=1))
    later = await post(bench, "/v1/payment_intents", FORM, "k")
    assert later.json()["id"] != first.json()["id"]
    assert (await post(bench, "/v1/payment_intents", FORM, "k")).content == later.content
    assert await charges(bench) == 2


async def test_reads_and_deletions_ignore_keys(quick) -> None:
    async with quick.raw() as wire:
        headers = {"Idempotency-Key": "k"}
        customer = (await wire.post("/v1/customers", headers=headers)).json()["id"]
        answers = [await wire.delete(f"/v1/customers/{customer}", headers=headers) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [200, 404]
        assert "idempotency-key" not in answers[0].headers
        await wire.get(f"/v1/customers/{customer}", headers=headers)


@pytest.mark.parametrize("key", ["", "k" * 256])
async def test_a_key_that_cannot_be_is_refused(quick, key) -> None:
    assert (await post(quick, "/v1/customers", {}, key)).status_code == 400
    assert (await post(quick, "/v1/customers", {}, "k" * 255)).status_code == 200


async def test_a_change_under_the_same_key_is_announced_once(quick) -> None:
    for _ in range(3):
        await post(quick, "/v1/payment_intents", FORM, "k")
    assert await quick.event_types() == ["payment_intent.created", "charge.succeeded", "payment_intent.succeeded"]
    event = (await quick.v1.events.list_async({"limit": 1})).data[0]
    assert event.request.idempotency_key == "k"
    assert event.request.id.startswith("req_")
