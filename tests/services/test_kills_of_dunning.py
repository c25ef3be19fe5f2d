"""Killed at every commit and gateway call of a retry and of giving up: each period charged once, each end reached."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import col, select

from billing.dunning import FinalAction
from billing.lifecycle import InvoiceStatus, SubscriptionStatus
from gateways.sandbox.cards import BLOCKED, GENERIC, Decline
from models.customers import customer_of_user
from models.invoices import Invoice
from models.payments import ChargeAttempt
from models.subscriptions import Subscription
from services.app import App
from services.policies import PolicyChange, update_dunning_policy
from services.subscriptions.subscribing import SubscribeWish, subscribe
from tests.services.conftest import Fresh
from tests.support.bank import bank
from tests.support.house import House, open_house
from tests.support.kills import EVER, Points, deadly_points, in_child, killed, mortal
from tests.support.outside import VISA, charges_by_invoice
from worker import Worker

USER = "demo-card"
A_MONTH, DAY = timedelta(days=28), timedelta(days=1)
ACTIVE, CANCELED, UNPAID = SubscriptionStatus.ACTIVE, SubscriptionStatus.CANCELED, SubscriptionStatus.UNPAID
PAID, OPEN, LOST = InvoiceStatus.PAID, InvoiceStatus.OPEN, InvoiceStatus.UNCOLLECTIBLE
Act = Callable[[House], Awaitable[None]]


async def _behind(house: House, decline: Decline = GENERIC) -> None:
    """Past due, the card declined at the renewal."""
    async with house.app.database.read() as session:
        customer = await customer_of_user(session, USER)
    assert customer is not None
    wish = SubscribeWish(plan_code="reader-pro", payment_method_id=customer.default_payment_method_id)
    assert (await subscribe(house.app, house.actor(USER), wish)).problems == ()
    await house.deliver()
    with bank() as issuer:
        issuer.declines(VISA, decline)
        house.pass_time(A_MONTH)
        await house.work()
        await house.deliver()
    assert await _states(house) == (SubscriptionStatus.PAST_DUE, [PAID, OPEN])


async def _refused_for_good(house: House) -> None:
    """Past due with a card that said no: nothing is tried until the last day."""
    await _behind(house, BLOCKED)


async def _states(house: House) -> tuple[SubscriptionStatus, list[InvoiceStatus]]:
    async with house.app.database.read() as session:
        subscription = (await session.exec(select(Subscription))).one()
        invoices = (await session.exec(select(Invoice).order_by(col(Invoice.period_start)))).all()
    return subscription.status, [invoice.status for invoice in invoices]


async def _tries(house: House) -> int:
    async with house.app.database.read() as session:
        return len((await session.exec(select(ChargeAttempt))).all())


def _killed_everywhere(fresh: Fresh, prepare: Act, *, at: timedelta, pays: bool, recover: Act) -> None:
    """Kill the worker at each point of a pass, `at` after the start of the prepared state; a minute later another
    one goes on."""
    prepared = fresh()
    asyncio.run(_in_house(prepared, timedelta(0), prepare))

    def dying(url: str) -> Callable[[Points], Awaitable[None]]:
        async def work(points: Points) -> None:
            await _in_house(url, at, lambda house: _pass(mortal(house.app, url, points), pays))

        return work

    points = in_child(dying(fresh(prepared)), EVER)
    assert points is not None
    assert points >= 2, "the pass has lost its points"
    for deadly in deadly_points(points):
        url = fresh(prepared)
        killed(dying(url), deadly, url)
        asyncio.run(_in_house(url, at + timedelta(seconds=60), lambda house: _after(house, pays, recover)))


async def _pass(app: App, pays: bool) -> None:
    with bank() as issuer:
        if not pays:
            issuer.declines(VISA, GENERIC)
        await Worker(app).once()


async def _after(house: House, pays: bool, recover: Act) -> None:
    await _pass(house.app, pays)
    await house.deliver()
    await recover(house)
    assert await house.audit() == []


async def _in_house(url: str, at: timedelta, act: Callable[[House], Awaitable[Any]]) -> None:
    async with open_house(url, demo=False) as house:
        house.pass_time(at)
        await act(house)


def test_a_retry_killed_at_every_point_charges_once(fresh: Fresh) -> None:
    async def paid(house: House) -> None:
        assert await _states(house) == (ACTIVE, [PAID, PAID])
        assert sorted((await charges_by_invoice(house)).values()) == [1, 1]

    _killed_everywhere(fresh, _behind, at=A_MONTH + 2 * DAY, pays=True, recover=paid)


def test_a_retry_that_is_declined_killed_at_every_point_is_made_once(fresh: Fresh) -> None:
    async def tried_once(house: House) -> None:
        assert await _states(house) == (SubscriptionStatus.PAST_DUE, [PAID, OPEN])
        assert await _tries(house) == 3
        async with house.app.database.read() as session:
            attempts = (await session.exec(select(ChargeAttempt))).all()
        assert len({attempt.charge_ref for attempt in attempts}) == 3

    _killed_everywhere(fresh, _behind, at=A_MONTH + 2 * DAY, pays=False, recover=tried_once)


@pytest.mark.parametrize(
    ("action", "status", "invoice"), [(FinalAction.CANCEL, CANCELED, LOST), (FinalAction.UNPAID, UNPAID, OPEN)]
)
def test_giving_up_killed_at_every_point_comes_to_the_same_end(
    fresh: Fresh, action: FinalAction, status: SubscriptionStatus, invoice: InvoiceStatus
) -> None:
    async def prepare(house: House) -> None:
        await update_dunning_policy(house.app, PolicyChange(final_action=action))
        await _refused_for_good(house)

    async def ended(house: House) -> None:
        assert await _states(house) == (status, [PAID, invoice])
        assert await _tries(house) == 2
        assert sorted((await charges_by_invoice(house)).values()) == [0, 1]

    _killed_everywhere(fresh, prepare, at=A_MONTH + 21 * DAY, pays=False, recover=ended)
