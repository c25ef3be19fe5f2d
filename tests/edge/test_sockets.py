"""Hostile and careless clients of live updates: each is told why it is closed, and nobody else notices."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from resolvers.identity import Role, issue_development_token
from schema.sockets import MAX_OPERATIONS
from tests.edge.toy import NOW, Toy
from tests.support.live import connected, on_a_port, signed_in
from tests.support.waiting import until

TICKS = "subscription { ticks }"
FOREVER = "subscription { forever }"


@pytest.fixture
async def address(toy: Toy) -> AsyncIterator[str]:
    async with on_a_port(toy.app) as address:
        yield address


def token(toy: Toy, user: str = "ann") -> str:
    return issue_development_token(toy.settings, user_id=user, role=Role.CUSTOMER, now=NOW)


async def ended(toy: Toy) -> None:
    """Once an operation of the server has come to its end."""
    await until(lambda: "ended" in toy.database)


async def test_an_operation_is_told_to_its_end(toy: Toy, address: str) -> None:
    async with signed_in(address, token(toy)) as client:
        await client.subscribe("a", TICKS)
        assert await client.next() == {"ticks": 1}
        assert await client.hear() == {"type": "complete", "id": "a"}
        await client.subscribe("a", TICKS)  # its id is free again
        assert await client.next() == {"ticks": 1}


async def test_a_completed_operation_is_ended(toy: Toy, address: str) -> None:
    async with signed_in(address, token(toy)) as client:
        await client.subscribe("a", FOREVER)
        assert await client.next() == {"forever": 0}
        await client.say({"type": "complete", "id": "a"})
        await ended(toy)


async def test_an_end_that_waits_to_be_told_does_not_end_what_was_begun_under_its_id_since(
    toy: Toy, address: str
) -> None:
    async with signed_in(address, token(toy)) as client:
        client.socket.transport.pause_reading()
        await client.subscribe("f", "subscription { flood }")
        made = 0
        while made != len(toy.database) or not made:  # until the wire is full
            made = len(toy.database)
            await asyncio.sleep(0.2)
        await client.subscribe("a", "subscription { nothing }")
        await asyncio.sleep(0.2)
        await client.say({"type": "complete", "id": "a"})
        await client.subscribe("a", FOREVER)
        await client.say({"type": "complete", "id": "f"})
        client.socket.transport.resume_reading()
        while (message := await client.hear())["id"] == "f":
            pass
        assert message["type"] == "next"
        assert message["payload"]["data"] == {"forever": 0}


async def test_who_asks_too_much_is_told_when_to_ask_again() -> None:
    toy = Toy(rate_caller_per_minute=2)
    async with on_a_port(toy.app) as address, signed_in(address, token(toy)) as client:
        await client.subscribe("a", TICKS)
        assert await client.next() == {"ticks": 1}
        assert await client.hear() == {"type": "complete", "id": "a"}
        await client.subscribe("b", TICKS)
        message = await client.hear()
        assert (message["type"], message["id"]) == ("error", "b")
        told = message["payload"][0]["extensions"]
        assert (told["code"], told["retryAfter"]) == ("RATE_LIMITED", 30)


async def test_a_client_that_leaves_ends_its_operations(toy: Toy, address: str) -> None:
    async with signed_in(address, token(toy)) as client:
        await client.subscribe("a", FOREVER)
        await client.next()
    await ended(toy)


INIT = orjson.dumps({"type": "connection_init"}).decode()
SUBSCRIBE: dict[str, Any] = {"type": "subscribe", "id": "a", "payload": {"query": FOREVER}}


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (["{"], 4400),
        ([""], 4400),
        (["1"], 4400),
        (["null"], 4400),
        (["[]"], 4400),
        (["{}"], 4400),
        (['{"type": 1}'], 4400),
        (['{"type": "start"}'], 4400),
        ([b"\x00\xff"], 4400),
        ([INIT.encode()], 4400),
        (["[" * 10_000 + "]" * 10_000], 4400),
        (['{"type": "connection_init", "payload": 1}'], 4400),
        (['{"type": "connection_init", "payload": {"authorization": 1}}'], 4400),
        ([INIT], 4403),
        (['{"type": "connection_init", "payload": {"Authorization": "Bearer nonsense"}}'], 4403),
        (['{"type": "connection_init", "payload": {"X-API-Key": "nonsense"}}'], 4403),
        ([orjson.dumps(SUBSCRIBE).decode()], 4401),
        (['{"type": "' + "x" * 70_000 + '"}'], 1009),
    ],
)  # fmt: skip
async def test_what_comes_before_a_caller_is_known(address: str, frames: list[str | bytes], code: int) -> None:
    async with connected(address) as client:
        for frame in frames:
            await client.socket.send(frame)
        assert await client.closed() == code


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        ([{"type": "connection_init"}], 4429),
        ([SUBSCRIBE, SUBSCRIBE], 4409),
        ([{"type": "next", "id": "a"}], 4400),
        ([{**SUBSCRIBE, "id": ""}], 4400),
        ([{**SUBSCRIBE, "id": "x" * 101}], 4400),
        ([{**SUBSCRIBE, "id": None}], 4400),
        ([{"type": "subscribe", "id": "a"}], 4400),
        ([{"type": "subscribe", "id": "a", "payload": {"query": 1}}], 4400),
        ([{"type": "subscribe", "id": "a", "payload": {"query": TICKS, "variables": []}}], 4400),
        ([{"type": "complete"}], 4400),
    ],
)
async def test_what_breaks_the_protocol_closes_the_connection(
    toy: Toy, address: str, messages: list[dict[str, Any]], code: int
) -> None:
    async with signed_in(address, token(toy)) as client:
        for message in messages:
            await client.say(message)
        assert await client.closed() == code


async def test_harmless_messages_are_taken(toy: Toy, address: str) -> None:
    async with connected(address) as client:
        await client.say({"type": "ping"})
        assert await client.hear() == {"type": "pong"}
        await client.say({"type": "pong"})
        await client.init(token(toy))
        assert await client.hear() == {"type": "connection_ack"}
        for message in ({"type": "pong"}, {"type": "complete", "id": "unknown"}, {"type": "ping", "payload": {}}):
            await client.say(message)
        assert await client.hear() == {"type": "pong"}


@pytest.mark.parametrize("protocols", [(), ("graphql-ws",)])
async def test_one_protocol_is_spoken(address: str, protocols: tuple[str, ...]) -> None:
    async with connected(address, protocols=protocols) as client:
        assert await client.closed() == 4406


async def test_whoever_never_says_who_they_are_is_closed(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("schema.sockets.INIT_SECONDS", 0.1)
    async with connected(address) as client:
        assert await client.closed() == 4408


async def test_the_header_of_the_handshake_counts_where_init_brings_nothing(toy: Toy, address: str) -> None:
    async with connected(address, headers={"Authorization": f"Bearer {token(toy)}"}) as client:
        await client.init()
        assert await client.hear() == {"type": "connection_ack"}


async def test_a_connection_carries_so_many_operations(toy: Toy, address: str) -> None:
    async with signed_in(address, token(toy)) as client:
        for n in range(MAX_OPERATIONS):
            await client.subscribe(f"{n}", FOREVER)
            await client.next()
        await client.subscribe("one more", FOREVER)
        message = await client.hear()
        assert (message["type"], message["id"]) == ("error", "one more")
        assert message["payload"][0]["extensions"]["code"] == "RATE_LIMITED"


async def test_a_caller_keeps_so_many_connections_open(toy: Toy, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toy.graphql._entrance._open, "_most", 1)
    async with signed_in(address, token(toy)), signed_in(address, token(toy, "bob")), connected(address) as second:
        await second.init(token(toy))
        assert await second.closed() == 1013
    async with signed_in(address, token(toy)):
        pass


async def test_a_reader_that_takes_nothing_is_dropped(toy: Toy, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("schema.sockets.SEND_SECONDS", 0.3)
    async with signed_in(address, token(toy)) as client:
        client.socket.transport.pause_reading()
        await client.subscribe("a", "subscription { flood }")
        await ended(toy)
        made = len(toy.database)
        await asyncio.sleep(0.2)
        assert len(toy.database) == made
        async with signed_in(address, token(toy, "bob")) as other:
            await other.subscribe("a", TICKS)
            assert await other.next() == {"ticks": 1}
        client.socket.transport.abort()


async def test_a_fault_is_masked_and_others_go_on(toy: Toy, address: str) -> None:
    async with signed_in(address, token(toy)) as client:
        await client.subscribe("a", "subscription { broken }")
        message = await client.hear()
        assert message["type"] == "error"
        assert message["payload"][0]["extensions"]["code"] == "INTERNAL"
        assert "canary" not in str(message)
        await client.subscribe("b", TICKS)
        assert await client.next() == {"ticks": 1}


@pytest.mark.parametrize(
    "query", ["{ hello }", "mutation { ping }", "subscription {", "{a" * 900 + "}" * 900, "subscription { ticks }" * 12]
)
async def test_what_is_no_subscription_is_an_error_of_its_operation(toy: Toy, address: str, query: str) -> None:
    async with signed_in(address, token(toy)) as client:
        await client.subscribe("a", query)
        message = await client.hear()
        assert (message["type"], message["id"]) == ("error", "a")
        assert message["payload"][0]["extensions"]["code"] != "INTERNAL"
        assert toy.database == []
