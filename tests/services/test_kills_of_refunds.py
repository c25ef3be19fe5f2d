"""Refunds killed at every commit and gateway call, answers lost, keys forgotten: nobody is given back twice."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import select

from billing.errors import ErrorCode
from billing.lifecycle import RefundStatus, SubscriptionStatus
from billing.money import Money
from billing.returning import RefundReason
from gateways.port import GatewayUnavailable, RefundSnapshot
from gateways.sandbox import Fault
from models.payments import Payment
from models.returns import Refund
from models.subscriptions import Subscription
from services.ends.canceling import CancelWish, cancel_subscription
from services.refunds.giving_back import RefundWish, refund_payment, work_on_due_refunds
from tests.scenarios.shopping import Shopper
from tests.services.conftest import Fresh
from tests.support.house import House, open_house
from tests.support.kills import EVER, Points, in_child, killed, mortal
from tests.support.meanwhile import just_before
from tests.support.outside import LOST_ANSWERS, dashboard, faults_always, sandbox_of

USER = "demo-card"
ADMIN = "demo-admin"


async def _subscribed(url: str) -> None:
    async with open_house(url, demo=False) as house:
        shopper = Shopper(house, USER)
        told = await shopper.subscribe(paymentMethodId=await shopper.default_card())
        assert told["subscription"]["status"] == "ACTIVE"
        await house.deliver()


async def _payment(house: House) -> str:
    async with house.app.database.read() as session:
        return (await session.exec(select(Payment))).one().id


async def _wish(house: House, *, ends: bool = False) -> RefundWish:
    """2.00 of the 7.00 that were paid."""
    payment = await _payment(house)
    return RefundWish(payment, RefundReason.DUPLICATE, "key", amount=Money(200, "USD"), ends_subscription=ends)


def _refunding(url: str, *, ends: bool) -> Callable[[Points], Awaitable[None]]:
    async def work(points: Points) -> None:
        async with open_house(url, demo=False) as house:
            wish = await _wish(house, ends=ends)
            await refund_payment(mortal(house.app, url, points), house.actor(ADMIN), wish)

    return work


async def _given_back(house: House) -> list[int]:
    """The gateway's own books."""
    listed = (await dashboard(house).refunds.list_async({"limit": 100})).data
    return [row.amount for row in reversed(listed)]


async def _rows(house: House) -> list[tuple[int, RefundStatus]]:
    async with house.app.database.read() as session:
        rows = (await session.exec(select(Refund))).all()
    return [(row.amount_minor, row.status) for row in rows]


async def _status(house: House) -> SubscriptionStatus:
    async with house.app.database.read() as session:
        return (await session.exec(select(Subscription))).one().status


async def _ask_again(house: House, *, ends: bool) -> None:
    """A minute later the administrator repeats the request under its key."""
    house.pass_time(timedelta(seconds=60))
    outcome = await refund_payment(house.app, house.actor(ADMIN), await _wish(house, ends=ends))
    assert (outcome.refund.status, list(outcome.problems)) == (RefundStatus.SUCCEEDED, [])
    assert await _rows(house) == [(200, RefundStatus.SUCCEEDED)]


async def _nobody_asks(house: House, *, ends: bool) -> None:
    """The worker alone: what was begun is finished, what was not begun never is."""
    for _ in range(3):
        house.pass_time(timedelta(seconds=60))
        await house.work()


@pytest.mark.parametrize("ends", [False, True], ids=["", "ending"])
@pytest.mark.parametrize("recover", [_ask_again, _nobody_asks])
def test_a_refund_killed_at_every_point_gives_back_once(
    fresh: Fresh, recover: Callable[..., Awaitable[None]], ends: bool
) -> None:
    paid = fresh()
    asyncio.run(_subscribed(paid))

    async def recovered(url: str) -> int:
        async with open_house(url, demo=False) as house:
            sandbox_of(house).faults.at_rate(Fault.KEYS_FORGOTTEN, 1.0, seed=0)
            await recover(house, ends=ends)
            await house.deliver()
            given = await _given_back(house)
            assert await _rows(house) == [(amount, RefundStatus.SUCCEEDED) for amount in given]
            expected = SubscriptionStatus.CANCELED if ends and given else SubscriptionStatus.ACTIVE
            assert await _status(house) is expected
            assert await house.audit() == []
            return sum(given)

    points = in_child(_refunding(fresh(paid), ends=ends), EVER)
    assert points is not None
    found: list[int] = []
    for deadly in range(points):
        url = fresh(paid)
        killed(_refunding(url, ends=ends), deadly, url)
        found.append(asyncio.run(recovered(url)))
    if recover is _ask_again:
        assert found == [200] * points
    else:
        begun = found.index(200)
        assert found == [0] * begun + [200] * (points - begun)


def _canceling(url: str) -> Callable[[Points], Awaitable[None]]:
    async def work(points: Points) -> None:
        async with open_house(url, demo=False) as house:
            house.pass_time(timedelta(days=7))
            async with house.app.database.read() as session:
                row = (await session.exec(select(Subscription))).one()
            wish = CancelWish(row.id, refunds_unused=True)
            await cancel_subscription(mortal(house.app, url, points), house.actor(USER), wish)

    return work


def test_a_cancellation_with_a_refund_killed_at_every_point_gives_back_once(fresh: Fresh) -> None:
    """A quarter of February is over: 5.25 of 7.00 go back, if and only if it has ended."""
    paid = fresh()
    asyncio.run(_subscribed(paid))

    async def left_alone(url: str) -> tuple[SubscriptionStatus, list[int]]:
        async with open_house(url, demo=False) as house:
            house.pass_time(timedelta(days=7))
            await _nobody_asks(house, ends=True)
            await house.deliver()
            given = await _given_back(house)
            assert await _rows(house) == [(amount, RefundStatus.SUCCEEDED) for amount in given]
            assert await house.audit() == []
            return await _status(house), given

    points = in_child(_canceling(fresh(paid)), EVER)
    assert points is not None
    found: list[tuple[SubscriptionStatus, list[int]]] = []
    for deadly in range(points):
        url = fresh(paid)
        killed(_canceling(url), deadly, url)
        found.append(asyncio.run(left_alone(url)))
    before, after = (SubscriptionStatus.ACTIVE, []), (SubscriptionStatus.CANCELED, [525])
    ended = found.index(after)
    assert found == [before] * ended + [after] * (points - ended)
    assert 0 < ended < points


@pytest.mark.parametrize("forgotten", [False, True], ids=["", "keys forgotten"])
@pytest.mark.parametrize("fault", LOST_ANSWERS)
async def test_a_lost_answer_is_found_within_a_minute_and_never_asked_for_twice(
    small_house: House, fault: Fault, forgotten: bool
) -> None:
    house = small_house
    shopper = Shopper(house, USER)
    await shopper.subscribe(paymentMethodId=await shopper.default_card())
    await house.deliver()
    faults_always(house, Fault.WEBHOOKS_OFF, *([Fault.KEYS_FORGOTTEN] if forgotten else []))
    wish = await _wish(house)

    async def strike() -> None:
        sandbox_of(house).faults.arm(fault, path_contains="/v1/refunds")

    app = just_before(house.app, "create_refund", strike)
    outcome = await refund_payment(app, house.actor(ADMIN), wish)
    assert [problem.code for problem in outcome.problems] == [ErrorCode.PAYMENT_OUTCOME_UNKNOWN]
    assert await _rows(house) == [(200, RefundStatus.PENDING)]
    house.pass_time(timedelta(seconds=60))
    await house.work()
    assert await _rows(house) == [(200, RefundStatus.SUCCEEDED)]
    assert await _given_back(house) == [200]
    assert await house.audit() == []


async def test_a_gateway_that_keeps_a_fault_under_the_key_is_asked_under_another(small_house: House) -> None:
    """Stripe keeps a 500 for a day: the same key would answer it for as long."""
    house = small_house
    shopper = Shopper(house, USER)
    await shopper.subscribe(paymentMethodId=await shopper.default_card())
    await house.deliver()
    keys: list[str] = []

    class Faulty:
        def __getattr__(self, name: str) -> Any:
            return getattr(house.app.gateway, name)

        async def create_refund(self, intent_ref: str, *, idempotency_key: str, **more: Any) -> RefundSnapshot:
            keys.append(idempotency_key)
            if idempotency_key == keys[0]:
                raise GatewayUnavailable("APIError (HTTP 500)", is_fault=True)
            return await house.app.gateway.create_refund(intent_ref, idempotency_key=idempotency_key, **more)

    gateway: Any = Faulty()
    faulty = replace(house.app, gateway=gateway)
    outcome = await refund_payment(faulty, house.actor(ADMIN), await _wish(house))
    assert outcome.refund.status is RefundStatus.PENDING
    house.pass_time(timedelta(seconds=5))
    assert await work_on_due_refunds(faulty) == 1
    assert keys == [f"{outcome.refund.id}:0", f"{outcome.refund.id}:1"]
    assert await _given_back(house) == [200]
    assert await house.audit() == []


async def test_an_answer_that_may_still_come_is_asked_for_under_the_same_key(small_house: House) -> None:
    """The first request may be under way still: another key would make another refund."""
    house = small_house
    shopper = Shopper(house, USER)
    await shopper.subscribe(paymentMethodId=await shopper.default_card())
    await house.deliver()
    slow: list[Callable[[], Awaitable[RefundSnapshot]]] = []

    class Slow:
        def __getattr__(self, name: str) -> Any:
            return getattr(house.app.gateway, name)

        async def create_refund(self, intent_ref: str, **more: Any) -> RefundSnapshot:
            async def arrive() -> RefundSnapshot:
                return await house.app.gateway.create_refund(intent_ref, **more)

            if not slow:
                slow.append(arrive)
                raise GatewayUnavailable("APIConnectionError (HTTP None)")
            answer = await arrive()
            await slow[0]()  # Now it has arrived as well.
            return answer

    gateway: Any = Slow()
    app = replace(house.app, gateway=gateway)
    await refund_payment(app, house.actor(ADMIN), await _wish(house))
    house.pass_time(timedelta(seconds=5))
    assert await work_on_due_refunds(app) == 1
    assert await _given_back(house) == [200]
    assert await house.audit() == []
