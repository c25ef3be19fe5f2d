"""The product behind PgBouncer in transaction mode: connections change hands after each transaction."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import timedelta

import asyncpg
import pytest
from sqlalchemy import make_url
from sqlalchemy.exc import DBAPIError
from sqlmodel import text

from models.setbacks import Setback, setback_of
from tests.support.bouncer import CONNECTIONS, PGBOUNCER, bouncer
from tests.support.databases import database_on, on_server
from tests.support.endpoints import create_endpoint, subscribe
from tests.support.house import House, open_house
from tests.support.live import on_a_port, signed_in
from tests.support.receiver import receiver

pytestmark = pytest.mark.skipif(
    PGBOUNCER is None, reason="PgBouncer is not installed (Debian: apt-get install pgbouncer)"
)

UPDATED = "subscription($id: ID) { subscriptionUpdated(id: $id) { id status } }"
CANCEL = """mutation($input: CancelSubscriptionInput!) {
  cancelSubscription(input: $input) { userErrors { code message } } }"""
SHELF = """{ mySubscription { status invoices(first: 10) { nodes { status } } }
  paymentMethods { nodes { id } } me { id } plans(first: 5) { nodes { code } } }"""
SLEEP = text("SELECT pg_sleep(30)")


@dataclass(frozen=True)
class Addresses:
    """Of one database: through the proxy, and past it."""

    pooled: str
    direct: str

    def house(self, **settings: object) -> object:
        sandbox = {"sandbox_database_url": self.direct}  # its store is no part of what is tested
        return open_house(self.pooled, demo=False, database_pooler="transaction", **sandbox, **settings)


@pytest.fixture(scope="module")
def proxy(postgres: str) -> Iterator[str]:
    with bouncer(postgres) as address:
        yield address


@pytest.fixture
async def addresses(proxy: str, postgres: str, stocked_postgres: str) -> AsyncIterator[Addresses]:
    async with database_on(postgres, stocked_postgres) as direct:
        yield Addresses(on_server(proxy, str(make_url(direct).database)), direct)


async def test_subscribe_renew_and_webhooks_in_and_out(addresses: Addresses) -> None:
    async with addresses.house() as house, receiver() as shop:
        await create_endpoint(house, shop.url, eventTypes=["invoice.paid"])
        subscription = await subscribe(house)
        for _ in range(3):
            house.pass_time(timedelta(days=31))
            seen = await asyncio.gather(house.deliver(), *(house.ask(SHELF, user="demo-card") for _ in range(30)))
            assert {each["mySubscription"]["status"] for each in seen[1:]} <= {"ACTIVE", "PAST_DUE"}
        data = await house.ask(SHELF, user="demo-card")
        assert data["mySubscription"]["status"] == "ACTIVE"
        assert [row["status"] for row in data["mySubscription"]["invoices"]["nodes"]] == ["PAID"] * 4
        assert [got.json["type"] for got in shop.got] == ["invoice.paid"] * 4
        assert await house.audit() == []
        assert subscription.startswith("sbs_")
        assert await left_behind(addresses.pooled) == []


async def left_behind(pooled: str) -> list[str]:
    """Statements that are still prepared on any of the connections that the proxy lends."""

    async def look() -> list[str]:
        connection = await asyncpg.connect(pooled, statement_cache_size=0)
        try:
            async with connection.transaction():
                rows = await connection.fetch("SELECT name FROM pg_prepared_statements WHERE name <> ''")
                await asyncio.sleep(0.1)  # so that the others get another one
            return [row["name"] for row in rows]
        finally:
            await connection.close()

    return [name for names in await asyncio.gather(*(look() for _ in range(CONNECTIONS))) for name in names]


@pytest.mark.parametrize("told", ["by NOTIFY past the proxy", "by the timer"])
async def test_live_updates_of_another_process(
    addresses: Addresses, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    listen = {}
    if told != "by the timer":
        listen["database_listen_url"] = addresses.direct
        for timer in ("POLL_SECONDS", "_POLL_SECONDS_WHEN_TOLD"):
            monkeypatch.setattr(f"services.events.hearing.{timer}", 60.0)
    async with addresses.house() as one, addresses.house(**listen) as other:
        subscription = await subscribe(one)
        async with on_a_port(other.asgi) as address, signed_in(address, other.token("demo-card")) as client:
            await client.subscribe("a", UPDATED, {"id": subscription})
            assert (await client.next())["subscriptionUpdated"]["status"] == "ACTIVE"
            given = {"subscriptionId": subscription, "effectiveAt": "NOW"}
            data = await one.ask(CANCEL, {"input": given}, user="demo-card")
            assert data["cancelSubscription"]["userErrors"] == []
            await one.work()
            assert (await client.next())["subscriptionUpdated"]["status"] == "CANCELED"


async def test_a_stuck_statement_is_cancelled_by_postgresql_and_nothing_is_left_set(addresses: Addresses) -> None:
    async with addresses.house(database_statement_seconds=1) as house:
        with pytest.raises(DBAPIError) as stuck:
            async with house.app.database.read() as session:
                await session.exec(SLEEP)
        assert setback_of(stuck.value) is Setback.BUSY
    for _ in range(CONNECTIONS):
        connection = await asyncpg.connect(addresses.pooled, statement_cache_size=0)
        try:
            assert await connection.fetchval("SHOW statement_timeout") == "0"
        finally:
            await connection.close()


async def test_without_the_setting_it_says_what_the_proxy_refuses(addresses: Addresses) -> None:
    house: House
    with pytest.raises(Exception, match="unsupported startup parameter"):
        async with open_house(addresses.pooled, demo=False, sandbox_database_url=addresses.direct) as house:
            await house.app.database.ping()
