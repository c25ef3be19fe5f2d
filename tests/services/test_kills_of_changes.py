"""Killed at every commit and gateway call of a change: it is made once, paid once, and nobody has to help."""

from datetime import timedelta
from typing import Any

from sqlmodel import col, select

from billing.lifecycle import InvoiceStatus, SubscriptionStatus
from billing.proration import ProrationBehavior
from models.catalog import Plan
from models.customers import customer_of_user
from models.invoices import Invoice
from models.subscriptions import Subscription, items_of
from services.amendments.plan_changes import ChangePlanWish, change_plan
from services.app import App
from services.subscriptions.ordering import SubscribeWish
from services.subscriptions.subscribing import subscribe
from tests.services.conftest import Fresh
from tests.services.killing import Step, killed_everywhere
from tests.support.house import START, House
from tests.support.outside import charges_by_invoice
from worker import Worker

USER = "demo-card"
HALF = timedelta(days=14)


async def _subscribed(house: House) -> None:
    async with house.app.database.read() as session:
        customer = await customer_of_user(session, USER)
    assert customer is not None
    wish = SubscribeWish(plan_code="premium-monthly", payment_method_id=customer.default_payment_method_id)
    assert (await subscribe(house.app, house.actor(USER), wish)).problems == ()
    await house.deliver()


async def _one(house: House) -> Subscription:
    async with house.app.database.read() as session:
        return (await session.exec(select(Subscription))).one()


def _to(plan: str, **more: Any) -> Step:
    async def change(app: App, house: House) -> None:
        row = await _one(house)
        await change_plan(app, house.actor(USER), ChangePlanWish(row.id, plan_code=plan, **more))

    return change


async def _is_made_once(house: House) -> None:
    """One item, the invoices' totals, a charge for each that was due, books that agree, and nothing left to do."""
    await house.deliver()
    row = await _one(house)
    async with house.app.database.read() as session:
        (item,) = await items_of(session, [row.id])
        plan = await session.get_one(Plan, item.plan_id)
        invoices = (await session.exec(select(Invoice).order_by(col(Invoice.period_start)))).all()
    assert (row.status, row.plan_id, plan.code) == (SubscriptionStatus.ACTIVE, plan.id, "premium-yearly")
    # 9.99 for a month of which half is unused, 4.995, and 99.00 for a year; a minute later 4.99 are unused.
    upgrade = 9400 if row.period_start == START + HALF else 9401
    assert [invoice.total_minor for invoice in invoices] == [999, upgrade]
    assert {invoice.status for invoice in invoices} == {InvoiceStatus.PAID}
    assert sorted((await charges_by_invoice(house)).values()) == [1, 1]
    assert await house.due() == {}
    assert await house.audit() == []


def test_a_change_that_is_repeated_under_its_key_is_made_once(fresh: Fresh) -> None:
    change = _to("premium-yearly", is_now=True, idempotency_key="change")

    async def recover(house: House) -> None:
        await change(house.app, house)
        await house.work()
        await _is_made_once(house)

    killed_everywhere(fresh, _subscribed, change, recover, at=HALF, least=8)


def test_a_change_that_nobody_repeats_is_made_and_paid_or_not_made(fresh: Fresh) -> None:
    async def recover(house: House) -> None:
        await house.work()
        await house.work()
        row = await _one(house)
        if row.period_number == 0:
            assert list((await charges_by_invoice(house)).values()) == [1]
            assert await house.audit() == []
        else:
            await _is_made_once(house)

    killed_everywhere(fresh, _subscribed, _to("premium-yearly", is_now=True), recover, at=HALF, least=6)


def test_a_planned_change_is_carried_out_once(fresh: Fresh) -> None:
    async def prepare(house: House) -> None:
        await _subscribed(house)
        wish = {"date": house.clock.now() + HALF, "proration": ProrationBehavior.PRORATE_NOW}
        await _to("premium-yearly", **wish)(house.app, house)
        assert (await _one(house)).change_at == house.clock.now() + HALF

    async def work(app: App, house: House) -> None:
        await Worker(app).once()

    async def recover(house: House) -> None:
        await house.work()
        await house.work()
        await _is_made_once(house)

    killed_everywhere(fresh, prepare, work, recover, at=HALF, least=6)
