"""Killed at every commit and gateway call of a renewal, of paying again and of a card's change: one charge a period."""

from datetime import timedelta

from sqlmodel import col, select

from billing.lifecycle import InvoiceStatus, SubscriptionStatus
from models.customers import PaymentMethod, customer_of_user, live_payment_methods
from models.invoices import Invoice
from models.subscriptions import Subscription
from services.app import App
from services.payments.paying_again import retry_payment
from services.subscriptions.ordering import SubscribeWish
from services.subscriptions.subscribing import subscribe
from services.wallet.card_changes import detach_payment_method, update_subscription_payment_method
from services.wallet.cards import attach_payment_method
from tests.services.conftest import Fresh
from tests.services.killing import killed_everywhere
from tests.support.house import House
from tests.support.outside import charges_by_invoice, dashboard
from worker import Worker

USER = "demo-card"
A_MONTH = timedelta(days=28)
ACTIVE, PAST_DUE = SubscriptionStatus.ACTIVE, SubscriptionStatus.PAST_DUE
PAID, OPEN = InvoiceStatus.PAID, InvoiceStatus.OPEN


async def _subscribed(house: House) -> None:
    async with house.app.database.read() as session:
        customer = await customer_of_user(session, USER)
    assert customer is not None
    wish = SubscribeWish(plan_code="reader-pro", payment_method_id=customer.default_payment_method_id)
    outcome = await subscribe(house.app, house.actor(USER), wish)
    assert outcome.problems == ()
    await house.deliver()


async def _behind(house: House) -> None:
    """Past due by a month, with a card that does not pay as the default and one that would beside it."""
    await _subscribed(house)
    for card, is_default in (("pm_card_chargeCustomerFail", True), ("pm_card_mastercard", False)):
        await attach_payment_method(
            house.app, house.actor(USER), reference=card, make_default=is_default, customer_id=None
        )
    house.pass_time(A_MONTH)
    await house.work()
    await house.deliver()
    assert await _states(house) == (PAST_DUE, [PAID, OPEN])


async def _states(house: House) -> tuple[SubscriptionStatus, list[InvoiceStatus]]:
    async with house.app.database.read() as session:
        subscription = (await session.exec(select(Subscription))).one()
        invoices = (await session.exec(select(Invoice).order_by(col(Invoice.period_start)))).all()
    return subscription.status, [invoice.status for invoice in invoices]


async def _paid_up(house: House) -> None:
    await house.deliver()
    assert await _states(house) == (ACTIVE, [PAID, PAID])
    assert sorted((await charges_by_invoice(house)).values()) == [1, 1]
    assert await house.audit() == []


def test_a_renewal_killed_at_every_point_charges_the_period_once(fresh: Fresh) -> None:
    async def renew(app: App, house: House) -> None:
        await Worker(app).once()

    async def recover(house: House) -> None:
        await house.work()
        await _paid_up(house)

    killed_everywhere(fresh, _subscribed, renew, recover, at=A_MONTH)


def test_paying_again_killed_at_every_point_charges_once_when_repeated(fresh: Fresh) -> None:
    async def pay(app: App, house: House) -> None:
        async with house.app.database.read() as session:
            invoice = (await session.exec(select(Invoice).where(Invoice.status == OPEN))).one()
        outcome = await retry_payment(
            app,
            house.actor(USER),
            invoice_id=invoice.id,
            payment_method_id=await _good_card(house),
            idempotency_key="again",
        )
        assert outcome.problems == ()

    async def recover(house: House) -> None:
        """A minute later the customer clicks again."""
        async with house.app.database.read() as session:
            invoice = (await session.exec(select(Invoice).order_by(col(Invoice.period_start).desc()))).first()
        assert invoice is not None
        await retry_payment(
            house.app,
            house.actor(USER),
            invoice_id=invoice.id,
            payment_method_id=await _good_card(house),
            idempotency_key="again",
        )
        await _paid_up(house)

    killed_everywhere(fresh, _behind, pay, recover, at=A_MONTH + timedelta(hours=1))


async def _good_card(house: House) -> str:
    async with house.app.database.read() as session:
        customer = await customer_of_user(session, USER)
        assert customer is not None
        cards = await live_payment_methods(session, customer.id)
    return next(card.id for card in cards if card.card and card.card["brand"] == "mastercard")


def test_a_change_of_card_killed_at_every_point_is_paid_once_when_repeated(fresh: Fresh) -> None:
    async def change(app: App, house: House) -> None:
        async with house.app.database.read() as session:
            row = (await session.exec(select(Subscription))).one()
        await update_subscription_payment_method(
            app,
            house.actor(USER),
            subscription_id=row.id,
            payment_method_id=None,
            card_token="tok_amex",
            retry_open_invoice=True,
            expected_version=None,
            idempotency_key="change",
        )

    async def recover(house: House) -> None:
        await change(house.app, house)
        await house.work()
        await _paid_up(house)
        async with house.app.database.read() as session:
            rows = (await session.exec(select(PaymentMethod))).all()
        # The repeated request is the same one at the gateway: it makes no second card.
        assert [row.card["brand"] for row in rows if row.card].count("amex") == 1

    killed_everywhere(fresh, _behind, change, recover, at=A_MONTH + timedelta(hours=1))


def test_a_detaching_killed_at_every_point_is_done_when_repeated(fresh: Fresh) -> None:
    async def prepare(house: House) -> None:
        await _subscribed(house)
        await attach_payment_method(
            house.app, house.actor(USER), reference="pm_card_mastercard", make_default=False, customer_id=None
        )

    async def detach(app: App, house: House) -> PaymentMethod:
        async with house.app.database.read() as session:
            row = (await session.exec(select(PaymentMethod).order_by(col(PaymentMethod.id)))).all()
            customer = await customer_of_user(session, USER)
        assert customer is not None
        mine = [each for each in row if each.customer_id == customer.id]
        return await detach_payment_method(app, house.actor(USER), payment_method_id=mine[0].id)

    async def recover(house: House) -> None:
        row = await detach(house.app, house)
        assert row.archived_at is not None
        seen = (await dashboard(house).payment_methods.retrieve_async(row.gateway_ref)).to_dict()
        assert seen["customer"] is None
        await house.deliver()
        async with house.app.database.read() as session:
            customer = await customer_of_user(session, USER)
            assert customer is not None
            (left,) = await live_payment_methods(session, customer.id)
        assert (left.card or {})["brand"] == "mastercard"
        assert customer.default_payment_method_id == left.id

    killed_everywhere(fresh, prepare, detach, recover, at=timedelta(hours=1))
