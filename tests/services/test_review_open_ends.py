"""Ends and renewals that meet: whatever is open afterwards is asked for, and only what is to be asked for is open."""

from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import col, select

from billing.errors import ErrorCode, UserProblem
from billing.lifecycle import InvoiceStatus, PaymentStatus, SubscriptionEvent, SubscriptionStatus
from gateways.sandbox import Fault
from gateways.sandbox.cards import GENERIC
from models.invoices import Invoice
from models.payments import Payment
from models.subscriptions import Subscription
from services.changes import Why
from services.ends.canceling import CancelOutcome, CancelWish, cancel_subscription
from services.ends.ending import Ending, stop_and_end
from services.wallet.cards import attach_payment_method
from tests.scenarios.changing import Changer, changer_of
from tests.scenarios.metering import key_of, sell, take, tell
from tests.support.bank import bank
from tests.support.house import House
from tests.support.meanwhile import before_writing, just_before
from tests.support.outside import VISA, charges_by_invoice, dashboard, faults_always, sandbox_of
from worker import Worker

USER = "demo-card"
PAY = """mutation ($input: StartSubscriptionPaymentInput!) {
  startSubscriptionPayment(input: $input) { userErrors { code } }
}"""
A_MONTH, TWO_WEEKS, A_MINUTE = timedelta(days=28), timedelta(days=14), timedelta(minutes=1)


async def _cancel(house: House, app: Any, subscription_id: str) -> CancelOutcome:
    return await cancel_subscription(app, house.actor(USER), CancelWish(subscription_id))


async def _subscribed(house: House) -> Changer:
    changer = await changer_of(house)
    await changer.begin("small")
    await house.deliver()
    return changer


async def _rows(house: House) -> tuple[SubscriptionStatus, list[InvoiceStatus], list[PaymentStatus]]:
    async with house.app.database.read() as session:
        subscription = (await session.exec(select(Subscription))).one()
        invoices = (await session.exec(select(Invoice).order_by(col(Invoice.period_start), col(Invoice.id)))).all()
        payments = (await session.exec(select(Payment).order_by(col(Payment.number)))).all()
    return subscription.status, [each.status for each in invoices], [each.status for each in payments]


async def test_an_end_that_meets_a_renewal_leaves_nothing_that_is_charged_later(house: House) -> None:
    subscription = (await _subscribed(house)).subscribed[-1]
    house.pass_time(A_MONTH)
    with bank() as issuer:
        issuer.declines(VISA, GENERIC)
        with pytest.raises(UserProblem) as refused:
            await _cancel(house, before_writing(house.app, house.work), subscription)
        assert refused.value.code is ErrorCode.PAYMENT_IN_PROGRESS
        assert (await _cancel(house, house.app, subscription)).subscription.status is SubscriptionStatus.CANCELED
    assert await _rows(house) == (
        SubscriptionStatus.CANCELED,
        [InvoiceStatus.PAID, InvoiceStatus.VOID],
        [PaymentStatus.SUCCEEDED, PaymentStatus.CANCELED],
    )
    assert await house.audit() == []


async def test_of_two_ends_at_once_the_later_leaves_the_last_invoice_of_the_other(house: House) -> None:
    await sell(house, "api")
    subscription = await take(house, "api")
    house.pass_time(timedelta(days=10))
    await tell(house, await key_of(house), {"subscriptionId": subscription, "quantity": "333"})

    async with house.app.database.read() as session:
        seen = await session.get_one(Subscription, subscription)
    await _cancel(house, house.app, subscription)
    why = Why("cancelSubscription", house.actor(USER), house.app.now())
    assert await stop_and_end(house.app, seen, SubscriptionEvent.CANCEL, Ending(), why) is None
    await house.work()
    await house.deliver()
    assert await _rows(house) == (
        SubscriptionStatus.CANCELED,
        [InvoiceStatus.PAID, InvoiceStatus.PAID],
        [PaymentStatus.SUCCEEDED],
    )
    assert list((await charges_by_invoice(house)).values()) == [1]
    assert await house.audit() == []


async def test_a_period_that_began_while_an_answer_was_missing_is_collected_when_that_has_come(house: House) -> None:
    changer = await _subscribed(house)
    house.pass_time(TWO_WEEKS)
    faults_always(house, Fault.RESET_AFTER)
    await changer.change("large")
    house.pass_time(TWO_WEEKS)
    await house.work()
    behind = [InvoiceStatus.PAID, InvoiceStatus.OPEN, InvoiceStatus.OPEN]
    assert (await _rows(house))[:2] == (SubscriptionStatus.ACTIVE, behind)
    sandbox_of(house).faults.clear()
    for _ in range(3):
        house.pass_time(A_MINUTE)
        await house.work()
    await house.deliver()
    assert await _rows(house) == (
        SubscriptionStatus.ACTIVE,
        [InvoiceStatus.PAID, InvoiceStatus.PAID, InvoiceStatus.PAID],
        [PaymentStatus.SUCCEEDED, PaymentStatus.SUCCEEDED, PaymentStatus.SUCCEEDED],
    )
    assert sorted((await charges_by_invoice(house)).values()) == [1, 1, 1]
    assert await house.audit() == []


async def _both_periods_are_paid_once(house: House) -> None:
    assert await _rows(house) == (
        SubscriptionStatus.ACTIVE,
        [InvoiceStatus.PAID, InvoiceStatus.PAID],
        [PaymentStatus.SUCCEEDED, PaymentStatus.SUCCEEDED],
    )
    assert list((await charges_by_invoice(house)).values()) == [1, 1]
    assert await house.audit() == []


@pytest.mark.parametrize("is_told", [False, True])
async def test_an_intent_canceled_at_the_gateway_before_its_answer_came_is_followed_by_another(
    house: House, is_told: bool
) -> None:
    """By hand at the dashboard: nobody was told of a decline, and nobody would ask for the period again."""
    await _subscribed(house)
    house.pass_time(A_MONTH)
    sandbox_of(house).faults.arm(Fault.TIMEOUT_BEFORE, count=2, path_contains="/confirm")
    await house.work()
    assert (await _rows(house))[2] == [PaymentStatus.SUCCEEDED, PaymentStatus.UNKNOWN]
    await dashboard(house).payment_intents.cancel_async(
        (await dashboard(house).payment_intents.list_async()).data[0].id
    )
    if is_told:
        await sandbox_of(house).deliver_due()
    house.pass_time(A_MINUTE)
    await house.work()
    await _both_periods_are_paid_once(house)


async def test_an_intent_canceled_at_the_gateway_as_its_card_is_tried_is_followed_by_another(house: House) -> None:
    await _subscribed(house)
    house.pass_time(A_MONTH)

    async def cancel() -> None:
        v1 = dashboard(house)
        await v1.payment_intents.cancel_async((await v1.payment_intents.list_async()).data[0].id)

    await Worker(just_before(house.app, "confirm_payment_intent", cancel)).once()
    house.pass_time(A_MINUTE)
    await house.work()
    await _both_periods_are_paid_once(house)


async def test_a_customer_who_walks_away_from_the_banks_question_does_not_keep_the_period(small_house: House) -> None:
    """The gateway was away when the period began, and the customer came before the worker did again."""
    house = small_house
    subscription = (await _subscribed(house)).subscribed[-1]
    asks = await attach_payment_method(
        house.app, house.actor(USER), reference="pm_card_authenticationRequired", make_default=False, customer_id=None
    )
    house.pass_time(A_MONTH)
    sandbox_of(house).faults.arm(Fault.TIMEOUT_BEFORE, count=2, path_contains="/v1/payment_intents")
    await house.work()
    wish = {"subscriptionId": subscription, "paymentMethodId": asks.id, "returnUrl": "https://shop.example/return"}
    told = await house.ask(PAY, {"input": wish}, USER)
    assert told["startSubscriptionPayment"]["userErrors"] == [{"code": "PAYMENT_ACTION_REQUIRED"}]
    paid = (InvoiceStatus.PAID, PaymentStatus.SUCCEEDED)
    status, invoices, payments = await _rows(house)
    assert (status, list(zip(invoices, payments, strict=True))) == (
        SubscriptionStatus.PAST_DUE,
        [paid, (InvoiceStatus.OPEN, PaymentStatus.REQUIRES_ACTION)],
    )
    house.pass_time(timedelta(days=21))
    await house.work()
    status, invoices, payments = await _rows(house)
    assert (status, list(zip(invoices, payments, strict=True))) == (
        SubscriptionStatus.CANCELED,
        [paid, (InvoiceStatus.UNCOLLECTIBLE, PaymentStatus.CANCELED)],
    )
    assert await house.audit() == []
