"""A process killed at every commit and gateway call leaves one subscription, one invoice and one charge."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlmodel import select

from billing.lifecycle import InvoiceStatus, SubscriptionStatus
from models.customers import customer_of_user
from models.invoices import Invoice
from models.subscriptions import Subscription
from services.ends.canceling import CancelWish, cancel_subscription
from services.subscriptions.ordering import SubscribeWish
from services.subscriptions.subscribing import subscribe
from tests.services.conftest import Fresh
from tests.support.house import House, open_house
from tests.support.kills import EVER, Points, deadly_points, in_child, killed, mortal

USER = "demo-card"


async def _wish(house: House) -> SubscribeWish:
    async with house.app.database.read() as session:
        customer = await customer_of_user(session, USER)
    assert customer is not None
    return SubscribeWish(plan_code="reader-pro", payment_method_id=customer.default_payment_method_id)


def _subscribing(url: str) -> Callable[[Points], "asyncio.Future[None]"]:
    async def work(points: Points) -> None:
        async with open_house(url, demo=False) as house:
            wish = await _wish(house)
            app = mortal(house.app, url, points)
            await subscribe(app, house.actor(USER), wish)

    return work  # pyright: ignore[reportReturnType] (a coroutine function is awaited the same way)


async def _charges(house: House) -> list[int]:
    """Amounts of the succeeded charges in the gateway's own books."""
    sandbox = house.installation.sandbox
    assert sandbox is not None
    listed = await house.http.get(
        "/sandbox/stripe/v1/charges?limit=100", headers={"Authorization": "Bearer sk_test_sandbox"}
    )
    return [row["amount"] for row in listed.json()["data"] if row["status"] == "succeeded"]


async def _states(house: House) -> tuple[list[SubscriptionStatus], list[InvoiceStatus]]:
    async with house.app.database.read() as session:
        subscriptions = (await session.exec(select(Subscription))).all()
        invoices = (await session.exec(select(Invoice))).all()
    return [s.status for s in subscriptions], [i.status for i in invoices]


async def _recover_by_retry(url: str) -> None:
    """A minute later the customer clicks again."""
    async with open_house(url, demo=False) as house:
        house.pass_time(timedelta(seconds=60))
        outcome = await subscribe(house.app, house.actor(USER), await _wish(house))
        assert outcome.subscription is not None
        await house.deliver()
        assert await _states(house) == ([SubscriptionStatus.ACTIVE], [InvoiceStatus.PAID])
        assert await _charges(house) == [700]
        assert await house.audit() == []


async def _recover_alone(url: str) -> None:
    """Nobody clicks again: the worker alone reaches an end in which nothing is charged without access."""
    async with open_house(url, demo=False) as house:
        for _ in range(3):
            house.pass_time(timedelta(seconds=60))
            await house.work()
        house.pass_time(timedelta(hours=24))
        await house.deliver()
        states, charges = await _states(house), await _charges(house)
        paid = ([SubscriptionStatus.ACTIVE], [InvoiceStatus.PAID]), [700]
        given_up = ([SubscriptionStatus.INCOMPLETE_EXPIRED], [InvoiceStatus.VOID]), []
        nothing = ([], []), []
        assert (states, charges) in (paid, given_up, nothing)
        assert await house.audit() == []


@pytest.mark.parametrize("recover", [_recover_by_retry, _recover_alone])
def test_subscribe_killed_at_every_point_charges_once(
    fresh: Fresh, recover: Callable[[str], "asyncio.Future[None]"]
) -> None:
    points = in_child(_subscribing(fresh()), EVER)
    assert points is not None
    assert points >= 12, "subscribe has lost its points"
    for deadly in range(points):
        url = fresh()
        killed(_subscribing(url), deadly, url)
        asyncio.run(recover(url))  # pyright: ignore[reportArgumentType] (coroutine functions)


KEYED = "one purchase"


def _subscribing_by_key(url: str) -> Callable[[Points], "asyncio.Future[None]"]:
    async def work(points: Points) -> None:
        async with open_house(url, demo=False) as house:
            wish = replace(await _wish(house), idempotency_key=KEYED)
            await subscribe(mortal(house.app, url, points), house.actor(USER), wish)

    return work  # pyright: ignore[reportReturnType] (a coroutine function is awaited the same way)


def test_who_repeats_after_the_worker_has_finished_it_is_told_of_the_own_purchase(fresh: Fresh) -> None:
    """And not that there is a subscription already: the key says whose it is."""

    async def repeat(url: str) -> None:
        async with open_house(url, demo=False) as house:
            house.pass_time(timedelta(seconds=61))
            await house.deliver()
            wish = replace(await _wish(house), idempotency_key=KEYED)
            for _ in range(2):
                outcome = await subscribe(house.app, house.actor(USER), wish)
                assert list(outcome.problems) == []
                assert outcome.subscription is not None
                assert outcome.subscription.status is SubscriptionStatus.ACTIVE
            assert await _charges(house) == [700]
            assert await house.audit() == []

    points = in_child(_subscribing_by_key(fresh()), EVER)
    assert points is not None
    for deadly in deadly_points(points)[::2]:  # after one effect is before the next
        url = fresh()
        killed(_subscribing_by_key(url), deadly, url)
        asyncio.run(repeat(url))


def _canceling(url: str) -> Callable[[Points], "asyncio.Future[None]"]:
    """Cancel an unpaid first subscription whose card was declined."""

    async def work(points: Points) -> None:
        async with open_house(url, demo=False) as house:
            async with house.app.database.read() as session:
                row = (await session.exec(select(Subscription))).one()
            await cancel_subscription(mortal(house.app, url, points), house.actor("demo-decline"), CancelWish(row.id))

    return work  # pyright: ignore[reportReturnType] (a coroutine function is awaited the same way)


async def _declined(url: str) -> None:
    async with open_house(url, demo=False) as house:
        async with house.app.database.read() as session:
            customer = await customer_of_user(session, "demo-decline")
        assert customer is not None
        wish = SubscribeWish(plan_code="reader-pro", payment_method_id=customer.default_payment_method_id)
        outcome = await subscribe(house.app, house.actor("demo-decline"), wish)
        assert [problem.code for problem in outcome.problems] == ["CARD_DECLINED"]


def test_canceling_killed_at_every_point_ends_when_repeated(fresh: Fresh) -> None:
    def prepared() -> str:
        url = fresh()
        asyncio.run(_declined(url))
        return url

    async def repeat(url: str) -> None:
        async with open_house(url, demo=False) as house:
            house.pass_time(timedelta(hours=24))
            await house.deliver()
            assert await _states(house) == ([SubscriptionStatus.INCOMPLETE_EXPIRED], [InvoiceStatus.VOID])
            assert await _charges(house) == []
            assert await house.audit() == []

    points = in_child(_canceling(prepared()), EVER)
    assert points is not None
    for deadly in range(points):
        url = prepared()
        killed(_canceling(url), deadly, url)
        asyncio.run(repeat(url))
