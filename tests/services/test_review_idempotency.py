"""A key keeps an answer only when there is one: what could not be done goes on when it is repeated."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from billing.charging import SetupFutureUsage
from billing.errors import ErrorCode, UserProblem
from billing.lifecycle import PaymentStatus, RefundStatus, SubscriptionStatus
from gateways.sandbox import Fault
from models.customers import customer_of_user
from models.database import Database
from models.subscriptions import Subscription
from services.amendments.amending import UpdateWish, update_subscription
from services.amendments.plan_changes import ChangePlanWish, change_plan
from services.app import Actor, ActorKind, App
from services.ends.canceling import CancelWish, cancel_subscription
from services.payments.outcomes import PaymentOutcome
from services.shielding import drain
from services.subscriptions.ordering import SubscribeWish
from services.subscriptions.pausing import PauseWish, pause_subscription
from services.subscriptions.subscribing import subscribe
from services.wallet.card_changes import update_subscription_payment_method
from services.wallet.cards import attach_payment_method, create_setup_intent
from tests.support.house import House
from tests.support.meanwhile import just_before
from tests.support.outside import charges_by_invoice, dashboard, sandbox_of

USER = "demo-card"


async def _subscribe(house: House, **more: str) -> PaymentOutcome:
    async with house.app.database.read() as session:
        customer = await customer_of_user(session, USER)
    assert customer is not None
    wish = SubscribeWish(
        plan_code=more.get("plan_code", "reader-pro"),
        payment_method_id=more.get("payment_method_id", customer.default_payment_method_id),
        idempotency_key="one-click",
    )
    return await subscribe(house.app, house.actor(USER), wish)


def _told(outcome: PaymentOutcome) -> tuple[list[str], SubscriptionStatus | None, PaymentStatus | None]:
    return (
        [problem.code.value for problem in outcome.problems],
        outcome.subscription.status if outcome.subscription else None,
        outcome.payment.status if outcome.payment else None,
    )


async def test_a_gateway_that_was_away_is_asked_again_under_the_same_key(house: House) -> None:
    sandbox_of(house).faults.arm(Fault.TIMEOUT_BEFORE, count=2, path_contains="/v1/payment_intents")
    first = await _subscribe(house)
    assert _told(first)[0] == ["GATEWAY_UNAVAILABLE"]
    again = await _subscribe(house)
    assert _told(again) == ([], SubscriptionStatus.ACTIVE, PaymentStatus.SUCCEEDED)
    assert list((await charges_by_invoice(house)).values()) == [1]
    # From now on this is the key's answer.
    assert _told(await _subscribe(house)) == ([], SubscriptionStatus.ACTIVE, PaymentStatus.SUCCEEDED)


async def test_what_has_been_paid_meanwhile_is_the_answer_to_the_repeat(house: House) -> None:
    sandbox_of(house).faults.arm(Fault.TIMEOUT_AFTER, count=2, path_contains="/confirm")
    assert _told(await _subscribe(house))[0] == ["PAYMENT_OUTCOME_UNKNOWN"]
    house.pass_time(timedelta(seconds=60))
    await house.work()
    assert _told(await _subscribe(house)) == ([], SubscriptionStatus.ACTIVE, PaymentStatus.SUCCEEDED)


async def test_a_missing_answer_is_asked_for_by_the_repeat_itself(house: House) -> None:
    sandbox_of(house).faults.arm(Fault.TIMEOUT_AFTER, count=2, path_contains="/confirm")
    assert _told(await _subscribe(house))[0] == ["PAYMENT_OUTCOME_UNKNOWN"]
    assert _told(await _subscribe(house)) == ([], SubscriptionStatus.ACTIVE, PaymentStatus.SUCCEEDED)
    assert list((await charges_by_invoice(house)).values()) == [1]


async def test_other_input_is_refused_even_though_the_first_did_not_get_through(house: House) -> None:
    sandbox_of(house).faults.arm(Fault.TIMEOUT_BEFORE, count=2, path_contains="/v1/payment_intents")
    await _subscribe(house)
    with pytest.raises(UserProblem) as refused:
        await _subscribe(house, plan_code="premium-monthly")
    assert refused.value.code is ErrorCode.IDEMPOTENCY_CONFLICT


async def test_twins_of_a_refused_request_are_refused_for_the_same_reason(house: House) -> None:
    """The first is refused having begun nothing; a twin that waited for it is not told to wait."""
    answers = await asyncio.gather(
        *(_subscribe(house, payment_method_id="pmd_nobodys") for _ in range(8)), return_exceptions=True
    )
    codes = {answer.code.value for answer in answers if isinstance(answer, UserProblem)}
    assert codes == {"NOT_FOUND"}
    assert len(answers) == 8


async def test_a_key_of_the_greatest_length_saves_a_card(small_house: House) -> None:
    house = small_house
    views = [
        await create_setup_intent(
            house.app,
            house.actor(USER),
            usage=SetupFutureUsage.OFF_SESSION,
            return_url=None,
            customer_id=None,
            idempotency_key="k" * 255,
        )
        for _ in range(2)
    ]
    assert views[0].row.id == views[1].row.id


HALF = [350]
"""What is unused of 7.00 after half of February."""


async def _half_used(house: House) -> CancelWish:
    outcome = await _subscribe(house)
    assert outcome.subscription is not None
    await house.deliver()
    house.pass_time(timedelta(days=14))
    return CancelWish(outcome.subscription.id, refunds_unused=True, idempotency_key="enough")


async def _cancel(app: App, wish: CancelWish) -> tuple[list[str], SubscriptionStatus, RefundStatus | None]:
    outcome = await cancel_subscription(app, Actor(ActorKind.CUSTOMER, USER), wish)
    refund = outcome.refund.status if outcome.refund is not None else None
    return [problem.code.value for problem in outcome.problems], outcome.subscription.status, refund


async def _given_back(house: House) -> list[int]:
    return [row.amount for row in (await dashboard(house).refunds.list_async()).data]


def _impatient(app: App) -> App:
    return replace(app, gateway_budget=timedelta(milliseconds=200))


GONE_BACK = ([], SubscriptionStatus.CANCELED, RefundStatus.SUCCEEDED)


async def test_an_end_that_outlasts_its_request_is_what_its_key_tells_from_then_on(house: House) -> None:
    wish, answer = await _half_used(house), asyncio.Event()
    with pytest.raises(UserProblem) as unknown:
        await _cancel(just_before(_impatient(house.app), "find_refunds", answer.wait), wish)
    assert unknown.value.code is ErrorCode.PAYMENT_OUTCOME_UNKNOWN
    with pytest.raises(UserProblem) as other:
        await _cancel(house.app, replace(wish, refunds_unused=False))
    assert other.value.code is ErrorCode.IDEMPOTENCY_CONFLICT

    async def done_meanwhile() -> None:
        answer.set()
        await drain(10)

    # The repeat meets the end that the first request has brought about.
    assert await _cancel(just_before(house.app, "find_refunds", done_meanwhile), wish) == GONE_BACK
    assert await _cancel(house.app, wish) == GONE_BACK
    assert await _given_back(house) == HALF


async def test_who_dies_after_an_end_has_answered(house: House) -> None:
    wish = await _half_used(house)

    async def die() -> None:
        raise RuntimeError("the process is gone")

    with pytest.raises(RuntimeError):
        await _cancel(just_before(house.app, "create_refund", die), wish)
    house.pass_time(timedelta(seconds=60))
    await house.work()
    assert await _cancel(house.app, wish) == GONE_BACK
    assert await _given_back(house) == HALF


class _Dying:
    """The database of a process that dies right before its third writing transaction, which keeps a key's answer."""

    def __init__(self, database: Database) -> None:
        self._database, self._written = database, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    def write(self) -> Any:
        self._written += 1
        if self._written == 3:
            raise RuntimeError("the process is gone")
        return self._database.write()


async def _planned(app: App, actor: Actor, row: Subscription, card: str) -> Subscription:
    wish = ChangePlanWish(
        row.id, plan_code="premium-monthly", expected_version=row.version, idempotency_key="one-click"
    )
    return (await change_plan(app, actor, wish)).subscription


async def _renamed(app: App, actor: Actor, row: Subscription, card: str) -> Subscription:
    wish = UpdateWish(row.id, name="Mine", expected_version=row.version, idempotency_key="one-click")
    return (await update_subscription(app, actor, wish)).subscription


async def _paused(app: App, actor: Actor, row: Subscription, card: str) -> Subscription:
    wish = PauseWish(row.id, expected_version=row.version, idempotency_key="one-click")
    return await pause_subscription(app, actor, wish)


async def _pinned(app: App, actor: Actor, row: Subscription, card: str) -> Subscription:
    change = await update_subscription_payment_method(
        app,
        actor,
        subscription_id=row.id,
        payment_method_id=card,
        card_token=None,
        retry_open_invoice=True,
        expected_version=row.version,
        idempotency_key="one-click",
    )
    return change.subscription


@pytest.mark.parametrize("act", [_planned, _renamed, _paused, _pinned])
async def test_who_dies_after_an_act_has_answered_though_the_version_is_another_one(
    small_house: House, act: Callable[[App, Actor, Subscription, str], Awaitable[Subscription]]
) -> None:
    house, actor = small_house, small_house.actor(USER)
    row = (await _subscribe(house)).subscription
    assert row is not None
    card = await attach_payment_method(
        house.app, actor, reference="pm_card_mastercard", make_default=False, customer_id=None
    )
    dying: Any = _Dying(house.app.database)
    with pytest.raises(RuntimeError):
        await act(replace(house.app, database=dying), actor, row, card.id)
    house.pass_time(timedelta(seconds=60))
    told = [await act(house.app, actor, row, card.id) for _ in range(2)]
    async with house.app.database.read() as session:
        now = await session.get_one(Subscription, row.id)
    assert [each.version for each in told] == [now.version] * 2
    assert now.version > row.version
