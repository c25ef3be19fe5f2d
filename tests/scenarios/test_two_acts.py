"""Two acts on one subscription at the same moment: the second is decided by what the first has left."""

from datetime import timedelta
from typing import Any

import pytest

from billing.errors import ErrorCode, UserProblem, VersionConflict
from models.customers import customer_of_user
from models.subscriptions import Subscription
from services.amendments.plan_changes import ChangePlanWish, change_plan
from services.ends.canceling import CancelWish, cancel_subscription
from services.subscriptions.ordering import SubscribeWish
from services.subscriptions.subscribing import subscribe
from tests.support.house import House
from tests.support.meanwhile import before_writing
from tests.support.outside import charges_by_invoice

USER, ADMIN = "demo-card", "demo-admin"


async def _subscribed(house: House, **terms: Any) -> Subscription:
    async with house.app.database.read() as session:
        customer = await customer_of_user(session, USER)
    assert customer is not None
    wish = SubscribeWish(
        plan_code="reader-pro",
        customer_id=customer.id,
        payment_method_id=customer.default_payment_method_id,
        **terms,
    )
    outcome = await subscribe(house.app, house.actor(ADMIN), wish)
    assert (outcome.problems, outcome.subscription is not None) == ((), True)
    return await _row(house, outcome.subscription)


async def _row(house: House, seen: Subscription | None) -> Subscription:
    assert seen is not None
    async with house.app.database.read() as session:
        return await session.get_one(Subscription, seen.id)


@pytest.mark.parametrize("gives_back", [False, True], ids=["", "gives back"])
async def test_a_cancellation_is_held_to_its_version_when_it_is_made(house: House, *, gives_back: bool) -> None:
    """Both have seen one version: the customer who upgrades in one window does not lose it by the other one."""
    row, customer = await _subscribed(house), house.actor(USER)

    async def upgrade() -> None:
        wish = ChangePlanWish(row.id, plan_code="premium-monthly", is_now=True, expected_version=row.version)
        assert (await change_plan(house.app, customer, wish)).problems == ()

    wish = CancelWish(row.id, refunds_unused=gives_back, expected_version=row.version)
    with pytest.raises(VersionConflict):
        await cancel_subscription(before_writing(house.app, upgrade), customer, wish)
    after = await _row(house, row)
    assert (after.status.value, after.original_amount_minor) == ("active", 999)
    assert list((await charges_by_invoice(house)).values()) == [1, 1]
    assert await house.audit() == []


async def test_what_begins_meanwhile_is_not_ended_at_once_by_whoever_lets_it_run_out(house: House) -> None:
    """Before its start there is no period to let run out; after it, one that was just paid."""
    row = await _subscribed(house, start_at=house.clock.now() + timedelta(days=10))
    house.pass_time(timedelta(days=10))
    wish, customer = CancelWish(row.id, at_period_end=True), house.actor(USER)
    with pytest.raises(UserProblem) as refused:
        await cancel_subscription(before_writing(house.app, house.work), customer, wish)
    assert refused.value.code is ErrorCode.PAYMENT_IN_PROGRESS
    assert (await _row(house, row)).status.value == "active"
    await cancel_subscription(house.app, customer, wish)
    after = await _row(house, row)
    assert (after.status.value, after.cancel_at_period_end, after.period_end) == (
        "active",
        True,
        row.period_end,
    )
    assert list((await charges_by_invoice(house)).values()) == [1]
    assert await house.audit() == []
