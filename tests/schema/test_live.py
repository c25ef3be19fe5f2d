"""Live updates over a real port: the present state first, then each change, for those who may see it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from sqlalchemy import event
from sqlmodel import select, text
from starlette.types import Message

from billing.lifecycle import SubscriptionStatus
from guard import Guard
from models.payments import Payment
from models.subscriptions import Subscription
from resolvers import following
from schema import entrance
from schema.build import build_schema
from schema.event_streams import EventStream
from schema.results import Answer
from services.events.hearing import Ear
from tests.schema.keys import REVOKE, secret_of_key
from tests.schema.rows import add_customer
from tests.support.databases import copy_of_file
from tests.support.house import House, open_house
from tests.support.line import line_to
from tests.support.live import connected, events_of, on_a_port, signed_in
from tests.support.waiting import PATIENCE_SECONDS, until

CANCEL = """mutation($input: CancelSubscriptionInput!) {
  cancelSubscription(input: $input) { userErrors { code message } } }"""
UPDATED = "subscription($id: ID) { subscriptionUpdated(id: $id) { id status isActive } }"
PAID = "subscription($of: ID!) { paymentUpdated(subscriptionId: $of) { id version } }"
RENAME = """mutation($id: ID!, $name: String!) {
  updateSubscription(input: {subscriptionId: $id, name: $name}) { userErrors { code } } }"""
EVENTS = "subscription($after: String) { billingEvents(after: $after) { type cursor } }"


@dataclass(frozen=True)
class Served:
    """A house on a port, with one customer who has a paid subscription."""

    house: House
    address: str
    subscription: str

    async def cancel(self) -> None:
        given = {"subscriptionId": self.subscription, "effectiveAt": "NOW"}
        data = await self.house.ask(CANCEL, {"input": given}, user="owner")
        assert data["cancelSubscription"]["userErrors"] == []

    def client(self, user: str = "owner") -> Any:
        return signed_in(self.address, self.house.token(user))


async def stocked(house: House) -> str:
    await add_customer(house.app, "owner", 1)
    await add_customer(house.app, "other", 1)
    await house.work()
    return (await house.ask("{ mySubscription { id } }", user="owner"))["mySubscription"]["id"]


@pytest.fixture
async def served(house: House) -> AsyncIterator[Served]:
    subscription = await stocked(house)
    async with on_a_port(house.asgi) as address:
        yield Served(house, address, subscription)


@pytest.fixture
async def small(small_house: House) -> AsyncIterator[Served]:
    subscription = await stocked(small_house)
    async with on_a_port(small_house.asgi) as address:
        yield Served(small_house, address, subscription)


async def test_the_present_state_comes_first_and_then_each_change(served: Served) -> None:
    async with served.client() as client:
        await client.subscribe("a", UPDATED, {"id": served.subscription})
        await client.subscribe("mine", UPDATED)
        now = {"subscriptionUpdated": {"id": served.subscription, "status": "ACTIVE", "isActive": True}}
        assert [await client.next(), await client.next()] == [now, now]
        await served.cancel()
        await served.house.work()
        ended = {"id": served.subscription, "status": "CANCELED", "isActive": False}
        told = [await client.hear(), await client.hear()]
        assert {message["id"] for message in told} == {"a", "mine"}
        assert [message["payload"]["data"]["subscriptionUpdated"] for message in told] == [ended, ended]


async def test_access_that_ends_with_the_grace_is_told(small: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    house = small.house
    async with house.app.database.write() as session:
        row = await session.get_one(Subscription, small.subscription)
        row.status, row.past_due_since = SubscriptionStatus.PAST_DUE, house.app.now()
    monkeypatch.setattr("resolvers.following.LOOK_AGAIN_SECONDS", 0.05)
    async with small.client() as client:
        await client.subscribe("a", UPDATED)
        overdue = {"id": small.subscription, "status": "PAST_DUE"}
        assert await client.next() == {"subscriptionUpdated": {**overdue, "isActive": True}}
        house.clock.advance(house.app.grace)
        assert await client.next() == {"subscriptionUpdated": {**overdue, "isActive": False}}


async def test_what_is_told_counts_and_comes_later_where_no_more_may_be_asked_for(
    stocked_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand operations of ten thousand values each were worked out anew for every cheap change."""
    monkeypatch.setattr("rates._LOOK_AGAIN_SECONDS", 0.01)
    url = copy_of_file(stocked_file, tmp_path / "live.db")
    async with open_house(url, demo=False, rate_caller_per_minute=200) as house:
        order = await stocked(house)
        house.machine.advance(timedelta(minutes=1))

        async def rename(name: str) -> None:
            assert (await house.ask(RENAME, {"id": order, "name": name}, "demo-admin"))["updateSubscription"][
                "userErrors"
            ] == []
            await house.work()

        async with on_a_port(house.asgi) as address, signed_in(address, house.token("owner")) as client:
            await client.subscribe(
                "a", "subscription { subscriptionUpdated { name invoices(first: 25) { nodes { id number } } } }"
            )
            told = [(await client.next())["subscriptionUpdated"]["name"]]
            for name in ("second", "third", "fourth"):  # 54 each: the door, the first and two more leave less than 54
                await rename(name)
                told.append((await client.next())["subscriptionUpdated"]["name"])
            assert told == [None, "second", "third", "fourth"]
            for name in ("passed over", "last"):
                await rename(name)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await client.socket.recv()
            house.machine.advance(timedelta(minutes=1))
            assert (await client.next())["subscriptionUpdated"]["name"] == "last"


async def test_entitlements_are_told_when_they_are_others(served: Served) -> None:
    async with served.client() as client:
        await client.subscribe("a", "subscription { entitlementsChanged { role { id } } }")
        assert await client.next() == {"entitlementsChanged": {"role": {"id": 700}}}
        await served.cancel()
        await served.house.work()
        assert await client.next() == {"entitlementsChanged": {"role": None}}


async def test_a_payment_is_told_as_it_is_and_when_it_changed(served: Served) -> None:
    async with served.client() as client:
        await client.subscribe("a", PAID, {"of": served.subscription})
        payment = (await client.next())["paymentUpdated"]
        assert payment["version"] == 1
        async with served.house.app.database.write() as session:
            row = (await session.exec(select(Payment).where(Payment.id == payment["id"]))).one()
            row.touch(served.house.app.now())
        await served.cancel()  # says that something of this customer changed
        await served.house.work()
        assert (await client.next())["paymentUpdated"] == {"id": payment["id"], "version": 2}


async def test_events_are_read_on_from_a_cursor_and_go_on_as_they_happen(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits, wait = asyncio.Event(), Ear.wait

    async def noted(ear: Ear, seconds: float) -> None:
        waits.set()
        await wait(ear, seconds)

    monkeypatch.setattr(Ear, "wait", noted)
    async with served.client("demo-admin") as client:
        await client.subscribe("a", EVENTS)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await waits.wait()
        await served.cancel()
        await served.house.work()
        first = (await client.next())["billingEvents"]
        assert first["type"] == "subscription.canceled"
        await client.say({"type": "complete", "id": "a"})
        everything = await served.house.ask("{ billingEvents { nodes { type cursor } } }", user="demo-admin")
        await client.subscribe("a", EVENTS, {"after": everything["billingEvents"]["nodes"][0]["cursor"]})
        after = everything["billingEvents"]["nodes"][1:]
        assert [(await client.next())["billingEvents"] for _ in after] == after


@pytest.mark.parametrize("told", ["by NOTIFY", "by the timer"])
async def test_a_change_in_one_process_is_seen_through_another(
    house: House, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two houses on one database: what one does, the other's client hears of."""
    url = house.installation.settings.database_url
    listen = {}
    if told == "by NOTIFY":
        if url.startswith("sqlite"):
            pytest.skip("SQLite passes on no words")
        listen["database_listen_url"] = url
        for timer in ("POLL_SECONDS", "_POLL_SECONDS_WHEN_TOLD"):
            monkeypatch.setattr(f"services.events.hearing.{timer}", 60.0)
    subscription = await stocked(house)
    async with (
        open_house(url, demo=False, **listen) as second,
        on_a_port(second.asgi) as address,
        signed_in(address, second.token("owner")) as client,
    ):
        await client.subscribe("a", UPDATED, {"id": subscription})
        assert (await client.next())["subscriptionUpdated"]["status"] == "ACTIVE"
        await Served(house, address, subscription).cancel()
        await house.work()
        assert (await client.next())["subscriptionUpdated"]["status"] == "CANCELED"


async def test_a_lost_word_is_made_up_for(house: House) -> None:
    """The connection that listens is cut off while nobody looks, and the change is seen all the same."""
    url = house.installation.settings.database_url
    if url.startswith("sqlite"):
        pytest.skip("SQLite passes on no words")
    subscription = await stocked(house)
    async with (
        open_house(url, demo=False, database_listen_url=url) as second,
        on_a_port(second.asgi) as address,
        signed_in(address, second.token("owner")) as client,
    ):
        await client.subscribe("a", UPDATED, {"id": subscription})
        await client.next()
        await until(lambda: second.app.hearing._is_told)
        cut = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE query LIKE 'LISTEN%' AND datname = current_database()"""
        async with house.app.database.write() as session:
            assert (await session.exec(text(cut))).all() == [(True,)]
        await Served(house, address, subscription).cancel()
        await house.work()
        assert (await client.next())["subscriptionUpdated"]["status"] == "CANCELED"


@pytest.mark.parametrize("of", ["a state", "events"])
async def test_who_follows_is_kept_while_the_database_is_away(
    house: House, monkeypatch: pytest.MonkeyPatch, of: str
) -> None:
    """It is away for the server that is followed, and the change is seen when it is back."""
    url = house.installation.settings.database_url
    if url.startswith("sqlite"):
        pytest.skip("SQLite is never away")
    subscription = await stocked(house)
    query, user = (UPDATED, "owner") if of == "a state" else (EVENTS, "demo-admin")
    monkeypatch.setattr("resolvers.following.LOOK_AGAIN_SECONDS", 0.05)
    failed, judge = asyncio.Event(), following.setback_of

    def noted(error: BaseException) -> object:
        failed.set()
        return judge(error)

    monkeypatch.setattr(following, "setback_of", noted)
    async with (
        line_to(url) as line,
        open_house(line.url, demo=False) as second,
        on_a_port(second.asgi) as address,
        signed_in(address, second.token(user)) as client,
    ):
        given = {"id": subscription}
        if of == "events":
            everything = await house.ask("{ billingEvents { nodes { type cursor } } }", user="demo-admin")
            *_, before, last = everything["billingEvents"]["nodes"]
            given = {"after": before["cursor"]}
        await client.subscribe("a", query, given)
        first = await client.next()
        await line.cut()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await failed.wait()
        await Served(house, address, subscription).cancel()
        await house.work()
        await line.join()
        (told,) = (await client.next()).values()
        if of == "events":
            assert (first, told["type"]) == ({"billingEvents": last}, "subscription.canceled")
        else:
            assert (first["subscriptionUpdated"]["status"], told["status"]) == ("ACTIVE", "CANCELED")


async def test_nobody_looks_for_events_while_nobody_follows(small: Served) -> None:
    hearing = small.house.app.hearing
    async with small.client() as client:
        await client.subscribe("a", UPDATED)
        await client.next()
        assert len(hearing._tasks) == 1
    await until(lambda: not hearing._tasks)


# ── who may see what ──


@pytest.mark.parametrize(
    ("user", "query", "code"),
    [
        ("other", 'subscription { subscriptionUpdated(id: "%s") { id } }', "BAD_USER_INPUT"),
        ("other", 'subscription { paymentUpdated(subscriptionId: "%s") { id } }', "BAD_USER_INPUT"),
        ("demo-admin", "subscription { entitlementsChanged { role { id } } }", "FORBIDDEN"),
        ("demo-admin", "subscription { subscriptionUpdated { id } }", "BAD_USER_INPUT"),
        ("demo-support", "subscription { billingEvents { id } }", "FORBIDDEN"),
        ("owner", "subscription { billingEvents { id } }", "FORBIDDEN"),
        ("owner", "subscription { paymentUpdated { id } }", "BAD_USER_INPUT"),
        ("owner", "query { me { id } }", "BAD_USER_INPUT"),
        ("owner", "subscription { nothing }", "GRAPHQL_VALIDATION_FAILED"),
        ("owner", "subscription {", "GRAPHQL_PARSE_FAILED"),
        ("owner", "subscription { entitlementsChanged { __typename } subscriptionUpdated { id } }",
         "GRAPHQL_VALIDATION_FAILED"),
    ],
)  # fmt: skip
async def test_what_is_not_for_the_caller_ends_with_an_error(small: Served, user: str, query: str, code: str) -> None:
    async with small.client(user) as client:
        await client.subscribe("a", query.replace("%s", small.subscription))
        message = await client.hear()
        errors = message["payload"] if message["type"] == "error" else message["payload"]["errors"]
        assert [error["extensions"]["code"] for error in errors] == [code]
        if message["type"] == "next":
            assert message["payload"]["data"] is None
            assert await client.hear() == {"type": "complete", "id": "a"}


# Root field → operation and the outcome for the owner, another customer, support, admin and a key that only runs the
# billing: an error's code, or that something is told. Nobody is not connected at all.
BAD, NO, TOLD = "BAD_USER_INPUT", "FORBIDDEN", "told"
MATRIX = {
    "subscriptionUpdated": ('{ subscriptionUpdated(id: "%s") { id } }', (TOLD, BAD, TOLD, TOLD, NO)),
    "paymentUpdated": ('{ paymentUpdated(subscriptionId: "%s") { id } }', (TOLD, BAD, TOLD, TOLD, NO)),
    "entitlementsChanged": ("{ entitlementsChanged { role { id } } }", (TOLD, TOLD, NO, NO, NO)),
    "billingEvents": ('{ billingEvents(after: "%s") { id } }', (NO, NO, NO, TOLD, NO)),
}


async def test_every_live_update_is_for_whom_it_is_for(small: Served) -> None:
    house = small.house
    roots = build_schema(sandbox=True)._schema.subscription_type
    assert roots is not None
    assert set(MATRIX) == set(roots.fields)
    before = await house.ask("{ billingEvents { edges { cursor } } }", user="demo-admin")
    start = before["billingEvents"]["edges"][0]["cursor"]
    runner = await secret_of_key(house, "run_billing")
    credentials = [f"Bearer {house.token(user)}" for user in ("owner", "other", "demo-support", "demo-admin")]
    headers = [*({"Authorization": each} for each in credentials), {"X-API-Key": runner}]
    for name, (operation, outcomes) in MATRIX.items():
        given = operation.replace("%s", start if name == "billingEvents" else small.subscription)
        for credential, outcome in zip(headers, outcomes, strict=True):
            async with connected(small.address, headers=credential) as client:
                await client.init()
                assert await client.hear() == {"type": "connection_ack"}
                await client.subscribe("a", f"subscription {given}")
                payload = (await client.hear())["payload"]
                errors = payload if isinstance(payload, list) else payload.get("errors", [])
                found = [error["extensions"]["code"] for error in errors] or [TOLD]
                assert (name, found) == (name, [outcome])


async def test_a_foreign_id_is_answered_as_one_that_does_not_exist(small: Served) -> None:
    heard = []
    async with small.client("other") as client:
        for name in (small.subscription, "sbs_00000000000000000000000000000000"):
            await client.subscribe("a", UPDATED, {"id": name})
            message = await client.hear()
            (error,) = message["payload"]
            heard.append((message["type"], error["message"], error["extensions"]["code"]))
    assert heard == [("error", "id: there is no subscription of yours with this id.", "BAD_USER_INPUT")] * 2


async def test_a_key_follows_any_customer_until_it_is_revoked(small: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next look finds out, and one comes every second."""
    assert entrance._BEAT_SECONDS < 1.0
    looks, look = list[str](), entrance.Entrance._are_refused

    async def noted(inside: entrance.Entrance, *credentials: Any) -> bool:
        looks.append("begun")
        return await look(inside, *credentials)

    monkeypatch.setattr(entrance.Entrance, "_are_refused", noted)
    secret = await secret_of_key(small.house, "read")
    async with connected(small.address, headers={"X-API-Key": secret}) as client:
        await client.init()
        assert await client.hear() == {"type": "connection_ack"}
        await client.subscribe("a", UPDATED, {"id": small.subscription})
        assert (await client.next())["subscriptionUpdated"]["status"] == "ACTIVE"
        (key,) = (await small.house.ask("{ apiKeys { id } }", user="demo-admin"))["apiKeys"]
        await small.house.ask(REVOKE, {"id": key["id"]}, user="demo-admin")
        before = len(looks)
        assert await client.closed() == 4403
        assert len(looks) - before <= 1


async def test_whose_key_cannot_be_looked_up_just_now_is_not_signed_out(
    small: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("schema.entrance._BEAT_SECONDS", 0.05)
    secret = await secret_of_key(small.house, "read")
    async with connected(small.address, headers={"X-API-Key": secret}) as client:
        await client.init()
        assert await client.hear() == {"type": "connection_ack"}
        engine, asked = small.house.app.database.engine.sync_engine, list[str]()

        def away(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
            asked.append(statement)
            raise ConnectionRefusedError

        event.listen(engine, "before_cursor_execute", away)
        await until(lambda: len(asked) > 1)
        event.remove(engine, "before_cursor_execute", away)
        await client.say({"type": "ping"})
        assert await client.hear() == {"type": "pong"}


async def test_the_connection_ends_with_the_token(served: Served) -> None:
    async with served.client() as client:
        await client.subscribe("a", UPDATED, {"id": served.subscription})
        await client.next()
        served.house.machine.advance(timedelta(hours=12))
        assert await client.closed() == 4403


async def test_a_state_after_the_tokens_end_is_not_told(small: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("schema.entrance._BEAT_SECONDS", 60.0)
    async with small.client() as client:
        await client.subscribe("a", UPDATED, {"id": small.subscription})
        await client.next()
        await small.cancel()
        small.house.machine.advance(timedelta(hours=12))
        await small.house.work()
        assert await client.closed() == 4403


# ── server-sent events ──


async def stream(small: Served, query: str, accept: str, user: str | None = "owner") -> list[tuple[str, Any]]:
    """The first event and, after the token has ended, all others."""
    headers = {"Accept": accept} | ({"Authorization": f"Bearer {small.house.token(user)}"} if user else {})
    heard = []
    async with (
        httpx.AsyncClient(trust_env=False) as http,
        http.stream("POST", f"http://{small.address}/graphql", json={"query": query}, headers=headers) as response,
    ):
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        async for event in events_of(response):
            heard.append(event)
            if len(heard) == 1:
                small.house.machine.advance(timedelta(hours=12))
    return heard


URQL = (
    "application/graphql-response+json, application/graphql+json, application/json, text/event-stream, multipart/mixed"
)


@pytest.mark.parametrize("accept", ["text/event-stream", URQL])
async def test_a_stream_of_events_begins_with_the_present_and_ends_with_the_token(small: Served, accept: str) -> None:
    first, last, end = await stream(small, "subscription { subscriptionUpdated { status } }", accept)
    assert (first[0], first[1]["data"]) == ("next", {"subscriptionUpdated": {"status": "ACTIVE"}})
    assert (last[0], last[1]["errors"][0]["extensions"]["code"]) == ("next", "UNAUTHENTICATED")
    assert end == ("complete", None)


async def test_a_stream_outlives_the_time_of_a_request_and_tells_changes(served: Served) -> None:
    headers = {"Accept": "text/event-stream", "Authorization": f"Bearer {served.house.token('owner')}"}
    body = {"query": UPDATED, "variables": {"id": served.subscription}}
    guard = cast(Guard, served.house.asgi)
    guard.rules = [replace(rule, seconds=5.0) for rule in guard.rules]
    async with (
        httpx.AsyncClient(trust_env=False) as http,
        http.stream("POST", f"http://{served.address}/graphql", json=body, headers=headers) as response,
    ):
        events = events_of(response)
        assert (await anext(events))[1]["data"]["subscriptionUpdated"]["status"] == "ACTIVE"
        await asyncio.sleep(5.2)
        await served.cancel()
        await served.house.work()
        assert (await anext(events))[1]["data"]["subscriptionUpdated"]["status"] == "CANCELED"
        await events.aclose()


async def test_nobody_is_told_nothing_by_a_stream(small: Served) -> None:
    first, end = await stream(small, "subscription { subscriptionUpdated { status } }", "text/event-stream", None)
    assert (first[1]["data"], first[1]["errors"][0]["extensions"]["code"]) == (None, "UNAUTHENTICATED")
    assert end == ("complete", None)


async def test_whoever_takes_nothing_but_events_gets_a_query_as_one(small: Served) -> None:
    first, end = await stream(small, "{ serverInfo { livemode } }", "text/event-stream")
    assert (first[0], first[1]["data"], end) == ("next", {"serverInfo": {"livemode": False}}, ("complete", None))


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (URQL, "application/graphql-response+json"),
        ("application/graphql-response+json,application/json;q=0.9", "application/graphql-response+json"),
        ("*/*", "application/json"),
    ],
)
async def test_queries_of_usual_clients_are_answered_as_before(small: Served, accept: str, kind: str) -> None:
    answer = await small.house.http.post(
        "/graphql", json={"query": "{ serverInfo { livemode } }"}, headers={"Accept": accept}
    )
    assert answer.headers["content-type"] == f"{kind}; charset=utf-8"
    assert answer.json()["data"] == {"serverInfo": {"livemode": False}}


async def test_a_subscription_is_refused_where_events_are_not_accepted(small: Served) -> None:
    answer = await small.house.post("subscription { subscriptionUpdated { id } }", user="owner")
    assert [error["extensions"]["code"] for error in answer.json()["errors"]] == ["BAD_USER_INPUT"]


async def test_a_caller_keeps_so_many_streams_open(small: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rates.Seats.seat", lambda _self, _name: nullcontext(False))
    headers = {"Accept": "text/event-stream", "Authorization": f"Bearer {small.house.token('owner')}"}
    answer = await small.house.http.post("/graphql", json={"query": UPDATED}, headers=headers)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "10")
    assert [error["extensions"]["code"] for error in answer.json()["errors"]] == ["RATE_LIMITED"]


async def test_a_stream_that_nobody_reads_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("schema.event_streams.SEND_SECONDS", 0.05)
    ended: list[str] = []

    async def answers() -> AsyncGenerator[Answer, None]:
        try:
            while True:
                yield Answer({"data": None}, executed=True)
        finally:
            ended.append("ended")

    async def stuck(message: Message) -> None:
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()

    async def never() -> Any:
        await asyncio.Event().wait()

    async with asyncio.timeout(PATIENCE_SECONDS):
        await EventStream(answers(), ExitStack(), never, asyncio.Event())({"type": "http"}, never, stuck)
    assert ended == ["ended"]
