"""A database restored from a backup that does not know a refund, or only its beginning: nobody is given back twice."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from sqlmodel import select

from billing.errors import ErrorCode, UserProblem
from billing.lifecycle import RefundStatus, SubscriptionStatus
from billing.money import Money
from billing.returning import RefundOrigin, RefundReason
from gateways.sandbox import Fault
from models.payments import Payment
from models.returns import Refund
from models.subscriptions import Subscription
from services.ends.canceling import CancelWish, cancel_subscription
from services.refunds.giving_back import RefundWish, refund_payment
from tests.services.test_restored_backup import Installation, buy, forgotten, in_use
from tests.services.test_restored_backup import home as home
from tests.services.test_restored_backup import place as place
from tests.support.house import House
from tests.support.kills import EVER, Points, in_child, killed, mortal
from tests.support.outside import dashboard, sandbox_of

ADMIN = "demo-admin"
USER = "demo-card"


async def _wish(house: House, key: str = "key", amount: int = 200) -> RefundWish:
    async with house.app.database.read() as session:
        payment = (await session.exec(select(Payment))).one()
    return RefundWish(payment.id, RefundReason.DUPLICATE, key, amount=Money(amount, "USD"))


async def _refund(house: House) -> None:
    outcome = await refund_payment(house.app, house.actor(ADMIN), await _wish(house))
    assert (outcome.refund.status, list(outcome.problems)) == (RefundStatus.SUCCEEDED, [])


async def _given_back(house: House) -> list[int]:
    return [row.amount for row in (await dashboard(house).refunds.list_async({"limit": 100})).data]


async def _rows(house: House) -> list[tuple[int, RefundStatus, RefundOrigin]]:
    async with house.app.database.read() as session:
        return [(row.amount_minor, row.status, row.origin) for row in (await session.exec(select(Refund))).all()]


UNUSED = 200
"""Of 7.00 for 28 days, 8 of them."""
OURS = [(200, RefundStatus.SUCCEEDED, RefundOrigin.API)]


def test_a_refund_that_the_backup_does_not_know_counts_before_any_other_is_made(home: Installation) -> None:
    asyncio.run(in_use(home, buy))
    forgotten(home, _refund, after=timedelta(hours=1))

    async def another(house: House) -> None:
        assert await _rows(house) == []
        with pytest.raises(UserProblem) as refused:
            await refund_payment(house.app, house.actor(ADMIN), await _wish(house, "other", 501))
        assert (refused.value.code, refused.value.message) == (
            ErrorCode.NOT_REFUNDABLE,
            "Of this payment USD 5.00 can be given back.",
        )
        assert await _rows(house) == OURS
        assert await _given_back(house) == [200]
        assert await house.audit() == []

    # Days later: the gateway has forgotten every key.
    asyncio.run(in_use(home, another, after=timedelta(days=5)))


async def _ask_again(house: House) -> None:
    await _refund(house)


async def _nobody_asks(house: House) -> None:
    await house.work()


@pytest.mark.parametrize("recover", [_ask_again, _nobody_asks])
def test_a_backup_from_any_moment_of_a_refund_gives_back_nothing_twice(
    home: Installation, recover: Callable[[House], Awaitable[None]]
) -> None:
    """Saved at every commit and gateway call of a refund that then goes on to be made."""
    asyncio.run(in_use(home, buy))
    backup, then = home.place.save(), home.place.save()
    books = home.books.read_bytes()

    def refunding(points: Points) -> Awaitable[None]:
        async def work() -> None:
            async with home.open() as house:
                wish = await _wish(house)
                await refund_payment(mortal(house.app, home.place.url, points), house.actor(ADMIN), wish)

        return work()

    async def restored(house: House) -> None:
        sandbox_of(house).faults.at_rate(Fault.KEYS_FORGOTTEN, 1.0, seed=0)
        await recover(house)
        await _refund(house)
        assert await _rows(house) == OURS
        assert await _given_back(house) == [200]
        assert await house.audit() == []

    points = in_child(refunding, EVER)
    assert points is not None
    for deadly in range(points):
        home.restore(backup, books)
        killed(refunding, deadly, home.place.url)
        then.restore(home.place)
        asyncio.run(in_use(home, _refund, after=timedelta(minutes=1)))
        home.place.restore(then)
        asyncio.run(in_use(home, restored, after=timedelta(days=3)))


async def _end(house: House) -> None:
    """Now, with what is unused of the 7.00 given back."""
    async with house.app.database.read() as session:
        row = (await session.exec(select(Subscription))).one()
    outcome = await cancel_subscription(house.app, house.actor(USER), CancelWish(row.id, refunds_unused=True))
    assert outcome.subscription.status is SubscriptionStatus.CANCELED


def test_an_end_that_the_backup_does_not_know_gives_back_what_is_unused_once(home: Installation) -> None:
    """A day after the restore the customer ends it again: what is unused then has gone back already."""
    asyncio.run(in_use(home, buy))
    forgotten(home, _end, after=timedelta(days=20))

    async def ended_again(house: House) -> None:
        assert await _rows(house) == []
        await _end(house)
        await house.work()
        assert await _rows(house) == [(UNUSED, RefundStatus.SUCCEEDED, RefundOrigin.API)]
        assert await _given_back(house) == [UNUSED]
        assert await house.audit() == []

    asyncio.run(in_use(home, ended_again, after=timedelta(days=21)))
