"""A process killed at every commit and gateway call of a purchase with a coupon: no redemption is lost or doubled."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from sqlmodel import col, select

from billing.couponing import CouponDuration, CouponTerms
from billing.lifecycle import SubscriptionStatus
from models.coupons import Coupon, Discount, DiscountStatus, DiscountUse, PromotionCode
from models.customers import customer_of_user
from models.invoices import Invoice
from models.subscriptions import Subscription
from services.selling.couponing import NewCoupon, NewPromotionCode, create_coupon, create_promotion_code
from services.subscriptions.ordering import SubscribeWish
from services.subscriptions.subscribing import subscribe
from tests.services.conftest import Fresh
from tests.support.house import House, open_house
from tests.support.kills import EVER, Points, deadly_points, in_child, killed, mortal
from worker import Worker

USER, OTHER = "demo-card", "demo-decline"
ACTIVE, FREED = DiscountStatus.ACTIVE, DiscountStatus.FREED


async def _offer(url: str) -> None:
    """One redemption for everybody together."""
    async with open_house(url, demo=False) as house:
        terms = CouponTerms(
            percent_off=Decimal(50), duration=CouponDuration.REPEATING, duration_in_periods=2, max_redemptions=1
        )
        await create_coupon(house.app, NewCoupon(terms, code="C"))
        await create_promotion_code(house.app, NewPromotionCode("C", "SPRING", max_redemptions=1))


async def _wish(house: House, user: str) -> SubscribeWish:
    async with house.app.database.read() as session:
        customer = await customer_of_user(session, user)
    assert customer is not None
    card = customer.default_payment_method_id
    return SubscribeWish(plan_code="reader-pro", payment_method_id=card, promotion_code="spring")


def _buying(url: str, user: str) -> Callable[[Points], Awaitable[None]]:
    async def work(points: Points) -> None:
        async with open_house(url, demo=False) as house:
            await subscribe(mortal(house.app, url, points), house.actor(user), await _wish(house, user))

    return work


def _giving_up(url: str) -> Callable[[Points], Awaitable[None]]:
    """The worker ends what was not paid within a day."""

    async def work(points: Points) -> None:
        async with open_house(url, demo=False) as house:
            house.pass_time(timedelta(hours=24))
            await Worker(mortal(house.app, url, points)).once()

    return work


async def _declined(url: str) -> None:
    async with open_house(url, demo=False) as house:
        outcome = await subscribe(house.app, house.actor(OTHER), await _wish(house, OTHER))
        assert [problem.code for problem in outcome.problems] == ["CARD_DECLINED"]
        assert await _counted(house) == (1, 1, [ACTIVE])


async def _counted(house: House) -> tuple[int, int, list[DiscountStatus]]:
    """How often coupon and word are counted as redeemed, and the discounts that there are."""
    async with house.app.database.read() as session:
        coupon = (await session.exec(select(Coupon))).one()
        code = (await session.exec(select(PromotionCode))).one()
        discounts = (await session.exec(select(Discount).order_by(col(Discount.id)))).all()
    return coupon.times_redeemed, code.times_redeemed, [each.status for each in discounts]


async def _paid_with_it(house: House) -> None:
    async with house.app.database.read() as session:
        row = (await session.exec(select(Subscription))).one()
        invoices = (await session.exec(select(Invoice))).all()
        uses = (await session.exec(select(DiscountUse))).all()
    assert (row.status, [each.total_minor for each in invoices]) == (SubscriptionStatus.ACTIVE, [350])
    assert [(use.invoice_id, use.period_number) for use in uses] == [(invoices[0].id, 0)]
    assert await house.audit() == []


async def _bought_again(url: str) -> None:
    """A minute later the customer clicks again."""
    async with open_house(url, demo=False) as house:
        house.pass_time(timedelta(seconds=60))
        outcome = await subscribe(house.app, house.actor(USER), await _wish(house, USER))
        assert [problem.code for problem in outcome.problems] in ([], ["ALREADY_SUBSCRIBED"])
        await house.deliver()
        assert await _counted(house) == (1, 1, [ACTIVE])
        await _paid_with_it(house)


async def _left_alone(url: str) -> None:
    """Nobody clicks again: whether it was bought or not, another day tells how often it was redeemed."""
    async with open_house(url, demo=False) as house:
        house.pass_time(timedelta(seconds=60))
        await house.work()
        house.pass_time(timedelta(hours=24))
        await house.deliver()
        async with house.app.database.read() as session:
            statuses = [row.status for row in (await session.exec(select(Subscription))).all()]
        expected = {
            (): (0, 0, []),
            (SubscriptionStatus.ACTIVE,): (1, 1, [ACTIVE]),
            (SubscriptionStatus.INCOMPLETE_EXPIRED,): (0, 0, [FREED]),
        }
        assert await _counted(house) == expected[tuple(statuses)]
        assert await house.audit() == []


@pytest.mark.parametrize("recover", [_bought_again, _left_alone])
def test_a_purchase_killed_at_every_point_redeems_once_or_not_at_all(
    fresh: Fresh, recover: Callable[[str], Awaitable[None]]
) -> None:
    prepared = fresh()
    asyncio.run(_offer(prepared))
    points = in_child(_buying(fresh(prepared), USER), EVER)
    assert points is not None
    assert points >= 12, "subscribe has lost its points"
    for deadly in deadly_points(points):
        url = fresh(prepared)
        killed(_buying(url, USER), deadly, url)
        asyncio.run(recover(url))  # pyright: ignore[reportArgumentType] (coroutine functions)


def test_giving_an_unpaid_purchase_up_killed_at_every_point_gives_its_redemption_back_once(fresh: Fresh) -> None:
    prepared = fresh()
    asyncio.run(_offer(prepared))
    asyncio.run(_declined(prepared))

    async def end(url: str) -> None:
        async with open_house(url, demo=False) as house:
            house.pass_time(timedelta(hours=25))
            await house.deliver()
            assert await _counted(house) == (0, 0, [FREED])
            assert await house.audit() == []
            await subscribe(house.app, house.actor(USER), await _wish(house, USER))
            assert await _counted(house) == (1, 1, [FREED, ACTIVE])

    points = in_child(_giving_up(fresh(prepared)), EVER)
    assert points is not None
    assert points >= 4, "giving up has lost its points"
    for deadly in deadly_points(points):
        url = fresh(prepared)
        killed(_giving_up(url), deadly, url)
        asyncio.run(end(url))
