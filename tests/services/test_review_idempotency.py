"""A key keeps an answer only when there is one: what could not be done goes on when it is repeated."""

import asyncio
from datetime import timedelta

import pytest

from billing.charging import SetupFutureUsage
from billing.errors import ErrorCode, UserProblem
from billing.lifecycle import PaymentStatus, SubscriptionStatus
from gateways.sandbox import Fault
from models.customers import customer_of_user
from services.payments.outcomes import PaymentOutcome
from services.subscriptions.ordering import SubscribeWish
from services.subscriptions.subscribing import subscribe
from services.wallet.cards import create_setup_intent
from tests.support.house import House
from tests.support.outside import charges_by_invoice, sandbox_of

USER = "demo-card"


async def _subscribe(house: House, **more: str) -> PaymentOutcome:
    async with house.app.database.read() as session:
        customer = await customer_of_user(session, USER)
    assert customer is not None
    wish = SubscribeWish(
        plan_code=more.get("plan_code", "reader-pro"),
        payment_method_id=more.get("payment_method_id", customer.default_payment_method_id),
        idempotency_key="one-click",
    )
    return await subscribe(house.app, house.actor(USER), wish)


def _told(outcome: PaymentOutcome) -> tuple[list[str], SubscriptionStatus | None, PaymentStatus | None]:
    return (
        [problem.code.value for problem in outcome.problems],
        outcome.subscription.status if outcome.subscription else None,
        outcome.payment.status if outcome.payment else None,
    )


async def test_a_gateway_that_was_away_is_asked_again_under_the_same_key(house: House) -> None:
    sandbox_of(house).faults.arm(Fault.TIMEOUT_BEFORE, count=2, path_contains="/v1/payment_intents")
    first = await _subscribe(house)
    assert _told(first)[0] == ["GATEWAY_UNAVAILABLE"]
    again = await _subscribe(house)
    assert _told(again) == ([], SubscriptionStatus.ACTIVE, PaymentStatus.SUCCEEDED)
    assert list((await charges_by_invoice(house)).values()) == [1]
    # From now on this is the key's answer.
    assert _told(await _subscribe(house)) == ([], SubscriptionStatus.ACTIVE, PaymentStatus.SUCCEEDED)


async def test_what_has_been_paid_meanwhile_is_the_answer_to_the_repeat(house: House) -> None:
    sandbox_of(house).faults.arm(Fault.TIMEOUT_AFTER, count=2, path_contains="/confirm")
    assert _told(await _subscribe(house))[0] == ["PAYMENT_OUTCOME_UNKNOWN"]
    house.pass_time(timedelta(seconds=60))
    await house.work()
    assert _told(await _subscribe(house)) == ([], SubscriptionStatus.ACTIVE, PaymentStatus.SUCCEEDED)


async def test_a_missing_answer_is_asked_for_by_the_repeat_itself(house: House) -> None:
    sandbox_of(house).faults.arm(Fault.TIMEOUT_AFTER, count=2, path_contains="/confirm")
    assert _told(await _subscribe(house))[0] == ["PAYMENT_OUTCOME_UNKNOWN"]
    assert _told(await _subscribe(house)) == ([], SubscriptionStatus.ACTIVE, PaymentStatus.SUCCEEDED)
    assert list((await charges_by_invoice(house)).values()) == [1]


async def test_other_input_is_refused_even_though_the_first_did_not_get_through(house: House) -> None:
    sandbox_of(house).faults.arm(Fault.TIMEOUT_BEFORE, count=2, path_contains="/v1/payment_intents")
    await _subscribe(house)
    with pytest.raises(UserProblem) as refused:
        await _subscribe(house, plan_code="premium-monthly")
    assert refused.value.code is ErrorCode.IDEMPOTENCY_CONFLICT


async def test_twins_of_a_refused_request_are_refused_for_the_same_reason(house: House) -> None:
    """The first is refused having begun nothing; a twin that waited for it is not told to wait."""
    answers = await asyncio.gather(
        *(_subscribe(house, payment_method_id="pmd_nobodys") for _ in range(8)), return_exceptions=True
    )
    codes = {answer.code.value for answer in answers if isinstance(answer, UserProblem)}
    assert codes == {"NOT_FOUND"}
    assert len(answers) == 8


async def test_a_key_of_the_greatest_length_saves_a_card(small_house: House) -> None:
    house = small_house
    views = [
        await create_setup_intent(
            house.app,
            house.actor(USER),
            usage=SetupFutureUsage.OFF_SESSION,
            return_url=None,
            customer_id=None,
            idempotency_key="k" * 255,
        )
        for _ in range(2)
    ]
    assert views[0].row.id == views[1].row.id
