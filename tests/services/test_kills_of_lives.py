"""Killed at every commit and gateway call of a trial, a pause, a withdrawal and the end of a last invoice."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlmodel import col, select

from billing.calendar import Interval
from billing.errors import UserProblem
from billing.lifecycle import InvoiceStatus, SubscriptionStatus
from billing.metering import Aggregation, UsageType
from billing.offering import NewPrice, PlanTerms
from gateways.sandbox.cards import GENERIC
from models.customers import UsedTrial, customer_of_user
from models.events import BillingEvent
from models.invoices import Invoice
from models.subscriptions import Subscription
from services.app import App
from services.ends.canceling import CancelWish, cancel_subscription
from services.invoices.voiding import void_invoice
from services.selling.catalog import create_plan
from services.selling.entries import PlanEntry
from services.subscriptions.ordering import SubscribeWish
from services.subscriptions.pausing import PauseWish, ResumeWish, pause_subscription, resume_subscription
from services.subscriptions.subscribing import subscribe
from services.usage.recording import NewUsage, record_usage
from tests.services.conftest import Fresh
from tests.services.killing import killed_everywhere
from tests.support.bank import bank
from tests.support.house import START, House
from tests.support.outside import VISA, charges_by_invoice
from worker import Worker

USER, ADMIN = "demo-card", "demo-admin"
DAY, A_MONTH = timedelta(days=1), timedelta(days=28)
ACTIVE, PAUSED, CANCELED = SubscriptionStatus.ACTIVE, SubscriptionStatus.PAUSED, SubscriptionStatus.CANCELED
PAID, VOID = InvoiceStatus.PAID, InvoiceStatus.VOID


async def _work(app: App, house: House) -> None:
    await Worker(app).once()


async def _refused(app: App, house: House) -> None:
    with bank() as issuer:
        issuer.declines(VISA, GENERIC)
        await Worker(app).once()


async def _order(house: House, plan: str = "reader-pro", **terms: Any) -> None:
    async with house.app.database.read() as session:
        customer = await customer_of_user(session, USER)
    assert customer is not None
    card = None if "start_at" in terms else customer.default_payment_method_id
    wish = SubscribeWish(plan_code=plan, customer_id=customer.id, payment_method_id=card, **terms)
    assert (await subscribe(house.app, house.actor(ADMIN), wish)).problems == ()
    await house.deliver()


async def _subscription(house: House) -> Subscription:
    async with house.app.database.read() as session:
        return (await session.exec(select(Subscription))).one()


async def _invoices(house: House) -> list[Invoice]:
    async with house.app.database.read() as session:
        return list((await session.exec(select(Invoice).order_by(col(Invoice.created_at), col(Invoice.number)))).all())


async def _stands(house: House, status: SubscriptionStatus, *invoices: InvoiceStatus) -> None:
    """After the recovery: nothing is left to do, and the books are right."""
    await house.work()
    await house.deliver()
    assert (await _subscription(house)).status is status
    assert [each.status for each in await _invoices(house)] == list(invoices)
    assert sum((await charges_by_invoice(house)).values()) == invoices.count(PAID)
    assert await house.audit() == []


async def _told(house: House, type: str) -> int:
    async with house.app.database.read() as session:
        return len((await session.exec(select(BillingEvent).where(BillingEvent.type == type))).all())


def test_a_trial_that_starts_killed_at_every_point_is_spent_once(fresh: Fresh) -> None:
    async def prepare(house: House) -> None:
        await _order(house, start_at=START + 10 * DAY, trial_period_days=7)

    async def recover(house: House) -> None:
        await _stands(house, SubscriptionStatus.TRIALING)
        async with house.app.database.read() as session:
            (trial,) = (await session.exec(select(UsedTrial))).all()
        assert (await _subscription(house)).trial_end == START + 17 * DAY
        assert trial.started_at in (START + 10 * DAY, START + 10 * DAY + timedelta(seconds=60))

    killed_everywhere(fresh, prepare, _work, recover, at=10 * DAY, least=2)


def test_a_trial_that_ends_killed_at_every_point_is_told_of_and_charged_once(fresh: Fresh) -> None:
    async def prepare(house: House) -> None:
        await _order(house, trial_period_days=7)

    async def recover(house: House) -> None:
        await _stands(house, ACTIVE, PAID)
        assert await _told(house, "subscription.trial_will_end") == 1
        assert (await _subscription(house)).period_start == START + 7 * DAY

    killed_everywhere(fresh, prepare, _work, recover, at=7 * DAY, least=2)


def test_a_planned_pause_and_its_end_killed_at_every_point_move_the_period_once(fresh: Fresh) -> None:
    async def prepare(house: House) -> None:
        await _order(house)
        wish = PauseWish((await _subscription(house)).id, at_period_end=True, until=START + A_MONTH + 10 * DAY)
        await pause_subscription(house.app, house.actor(USER), wish)

    async def recover(house: House) -> None:
        await _stands(house, ACTIVE, PAID, PAID)
        assert (await _subscription(house)).period_start == START + A_MONTH + 10 * DAY

    killed_everywhere(fresh, prepare, _work, recover, at=A_MONTH + 10 * DAY, least=2)


def test_pausing_killed_at_every_point_pauses_once_when_it_is_repeated(fresh: Fresh) -> None:
    async def pause(app: App, house: House) -> None:
        wish = PauseWish((await _subscription(house)).id, idempotency_key="pause")
        await pause_subscription(app, house.actor(USER), wish)

    async def recover(house: House) -> None:
        await pause(house.app, house)
        await _stands(house, PAUSED, PAID)
        assert await _told(house, "subscription.paused") == 1

    killed_everywhere(fresh, _order, pause, recover, at=5 * DAY, least=2)


def test_resuming_killed_at_every_point_moves_the_period_once_when_it_is_repeated(fresh: Fresh) -> None:
    async def prepare(house: House) -> None:
        await _order(house)
        await pause_subscription(house.app, house.actor(USER), PauseWish((await _subscription(house)).id))

    async def resume(app: App, house: House) -> None:
        wish = ResumeWish((await _subscription(house)).id, idempotency_key="resume")
        await resume_subscription(app, house.actor(USER), wish)

    async def recover(house: House) -> None:
        await resume(house.app, house)
        await _stands(house, ACTIVE, PAID)
        late = timedelta(0), timedelta(seconds=60)
        assert (await _subscription(house)).period_end in [START + A_MONTH + 5 * DAY + each for each in late]

    killed_everywhere(fresh, prepare, resume, recover, at=5 * DAY, least=2)


def test_withdrawing_killed_at_every_point_is_done_when_it_is_repeated(fresh: Fresh) -> None:
    async def prepare(house: House) -> None:
        await _order(house)
        house.pass_time(A_MONTH)
        await _refused(house.app, house)
        await house.deliver()

    async def withdraw(app: App, house: House) -> None:
        invoice = (await _invoices(house))[-1]
        await void_invoice(app, house.actor(ADMIN), invoice_id=invoice.id, expected_version=None)

    async def recover(house: House) -> None:
        await house.work()
        if (await _invoices(house))[-1].status is not VOID:
            await withdraw(house.app, house)
        with pytest.raises(UserProblem, match="The invoice is void"):
            await withdraw(house.app, house)
        await _stands(house, ACTIVE, PAID, VOID)

    killed_everywhere(fresh, prepare, withdraw, recover, at=A_MONTH + DAY, least=2)


def test_a_last_invoice_written_off_killed_at_every_point_is_lost_once(fresh: Fresh) -> None:
    async def prepare(house: House) -> None:
        terms = PlanTerms(
            interval=Interval.MONTH,
            prices=[NewPrice("USD", unit_amount=Decimal("0.01"))],
            usage_type=UsageType.METERED,
            aggregate_usage=Aggregation.SUM,
            feature_code="calls",
        )
        await create_plan(house.app, PlanEntry("API", terms, product_code="premium", code="api"))
        await _order(house, "api")
        row = await _subscription(house)
        await record_usage(house.app, [NewUsage("calls", Decimal(500), "used", subscription_id=row.id)])
        await cancel_subscription(house.app, house.actor(USER), CancelWish(row.id))
        for _ in range(21):
            await _refused(house.app, house)
            house.pass_time(DAY)

    async def recover(house: House) -> None:
        await _refused(house.app, house)
        await house.deliver()
        row = await _subscription(house)
        invoices = [(each.status, each.total_minor) for each in await _invoices(house)]
        assert (row.status, invoices) == (CANCELED, [(PAID, 0), (InvoiceStatus.UNCOLLECTIBLE, 500)])
        assert list((await charges_by_invoice(house)).values()) == [0]
        assert await house.audit() == []

    killed_everywhere(fresh, prepare, _refused, recover, at=21 * DAY, least=2)
