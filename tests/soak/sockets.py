"""Connections that are not meant well: heads without end, bytes one by one, frames that break the rules, floods, and
answers that nobody takes.

Each kind is sent over raw TCP to a server process. What is told for each: how its connections ended, and after how
long. Meanwhile and afterwards others are answered; in the end the process holds no connection and hardly more memory.

    python -m tests.soak.sockets --rounds 3 --connections 50 --database sqlite
"""

import argparse
import asyncio
import os
import socket
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path

import httpx
import orjson

from clocks import SystemClock
from resolvers.identity import Role, issue_development_token
from settings import ROOT, load_settings
from tests.soak.surroundings import database
from tests.support.live import HANDSHAKE
from tests.support.processes import free_port, started

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Act = Callable[[Streams], Awaitable[None]]
PATIENCE_SECONDS, MOST_MB = 75.0, 30.0
_FEW = 2
_KB = 1024
_SENT_AT_MOST = 32 * _KB * _KB
_HEAD = b"POST /graphql HTTP/1.1\r\nHost: perennial\r\nContent-Type: application/json\r\n"
_CHUNKED = _HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
_SCHEMA = b'{"query": "{ __schema { types { name description fields { name description } } } }"}'
# What the web server logs of an answer that waited for its time behind others which nobody took.
_CUT_OFF = "ASGI callable returned without starting response"
_TEXT, _BINARY, _CONTINUED, _RESERVED, _PING, _LAST = 0x1, 0x2, 0x0, 0x7, 0x9, 0x80


@dataclass
class Ends:
    """How the connections of each kind ended, the slowest end, and what was still there afterwards."""

    ends: dict[str, Counter[str]] = field(default_factory=dict)
    slowest: dict[str, float] = field(default_factory=dict)
    others: Counter[int] = field(default_factory=Counter)
    slowest_other: float = 0.0
    grown_mb: float = 0.0
    left_open: int = 0
    faults: int = 0

    @property
    def is_clean(self) -> bool:
        open_ = any("still open" in kind for each in self.ends.values() for kind in each)
        return (
            not open_
            and set(self.others) == {200}
            and not self.left_open
            and not self.faults
            and self.grown_mb < MOST_MB
        )


class Attacker:
    def __init__(self, port: int, seen: Ends) -> None:
        self.port, self.seen = port, seen
        settings, now = load_settings(_env_file=None), SystemClock().now()
        self.token = issue_development_token(
            settings, user_id="crowd", role=Role.CUSTOMER, now=now, lifetime=timedelta(hours=6)
        )

    async def all_kinds(self, connections: int) -> None:
        """At once; so many of each kind that costs the client nothing."""
        many = {**self._slow(), "nothing is sent": _until_closed, "a socket that says nothing": _shake}
        few = {**self._endless(), **self._broken(), "3,000 subscribes": self._subscribes}
        await asyncio.gather(
            *(self._one(kind, act) for kind, act in many.items() for _ in range(connections)),
            *(self._one(kind, act) for kind, act in few.items() for _ in range(_FEW)),
        )

    def _endless(self) -> Mapping[str, Act]:
        piece = frame(_TEXT, b"", last=False)
        trailers = _CHUNKED + b"2\r\n{}\r\n0\r\n"
        return {
            "a header without end": partial(_repeat, _HEAD + b"X: ", b"a" * 64 * _KB),
            "headers without end": partial(_repeat, _HEAD, b"X-Y: z\r\n" * 8_000),
            "a path without end": partial(_repeat, b"GET /", b"a" * 64 * _KB),
            "trailers without end": partial(_repeat, trailers, b"X-Y: z\r\n" * 8_000),
            "a body without end": partial(_repeat, _CHUNKED, b"10000\r\n" + b"a" * 64 * _KB + b"\r\n"),
            "fragments without end": partial(self._flood, piece, frame(_CONTINUED, b"x" * _KB, last=False)),
            "empty fragments without end": partial(self._flood, piece, frame(_CONTINUED, b"", last=False) * 1_000),
            "messages, never reading": partial(self._flood, b"", frame(_TEXT, b'{"type":"ping"}') * 1_000),
            "pings, never reading": partial(self._flood, b"", frame(_PING, b"x" * 125) * 1_000),
        }  # fmt: skip

    def _slow(self) -> Mapping[str, Act]:
        return {
            "a head byte by byte": partial(_slowly, b"", _HEAD * 10),
            "a body byte by byte": partial(_slowly, _HEAD + b"Content-Length: 100\r\n\r\n", b"{" * 100),
            "a second head byte by byte": partial(_slowly, b"GET /health/live HTTP/1.1\r\nHost: p\r\n\r\n", _HEAD * 10),
            "answers that nobody takes": _take_nothing,
        }  # fmt: skip

    def _broken(self) -> Mapping[str, Act]:
        frames = {
            "broken UTF-8": frame(_TEXT, b"\xff\xfe"),
            "a binary frame": frame(_BINARY, b"{}"),
            "a frame of 65 KB": frame(_TEXT, b"x" * 65 * _KB),
            "a frame that is not masked": b"\x81\x02{}",
            "a frame of a reserved kind": frame(_RESERVED, b"{}"),
            "a frame that says 2^63": b"\x81\xff" + b"\x7f" + b"\xff" * 7 + b"mask",
        }
        return {
            "a handshake of 200 headers": partial(_say, HANDSHAKE + b"X-Y: z\r\n" * 200 + b"\r\n"),
            **{kind: partial(self._say_signed_in, said) for kind, said in frames.items()},
        }

    async def _one(self, kind: str, act: Act) -> None:
        began, end = time.monotonic(), "still open"
        to = await _connect(self.port)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await act(to)
                end = "let go"
        except TimeoutError:
            pass
        except (OSError, EOFError):
            end = "closed"
        self.seen.ends.setdefault(kind, Counter())[end] += 1
        self.seen.slowest[kind] = max(self.seen.slowest.get(kind, 0), time.monotonic() - began)
        to[1].transport.abort()

    async def _sign_in(self, to: Streams) -> None:
        to[1].write(HANDSHAKE + b"\r\n")
        await to[0].readuntil(b"\r\n\r\n")
        told = {"type": "connection_init", "payload": {"authorization": f"Bearer {self.token}"}}
        to[1].write(frame(_TEXT, orjson.dumps(told)))
        await to[0].readuntil(b"connection_ack")

    async def _say_signed_in(self, said: bytes, to: Streams) -> None:
        await self._sign_in(to)
        await _say(said, to)

    async def _flood(self, begin: bytes, again: bytes, to: Streams) -> None:
        await self._sign_in(to)
        to[1].transport.pause_reading()  # type: ignore[attr-defined]
        to[1].write(begin)
        while True:
            to[1].write(again)
            await to[1].drain()
            await asyncio.sleep(0.001)

    async def _subscribes(self, to: Streams) -> None:
        await self._sign_in(to)
        asked = {"query": "subscription { subscriptionUpdated { id } }"}
        for n in range(3_000):
            to[1].write(frame(_TEXT, orjson.dumps({"type": "subscribe", "id": f"{n}", "payload": asked})))
        await _until_closed(to)


async def _connect(port: int) -> Streams:
    """Room for little, so that what is not taken waits at the server."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * _KB)
    raw.setblocking(False)
    await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", port))
    return await asyncio.open_connection(sock=raw, limit=8 * _KB)


def frame(kind: int, body: bytes, *, last: bool = True) -> bytes:
    """A client's: masked, by zeros."""
    size = len(body)
    length = bytes([0x80 | size]) if size < 126 else b"\xff" + struct.pack(">Q", size)
    return bytes([(_LAST if last else 0) | kind]) + length + bytes(4) + body


async def _repeat(begin: bytes, again: bytes, to: Streams) -> None:
    to[1].write(begin)
    for _ in range(_SENT_AT_MOST // len(again)):
        to[1].write(again)
        await to[1].drain()
    raise TimeoutError


async def _slowly(begin: bytes, rest: bytes, to: Streams) -> None:
    to[1].write(begin)
    for n in range(len(rest)):
        to[1].write(rest[n : n + 1])
        await to[1].drain()
        with suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                await _until_closed(to)


async def _take_nothing(to: Streams) -> None:
    to[1].transport.pause_reading()  # type: ignore[attr-defined]
    to[1].write((_HEAD + b"Content-Length: %d\r\n\r\n" % len(_SCHEMA) + _SCHEMA) * 20)
    while True:
        to[1].write(b"\r\n")
        await to[1].drain()
        await asyncio.sleep(0.5)


async def _shake(to: Streams) -> None:
    await _say(HANDSHAKE + b"\r\n", to)


async def _say(said: bytes, to: Streams) -> None:
    to[1].write(said)
    await _until_closed(to)


async def _until_closed(to: Streams) -> None:
    while await to[0].read(64 * _KB):
        pass
    raise EOFError


async def _attack(port: int, process: int, rounds: int, connections: int, seen: Ends) -> None:
    attacker, done = Attacker(port, seen), asyncio.Event()

    async def others() -> None:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as http:
            while not done.is_set():
                began = time.monotonic()
                answer = await http.post("/graphql", json={"query": "{ plans { nodes { id } } }"})
                seen.others[answer.status_code] += 1
                seen.slowest_other = max(seen.slowest_other, time.monotonic() - began)
                await asyncio.sleep(0.1)

    await attacker.all_kinds(_FEW)  # what is made once for each kind is no growth
    before = _resident_mb(process)
    asking = asyncio.create_task(others())
    for _ in range(rounds):
        await attacker.all_kinds(connections)
    done.set()
    await asking
    await asyncio.sleep(2)
    seen.grown_mb, seen.left_open = _resident_mb(process) - before, _connections(port)


def _resident_mb(process: int) -> float:
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024 / 1024


def _connections(port: int) -> int:
    """Those of the server that are established."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[1].endswith(f":{port:04X}") and row[3] == "01" for row in rows)


def attack(url: str, folder: Path, *, rounds: int, connections: int) -> Ends:
    seen, port = Ends(), free_port()
    settings = {"PERENNIAL_PORT": str(port), "PERENNIAL_DATABASE_URL": url, "PERENNIAL_WORKER": "off"}
    ready = f"http://127.0.0.1:{port}/health/ready"
    with started([str(ROOT / "cli.py"), "serve"], ready, folder, settings) as server:
        server.wait()
        asyncio.run(_attack(port, server.process.pid, rounds, connections, seen))
        lines = server.log.read_text().splitlines()
    faults = [line for line in lines if ('"level":"error"' in line and _CUT_OFF not in line) or line[:9] == "Traceback"]
    seen.faults = len(faults)
    sys.stdout.write("".join(f"{line[:2000]}\n" for line in faults[:3]))
    return seen


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.sockets", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=50, help="of each kind that costs the client nothing")
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    asked = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="perennial-soak-")))
        url = stack.enter_context(database(asked.database, folder)).url
        seen = attack(url, folder, rounds=asked.rounds, connections=asked.connections)
    for kind, ends in seen.ends.items():
        sys.stdout.write(f"{kind}: {dict(ends)} within {seen.slowest[kind]:.1f} s\n")
    sys.stdout.write(
        f"{asked.database}: {sum(each.total() for each in seen.ends.values())} connections of {len(seen.ends)} kinds: "
        f"meanwhile others were answered {dict(seen.others)} within {seen.slowest_other:.1f} s; "
        f"{seen.left_open} left open, {seen.faults} faults logged, memory grown by {seen.grown_mb:.0f} MB\n"
    )
    return 0 if seen.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
