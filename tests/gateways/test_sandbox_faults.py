"""Faults on request: what is lost, what was executed all the same, and how the SDK meets it."""

import time

import pytest
import stripe

from gateways.sandbox import Fault
from tests.gateways.sandbox_fixtures import make_client

ASKED = {"amount": 900, "currency": "usd", "payment_method": "pm_card_visa", "confirm": True}
BEFORE = {
    Fault.TIMEOUT_BEFORE: stripe.APIConnectionError,
    Fault.RESET_BEFORE: stripe.APIConnectionError,
    Fault.CONFLICT_409: stripe.APIError,
    Fault.LOCK_TIMEOUT_429: stripe.RateLimitError,
    Fault.RATE_LIMIT_429: stripe.RateLimitError,
    Fault.ERROR_500_BEFORE: stripe.APIError,
}
LOST_AFTER = (Fault.TIMEOUT_AFTER, Fault.RESET_AFTER)


async def charges(quick) -> int:
    return len((await quick.v1.charges.list_async()).data)


@pytest.mark.parametrize(("fault", "error"), BEFORE.items())
async def test_a_fault_before_execution_leaves_nothing_and_frees_the_key(quick, fault, error) -> None:
    quick.sandbox.faults.arm(fault)
    with pytest.raises(error):
        await quick.v1.payment_intents.create_async(ASKED, {"idempotency_key": "k"})
    assert await charges(quick) == 0
    intent = await quick.v1.payment_intents.create_async(ASKED, {"idempotency_key": "k"})
    assert (intent.status, await charges(quick)) == ("succeeded", 1)


@pytest.mark.parametrize("fault", LOST_AFTER)
async def test_a_lost_answer_was_executed_and_its_key_tells_it(quick, fault) -> None:
    quick.sandbox.faults.arm(fault)
    with pytest.raises(stripe.APIConnectionError) as lost:
        await quick.v1.payment_intents.create_async(ASKED, {"idempotency_key": "k"})
    assert lost.value.should_retry
    assert await charges(quick) == 1
    intent = await quick.v1.payment_intents.create_async(ASKED, {"idempotency_key": "k"})
    assert intent.last_response.headers["idempotent-replayed"] == "true"
    assert (intent.status, await charges(quick)) == ("succeeded", 1)


async def test_a_500_after_execution_is_kept_under_the_key_and_only_the_object_tells(quick) -> None:
    intent = await quick.v1.payment_intents.create_async({"amount": 900, "currency": "usd"})
    quick.sandbox.faults.arm(Fault.ERROR_500_AFTER, path_contains="/confirm")
    for _ in range(2):
        with pytest.raises(stripe.APIError) as failed:
            await quick.v1.payment_intents.confirm_async(
                intent.id, {"payment_method": "pm_card_visa"}, {"idempotency_key": "k"}
            )
        assert (failed.value.http_status, failed.value.error.type) == (500, "api_error")
    assert (await quick.v1.payment_intents.retrieve_async(intent.id)).status == "succeeded"
    assert await charges(quick) == 1


async def test_the_sdk_retries_what_it_may_and_charges_once(quick) -> None:
    client = make_client(quick.sandbox, retries=2)
    quick.sandbox.faults.arm(Fault.TIMEOUT_BEFORE)
    quick.sandbox.faults.arm(Fault.TIMEOUT_AFTER)
    intent = await client.v1.payment_intents.create_async(ASKED)
    assert (intent.status, await charges(quick)) == ("succeeded", 1)
    quick.sandbox.faults.arm(Fault.LOCK_TIMEOUT_429)
    again = await client.v1.payment_intents.create_async(ASKED)
    assert (again.status, await charges(quick)) == ("succeeded", 2)
    quick.sandbox.faults.arm(Fault.RATE_LIMIT_429)
    with pytest.raises(stripe.RateLimitError) as limited:
        await client.v1.payment_intents.create_async(ASKED)
    assert (limited.value.error.code, limited.value.headers["stripe-rate-limited-reason"]) == (
        "rate_limit",
        "global-rate",
    )


async def test_forgotten_keys_execute_again(quick) -> None:
    first = await quick.v1.payment_intents.create_async(ASKED, {"idempotency_key": "k"})
    quick.sandbox.faults.arm(Fault.KEYS_FORGOTTEN)
    second = await quick.v1.payment_intents.create_async(ASKED, {"idempotency_key": "k"})
    third = await quick.v1.payment_intents.create_async(ASKED, {"idempotency_key": "k"})
    assert first.id != second.id == third.id


async def test_a_slow_answer_is_slow(quick) -> None:
    quick.sandbox.faults.slow_seconds = 0.15
    quick.sandbox.faults.arm(Fault.SLOW)
    began = time.perf_counter()
    await quick.v1.customers.list_async()
    assert time.perf_counter() - began >= 0.15


async def test_a_fault_strikes_only_the_paths_it_was_armed_for_and_as_often(quick) -> None:
    quick.sandbox.faults.arm(Fault.ERROR_500_BEFORE, count=2, path_contains="/payment_intents")
    await quick.v1.customers.list_async()
    for _ in range(2):
        with pytest.raises(stripe.APIError):
            await quick.v1.payment_intents.list_async()
    await quick.v1.payment_intents.list_async()


async def struck(quick, seed: int) -> list[bool]:
    quick.sandbox.faults.clear()
    quick.sandbox.faults.at_rate(Fault.ERROR_500_BEFORE, 0.5, seed)
    results = []
    for _ in range(20):
        try:
            await quick.v1.customers.list_async()
            results.append(False)
        except stripe.APIError:
            results.append(True)
    return results


async def test_a_rate_is_repeatable_by_its_seed(quick) -> None:
    first = await struck(quick, 7)
    assert set(first) == {True, False}
    assert await struck(quick, 7) == first
    assert await struck(quick, 8) != first
    quick.sandbox.faults.clear()
    await quick.v1.customers.list_async()


async def test_faults_are_armed_over_the_wire(quick) -> None:
    async with quick.raw() as wire:
        armed = await wire.post("/sandbox/faults", json={"kind": "error_500_before", "path_contains": "/customers"})
        assert (armed.status_code, armed.json()) == (200, {"armed": True, "kind": "error_500_before"})
        assert (await wire.get("/v1/events")).status_code == 200
        assert (await wire.get("/v1/customers")).status_code == 500
        assert (await wire.get("/v1/customers")).status_code == 200
        await wire.post("/sandbox/faults", data={"kind": "rate_limit_429", "rate": "1", "seed": "3"})
        assert (await wire.get("/v1/customers")).status_code == 429
        assert (await wire.delete("/sandbox/faults")).status_code == 200
        assert (await wire.get("/v1/customers")).status_code == 200
        unknown = await wire.post("/sandbox/faults", json={"kind": "earthquake"})
        assert (unknown.status_code, unknown.json()["error"]["param"]) == (400, "kind")
        assert unknown.json()["error"]["message"].startswith("There is no such fault: name one of timeout_before, ")


@pytest.mark.parametrize(
    ("lever", "told", "param", "bounds"),
    [
        ("faults", {"kind": "slow", "count": "x"}, "count", "from 1 to 1000000000"),
        ("faults", {"kind": "slow", "rate": "2"}, "rate", "from 0 to 1"),
        ("faults", {"kind": "slow", "rate": "nan"}, "rate", "from 0 to 1"),
        ("limits", {"account": "-1"}, "account", "from 1 to 1000000000"),
    ],
)
async def test_a_number_that_a_lever_does_not_take_is_told(quick, lever, told, param, bounds) -> None:
    async with quick.raw() as wire:
        refused = await wire.post(f"/sandbox/{lever}", data=told)
        error = {"message": f"Expected a number {bounds}.", "param": param, "type": "invalid_request_error"}
        assert (refused.status_code, refused.json()) == (400, {"error": error})
        assert (await wire.get("/v1/customers")).status_code == 200
