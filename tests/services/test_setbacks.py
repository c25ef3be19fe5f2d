"""When the database says "not now" (promises R2, S15): told apart from faults, nothing half done, and done later."""

import asyncio
import itertools
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy import event, make_url
from sqlalchemy.exc import DBAPIError
from sqlmodel import text
from structlog.testing import capture_logs

from models.database import Database, Limits
from models.leases import LEASE
from models.setbacks import Setback, repeated, setback_of
from services.ends.giving_up import give_up_due_payments
from tests.scenarios.by_hand import write_down
from tests.scenarios.metering import key_of, sell, take, tell
from tests.scenarios.shopping import SUBSCRIBE
from tests.support.breaking import alter
from tests.support.databases import copy_of_file, database_on, run
from tests.support.deliveries import dump
from tests.support.house import House, open_house
from tests.support.outside import VISA, Browser
from tests.support.waiting import until

MINE = "{ subscriptions { nodes { status } } }"
CUSTOMERS = "{ me { id defaultPaymentMethod { id } } }"


@pytest.fixture
async def postgres_url(postgres: str, stocked_postgres: str) -> AsyncIterator[str]:
    async with database_on(postgres, stocked_postgres) as url:
        yield url


@pytest.fixture
async def sqlite_house(stocked_file: Path, tmp_path: Path) -> AsyncIterator[House]:
    """The gateway's books are in a file of their own, so that only ours meet the fault."""
    ours, theirs = (copy_of_file(stocked_file, tmp_path / name) for name in ("ours.db", "theirs.db"))
    async with open_house(ours, demo=False, sandbox_database_url=theirs) as house:
        yield house


async def buy(house: House, key: str | None = None) -> dict[str, Any]:
    """The whole body: `errors` are looked at."""
    card = (await house.ask(CUSTOMERS, user="demo-card"))["me"]["defaultPaymentMethod"]["id"]
    wish = {"planCode": "reader-pro", "paymentMethodId": card, **({"idempotencyKey": key} if key else {})}
    return (await house.post(SUBSCRIBE, {"input": wish}, user="demo-card")).json()


async def bought(house: House, key: str | None = None) -> None:
    """Now it goes through, once."""
    body = await buy(house, key)
    assert body["data"]["subscribe"]["userErrors"] == []
    assert await states(house) == ["ACTIVE"]
    await house.work()
    assert await house.audit() == []


async def states(house: House, user: str = "demo-card") -> list[str]:
    rows = (await house.ask(MINE, user=user))["subscriptions"]["nodes"]
    return [row["status"] for row in rows]


def told(body: dict[str, Any]) -> tuple[str, str]:
    (error,) = body["errors"]
    return error["extensions"]["code"], error["message"]


WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"

BUSY = ("UNAVAILABLE", "The database took too long; try again.")
AWAY = ("UNAVAILABLE", "The database is not available; try again in a moment.")


# PostgreSQL: somebody else holds what we need


@pytest.mark.parametrize("key", [None, "a-key"])
async def test_a_lock_held_by_another_program_is_not_waited_for_for_ever(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, key: str | None
) -> None:
    """Whoever is told to try again need not wait either, until the lease of a key has run out that nobody is at."""
    monkeypatch.setattr("models.database.LOCK_SECONDS", 1)
    other = await asyncpg.connect(postgres_url)
    async with open_house(postgres_url, demo=False) as house:
        async with other.transaction():
            await other.execute("SELECT * FROM customers WHERE user_id = 'demo-card' FOR UPDATE")
            before = await dump(house, but=("idempotency_records",))
            waiting = asyncio.create_task(buy(house, key))
            while not waiting.done():
                assert await states(house) == []  # the others go on meanwhile
                await asyncio.sleep(0.1)
            assert told(await waiting) == BUSY
            assert await dump(house, but=("idempotency_records",)) == before
        await bought(house, key)
    await other.close()


async def test_a_customer_who_is_locked_keeps_no_other_one_waiting_for_the_worker(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One has paid in the browser and one is to be given up: neither can be settled, nor put off, nor let go."""
    monkeypatch.setattr("models.database.LOCK_SECONDS", 0.2)
    other = await asyncpg.connect(postgres_url)
    async with open_house(postgres_url, demo=False) as house:
        for user in ("demo-card", "demo-new", "demo-decline"):
            begun = (await house.ask(SUBSCRIBE, {"input": {"planCode": "reader-pro"}}, user))["subscribe"]
            if user != "demo-decline":
                await Browser(house).confirm(begun["nextAction"]["clientSecret"], VISA)
        given_up = {"id": begun["payment"]["id"]}
        await alter(house, "payments", given_up, due_at=None, give_up_at=house.clock.now())
        house.pass_time(timedelta(seconds=60))
        async with other.transaction():
            locked = "SELECT * FROM customers WHERE user_id IN ('demo-card', 'demo-decline') FOR UPDATE"
            await other.execute(locked)
            with capture_logs() as lines:
                assert await give_up_due_payments(house.app) == 0
                await alter(house, "payments", given_up, give_up_at=None)
                assert (await house.work())["resolved"] == 2
            assert [line["event"] for line in lines if line["log_level"] == "error"] == [
                "not_given_up",
                "not_put_off",
                "payment_not_resolved",
                "payment_not_let_go",
            ]
            assert [await states(house, user) for user in ("demo-card", "demo-new")] == [["INCOMPLETE"], ["ACTIVE"]]
        house.pass_time(LEASE)
        await house.work()
        assert await states(house) == ["ACTIVE"]
    await other.close()


async def test_a_statement_that_takes_too_long_is_cancelled_by_postgresql(postgres_url: str) -> None:
    database = Database(postgres_url, Limits(size=2, overflow=0, statement_seconds=1))
    with pytest.raises(DBAPIError) as stuck:
        async with database.read() as session:
            await session.exec(text("SELECT pg_sleep(30)"))
    assert setback_of(stuck.value) is Setback.BUSY
    await database.ping()
    await database.close()


ENDED = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()"""
CLOSED = {
    "takes no connections": (
        'ALTER DATABASE "{}" ALLOW_CONNECTIONS false',
        'ALTER DATABASE "{}" ALLOW_CONNECTIONS true',
    ),
    "is not there": ('ALTER DATABASE "{0}" RENAME TO "{0}_"', 'ALTER DATABASE "{0}_" RENAME TO "{0}"'),
}


@pytest.mark.parametrize("how", CLOSED)
async def test_a_database_that_lets_nobody_in_is_away(postgres: str, postgres_url: str, how: str) -> None:
    """As it is while somebody maintains or restores it."""
    name = make_url(postgres_url).database
    close, let_in = (statement.format(name) for statement in CLOSED[how])
    async with open_house(postgres_url, demo=False) as house:
        await run(postgres_url, ENDED)
        await run(postgres, close)
        body = (await house.post(MINE, user="demo-card")).json()
        assert told(body) == AWAY
        await run(postgres, let_in)
        await bought(house)


def test_a_password_that_holds_no_more_is_mended_at_the_database() -> None:
    refused = asyncpg.InvalidPasswordError("password authentication failed")
    assert setback_of(DBAPIError(None, None, refused)) is Setback.AWAY


async def test_whoever_gives_a_request_up_gives_its_statement_up(postgres_url: str) -> None:
    """As the guard does after 10 s: the database does not go on for nobody."""
    other, watcher = [await asyncpg.connect(postgres_url) for _ in range(2)]
    async with open_house(postgres_url, demo=False) as house, other.transaction():
        await other.execute("LOCK TABLE plans IN ACCESS EXCLUSIVE MODE")
        asking = asyncio.create_task(house.ask("{ plans(first: 1) { nodes { code } } }"))
        await until(lambda: watcher.fetchval(WAITING))
        asking.cancel()
        await until(lambda: watcher.fetchval(f"SELECT ({WAITING}) = 0"))
        assert await states(house) == []
    await other.close()
    await watcher.close()


async def test_without_a_free_connection_the_answer_is_not_waited_for_for_ever(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.database.POOL_SECONDS", 1)
    async with open_house(postgres_url, demo=False, database_pool_size=1, database_pool_overflow=0) as house:
        async with house.app.database.read() as held:
            await held.exec(text("SELECT 1"))
            body = (await house.post("{ me { id } }", user="demo-card")).json()
            assert told(body) == BUSY
        assert await states(house) == []


# PostgreSQL: two that wait for one another


async def test_of_two_that_write_down_one_id_one_is_told_that_it_is_taken(postgres_url: str) -> None:
    """They are about two customers, neither of whom the other one's lock keeps waiting."""
    other, watcher = [await asyncpg.connect(postgres_url) for _ in range(2)]
    async with open_house(postgres_url, demo=False) as house:
        async with other.transaction():
            await other.execute("SELECT * FROM plans WHERE code = 'classic-coffee-yearly' FOR UPDATE")
            writing = [asyncio.create_task(write_down(house, customer={"externalId": kid})) for kid in ("a", "b")]
            await until(lambda: watcher.fetchval(f"SELECT ({WAITING}) = 2"))
        refused = [(await each)["userErrors"] for each in writing]
        assert sorted(refused, key=len) == [[], [{"code": "ALREADY_EXISTS", "field": ["externalId"]}]]
        assert await house.audit() == []
    await other.close()
    await watcher.close()


async def test_whoever_records_usage_does_not_pass_by_whoever_waits_for_the_customer(postgres_url: str) -> None:
    """Usage that comes without a break would keep its customer from being billed for ever."""
    other, watcher = [await asyncpg.connect(postgres_url) for _ in range(2)]
    rename = """mutation ($id: ID!) { updateSubscription(input: {subscriptionId: $id, name: "Mine"}) {
      subscription { name } userErrors { code } } }"""
    async with open_house(postgres_url, demo=False) as house:
        await sell(house, "api")
        subscription, key = await take(house, "api"), await key_of(house)
        async with other.transaction():
            await other.execute("SELECT * FROM customers WHERE user_id = 'demo-card' FOR SHARE")
            asking = asyncio.create_task(house.ask(rename, {"id": subscription}, "demo-card"))
            await until(lambda: watcher.fetchval(f"SELECT ({WAITING}) = 1"))
            telling = asyncio.create_task(tell(house, key, {"subscriptionId": subscription}))
            await until(lambda: watcher.fetchval(f"SELECT ({WAITING}) = 2"))
        assert (await asking)["updateSubscription"] == {"subscription": {"name": "Mine"}, "userErrors": []}
        assert await telling == {"accepted": 1, "duplicates": 0, "userErrors": []}
    await other.close()
    await watcher.close()


CROSSWISE = """DO $$ BEGIN
    WHILE NOT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))) LOOP
        PERFORM pg_sleep(0.02);
    END LOOP;
    PERFORM FROM customers WHERE user_id = 'demo-card' FOR UPDATE;
END $$"""
"""As soon as somebody waits for us, we wait for them: the server sees to it, for whom no time passes in between."""


async def test_of_two_that_lock_crosswise_one_is_done_again(postgres_url: str) -> None:
    database = Database(postgres_url)
    tries: list[str] = []
    both = asyncio.Barrier(2)

    async def in_order(first: str, second: str) -> None:
        tries.append(first)
        async with database.write() as session:
            for n, user in enumerate((first, second)):
                noted = "UPDATE customers SET description = coalesce(description, '') || :by WHERE user_id = :user"
                await session.exec(text(noted), params={"by": first[5], "user": user})
                if n == 0 and len(tries) <= 2:
                    await both.wait()

    one, other = "demo-card", "demo-decline"
    await asyncio.gather(repeated(lambda: in_order(one, other)), repeated(lambda: in_order(other, one)))
    assert len(tries) == 3
    async with database.read() as session:
        query = text("SELECT description FROM customers WHERE user_id IN ('demo-card', 'demo-decline')")
        found = [row[0] for row in (await session.exec(query)).all()]
    assert [sorted(each) for each in found] == [["c", "d"], ["c", "d"]]
    await database.close()


@pytest.mark.parametrize("key", [None, "a-key"])
async def test_a_mutation_that_loses_a_deadlock_is_carried_out_all_the_same(postgres_url: str, key: str | None) -> None:
    """Another program holds the plan and then wants the customer, who is held by the one that waits for the plan."""
    other = await asyncpg.connect(postgres_url)
    await other.execute(f"ALTER DATABASE \"{make_url(postgres_url).database}\" SET deadlock_timeout = '2s'")
    async with open_house(postgres_url, demo=False) as house:
        turn = other.transaction()
        await turn.start()
        await other.execute("SET LOCAL deadlock_timeout = '20s'")  # ours finds it first, and is the one to lose
        await other.execute("SELECT * FROM plans WHERE code = 'reader-pro' FOR UPDATE")
        buying = asyncio.create_task(bought(house, key))
        await other.execute(CROSSWISE)
        await turn.rollback()
        await buying
    await other.close()


async def test_who_has_left_something_behind_is_not_done_again(postgres_url: str) -> None:
    database, tries = Database(postgres_url), []
    raising = text("DO $$ BEGIN RAISE EXCEPTION 'lost' USING ERRCODE = '40001'; END $$")

    async def step(*, commits: bool) -> None:
        tries.append(commits)
        if commits:
            async with database.write() as session:
                await session.exec(text("SELECT 1"))
        async with database.write() as session:
            await session.exec(raising)

    for commits, expected in ((True, 1), (False, 4)):
        tries.clear()
        with pytest.raises(DBAPIError) as lost:
            await repeated(lambda commits=commits: step(commits=commits))
        assert (setback_of(lost.value), len(tries)) == (Setback.LOST, expected)
    await database.close()


# SQLite: no room, no right, no turn


@asynccontextmanager
async def crippled(house: House, pragma: str) -> AsyncIterator[None]:
    """Every connection to our books meets it; those that were open are given up."""
    engine = house.app.database.engine

    def cripple(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    await engine.dispose()
    event.listen(engine.sync_engine, "connect", cripple)
    try:
        yield
    finally:
        event.remove(engine.sync_engine, "connect", cripple)
        await engine.dispose()


async def _without_slack(house: House) -> None:
    """No page is free, and that of `changes` is full: whatever is done to a subscription needs room."""
    await house.app.database.engine.dispose()
    connection = sqlite3.connect(str(house.app.database.url.database), isolation_level=None)
    connection.execute("VACUUM")
    connection.execute("PRAGMA max_page_count = 1")
    row = "INSERT INTO changes VALUES ('chn_' || ?, 'none', 'nobody', NULL, 'none', 'none', 'nobody', '2020-01-01')"
    with pytest.raises(sqlite3.OperationalError, match="full"):
        connection.executemany(row, ((number,) for number in itertools.count()))
    connection.close()


FULL, READ_ONLY = "max_page_count=1", "query_only=1"


@pytest.mark.parametrize("fault", [FULL, READ_ONLY])
async def test_what_cannot_be_written_is_said_and_leaves_nothing(sqlite_house: House, fault: str) -> None:
    await _without_slack(sqlite_house)
    before = await dump(sqlite_house, but=())
    async with crippled(sqlite_house, fault):
        assert told(await buy(sqlite_house)) == AWAY
        assert await states(sqlite_house) == []  # reading goes on
    assert await dump(sqlite_house, but=()) == before
    await bought(sqlite_house)


async def test_sqlite_locked_by_another_program(
    stocked_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.database._SQLITE_BUSY_SECONDS", 0.3)
    ours, theirs = (copy_of_file(stocked_file, tmp_path / name) for name in ("ours.db", "theirs.db"))
    other = sqlite3.connect(tmp_path / "ours.db", isolation_level=None)
    async with open_house(ours, demo=False, sandbox_database_url=theirs) as house:
        before = await dump(house, but=())
        other.execute("BEGIN IMMEDIATE")
        assert told(await buy(house)) == BUSY
        assert await dump(house, but=()) == before
        other.execute("ROLLBACK")
        await bought(house)
    other.close()
