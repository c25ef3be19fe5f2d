"""What went back reaches the same rows however it is told: twice, shuffled, late, stale, or not at all by webhooks."""

import random
from dataclasses import replace
from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest
from sqlmodel import select

from billing.ledger import Account
from billing.lifecycle import PaymentStatus, RefundStatus
from billing.money import Money
from billing.returning import DisputeStatus, RefundReason
from gateways.port import DisputeSnapshot, RefundSnapshot
from gateways.sandbox import Fault
from gateways.sandbox.refunds import SETTLES_AFTER_SECONDS
from models.base import metadata
from models.payments import Payment
from models.returns import Refund
from services.app import WEBHOOK, Actor, ActorKind
from services.books.own_books import audit_own_books
from services.books.reconciling import reconcile_payments
from services.refunds.returning import Returns, settle_returns
from tests.scenarios.shopping import REFRESH
from tests.services.returns import (
    IS_DISPUTED,
    PRICE,
    REFUND_FAILS,
    answer_bank,
    balances,
    buy,
    disputes,
    give_back,
    payments,
    refunds,
)
from tests.support.deliveries import dump, event, send
from tests.support.house import START, House
from tests.support.outside import VISA, dashboard, faults_always, sandbox_of

LATER = timedelta(seconds=SETTLES_AFTER_SECONDS)
ADMIN = Actor(ActorKind.ADMIN, "demo-admin")


async def a_whole_story(house: House) -> None:
    """Two refunds, of which the first has come back; another customer's payment is disputed and under review."""
    intent = await buy(house, REFUND_FAILS)
    await give_back(house, intent, 300)
    house.pass_time(LATER)
    await give_back(house, intent, 100)
    disputed = await buy(house, IS_DISPUTED, user="demo-other")
    await answer_bank(house, disputed, "losing_evidence")
    house.pass_time(LATER - timedelta(seconds=1))


async def its_end(house: House) -> None:
    assert await payments(house) == [("partially_refunded", PRICE, 100, 0), ("disputed", PRICE, 0, PRICE)]
    assert await refunds(house) == [(100, "succeeded"), (300, "failed")]
    assert await disputes(house) == [("under_review", PRICE, 0)]
    assert await balances(house) == {"gateway": PRICE - 100, "revenue": -2 * PRICE, "refunds": 100, "disputes": PRICE}
    assert await house.audit() == []


@pytest.mark.parametrize("seed", range(3))
async def test_news_that_come_twice_and_shuffled_reach_the_same_state(house: House, seed: int) -> None:
    faults_always(house, Fault.WEBHOOKS_TWICE)
    await a_whole_story(house)
    sandbox_of(house).faults.dice = random.Random(seed)
    sandbox_of(house).faults.arm(Fault.WEBHOOKS_SHUFFLED)
    await house.deliver()
    await its_end(house)


async def test_news_told_all_over_again_change_no_row(house: House) -> None:
    await a_whole_story(house)
    await house.deliver()
    before = await dump(house)
    log = (await dashboard(house).events.list_async({"limit": 100})).data
    subjects = [(told.data.object["object"], told.data.object["id"], told.type) for told in log]
    assert {kind for kind, _, _ in subjects} >= {"refund", "dispute", "charge"}
    random.Random(1).shuffle(subjects)
    for subject in subjects:
        assert (await send(house, event(*subject))).status_code == 200
    await house.work()
    assert await dump(house) == before


async def test_with_every_webhook_lost_one_reconcile_pass_reaches_the_state(house: House) -> None:
    faults_always(house, Fault.WEBHOOKS_OFF)
    await a_whole_story(house)
    since = house.clock.now() - timedelta(days=1)
    told = await reconcile_payments(house.app, ADMIN, since=since, repair=False)
    assert [drift.repaired for drift in told.drift] == [False] * len(told.drift)
    assert (await refunds(house), await disputes(house)) == ([], [])
    await reconcile_payments(house.app, ADMIN, since=since, repair=True)
    await its_end(house)
    assert (await reconcile_payments(house.app, ADMIN, since=since, repair=True)).drift == ()


async def test_what_went_back_is_found_when_the_gateway_has_forgotten_its_news_of_it(house: House) -> None:
    faults_always(house, Fault.WEBHOOKS_OFF)
    refunded = await buy(house, VISA)
    await buy(house, IS_DISPUTED, user="demo-other")
    since = house.machine.now() - timedelta(hours=1)
    await reconcile_payments(house.app, ADMIN, since=since, repair=True)
    await give_back(house, refunded, 300)
    house.pass_time(timedelta(days=40))
    await buy(house, VISA, user="demo-third")  # The gateway tidies up when it has news again.
    kept = await dashboard(house).events.list_async({"limit": 100})
    assert not any(each.type.startswith(("charge.refund", "refund.")) for each in kept.data)
    await reconcile_payments(house.app, ADMIN, since=since, repair=True)
    assert await refunds(house) == [(300, "succeeded")]
    assert [each[1:] for each in await payments(house)] == [(PRICE, 300, 0), (PRICE, 0, PRICE), (PRICE, 0, 0)]
    assert await house.audit() == []


async def test_a_reconcile_pass_tells_what_went_back_on_either_side(house: House) -> None:
    intent = await buy(house, VISA)
    await house.deliver()
    faults_always(house, Fault.WEBHOOKS_OFF)
    await give_back(house, intent, 300)
    since = house.clock.now() - timedelta(days=1)
    for repair in (False, True):
        view = await reconcile_payments(house.app, ADMIN, since=since, repair=repair)
        assert [(d.kind.value, d.gateway_ref, d.local, d.gateway, d.repaired) for d in view.drift] == [
            ("returns_differ", intent, "nothing went back", "refund of USD 3.00 succeeded", repair)
        ]
    assert await payments(house) == [("partially_refunded", PRICE, 300, 0)]


async def test_with_every_webhook_lost_a_refresh_finds_what_went_back(house: House) -> None:
    intent = await buy(house, VISA)
    await house.deliver()
    faults_always(house, Fault.WEBHOOKS_OFF)
    await give_back(house, intent, 300)
    mine = await house.ask("{ mySubscription { id } }", user="demo-new")
    told = await house.ask(REFRESH, {"id": mine["mySubscription"]["id"]}, "demo-new")
    assert told["refreshSubscriptionPayment"]["userErrors"] == []
    assert await payments(house) == [("partially_refunded", PRICE, 300, 0)]
    assert await house.audit() == []


def usd(minor: int) -> Money:
    return Money(minor, "USD")


def refund(status: str, amount: int = 300, ref: str = "re_1") -> RefundSnapshot:
    return RefundSnapshot(
        ref=ref,
        intent_ref=None,
        amount=usd(amount),
        status=RefundStatus(status),
        reason=RefundReason.OTHER,
        failure_reason=None,
        created_at=START,
        metadata={},
    )


def dispute(status: str, taken: int, given: int = 0, **more: Any) -> DisputeSnapshot:
    told = DisputeSnapshot(
        ref="dp_1",
        intent_ref=None,
        amount=usd(PRICE),
        withdrawn=usd(taken),
        reinstated=usd(given),
        status=DisputeStatus(status),
        reason="fraudulent",
        created_at=START,
    )
    return replace(told, **more)


async def tell(house: House, intent: str, *told: RefundSnapshot | DisputeSnapshot, second: int = 0) -> bool:
    """Settle by answers to a question put `second` seconds after the start."""
    returns = Returns(
        [each for each in told if isinstance(each, RefundSnapshot)],
        [each for each in told if isinstance(each, DisputeSnapshot)],
        START + timedelta(seconds=second),
    )
    return await settle_returns(house.app, intent, returns, cause="test", actor=WEBHOOK)


async def forget(house: House) -> None:
    """As if nothing had ever gone back."""
    tables = metadata().tables
    async with house.app.database.write() as session:
        connection = await session.connection()
        entries = tables["ledger_entries"]
        await connection.execute(entries.delete().where(entries.c.account.in_([Account.REFUNDS, Account.DISPUTES])))
        kinds = ["refund_succeeded", "refund_failed", "dispute_withdrawn", "dispute_reinstated"]
        await connection.execute(entries.delete().where(entries.c.kind.in_(kinds)))
        for name in ("credit_notes", "refunds", "disputes"):
            await connection.execute(tables[name].delete())
        await connection.execute(tables["payments"].update().values(amount_refunded_minor=0, amount_disputed_minor=0))


PAID = {"gateway": PRICE, "revenue": -PRICE}
LIVES = {
    "the refund arrives, the dispute is lost": (
        [refund("pending"), refund("succeeded")],
        [dispute("needs_response", PRICE), dispute("under_review", PRICE), dispute("lost", PRICE)],
        ([(300, "succeeded")], [("lost", PRICE, 0)]),
        {"gateway": -300, "revenue": -PRICE, "refunds": 300, "disputes": PRICE},
    ),
    "the refund fails, the dispute is won": (
        [refund("pending"), refund("succeeded"), refund("failed")],
        [
            dispute("warning_needs_response", 0),
            dispute("needs_response", PRICE),
            dispute("won", PRICE, PRICE),
        ],
        ([(300, "failed")], [("won", PRICE, PRICE)]),
        PAID,
    ),
    "the refund is called back, the dispute is won in part": (
        [refund("succeeded"), refund("canceled")],
        [dispute("needs_response", PRICE), dispute("lost", PRICE), dispute("won", PRICE, 500)],
        ([(300, "canceled")], [("won", PRICE, 500)]),
        {"gateway": 500, "revenue": -PRICE, "disputes": 200},
    ),
}


@pytest.mark.parametrize("life", LIVES)
async def test_answers_that_overtake_one_another_lead_to_one_state(small_house: House, life: str) -> None:
    """Every order of a refund's answers with every order of a dispute's; the books are right after each of them."""
    house = small_house
    told_refunds, told_disputes, end, books = LIVES[life]
    intent = await buy(house, VISA)
    await house.deliver()
    for refund_order in permutations(enumerate(told_refunds)):
        for dispute_order in permutations(enumerate(told_disputes)):
            await forget(house)
            for second, answer in sorted((*refund_order, *dispute_order), key=lambda _: random.Random(7).random()):
                await tell(house, intent, answer, second=second)
                assert await audit_own_books(house.app) == []
            assert (await refunds(house), await disputes(house)) == end
            assert await balances(house) == books


async def test_a_refund_above_what_was_captured_is_said_aloud_and_not_booked(house: House) -> None:
    intent = await buy(house, VISA)
    await house.deliver()
    await tell(house, intent, refund("succeeded", 500))
    await tell(house, intent, refund("succeeded", 201, "re_2"))
    assert await payments(house) == [("partially_refunded", PRICE, 500, 0)]
    assert await refunds(house) == [(201, "pending"), (500, "succeeded")]
    assert await balances(house) == {"gateway": 200, "revenue": -PRICE, "refunds": 500}
    [row] = [row for row in await refund_rows(house) if row.amount_minor == 201]
    sentence = f"{row.id} of payment {row.payment_id}: USD 2.01 given back on top of USD 5.00, of USD 7.00 captured"
    assert [finding.text for finding in await audit_own_books(house.app)] == [sentence]

    assert not await tell(house, intent, refund("succeeded", 201, "re_2"))
    await tell(house, intent, refund("succeeded", 201, "re_2"), refund("failed", 500))
    assert await refunds(house) == [(201, "succeeded"), (500, "failed")]
    assert await payments(house) == [("partially_refunded", PRICE, 201, 0)]
    assert await audit_own_books(house.app) == []


async def test_exactly_what_was_captured_may_go_back(small_house: House) -> None:
    intent = await buy(small_house, VISA)
    await small_house.deliver()
    await tell(small_house, intent, refund("succeeded", 500), refund("succeeded", 200, "re_2"))
    assert await payments(small_house) == [("refunded", PRICE, PRICE, 0)]
    assert await audit_own_books(small_house.app) == []


CONTRADICTIONS = {
    "in EUR, though the payment is in USD": [
        replace(refund("succeeded"), amount=Money(300, "EUR")),
        dispute(
            "needs_response",
            0,
            amount=Money(300, "EUR"),
            withdrawn=Money(300, "EUR"),
            reinstated=Money(0, "EUR"),
        ),
    ],
    "taken USD 7.00, given back USD 7.01; booked USD 0.00 and USD 0.00": [dispute("won", PRICE, PRICE + 1)],
}


@pytest.mark.parametrize(
    ("why", "told"), [(why, told) for why, all_told in CONTRADICTIONS.items() for told in all_told]
)
async def test_what_cannot_be_is_kept_beside_the_row_and_not_booked(small_house: House, why: str, told: Any) -> None:
    house = small_house
    intent = await buy(house, VISA)
    await house.deliver()
    assert await tell(house, intent, told)
    assert await payments(house) == [("succeeded", PRICE, 0, 0)]
    assert await balances(house) == PAID
    assert [finding.text.partition(": ")[2] for finding in await audit_own_books(house.app)] == [why]


async def test_nothing_goes_back_of_what_never_came(small_house: House) -> None:
    """The door alone, without the question that a webhook puts before it."""
    house = small_house
    intent = await buy(house, VISA)
    async with house.app.database.read() as session:
        [payment] = (await session.exec(select(Payment))).all()
    assert payment.status is not PaymentStatus.SUCCEEDED
    await tell(house, intent, refund("succeeded"), dispute("needs_response", PRICE))
    assert await payments(house) == [(str(payment.status), 0, 0, 0)]
    assert len(await audit_own_books(house.app)) == 2
    await house.deliver()
    await tell(house, intent, refund("succeeded"), dispute("needs_response", PRICE))
    assert await payments(house) == [("disputed", PRICE, 300, PRICE)]
    assert await audit_own_books(house.app) == []


async def test_a_second_withdrawal_is_said_aloud_and_not_booked(small_house: House) -> None:
    house = small_house
    intent = await buy(house, VISA)
    await house.deliver()
    await tell(house, intent, dispute("needs_response", PRICE))
    await tell(house, intent, dispute("lost", 2 * PRICE), second=1)
    assert await disputes(house) == [("lost", PRICE, 0)]
    assert await balances(house) == {"revenue": -PRICE, "disputes": PRICE}
    assert len(await audit_own_books(house.app)) == 1


async def refund_rows(house: House) -> list[Refund]:
    async with house.app.database.read() as session:
        return list((await session.exec(select(Refund))).all())
