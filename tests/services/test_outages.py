"""The gateway goes away and comes back: reads answer, writes are told at once, and what was unknown becomes known."""

from datetime import timedelta
from typing import Any

from sqlmodel import select

from billing.lifecycle import PaymentStatus
from gateways.sandbox import Fault, Sandbox
from models.customers import customer_of_user
from models.payments import Payment
from services.subscriptions.ordering import SubscribeWish
from services.subscriptions.subscribing import subscribe
from tests.support.house import House

_SECOND = timedelta(seconds=1)
_SETUP = "mutation { createSetupIntent(input: {}) { setupIntent { id } userErrors { code } } }"


def _sandbox(house: House) -> Sandbox:
    assert house.installation.sandbox is not None
    return house.installation.sandbox


class _Counted:
    """The sandbox's faults, each request that reaches them counted."""

    def __init__(self, house: House) -> None:
        self.requests = 0
        faults = _sandbox(house).faults
        take = faults.take

        def counted(path: str, *kinds: Fault) -> Any:
            if Fault.SLOW in kinds:
                self.requests += 1
            return take(path, *kinds)

        faults.take = counted  # type: ignore[method-assign]


async def _payment(house: House) -> Payment:
    async with house.app.database.read() as session:
        return (await session.exec(select(Payment))).one()


async def _unknown(house: House) -> None:
    """A payment that was made: the answer alone is lost, and that of the SDK's repeat."""
    async with house.app.database.read() as session:
        customer = await customer_of_user(session, "demo-card")
    assert customer is not None
    _sandbox(house).faults.arm(Fault.RESET_AFTER, count=2, path_contains="/confirm")
    wish = SubscribeWish(plan_code="reader-pro", payment_method_id=customer.default_payment_method_id)
    outcome = await subscribe(house.app, house.actor("demo-card"), wish)
    assert [problem.code for problem in outcome.problems] == ["PAYMENT_OUTCOME_UNKNOWN"]


async def test_an_outage_of_a_minute_and_a_half(house: House) -> None:
    await _unknown(house)
    sandbox, counted = _sandbox(house), _Counted(house)
    sandbox.faults.at_rate(Fault.RESET_BEFORE, 1.0, 0)
    told: list[str] = []
    for second in range(90):
        house.pass_time(_SECOND)
        await house.work()
        if second % 15 == 0:
            answer = await house.ask(_SETUP, user=f"customer-{second}")
            told += [error["code"] for error in answer["createSetupIntent"]["userErrors"]]
            me = await house.ask("{ mySubscription { status } }", user="demo-card")
            assert me == {"mySubscription": {"status": "INCOMPLETE"}}
    away = await _payment(house)
    assert away.status is PaymentStatus.UNKNOWN
    assert told == ["GATEWAY_UNAVAILABLE"] * 6
    # Four silences more until it is left alone, then a probe after 2, 4, 8, 16 and 30 seconds; the SDK asks twice.
    assert counted.requests == 2 * (4 + 5)
    assert away.tries <= 4

    sandbox.faults.clear()
    seconds = 0
    while (await _payment(house)).status is PaymentStatus.UNKNOWN:
        house.pass_time(_SECOND)
        await house.work()
        seconds += 1
        assert seconds <= 60
    assert (await _payment(house)).status is PaymentStatus.SUCCEEDED
    assert house.app.breaker.is_open is False
    answer = await house.ask(_SETUP, user="customer-0")
    assert answer["createSetupIntent"]["userErrors"] == []
    assert await house.audit() == []


async def test_while_it_is_left_alone_no_call_is_made_and_no_row_is_claimed(small_house: House) -> None:
    house = small_house
    await _unknown(house)
    sandbox, counted = _sandbox(house), _Counted(house)
    sandbox.faults.at_rate(Fault.RESET_BEFORE, 1.0, 0)
    for number in range(5):
        await house.ask(_SETUP, user=f"customer-{number}")
    assert house.app.breaker.is_open
    assert counted.requests == 8  # With the lost answer four more are five; the SDK asks once more by itself.
    before = await _payment(house)
    house.machine.advance(timedelta(seconds=1.9))
    house.clock.advance(timedelta(seconds=60))
    await house.ask(_SETUP, user="customer-0")
    assert (await house.work())["resolved"] == 0
    assert (counted.requests, await _payment(house)) == (8, before)

    house.machine.advance(timedelta(seconds=20))
    assert (await house.work())["resolved"] == 0  # One question finds out that it is still away.
    assert (counted.requests, await _payment(house)) == (10, before)


async def test_the_workers_question_closes_it_and_the_work_goes_on_in_the_same_pass(small_house: House) -> None:
    house = small_house
    await _unknown(house)
    sandbox = _sandbox(house)
    sandbox.faults.at_rate(Fault.RESET_BEFORE, 1.0, 0)
    for number in range(5):
        await house.ask(_SETUP, user=f"customer-{number}")
    sandbox.faults.clear()
    house.pass_time(timedelta(seconds=60))
    assert (await house.work())["resolved"] == 1
    assert (await _payment(house)).status is PaymentStatus.SUCCEEDED
