"""A merchant's endpoint: a real HTTP server on this machine that keeps what it gets and answers as it is told."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson


@dataclass(frozen=True)
class Got:
    """One request as it arrived; names of headers are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        return orjson.loads(self.body)

    @property
    def type(self) -> str:
        return self.json["type"]


Respond = Callable[[Got], Awaitable[bytes]]


def response(status: int, headers: Mapping[str, str] | None = None, body: bytes = b"") -> bytes:
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@dataclass
class Receiver:
    """`status` is what it answers; `respond` answers instead, in its own time."""

    url: str
    status: int = 200
    respond: Respond | None = None
    got: list[Got] = field(default_factory=list)
    under_way: int = 0
    most_under_way: int = 0

    @property
    def types(self) -> list[str]:
        return [each.type for each in self.got]


@asynccontextmanager
async def receiver(*, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> AsyncIterator[Receiver]:
    """An endpoint at a port of its own; with `tls` it speaks HTTPS."""

    handling: set[asyncio.Task[Any]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        handling.add(task)
        task.add_done_callback(handling.discard)
        own.under_way += 1
        own.most_under_way = max(own.most_under_way, own.under_way)
        try:
            got = await _read(reader)
            own.got.append(got)
            writer.write(await own.respond(got) if own.respond is not None else response(own.status))
            await writer.drain()
            writer.close()
            await writer.wait_closed()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            own.under_way -= 1
            writer.transport.abort()

    server = await asyncio.start_server(handle, host, 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    shown = f"[{host}]" if ":" in host else host
    own = Receiver(f"{'https' if tls else 'http'}://{shown}:{port}/hooks")
    try:
        yield own
    finally:
        server.close()
        for task in handling:
            task.cancel()
        await asyncio.gather(*handling, return_exceptions=True)
        await asyncio.sleep(0)  # aborted connections are closed by the loop


async def _read(reader: asyncio.StreamReader) -> Got:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, path, _ = head[0].split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    return Got(method, path, headers, await reader.readexactly(int(headers.get("content-length", 0))))
