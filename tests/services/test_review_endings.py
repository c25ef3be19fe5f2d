"""Ending what is unpaid: nothing can be charged for it afterwards, and nothing keeps it from ending."""

from datetime import timedelta

import pytest
from sqlmodel import select

from billing.errors import ErrorCode, UserProblem
from billing.lifecycle import InvoiceStatus, PaymentStatus, SubscriptionStatus
from gateways.sandbox import Fault
from models.invoices import Invoice
from models.payments import ChargeAttempt, CollectionIntent, Payment
from models.subscriptions import Subscription
from services.app import App
from services.ends.canceling import CancelOutcome, CancelWish, cancel_subscription
from services.payments.outcomes import PaymentOutcome
from services.subscriptions.happening import work_on_due_subscriptions
from services.subscriptions.ordering import SubscribeWish
from services.subscriptions.subscribing import subscribe
from services.wallet.cards import attach_payment_method
from tests.support.breaking import only
from tests.support.house import House
from tests.support.meanwhile import after_commit, before_writing, just_after, just_before
from tests.support.outside import DECLINES, VISA, Browser, dashboard, sandbox_of

USER = "somebody"


async def _subscribe(house: House) -> PaymentOutcome:
    return await subscribe(house.app, house.actor(USER), SubscribeWish(plan_code="reader-pro"))


async def _cancel(app: App, house: House, subscription_id: str) -> CancelOutcome:
    return await cancel_subscription(app, house.actor(USER), CancelWish(subscription_id))


async def _started(house: House) -> str:
    outcome = await _subscribe(house)
    assert outcome.subscription is not None
    return outcome.subscription.id


async def _rows(house: House) -> tuple[list[SubscriptionStatus], list[InvoiceStatus], list[PaymentStatus]]:
    async with house.app.database.read() as session:
        subscriptions = (await session.exec(select(Subscription))).all()
        invoices = (await session.exec(select(Invoice))).all()
        payments = (await session.exec(select(Payment))).all()
    return (
        [s.status for s in sorted(subscriptions, key=lambda s: s.id)],
        [i.status for i in invoices],
        [p.status for p in payments],
    )


async def _live_intents(house: House) -> list[str]:
    """Intents that a browser with their client secret could still pay."""
    listed = (await dashboard(house).payment_intents.list_async({"limit": 100})).to_dict()["data"]
    return [row["id"] for row in listed if row["status"] not in ("canceled", "succeeded")]


ENDED = ([SubscriptionStatus.INCOMPLETE_EXPIRED], [InvoiceStatus.VOID], [PaymentStatus.CANCELED])


@pytest.mark.parametrize("fault", [Fault.ERROR_500_AFTER, Fault.TIMEOUT_AFTER, Fault.TIMEOUT_BEFORE])
async def test_a_cancel_whose_answer_was_lost_goes_through_when_repeated(house: House, fault: Fault) -> None:
    """The gateway keeps a fault as a key's answer: the repeat asks under a key of its own."""
    subscription_id = await _started(house)
    sandbox_of(house).faults.arm(fault, count=2, path_contains="/cancel")
    with pytest.raises(UserProblem) as refused:
        await _cancel(house.app, house, subscription_id)
    assert refused.value.code is ErrorCode.GATEWAY_UNAVAILABLE

    assert (await _cancel(house.app, house, subscription_id)).subscription.status == "incomplete_expired"
    assert await _rows(house) == ENDED
    assert await _live_intents(house) == []


async def test_a_second_intent_can_be_canceled_like_the_first(house: House) -> None:
    """Killed after the gateway canceled: the customer goes on with intent 2 and then cancels after all."""
    subscription_id = await _started(house)

    class Killed(BaseException):
        """The process is gone."""

    async def die() -> None:
        raise Killed

    with pytest.raises(Killed):
        await _cancel(just_after(house.app, "cancel_payment_intent", die), house, subscription_id)
    house.pass_time(timedelta(seconds=41))
    again = await _subscribe(house)
    assert again.intent is not None
    assert again.intent.row.n == 2

    assert (await _cancel(house.app, house, subscription_id)).subscription.status == "incomplete_expired"
    assert await _rows(house) == ENDED
    assert await _live_intents(house) == []
    assert await house.audit() == []


async def test_an_intent_that_the_gateway_does_not_know_keeps_nobody_from_ending(house: House) -> None:
    """The gateway's test data were deleted, or its account was changed: no money can come from there."""
    subscription_id = await _started(house)
    async with house.app.database.write() as session:
        (await session.exec(select(CollectionIntent))).one().gateway_ref = "pi_of_another_account"
    assert (await _cancel(house.app, house, subscription_id)).subscription.status == "incomplete_expired"
    assert await _rows(house) == ENDED


async def test_a_subscribe_that_meets_a_cancel_leaves_nothing_that_could_be_paid(house: House) -> None:
    """Two tabs: one continues the unpaid subscription while the other ends it, at the worst moment."""
    subscription_id = await _started(house)

    async def cancel_in_the_other_tab() -> None:
        await _cancel(house.app, house, subscription_id)

    app = after_commit(house.app, cancel_in_the_other_tab)
    outcome = await subscribe(app, house.actor(USER), SubscribeWish(plan_code="reader-pro"))
    assert [problem.code.value for problem in outcome.problems] == ["INVALID_STATE"]
    assert outcome.intent is not None
    assert (outcome.intent.row.status, outcome.intent.snapshot) == ("canceled", None)
    assert await _rows(house) == ENDED
    assert await _live_intents(house) == []


@pytest.mark.parametrize("fault", [Fault.TIMEOUT_BEFORE, Fault.RATE_LIMIT_429])
async def test_a_gateway_that_is_away_keeps_an_old_unpaid_plan_and_says_so(house: House, fault: Fault) -> None:
    subscription_id = await _started(house)
    sandbox_of(house).faults.arm(fault, count=2, path_contains="/cancel")
    with pytest.raises(UserProblem) as refused:
        await subscribe(
            house.app,
            house.actor(USER),
            SubscribeWish(plan_code="reader-pro", currency="CNY", idempotency_key="a-click"),
        )
    assert refused.value.code is ErrorCode.GATEWAY_UNAVAILABLE

    sandbox_of(house).faults.clear()
    outcome = await subscribe(
        house.app, house.actor(USER), SubscribeWish(plan_code="reader-pro", currency="CNY", idempotency_key="a-click")
    )
    assert outcome.subscription is not None
    assert outcome.subscription.id != subscription_id
    assert (await _rows(house))[0] == [SubscriptionStatus.INCOMPLETE_EXPIRED, SubscriptionStatus.INCOMPLETE]


async def test_a_holder_who_took_too_long_to_cancel_is_told_to_repeat(house: House) -> None:
    subscription_id = await _started(house)

    async def others_take_over() -> None:
        house.machine.advance(timedelta(seconds=46))
        await house.work()

    with pytest.raises(UserProblem) as refused:
        await _cancel(just_before(house.app, "cancel_payment_intent", others_take_over), house, subscription_id)
    assert refused.value.code is ErrorCode.PAYMENT_IN_PROGRESS
    assert (await _cancel(house.app, house, subscription_id)).subscription.status == "incomplete_expired"
    assert await _rows(house) == ENDED


async def test_a_payment_that_won_against_the_cancel_is_left_free(house: House) -> None:
    outcome = await _subscribe(house)
    assert outcome.subscription is not None
    row = await attach_payment_method(
        house.app, house.actor(USER), reference="pm_card_visa", make_default=False, customer_id=None
    )

    async def pay() -> None:
        intent = (await dashboard(house).payment_intents.list_async({})).to_dict()["data"][0]["id"]
        await dashboard(house).payment_intents.confirm_async(intent, {"payment_method": row.gateway_ref})
        await house.deliver()

    with pytest.raises(UserProblem) as refused:
        await _cancel(just_before(house.app, "cancel_payment_intent", pay), house, outcome.subscription.id)
    assert refused.value.code is ErrorCode.INVALID_STATE
    assert await _rows(house) == ([SubscriptionStatus.ACTIVE], [InvoiceStatus.PAID], [PaymentStatus.SUCCEEDED])
    async with house.app.database.read() as session:
        payment = (await session.exec(select(Payment))).one()
    assert (payment.leased_until, payment.due_at) == (None, None)


async def test_two_requests_that_end_the_same_subscription_at_once_end_it_once(house: House) -> None:
    subscription_id = await _started(house)

    async def the_other_one() -> None:
        await _cancel(house.app, house, subscription_id)

    with pytest.raises(UserProblem) as refused:
        await _cancel(before_writing(house.app, the_other_one), house, subscription_id)
    assert refused.value.code is ErrorCode.INVALID_STATE
    assert await _rows(house) == ENDED
    async with house.app.database.read() as session:
        payment = (await session.exec(select(Payment))).one()
    assert (payment.leased_until, payment.due_at) == (None, None)
    assert await house.audit() == []


async def test_a_card_declined_in_the_browser_is_on_record_after_the_end(house: House) -> None:
    outcome = await _subscribe(house)
    assert outcome.subscription is not None
    assert outcome.intent is not None
    assert outcome.intent.snapshot is not None
    await Browser(house).confirm(outcome.intent.snapshot.client_secret, DECLINES)
    await _cancel(house.app, house, outcome.subscription.id)
    async with house.app.database.read() as session:
        attempts = (await session.exec(select(ChargeAttempt))).all()
    assert [(attempt.outcome.value, attempt.error_code) for attempt in attempts] == [("declined", "card_declined")]


async def test_a_first_payment_made_while_it_is_given_up_wins_and_the_worker_lets_go(house: House) -> None:
    """What goes on has nobody's lease, and nobody counts it as given up."""
    outcome = await _subscribe(house)
    assert outcome.intent is not None
    assert outcome.intent.snapshot is not None
    secret = outcome.intent.snapshot.client_secret
    sandbox_of(house).faults.at_rate(Fault.WEBHOOKS_OFF, 1.0, seed=0)
    house.pass_time(timedelta(hours=23))

    async def pay() -> None:
        await Browser(house).confirm(secret, VISA)

    app = just_before(house.app, "cancel_payment_intent", pay)
    assert await work_on_due_subscriptions(app) == 0
    assert await _rows(house) == ([SubscriptionStatus.ACTIVE], [InvoiceStatus.PAID], [PaymentStatus.SUCCEEDED])
    row = await only(house, "subscriptions")
    assert (row["leased_until"], row["due_at"]) == (None, row["period_end"])
    assert await house.audit() == []
