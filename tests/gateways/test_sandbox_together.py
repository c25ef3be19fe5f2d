"""Many callers at once: one charge per intent, whoever asks and from wherever."""

import asyncio

import stripe

from tests.gateways.sandbox_fixtures import make_client, make_sandbox

ASKED = {"amount": 900, "currency": "usd"}


async def outcome(call) -> str:
    try:
        return (await call).status
    except stripe.InvalidRequestError as error:
        return error.code or ""
    except stripe.APIError as error:
        return error.error.code


async def test_fifty_confirmations_of_one_intent_under_different_keys_charge_once(bench) -> None:
    customer, method = await bench.saved_card()
    intent = await bench.v1.payment_intents.create_async({**ASKED, "customer": customer})
    outcomes = await asyncio.gather(
        *(
            outcome(
                bench.v1.payment_intents.confirm_async(
                    intent.id, {"payment_method": method, "off_session": True}, {"idempotency_key": f"k{number}"}
                )
            )
            for number in range(50)
        )
    )
    assert sorted(outcomes) == ["payment_intent_unexpected_state"] * 49 + ["succeeded"]
    assert len((await bench.v1.charges.list_async({"payment_intent": intent.id})).data) == 1


async def test_fifty_calls_under_one_key_execute_once(bench) -> None:
    asked = {**ASKED, "payment_method": "pm_card_visa", "confirm": True}
    outcomes = await asyncio.gather(
        *(outcome(bench.v1.payment_intents.create_async(asked, {"idempotency_key": "k"})) for _ in range(50))
    )
    assert set(outcomes) == {"succeeded", "idempotency_key_in_use"}
    assert len((await bench.v1.payment_intents.list_async()).data) == 1
    assert len((await bench.v1.charges.list_async()).data) == 1


async def test_two_sandboxes_on_one_database_charge_once_and_know_each_others_keys(bench) -> None:
    other = make_sandbox(bench.database_url, bench.clock, bench.system, bench.receiver)
    await other.start()
    customer, method = await bench.saved_card()
    intent = await bench.v1.payment_intents.create_async({**ASKED, "customer": customer})
    clients = (bench.client, make_client(other))
    outcomes = await asyncio.gather(
        *(
            outcome(
                clients[number % 2].v1.payment_intents.confirm_async(
                    intent.id, {"payment_method": method}, {"idempotency_key": f"k{number}"}
                )
            )
            for number in range(20)
        )
    )
    assert sorted(outcomes) == ["payment_intent_unexpected_state"] * 19 + ["succeeded"]
    winner = outcomes.index("succeeded")
    replayed = await clients[(winner + 1) % 2].v1.payment_intents.confirm_async(
        intent.id, {"payment_method": method}, {"idempotency_key": f"k{winner}"}
    )
    assert replayed.last_response.headers["idempotent-replayed"] == "true"
    same_key = await asyncio.gather(
        *(
            outcome(
                client.v1.payment_intents.create_async(
                    {**ASKED, "payment_method": "pm_card_visa", "confirm": True}, {"idempotency_key": "shared"}
                )
            )
            for client in clients
        )
    )
    assert same_key == ["succeeded", "succeeded"]
    assert len((await bench.v1.charges.list_async()).data) == 2
    await other.close()


async def test_a_challenge_answered_many_times_at_once_charges_once(bench) -> None:
    intent = await bench.v1.payment_intents.create_async(
        {**ASKED, "payment_method": "pm_card_threeDSecure2Required", "confirm": True}
    )
    url = intent.next_action.use_stripe_sdk["stripe_js"]
    answers = await asyncio.gather(*(bench.challenge(url, "succeeded") for _ in range(10)))
    assert {answer.json()["status"] for answer in answers} == {"succeeded"}
    assert len((await bench.v1.charges.list_async()).data) == 1


async def test_attaching_and_choosing_a_default_at_once_always_ends(bench) -> None:
    customer, method = await bench.saved_card()
    steps = []
    for _ in range(10):
        steps.append(bench.v1.payment_methods.attach_async(method, {"customer": customer}))
        steps.append(
            bench.v1.customers.update_async(customer, {"invoice_settings": {"default_payment_method": method}})
        )
    await asyncio.gather(*steps)
    assert (await bench.v1.customers.retrieve_async(customer)).invoice_settings.default_payment_method == method
