"""Several workers, one retry: who comes second finds nothing left to try, and frees nobody else's lease."""

from datetime import timedelta

import pytest
from sqlmodel import col, select

from billing.errors import ErrorCode
from billing.lifecycle import PaymentStatus, SubscriptionStatus
from gateways.port import GatewayRefused, GatewayUnavailable
from models.customers import PaymentMethod
from models.payments import ChargeAttempt, Payment
from services.amendments.plan_changes import ChangePlanWish, change_plan
from services.payments.holding import hold
from services.payments.retrying import collect_due_payments
from services.subscriptions.ordering import SubscribeWish
from services.subscriptions.subscribing import subscribe
from services.wallet.cards import attach_payment_method, set_default_payment_method
from tests.scenarios.shopping import Shopper
from tests.support.breaking import only
from tests.support.house import House
from tests.support.meanwhile import before_writing, just_before
from tests.support.outside import charges_by_invoice, dashboard
from worker import Worker

USER = "somebody"


async def _card(house: House, token: str) -> str:
    row = await attach_payment_method(
        house.app, house.actor(USER), reference=token, make_default=True, customer_id=None
    )
    return row.id


async def _with_a_retry_due(house: House) -> None:
    """A renewal that was declined, and a new default card that is to be tried for it."""
    good = await _card(house, "pm_card_visa")
    await subscribe(house.app, house.actor(USER), SubscribeWish(plan_code="reader-pro", payment_method_id=good))
    await _card(house, "pm_card_chargeCustomerFail")
    house.pass_time(timedelta(days=31))
    await house.work()
    await _card(house, "pm_card_chargeCustomerFail")


async def _renewal(house: House) -> tuple[Payment, list[str]]:
    async with house.app.database.read() as session:
        payment = (await session.exec(select(Payment).order_by(col(Payment.number).desc()))).first()
        assert payment is not None
        attempts = (await session.exec(select(ChargeAttempt).where(ChargeAttempt.payment_id == payment.id))).all()
    return payment, [attempt.outcome.value for attempt in attempts]


async def test_a_retry_that_another_worker_has_made_meanwhile_is_not_made_again(house: House) -> None:
    await _with_a_retry_due(house)

    async def another_worker() -> None:
        await collect_due_payments(house.app)

    await collect_due_payments(before_writing(house.app, another_worker))
    payment, outcomes = await _renewal(house)
    assert outcomes == ["declined", "declined"]
    assert payment.leased_until is None


async def test_a_worker_that_was_replaced_frees_nobody_elses_lease(house: House) -> None:
    await _with_a_retry_due(house)
    payment, _ = await _renewal(house)

    async def be_replaced_and_fail() -> None:
        house.machine.advance(timedelta(seconds=41))
        assert await hold(house.app, payment.id) is not None
        raise GatewayUnavailable("too late")

    await collect_due_payments(just_before(house.app, "retrieve_payment_intent", be_replaced_and_fail))
    payment, _ = await _renewal(house)
    assert payment.leased_until is not None


@pytest.mark.parametrize("months", [1, 2])
@pytest.mark.parametrize("is_refused", [False, True])
async def test_a_card_that_is_chosen_while_another_one_is_tried_has_its_turn_at_once(
    house: House, months: int, is_refused: bool
) -> None:
    """At the renewal itself or at a retry; the card that is tried is declined, or not taken by the gateway at all."""
    if months == 1:
        bad = await _card(house, "pm_card_chargeCustomerFail")
        good = await _card(house, "pm_card_visa")
        await subscribe(house.app, house.actor(USER), SubscribeWish(plan_code="reader-pro", payment_method_id=good))
        await _choose(house, bad)
        house.pass_time(timedelta(days=31))
    else:
        await _with_a_retry_due(house)

    async def choose_another() -> None:
        await _card(house, "pm_card_mastercard")
        if is_refused:
            raise GatewayRefused("no such card")

    await Worker(just_before(house.app, "confirm_payment_intent", choose_another)).once()
    await house.work()
    payment, outcomes = await _renewal(house)
    assert (payment.status, outcomes[-2:]) == (
        PaymentStatus.SUCCEEDED,
        ["abandoned" if is_refused else "declined", "succeeded"],
    )
    assert await house.audit() == []


async def _choose(house: House, card: str) -> None:
    await set_default_payment_method(
        house.app, house.actor(USER), payment_method_id=card, apply_to_subscriptions=False, customer_id=None
    )


async def test_a_card_that_is_gone_when_a_change_is_charged_leaves_an_invoice_that_is_dunned(house: House) -> None:
    """Seed 2247 of the lives without news: dropped while the change was made, and nobody asked for its price again."""
    shopper = Shopper(house, "demo-card")
    await shopper.subscribe("free", paymentMethodId=await shopper.default_card())
    row = await only(house, "subscriptions")
    async with house.app.database.read() as session:
        card = (await session.exec(select(PaymentMethod).where(PaymentMethod.customer_id == row["customer_id"]))).one()

    async def drop() -> None:
        await dashboard(house).payment_methods.detach_async(card.gateway_ref)

    app = just_before(house.app, "confirm_payment_intent", drop)
    wish = ChangePlanWish(row["id"], plan_code="premium-monthly", is_now=True)
    outcome = await change_plan(app, house.actor("demo-card"), wish)
    assert outcome.payment is not None
    assert [problem.code for problem in outcome.payment.problems] == [ErrorCode.INVALID_STATE]
    assert outcome.subscription.status is SubscriptionStatus.PAST_DUE
    assert outcome.payment.payment is not None
    assert outcome.payment.payment.give_up_at is not None
    assert await house.audit() == []


async def test_a_customer_whom_the_gateway_deleted_pays_what_is_open_as_who_it_is_there_now(house: House) -> None:
    """The intent is the deleted one's, and takes no card of another: it gives way to one of the present customer."""
    await _with_a_retry_due(house)
    v1 = dashboard(house)
    refused = (await v1.payment_intents.list_async()).data[0]
    await v1.customers.delete_async(str(refused.customer))
    await house.deliver()
    await _card(house, "pm_card_visa")
    await house.work()
    payment, outcomes = await _renewal(house)
    assert (payment.status, outcomes) == (PaymentStatus.SUCCEEDED, ["declined", "succeeded"])
    newest = (await v1.payment_intents.list_async()).data[0]
    assert newest.customer != refused.customer
    assert (await v1.payment_intents.retrieve_async(refused.id)).status == "canceled"
    assert set((await charges_by_invoice(house)).values()) == {1}
    assert await house.audit() == []
