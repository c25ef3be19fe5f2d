"""The server on a real port, a client of graphql-transport-ws and a reader of server-sent events."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import orjson
import uvicorn
from starlette.types import ASGIApp
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from connecting import BoundedSockets
from draining import LastRequests
from schema.sockets import MAX_FRAME, PROTOCOL
from tests.support.waiting import PATIENCE_SECONDS, until

HANDSHAKE = (
    b"GET /graphql HTTP/1.1\r\nHost: perennial\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)
"""By hand, for those who mean no good; an empty line ends it."""


@asynccontextmanager
async def on_a_port(asgi: ASGIApp) -> AsyncIterator[str]:
    """The address (without a scheme) at which the application answers, as the command line serves it."""
    config = uvicorn.Config(
        asgi,
        port=0,
        lifespan="off",
        http=LastRequests,
        ws=BoundedSockets,
        log_config=None,
        access_log=False,
        ws_max_size=MAX_FRAME,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    try:
        await until(lambda: server.started)
        yield f"127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving


class Client:
    """Speaks JSON; `closed` waits for the end and tells its code."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def say(self, message: object) -> None:
        await self.socket.send(orjson.dumps(message).decode())

    async def hear(self) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return orjson.loads(await self.socket.recv())

    async def closed(self) -> int | None:
        """Whatever still came is passed over."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while True:
                    await self.socket.recv()
        except ConnectionClosed as end:
            return end.rcvd.code if end.rcvd is not None else None

    async def init(self, token: str | None = None) -> None:
        payload = {"authorization": f"Bearer {token}"} if token else None
        await self.say({"type": "connection_init", **({"payload": payload} if payload else {})})

    async def subscribe(self, name: str, query: str, variables: Mapping[str, Any] | None = None) -> None:
        await self.say(
            {"type": "subscribe", "id": name, "payload": {"query": query, "variables": dict(variables or {})}}
        )

    async def next(self) -> Any:
        """The data of the next result."""
        message = await self.hear()
        assert message["type"] == "next", message
        assert "errors" not in message["payload"], message
        return message["payload"]["data"]


@asynccontextmanager
async def connected(
    address: str, *, protocols: tuple[str, ...] = (PROTOCOL,), headers: Mapping[str, str] | None = None
) -> AsyncIterator[Client]:
    async with connect(
        f"ws://{address}/graphql",
        subprotocols=[Subprotocol(name) for name in protocols] or None,
        additional_headers=dict(headers or {}),
        max_size=None,
        proxy=None,
    ) as socket:
        yield Client(socket)


@asynccontextmanager
async def signed_in(address: str, token: str) -> AsyncIterator[Client]:
    async with connected(address) as client:
        await client.init(token)
        assert await client.hear() == {"type": "connection_ack"}
        yield client


async def events_of(response: httpx.Response) -> AsyncIterator[tuple[str, Any]]:
    """Name and data of each server-sent event."""
    name = ""
    async for line in response.aiter_lines():
        field, _, value = line.partition(":")
        if field == "event":
            name = value.strip()
        elif field == "data":
            yield name, orjson.loads(value) if value.strip() else None
