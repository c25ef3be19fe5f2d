"""One subscription, one intent, several tries: each is recorded once, none is lost, and a request always answers."""

from datetime import timedelta

from sqlmodel import select

from billing.lifecycle import AttemptOutcome, PaymentStatus, SubscriptionStatus
from gateways.sandbox import Fault
from models.payments import ChargeAttempt, CollectionIntent, Payment
from services.payments.outcomes import PaymentOutcome
from services.subscriptions.ordering import SubscribeWish
from services.subscriptions.subscribing import subscribe
from services.wallet.cards import attach_payment_method
from tests.support.house import House
from tests.support.meanwhile import just_after, just_before
from tests.support.outside import VISA, Browser, charges_by_invoice, dashboard, sandbox_of

USER = "somebody"


async def _card(house: House, token: str) -> str:
    row = await attach_payment_method(
        house.app, house.actor(USER), reference=token, make_default=False, customer_id=None
    )
    return row.id


async def _subscribe(house: House, card: str | None) -> PaymentOutcome:
    wish = SubscribeWish(plan_code="reader-pro", payment_method_id=card)
    return await subscribe(house.app, house.actor(USER), wish)


def _codes(outcome: PaymentOutcome) -> list[str]:
    return [problem.code.value for problem in outcome.problems]


def _secret(outcome: PaymentOutcome) -> str:
    assert outcome.intent is not None
    assert outcome.intent.snapshot is not None
    return outcome.intent.snapshot.client_secret


async def _payment(house: House) -> Payment:
    async with house.app.database.read() as session:
        return (await session.exec(select(Payment))).one()


async def _outcomes(house: House) -> list[AttemptOutcome]:
    async with house.app.database.read() as session:
        rows = (await session.exec(select(ChargeAttempt))).all()
    return [row.outcome for row in sorted(rows, key=lambda row: row.sequence)]


async def test_a_challenge_after_a_decline_waits_for_the_customer(house: House) -> None:
    declines = await _card(house, "pm_card_chargeCustomerFail")
    asks = await _card(house, "pm_card_authenticationRequired")
    assert _codes(await _subscribe(house, declines)) == ["CARD_DECLINED"]

    assert _codes(await _subscribe(house, asks)) == ["PAYMENT_ACTION_REQUIRED"]
    assert await _outcomes(house) == [AttemptOutcome.DECLINED, AttemptOutcome.REQUIRES_ACTION]

    outcome = await _subscribe(house, asks)
    assert outcome.intent is not None
    url = outcome.intent.row.next_action_url
    intent = (await dashboard(house).payment_intents.retrieve_async(outcome.intent.row.gateway_ref)).to_dict()
    await Browser(house).answer(url or intent["next_action"]["use_stripe_sdk"]["stripe_js"], "succeeded")
    await house.deliver()
    assert (await _payment(house)).status is PaymentStatus.SUCCEEDED
    assert await _outcomes(house) == [AttemptOutcome.DECLINED, AttemptOutcome.SUCCEEDED]
    assert await house.audit() == []


async def test_a_failed_challenge_after_a_decline_asks_for_another_card(house: House) -> None:
    declines = await _card(house, "pm_card_chargeCustomerFail")
    asks = await _card(house, "pm_card_authenticationRequired")
    good = await _card(house, "pm_card_visa")
    await _subscribe(house, declines)
    outcome = await _subscribe(house, asks)
    assert outcome.intent is not None
    intent = (await dashboard(house).payment_intents.retrieve_async(outcome.intent.row.gateway_ref)).to_dict()
    await Browser(house).answer(intent["next_action"]["use_stripe_sdk"]["stripe_js"], "failed")
    await house.deliver()
    assert (await _payment(house)).status is PaymentStatus.FAILED
    assert await _outcomes(house) == [AttemptOutcome.DECLINED, AttemptOutcome.DECLINED]

    assert _codes(await _subscribe(house, good)) == []
    assert await _outcomes(house) == [AttemptOutcome.DECLINED, AttemptOutcome.DECLINED, AttemptOutcome.SUCCEEDED]


async def test_another_card_waits_while_the_first_answer_is_still_missing(house: House) -> None:
    first, second = await _card(house, "pm_card_visa"), await _card(house, "pm_card_mastercard")
    sandbox_of(house).faults.arm(Fault.TIMEOUT_BEFORE, count=100, path_contains="/confirm")
    assert _codes(await _subscribe(house, first)) == ["PAYMENT_OUTCOME_UNKNOWN"]

    assert _codes(await _subscribe(house, second)) == ["PAYMENT_OUTCOME_UNKNOWN"]
    assert await _outcomes(house) == [AttemptOutcome.UNKNOWN]
    payment = await _payment(house)
    assert (payment.status, payment.leased_until) == (PaymentStatus.UNKNOWN, None)

    sandbox_of(house).faults.clear()
    house.pass_time(timedelta(seconds=60))
    await house.work()
    assert (await _payment(house)).payment_method_id == first
    assert list((await charges_by_invoice(house)).values()) == [1]


async def test_a_payment_that_the_browser_made_meanwhile_is_no_fault_of_the_second_try(house: House) -> None:
    good = await _card(house, "pm_card_visa")
    secret = _secret(await _subscribe(house, None))

    async def pay_in_the_browser() -> None:
        assert (await Browser(house).confirm(secret, VISA)).status_code == 200
        await house.deliver()

    app = just_after(house.app, "retrieve_payment_intent", pay_in_the_browser)
    wish = SubscribeWish(plan_code="reader-pro", payment_method_id=good)
    outcome = await subscribe(app, house.actor(USER), wish)
    assert _codes(outcome) == []
    assert outcome.subscription is not None
    assert outcome.subscription.status is SubscriptionStatus.ACTIVE
    payment = await _payment(house)
    assert (payment.status, payment.leased_until, payment.due_at) == (PaymentStatus.SUCCEEDED, None, None)
    assert list((await charges_by_invoice(house)).values()) == [1]


async def test_a_payment_made_in_the_browser_as_the_card_is_tried_is_told_as_paid(house: House) -> None:
    """The gateway refuses the try because the intent has succeeded: the intent of before is not shown any more."""
    good = await _card(house, "pm_card_visa")
    secret = _secret(await _subscribe(house, None))

    async def pay_in_the_browser() -> None:
        assert (await Browser(house).confirm(secret, VISA)).status_code == 200

    app = just_before(house.app, "confirm_payment_intent", pay_in_the_browser)
    outcome = await subscribe(app, house.actor(USER), SubscribeWish(plan_code="reader-pro", payment_method_id=good))
    assert _codes(outcome) == []
    assert outcome.subscription is not None
    assert outcome.subscription.status is SubscriptionStatus.ACTIVE
    assert outcome.intent is not None
    assert outcome.intent.snapshot is not None
    assert (outcome.intent.row.status, outcome.intent.snapshot.status) == ("succeeded", "succeeded")
    assert await _outcomes(house) == [AttemptOutcome.ABANDONED, AttemptOutcome.SUCCEEDED]


async def test_a_payment_that_was_processing_may_be_tried_again_once_the_gateway_asks_for_a_card(house: House) -> None:
    good = await _card(house, "pm_card_visa")
    await _subscribe(house, None)
    async with house.app.database.write() as session:
        row = (await session.exec(select(Payment))).one()
        row.status = PaymentStatus.PROCESSING  # The news of its failure have not come yet.
    assert _codes(await _subscribe(house, good)) == []
    assert (await _payment(house)).status is PaymentStatus.SUCCEEDED


async def test_late_news_of_a_canceled_intent_leave_its_successors_try_alone(house: House) -> None:
    good = await _card(house, "pm_card_visa")
    await _subscribe(house, None)
    first = (await dashboard(house).payment_intents.list_async({})).to_dict()["data"][0]["id"]
    await dashboard(house).payment_intents.cancel_async(first)
    sandbox_of(house).faults.arm(Fault.TIMEOUT_BEFORE, count=2, path_contains="/confirm")
    assert _codes(await _subscribe(house, good)) == ["PAYMENT_OUTCOME_UNKNOWN"]

    await house.deliver()  # payment_intent.canceled of the first one
    assert await _outcomes(house) == [AttemptOutcome.UNKNOWN]
    assert (await _payment(house)).status is PaymentStatus.UNKNOWN
    async with house.app.database.read() as session:
        intents = (await session.exec(select(CollectionIntent))).all()
    assert sorted((row.n, row.status.value) for row in intents)[0] == (1, "canceled")

    house.pass_time(timedelta(seconds=60))
    await house.work()
    assert await _outcomes(house) == [AttemptOutcome.SUCCEEDED]
    assert sum((await charges_by_invoice(house)).values()) == 1


async def test_a_webhook_faster_than_the_lost_answer_leaves_the_payment_free(house: House) -> None:
    """The decline is known from the webhook when the answer is given up: the next card is tried at once."""
    declines, good = await _card(house, "pm_card_chargeCustomerFail"), await _card(house, "pm_card_visa")
    sandbox_of(house).faults.arm(Fault.TIMEOUT_AFTER, count=2, path_contains="/confirm")

    app = just_after(house.app, "confirm_payment_intent", house.deliver)
    outcome = await subscribe(app, house.actor(USER), SubscribeWish(plan_code="reader-pro", payment_method_id=declines))
    assert _codes(outcome) == ["CARD_DECLINED"]
    assert (await _payment(house)).leased_until is None
    assert _codes(await _subscribe(house, good)) == []
