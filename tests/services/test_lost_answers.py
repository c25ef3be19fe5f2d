"""An answer that never came is unknown, never a failure, and known within a minute of the gateway's return."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import select

from billing.lifecycle import PaymentStatus, SubscriptionStatus
from gateways.port import GatewayUnavailable, PaymentIntentSnapshot
from gateways.sandbox import Fault
from models.customers import customer_of_user
from models.payments import ChargeAttempt, Payment
from services.payments.outcomes import PaymentOutcome
from services.subscriptions.ordering import SubscribeWish
from services.subscriptions.subscribing import subscribe
from tests.support.house import House
from tests.support.outside import LOST_ANSWERS
from worker import Worker

# The adapter asks once more by itself, but not after a 429.
TRIES = {fault: 1 if fault is Fault.RATE_LIMIT_429 else 2 for fault in LOST_ANSWERS}


async def _subscribe(house: House, user: str) -> PaymentOutcome:
    async with house.app.database.read() as session:
        customer = await customer_of_user(session, user)
    assert customer is not None
    wish = SubscribeWish(plan_code="reader-pro", payment_method_id=customer.default_payment_method_id)
    return await subscribe(house.app, house.actor(user), wish)


def _arm(house: House, fault: Fault, path: str) -> None:
    assert house.installation.sandbox is not None
    house.installation.sandbox.faults.arm(fault, count=TRIES[fault], path_contains=path)


async def _charged(house: House) -> list[str]:
    listed = await house.http.get(
        "/sandbox/stripe/v1/charges?limit=100", headers={"Authorization": "Bearer sk_test_sandbox"}
    )
    return sorted(row["status"] for row in listed.json()["data"])


@pytest.mark.parametrize("fault", LOST_ANSWERS)
async def test_a_lost_answer_to_the_charge_is_found_out_by_the_worker(house: House, fault: Fault) -> None:
    _arm(house, fault, "/confirm")
    outcome = await _subscribe(house, "demo-card")
    assert outcome.subscription is not None
    assert outcome.payment is not None
    assert [problem.code for problem in outcome.problems] == ["PAYMENT_OUTCOME_UNKNOWN"]
    assert outcome.payment.status is PaymentStatus.UNKNOWN
    assert outcome.subscription.status is SubscriptionStatus.INCOMPLETE

    house.pass_time(timedelta(seconds=60))
    await house.work()

    async with house.app.database.read() as session:
        payment = (await session.exec(select(Payment))).one()
        attempts = (await session.exec(select(ChargeAttempt))).all()
    assert payment.status is PaymentStatus.SUCCEEDED
    assert [attempt.outcome for attempt in attempts] == ["succeeded"]
    assert await _charged(house) == ["succeeded"]
    assert await house.audit() == []


@pytest.mark.parametrize("fault", LOST_ANSWERS)
async def test_a_lost_decline_is_found_out_and_never_counts_twice(house: House, fault: Fault) -> None:
    _arm(house, fault, "/confirm")
    outcome = await _subscribe(house, "demo-decline")
    assert [problem.code for problem in outcome.problems] == ["PAYMENT_OUTCOME_UNKNOWN"]

    house.pass_time(timedelta(seconds=60))
    await house.work()

    async with house.app.database.read() as session:
        payment = (await session.exec(select(Payment))).one()
        attempts = (await session.exec(select(ChargeAttempt))).all()
    assert payment.status is PaymentStatus.FAILED
    assert [attempt.outcome for attempt in attempts] == ["declined"]
    assert await _charged(house) == ["failed"]


@pytest.mark.parametrize("path", ["/v1/customers", "/v1/payment_intents"])
@pytest.mark.parametrize("fault", LOST_ANSWERS)
async def test_a_gateway_that_does_not_answer_is_told_and_the_repeat_goes_on(
    small_house: House, fault: Fault, path: str
) -> None:
    house = small_house
    setup = await house.ask(
        "mutation { createSetupIntent(input: {}) { setupIntent { id } userErrors { code } } }", user="fresh"
    )
    assert setup["createSetupIntent"]["userErrors"] == []
    user = "someone" if path == "/v1/customers" else "fresh"
    _arm(house, fault, path)
    wish = SubscribeWish(plan_code="reader-pro")
    broken = await subscribe(house.app, house.actor(user), wish)
    assert [problem.code for problem in broken.problems] == ["GATEWAY_UNAVAILABLE"]

    house.pass_time(timedelta(seconds=60))
    outcome = await subscribe(house.app, house.actor(user), wish)
    assert outcome.subscription is not None
    assert broken.subscription is not None
    assert outcome.subscription.id == broken.subscription.id
    assert outcome.problems == ()
    assert outcome.intent is not None
    assert outcome.intent.snapshot is not None
    listed = await house.http.get(
        "/sandbox/stripe/v1/payment_intents?limit=100", headers={"Authorization": "Bearer sk_test_sandbox"}
    )
    assert [row["id"] for row in listed.json()["data"]] == [outcome.intent.snapshot.ref]


@pytest.mark.parametrize("faults", [1, 3])
async def test_a_gateway_that_keeps_a_fault_under_an_attempts_key_is_asked_under_another(
    small_house: House, faults: int
) -> None:
    """Stripe keeps a 500 for a day, though nothing was executed: the same key would answer it for as long."""
    house, keys = small_house, list[str]()

    class Faulty:
        def __getattr__(self, name: str) -> Any:
            return getattr(house.app.gateway, name)

        async def confirm_payment_intent(self, ref: str, *, idempotency_key: str, **more: Any) -> PaymentIntentSnapshot:
            keys.append(idempotency_key)
            if idempotency_key in keys[:faults]:
                raise GatewayUnavailable("APIError (HTTP 500)", is_fault=True)
            return await house.app.gateway.confirm_payment_intent(ref, idempotency_key=idempotency_key, **more)

    async with house.app.database.read() as session:
        customer = await customer_of_user(session, "demo-card")
    assert customer is not None
    wish = SubscribeWish(plan_code="reader-pro", payment_method_id=customer.default_payment_method_id)
    gateway: Any = Faulty()
    faulty = replace(house.app, gateway=gateway)
    outcome = await subscribe(faulty, house.actor("demo-card"), wish)
    assert [problem.code for problem in outcome.problems] == ["PAYMENT_OUTCOME_UNKNOWN"]
    for _ in range(faults):
        house.pass_time(timedelta(seconds=10))
        await Worker(faulty).once()
    async with house.app.database.read() as session:
        payment = (await session.exec(select(Payment))).one()
        [attempt] = (await session.exec(select(ChargeAttempt))).all()
    assert (payment.status, attempt.outcome) == (PaymentStatus.SUCCEEDED, "succeeded")
    assert (keys[0], len(set(keys)), len(keys)) == (attempt.id, faults + 1, faults + 1)
    assert await _charged(house) == ["succeeded"]
    assert await house.audit() == []


async def test_forgotten_keys_make_no_second_charge(house: House) -> None:
    """The answer is lost and the gateway forgets its keys meanwhile: the intent itself tells what happened."""
    assert house.installation.sandbox is not None
    _arm(house, Fault.TIMEOUT_AFTER, "/confirm")
    house.installation.sandbox.faults.arm(Fault.KEYS_FORGOTTEN, count=100)
    await _subscribe(house, "demo-card")
    house.pass_time(timedelta(seconds=60))
    again = await _subscribe(house, "demo-card")
    assert again.payment is not None
    assert again.payment.status is PaymentStatus.SUCCEEDED
    assert await _charged(house) == ["succeeded"]
    assert await house.audit() == []
