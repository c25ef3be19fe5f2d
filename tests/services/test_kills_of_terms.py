"""Killed at every commit and gateway call of a start to come and of a recorded payment: each is done once."""

from datetime import timedelta
from typing import Any

from sqlmodel import col, select

from billing.lifecycle import InvoiceStatus, SubscriptionStatus
from billing.money import Money
from models.customers import customer_of_user
from models.invoices import Invoice
from models.payments import MANUAL, Payment
from models.subscriptions import CollectionMethod, Subscription
from services.app import App
from services.payments.offline import PaymentRecord, record_manual_payment
from services.subscriptions.ordering import SubscribeWish
from services.subscriptions.subscribing import subscribe
from services.wallet.cards import attach_payment_method
from tests.services.conftest import Fresh
from tests.services.killing import killed_everywhere
from tests.support.house import House
from tests.support.outside import charges_by_invoice, gateway_books
from worker import Worker

USER, ADMIN = "demo-card", "demo-admin"
TEN_DAYS, A_MONTH = timedelta(days=10), timedelta(days=28)


async def _order(house: House, **terms: Any) -> None:
    async with house.app.database.read() as session:
        customer = await customer_of_user(session, USER)
    assert customer is not None
    wish = SubscribeWish(plan_code="reader-pro", customer_id=customer.id, **terms)
    outcome = await subscribe(house.app, house.actor(ADMIN), wish)
    assert outcome.problems == ()
    await house.deliver()


async def _seen(house: House) -> tuple[SubscriptionStatus, list[InvoiceStatus], list[int]]:
    """The subscription, its invoices, and what was recorded by hand."""
    async with house.app.database.read() as session:
        subscription = (await session.exec(select(Subscription))).one()
        invoices = (await session.exec(select(Invoice).order_by(col(Invoice.period_start)))).all()
        recorded = (await session.exec(select(Payment).where(Payment.platform == MANUAL))).all()
    return subscription.status, [each.status for each in invoices], [each.amount_paid_minor for each in recorded]


def test_a_start_killed_at_every_point_bills_and_charges_once(fresh: Fresh) -> None:
    async def prepare(house: House) -> None:
        await _order(house, start_at=house.clock.now() + TEN_DAYS)

    async def start(app: App, house: House) -> None:
        await Worker(app).once()

    async def recover(house: House) -> None:
        await house.work()
        await house.deliver()
        assert await _seen(house) == (SubscriptionStatus.ACTIVE, [InvoiceStatus.PAID], [])
        assert list((await charges_by_invoice(house)).values()) == [1]
        assert await house.audit() == []

    killed_everywhere(fresh, prepare, start, recover, at=TEN_DAYS)


async def _record(app: App, house: House, minor: int) -> Payment:
    async with house.app.database.read() as session:
        invoice = (await session.exec(select(Invoice).order_by(col(Invoice.period_start).desc()))).first()
    assert invoice is not None
    return await record_manual_payment(
        app,
        house.actor(ADMIN),
        invoice_id=invoice.id,
        record=PaymentRecord(Money(minor, "USD"), reference="wire"),
        idempotency_key="wire",
    )


def test_a_recorded_payment_killed_at_every_point_is_booked_once_when_repeated(fresh: Fresh) -> None:
    async def prepare(house: House) -> None:
        await _order(house, collection_method=CollectionMethod.SEND_INVOICE, days_until_due=30)

    async def record(app: App, house: House) -> None:
        await _record(app, house, 300)

    async def recover(house: House) -> None:
        await record(house.app, house)
        assert await _seen(house) == (SubscriptionStatus.ACTIVE, [InvoiceStatus.OPEN], [300])
        assert await house.audit() == []

    killed_everywhere(fresh, prepare, record, recover, at=timedelta(hours=1))


def test_a_payment_recorded_instead_of_a_card_killed_at_every_point_is_paid_once(fresh: Fresh) -> None:
    """The invoice's intent is canceled at the gateway first: nobody can pay it twice."""

    async def prepare(house: House) -> None:
        async with house.app.database.read() as session:
            customer = await customer_of_user(session, USER)
        assert customer is not None
        await _order(house, payment_method_id=customer.default_payment_method_id)
        await attach_payment_method(
            house.app, house.actor(USER), reference="pm_card_chargeCustomerFail", make_default=True, customer_id=None
        )
        house.pass_time(A_MONTH)
        await house.work()
        await house.deliver()
        behind = (SubscriptionStatus.PAST_DUE, [InvoiceStatus.PAID, InvoiceStatus.OPEN], [])
        assert await _seen(house) == behind

    async def record(app: App, house: House) -> None:
        await _record(app, house, 700)

    async def recover(house: House) -> None:
        await record(house.app, house)
        await house.work()
        await house.deliver()
        assert await _seen(house) == (SubscriptionStatus.ACTIVE, [InvoiceStatus.PAID, InvoiceStatus.PAID], [700])
        intents = (await gateway_books(house))["intents"]
        assert [intent["status"] for intent in intents] == ["succeeded", "canceled"]
        assert await house.audit() == []

    killed_everywhere(fresh, prepare, record, recover, at=A_MONTH + timedelta(hours=1))
