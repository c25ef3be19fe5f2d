"""Many renewals at once: what they share, and that none sees another's trouble."""

import asyncio
from collections import Counter
from collections.abc import Coroutine, Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession
from structlog.testing import capture_logs

from billing.invoicing import InvoiceReason
from billing.lifecycle import InvoiceStatus, PaymentStatus
from billing.money import Money
from gateways.sandbox import Fault
from models import convoys
from models.convoys import side_by_side
from models.customers import Customer, balance_of, change_balance, locked_customer
from models.database import Database
from models.invoices import Invoice
from models.leases import LEASE, LeaseLost, claim_all_due
from models.payments import Payment
from models.setbacks import Setback, setback_of
from models.subscriptions import Subscription
from services.amendments.plan_changes import ChangePlanWish, change_plan
from services.app import Actor, ActorKind
from services.people.customers import ensure_customer
from services.subscriptions.happening import work_on_due_subscriptions
from services.subscriptions.ordering import SubscribeWish
from services.subscriptions.pausing import PauseWish, pause_subscription
from services.subscriptions.subscribing import subscribe
from services.wallet.cards import attach_payment_method
from tests.support.breaking import alter
from tests.support.house import House, counted

A_MONTH = timedelta(days=28)
PAID, OPEN = InvoiceStatus.PAID, InvoiceStatus.OPEN


async def _subscribed(house: House, user: str, plan: str = "reader-pro") -> Subscription:
    actor = Actor(ActorKind.CUSTOMER, user)
    card = await attach_payment_method(house.app, actor, reference="pm_card_visa", make_default=True, customer_id=None)
    outcome = await subscribe(house.app, actor, SubscribeWish(plan_code=plan, payment_method_id=card.id))
    assert outcome.subscription is not None
    return outcome.subscription


async def _readers(house: House, count: int) -> Sequence[Subscription]:
    return [await _subscribed(house, f"reader-{number}") for number in range(count)]


async def _renewals(house: House) -> dict[str, InvoiceStatus]:
    """Subscription id → how the one renewal that was billed stands."""
    async with house.app.database.read() as session:
        query = select(Invoice).where(Invoice.reason == InvoiceReason.SUBSCRIPTION_CYCLE)
        rows = (await session.exec(query)).all()
    assert len({row.subscription_id for row in rows}) == len(rows)
    return {row.subscription_id: row.status for row in rows}


@pytest.fixture
def together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is ready waits for all others, however long they take."""
    monkeypatch.setattr(convoys, "LINGER_SECONDS", 60)


@pytest.mark.usefixtures("together")
async def test_a_pass_sends_as_many_statements_for_twelve_renewals_as_for_one(house: House) -> None:
    sent: list[Counter[str]] = []
    for first, after in ((0, 1), (1, 12)):
        for number in range(first, after):
            await _subscribed(house, f"reader-{number}")
        house.pass_time(timedelta(days=31))
        async with counted(house.app) as statements:
            assert await work_on_due_subscriptions(house.app) == after
        sent.append(Counter(" ".join(statement.split())[:60] for statement in statements.sent))
    one, twelve = sent
    assert twelve == one
    assert await house.audit() == []


@pytest.mark.usefixtures("together")
async def test_changes_and_pauses_of_many_share_their_transactions_too(house: House) -> None:
    rows = await _readers(house, 6)
    for number, row in enumerate(rows):
        reader = Actor(ActorKind.CUSTOMER, f"reader-{number}")
        if number < 3:
            await change_plan(house.app, reader, ChangePlanWish(row.id, plan_code="premium-monthly"))
        else:
            await pause_subscription(house.app, reader, PauseWish(row.id, at_period_end=True))
    house.pass_time(A_MONTH)
    with capture_logs() as lines:
        assert [await work_on_due_subscriptions(house.app) for _ in range(3)] == [6, 3, 0]
    assert [line for line in lines if line["event"] in ("transaction_undone", "happening_failed")] == []
    assert await _renewals(house) == {row.id: PAID for row in rows[:3]}
    async with house.app.database.read() as session:
        stand = [await session.get_one(Subscription, row.id) for row in rows]
    assert [row.status.value for row in stand] == ["active"] * 3 + ["paused"] * 3
    assert [row.original_amount_minor != rows[0].original_amount_minor for row in stand] == [True] * 3 + [False] * 3
    assert [row.leased_until for row in stand] == [None] * 6
    assert await house.audit() == []


async def test_one_that_cannot_be_billed_keeps_nobody_waiting(small_house: House) -> None:
    house = small_house
    *good, bad = await _readers(house, 5)
    await alter(house, "subscriptions", {"id": bad.id}, timezone="Nowhere/At-all")
    house.pass_time(A_MONTH)
    with capture_logs() as lines:
        assert await work_on_due_subscriptions(house.app) == 4
    assert [line["subscription"] for line in lines if line["log_level"] == "error"] == [bad.id]
    assert await _renewals(house) == {row.id: PAID for row in good}
    async with house.app.database.read() as session:
        left = await session.get_one(Subscription, bad.id)
    assert left.due_at is not None
    assert left.due_at <= house.clock.now()
    assert left.leased_until == house.machine.now() + LEASE
    assert await work_on_due_subscriptions(house.app) == 0
    await alter(house, "subscriptions", {"id": bad.id}, timezone="UTC")
    house.pass_time(LEASE)
    assert await work_on_due_subscriptions(house.app) == 1
    assert set((await _renewals(house)).values()) == {PAID}
    assert await house.audit() == []


async def test_one_whose_rows_the_database_refuses_keeps_nobody_waiting(house: House) -> None:
    rows = await _readers(house, 5)
    async with house.app.database.read() as session:
        customer = await session.get_one(Customer, rows[2].customer_id)
    # Its next invoice would get a number that there is already.
    await alter(house, "customers", {"id": customer.id}, last_invoice_number=0)
    house.pass_time(A_MONTH)
    with capture_logs() as lines:
        assert await work_on_due_subscriptions(house.app) == 4
    assert [line["subscription"] for line in lines if line["log_level"] == "error"] == [rows[2].id]
    assert await _renewals(house) == {row.id: PAID for row in rows if row.id != rows[2].id}
    await alter(house, "customers", {"id": customer.id}, last_invoice_number=1)
    house.pass_time(LEASE)
    assert await work_on_due_subscriptions(house.app) == 1
    assert await house.audit() == []


async def test_two_subscriptions_of_one_customer_spend_its_balance_once(house: House) -> None:
    reader = await _subscribed(house, "reader", "reader-pro")
    premium = await _subscribed(house, "reader", "premium-monthly")
    async with house.app.database.write() as session:
        await locked_customer(session, reader.customer_id)
        await change_balance(session, reader.customer_id, Money(500, "USD"))
    house.pass_time(A_MONTH)
    assert await work_on_due_subscriptions(house.app) == 2
    async with house.app.database.read() as session:
        query = select(Invoice).where(Invoice.reason == InvoiceReason.SUBSCRIPTION_CYCLE)
        invoices = (await session.exec(query.order_by(col(Invoice.number)))).all()
        left = await balance_of(session, reader.customer_id, "USD")
    assert [row.subscription_id for row in invoices] == [reader.id, premium.id]
    assert [row.number[-4:] for row in invoices] == ["0003", "0004"]
    assert [row.credit_applied_minor for row in invoices] == [500, 0]
    assert {row.status for row in invoices} == {PAID}
    assert left == Money(0, "USD")


@pytest.mark.usefixtures("together")
async def test_a_lost_answer_leaves_its_own_payment_unknown_and_no_other(house: House) -> None:
    await _readers(house, 5)
    house.pass_time(A_MONTH)
    sandbox = house.installation.sandbox
    assert sandbox is not None
    sandbox.faults.arm(Fault.ERROR_500_AFTER, count=1, path_contains="/confirm")
    assert await work_on_due_subscriptions(house.app) == 5
    assert Counter((await _renewals(house)).values()) == {PAID: 4, OPEN: 1}
    async with house.app.database.read() as session:
        query = select(Payment).where(Payment.status != PaymentStatus.SUCCEEDED)
        (lost,) = (await session.exec(query)).all()
    assert (lost.status, lost.leased_until) == (PaymentStatus.UNKNOWN, None)
    house.pass_time(timedelta(seconds=10))
    await house.work()
    assert set((await _renewals(house)).values()) == {PAID}
    assert await house.audit() == []


async def test_many_are_claimed_by_one_statement_each_by_one_worker_the_longest_due_first(house: House) -> None:
    rows = await _readers(house, 4)
    for place, row in enumerate((rows[3], rows[0], rows[1], rows[2])):
        await alter(house, "subscriptions", {"id": row.id}, due_at=house.clock.now() + timedelta(seconds=place))
    house.pass_time(A_MONTH)
    now, machine_now = house.clock.now(), house.machine.now()

    async def claimed(limit: int) -> dict[str, int]:
        found = await house.app.database.transact(
            claim_all_due, Subscription, now=now, machine_now=machine_now, limit=limit
        )
        return dict(found)

    async with counted(house.app) as statements:
        first = await claimed(3)
    assert len(statements) == 1
    assert list(first) == [rows[3].id, rows[0].id, rows[1].id]
    assert await claimed(3) == {rows[2].id: 1}
    assert await claimed(3) == {}
    machine_now += LEASE
    assert await claimed(9) == {rows[3].id: 2, rows[0].id: 2, rows[1].id: 2, rows[2].id: 2}


async def test_a_step_that_waits_keeps_the_others_for_a_moment_only(small_house: House) -> None:
    done: list[str] = []
    slow = asyncio.Event()

    async def read(session: AsyncSession, name: str) -> None:
        await session.get(Customer, name)
        done.append(name)

    def steps(database: Database) -> Sequence[Coroutine[Any, Any, Any]]:
        async def quick() -> None:
            await database.consult(read, "quick")
            slow.set()

        async def waiting() -> None:
            await slow.wait()
            await database.consult(read, "waiting")

        return [quick(), waiting()]

    async with asyncio.timeout(60):
        await side_by_side(small_house.app.database, steps)
    assert done == ["quick", "waiting"]


async def test_a_shared_transaction_that_fails_is_made_anew_for_each(small_house: House) -> None:
    """What each gets is what it would have got alone: its answer, or its own exception."""
    customers = [await _customer(small_house, f"someone-{number}") for number in range(3)]
    tried: Counter[int] = Counter()

    async def rename(session: AsyncSession, number: int) -> str:
        tried[number] += 1
        row = await locked_customer(session, customers[number])
        assert row is not None
        row.name = f"name {number}"
        if number == 1:
            raise LeaseLost("mine alone")
        return row.id

    def steps(database: Database) -> Sequence[Coroutine[Any, Any, Any]]:
        async def step(number: int) -> str | LeaseLost:
            try:
                return await database.transact(rename, number)
            except LeaseLost as lost:
                return lost

        return [step(number) for number in range(3)]

    first, lost, last = await side_by_side(small_house.app.database, steps)
    assert (first, last) == (customers[0], customers[2])
    assert isinstance(lost, LeaseLost)
    assert tried == {0: 2, 1: 2, 2: 2}
    async with small_house.app.database.read() as session:
        names = [(await session.get_one(Customer, each)).name for each in customers]
    assert names == ["name 0", None, "name 2"]


async def test_a_database_that_is_away_is_asked_once_for_all_of_them() -> None:
    database = Database("postgresql://nobody@127.0.0.1:1/nowhere")
    opened: list[object] = []
    event.listen(database.engine.sync_engine, "do_connect", lambda *told: opened.append(told))

    async def ask(session: AsyncSession, number: int) -> None:
        await session.get(Customer, str(number))

    def steps(together: Database) -> Sequence[Coroutine[Any, Any, Any]]:
        async def step(number: int) -> OSError | None:
            try:
                return await together.transact(ask, number)
            except OSError as away:
                return away

        return [step(number) for number in range(3)]

    answers = await side_by_side(database, steps)
    await database.close()
    assert [answer and setback_of(answer) for answer in answers] == [Setback.AWAY] * 3
    assert len(opened) == 1


async def _customer(house: House, user: str) -> str:
    return (await ensure_customer(house.app, Actor(ActorKind.CUSTOMER, user))).id
