"""Connections that never come to the point are closed; those that do are not noticed."""

import asyncio
import io
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from connecting import MOST_FRAMES, MOST_HEAD, TakenInTime
from tests.edge.test_sockets import ended, token
from tests.edge.toy import Toy
from tests.support.live import HANDSHAKE, connected, on_a_port, signed_in
from tests.support.waiting import PATIENCE_SECONDS, until

HEAD = b"POST /graphql HTTP/1.1\r\nHost: toy\r\nContent-Type: application/json\r\n"
BODY = b'{"query":"{hello}"}'
LAST = b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n13\r\n" + BODY + b"\r\n0\r\n"


@pytest.fixture
async def address(toy: Toy) -> AsyncIterator[str]:
    async with on_a_port(toy.app) as address:
        yield address


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connecting.HEAD_SECONDS", 0.3)


async def talk(address: str, *parts: bytes, pause: float = 0.0) -> bytes:
    """All that is answered until the server closes the connection."""
    host, _, port = address.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            hearing = asyncio.create_task(_heard(reader))
            for part in parts:
                writer.write(part)
                await asyncio.sleep(pause)
            return await hearing
    finally:
        writer.transport.abort()


async def _heard(reader: asyncio.StreamReader) -> bytes:
    """What came before a reset counts, too: a server that closes while bytes are on their way resets."""
    heard = b""
    with suppress(ConnectionError):
        while part := await reader.read(64 * 1024):
            heard += part
    return heard


@pytest.mark.parametrize(
    "parts",
    [
        [HEAD + b"X: ", *[b"a" * 1024] * 80],
        [HEAD + b"X-Y: z\r\n" * (MOST_HEAD // 4)],
        [HEAD + b"X-Y: z\r\n" * (MOST_HEAD // 4) + LAST],
        [b"GET /", *[b"a" * 1024] * 80],
    ],
    ids=["a long header", "many headers", "many headers and their end", "a long path"],
)
async def test_a_head_without_end_is_closed(address: str, parts: list[bytes]) -> None:
    answer = await talk(address, *parts, pause=0.002)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize(
    "parts",
    [[CHUNKED, *[b"X-Y: z\r\n" * 2_000] * 20], [CHUNKED + b"\r\n", *[b"\r\n" * 100_000] * 50]],
    ids=["trailers", "empty lines"],
)
async def test_a_request_that_goes_on_after_its_end_is_closed(address: str, parts: list[bytes]) -> None:
    assert (await talk(address, *parts, pause=0.002)).count(b"HTTP/1.1 200") <= 1


OFFER = HEAD + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
OFFERED = OFFER + b"Content-Length: %d\r\n\r\n" % len(BODY)


@pytest.mark.parametrize(
    ("parts", "answered"),
    [
        ([OFFERED + BODY + HEAD + LAST], 2),
        ([OFFERED, BODY, HEAD + LAST], 2),
        ([(OFFERED + BODY)[n : n + 1] for n in range(len(OFFERED + BODY))] + [HEAD + LAST], 2),
        ([OFFER + b"Transfer-Encoding: chunked\r\n\r\n13\r\n" + BODY + b"\r\n0\r\n\r\n" + HEAD + LAST], 2),
        ([(OFFERED + BODY) * 50 + HEAD + LAST], 51),
        ([OFFERED.replace(b"h2c", b"websocket2") + BODY + HEAD + LAST], 2),
    ],
    ids=["at once", "head and body", "byte by byte", "chunks", "many", "another"],
)
async def test_who_offers_another_protocol_is_answered_in_this_one(
    address: str, parts: list[bytes], answered: int, written: io.StringIO
) -> None:
    assert (await talk(address, *parts, pause=0.001)).count(b'"data":{"hello":') == answered
    assert "pgrade" not in written.getvalue()


async def test_no_tunnel_is_built(address: str) -> None:
    tunnel = b"CONNECT toy:443 HTTP/1.1\r\nHost: toy\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    assert (await talk(address, tunnel)).startswith(b"HTTP/1.1 400")


MUCH = b"a" * 4 * 1024 * 1024
PLAIN = HEAD.replace(b"application/json", b"text/plain") + b"Connection: close\r\n"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (HEAD + b"Content-Length: %d\r\n\r\n" % len(MUCH) + MUCH, 413),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(MUCH) + MUCH + b"\r\n0\r\n\r\n", 413),
        (PLAIN + b"Content-Length: %d\r\n\r\n" % len(MUCH) + MUCH, 413),
        (PLAIN + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(MUCH) + MUCH + b"\r\n0\r\n\r\n", 415),
        (HEAD + b"X: " + MUCH + b"\r\n\r\n", 400),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nno size\r\n" + MUCH, 400),
    ],
    ids=["a length", "chunks", "a length, the last request", "chunks of another type", "a header", "broken chunks"],
)
async def test_whoever_sends_on_is_heard_out_and_hears_why(
    address: str, request_: bytes, status: int, written: io.StringIO
) -> None:
    """Closed while more comes, the connection would be reset, and the answer with it."""
    assert await asyncio.to_thread(sent_whole, address, request_) == b"HTTP/1.1 %d" % status
    assert '"level":"error"' not in written.getvalue()


def sent_whole(address: str, request_: bytes) -> bytes:
    """The beginning of what a client hears who listens only after it has said everything."""
    host, _, port = address.partition(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE_SECONDS) as client:
        client.sendall(request_)
        heard = client.recv(12)
        while client.recv(64 * 1024):
            pass
    return heard


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    ("parts", "answered"),
    [
        ([], 0),
        ([HEAD[n : n + 1] for n in range(20)], 0),
        ([b"\r\n"] * 20, 0),
        ([CHUNKED + b"\r\n", *(HEAD[n : n + 1] for n in range(20))], 1),
    ],
    ids=["nothing", "byte by byte", "empty lines", "byte by byte after a request"],
)
async def test_a_head_that_does_not_come_is_not_waited_for(address: str, parts: list[bytes], answered: int) -> None:
    answer = await talk(address, *parts, pause=0.05)
    assert answer.count(b"HTTP/1.1 200") == answered


@pytest.mark.usefixtures("hasty")
async def test_an_answer_takes_as_long_as_it_takes(address: str) -> None:
    body = b'{"query":"{slow(seconds: 0.6)}"}'
    slow = HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body
    answer = await talk(address, slow, slow + HEAD + LAST, pause=0.1)
    assert answer.count(b"HTTP/1.1 200") == 3


@pytest.mark.usefixtures("hasty")
async def test_a_websocket_has_no_head_to_wait_for(toy: Toy, address: str) -> None:
    async with signed_in(address, token(toy)) as client:
        await asyncio.sleep(0.5)
        await client.say({"type": "ping"})
        assert await client.hear() == {"type": "pong"}


@pytest.mark.parametrize("headers", [b"X-Y: z\r\n" * 200, b"X: " + b"a" * 9_000 + b"\r\n"], ids=["many", "long"])
async def test_a_handshake_that_cannot_be_read_is_closed(address: str, headers: bytes) -> None:
    assert await talk(address, HANDSHAKE + headers + b"\r\n") == b""


PING, TEXT = b"\x89\x80\0\0\0\0", b'\x81\xf9\0\0\0\0{"type":"ping"' + b" " * 106 + b"}"
PIECE, NEXT_PIECE = b"\x01\x80\0\0\0\0", b"\x00\x80\0\0\0\0"


@pytest.mark.parametrize(
    "frames",
    [PING * (MOST_FRAMES + 1), TEXT * (MOST_FRAMES + 1), PIECE + NEXT_PIECE * MOST_FRAMES],
    ids=["pings", "messages", "pieces"],
)
async def test_a_flood_of_frames_ends_a_websocket(address: str, frames: bytes, written: io.StringIO) -> None:
    async with connected(address) as client:
        client.socket.transport.write(frames)
        assert await client.closed() == 1013
    assert '"level":"error"' not in written.getvalue()


async def test_a_flood_after_the_close_is_cut_off(address: str) -> None:
    host, _, port = address.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            writer.write(HANDSHAKE + b"\r\n")
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"\x81\x81\0\0\0\0{")
            await reader.readuntil(b"The message is not valid JSON in UTF-8.")
            writer.write(PING * MOST_FRAMES * 2)
            assert await _heard(reader) == b""
    finally:
        writer.transport.abort()


async def test_as_many_frames_as_anybody_needs_are_taken(toy: Toy, address: str) -> None:
    async with signed_in(address, token(toy)) as client:
        client.socket.transport.write(PING * (MOST_FRAMES - 10) + TEXT)
        assert await client.hear() == {"type": "pong"}


@asynccontextmanager
async def flooded(toy: Toy, address: str) -> AsyncIterator[asyncio.StreamReader]:
    """An event stream that has always more to tell, read no faster than the reader is."""
    body = b'{"query":"subscription {flood}"}'
    ask = HEAD + b"Accept: text/event-stream\r\nAuthorization: Bearer %s\r\n" % token(toy).encode()
    host, _, port = address.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=128 * 1024)
    try:
        writer.write(ask + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        yield reader
    finally:
        writer.transport.abort()


@pytest.mark.parametrize("given_up", [False, True], ids=["while it is told", "when it is closed"])
async def test_whoever_takes_nothing_is_cut_off(
    toy: Toy, address: str, monkeypatch: pytest.MonkeyPatch, given_up: bool
) -> None:
    monkeypatch.setattr("connecting.TAKE_SECONDS", 0.5)
    if given_up:
        monkeypatch.setattr("schema.event_streams.SEND_SECONDS", 0.1)
    async with flooded(toy, address) as reader, asyncio.timeout(PATIENCE_SECONDS):
        await ended(toy)
        await asyncio.sleep(0.7)
        assert not (await reader.read()).endswith(b"\r\n")  # not even the event that was begun is told to its end


async def test_whoever_takes_a_little_at_a_time_is_not(toy: Toy, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each time that it has taken something, the time for the rest begins anew."""
    waits: list[asyncio.TimerHandle] = []
    pause = TakenInTime.pause_writing

    def noted(connection: TakenInTime) -> None:
        pause(connection)
        assert connection._untaken is not None
        waits.append(connection._untaken)

    monkeypatch.setattr(TakenInTime, "pause_writing", noted)
    async with flooded(toy, address) as reader, asyncio.timeout(PATIENCE_SECONDS):
        for _ in range(5):
            await until(lambda: waits and not waits[-1].cancelled())
            before, told = len(waits), 0
            while told < 8_000_000:
                told += len(await reader.readuntil(b"\n\n"))
            assert waits[before - 1].cancelled()
        assert "ended" not in toy.database


async def test_broken_text_is_no_fault_of_ours(address: str, written: io.StringIO) -> None:
    async with connected(address) as client:
        client.socket.transport.write(b"\x81\x82\0\0\0\0\xff\xfe")
        assert await client.closed() == 1007
    assert '"level":"error"' not in written.getvalue()
