"""Live updates as server-sent events: GraphQL over SSE, one operation for each request ("distinct connections").

Owns: the wire and its end. Does not own: who may come in (entrance), what is told (live_results).
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import ExitStack, aclosing
from typing import Any

import orjson
from starlette.types import Receive, Scope, Send

from schema.errors import RequestErrorCode, problem
from schema.results import Answer

EVENT_STREAM = "text/event-stream"
HEADERS = ((b"content-type", b"text/event-stream; charset=utf-8"), (b"x-accel-buffering", b"no"))
COMPLETE = b"event: complete\ndata:\n\n"
# Without `complete`, which would say that there is no more to come: clients take an end like this for a lost
# connection and ask again, browsers after so many milliseconds.
COME_BACK = b"retry: 1000\n\n"
_QUIET = b":\n\n"
_BEAT_SECONDS = 12.0
SEND_SECONDS = 10.0
"""How long a reader may take for one event before it is dropped."""


def told(body: dict[str, Any]) -> bytes:
    """One result on the wire."""
    return b"event: next\ndata: " + orjson.dumps(body) + b"\n\n"


class EventStream:
    """The ASGI answer. It ends with the operation, the reader, the reader's patience, the credential or the server.

    `room` is held meanwhile; `over` returns when the credential no longer holds; `closing` is set when the server ends.
    """

    def __init__(
        self,
        answers: AsyncGenerator[Answer, None],
        room: ExitStack,
        over: Callable[[], Awaitable[None]],
        closing: asyncio.Event,
    ) -> None:
        self._answers, self._room, self._over, self._closing = answers, room, over, closing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._room:
            await send({"type": "http.response.start", "status": 200, "headers": list(HEADERS)})
            wire = _Wire(send)
            telling = asyncio.create_task(self._tell(wire))
            over = asyncio.ensure_future(self._over())
            closing = asyncio.create_task(self._closing.wait())
            tasks = [telling, over, closing, asyncio.create_task(_gone(receive)), asyncio.create_task(wire.beat())]
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                await _ended(tasks)
            if telling in done:
                telling.result()
            if over in done:
                message = "The credential no longer holds; sign in again and begin anew."
                await wire.write(told({"errors": [problem(RequestErrorCode.UNAUTHENTICATED, message)]}))
            if (telling in done or over in done) and not wire.broken:
                await wire.write(COMPLETE, last=True)
            elif closing in done:
                await wire.write(COME_BACK, last=True)

    async def _tell(self, wire: "_Wire") -> None:
        async with aclosing(self._answers) as answers:
            async for answer in answers:
                await wire.write(told(answer.body))
                if wire.broken:
                    return


class _Wire:
    """Writes whole events, one at a time. A reader that does not take one in time gets no more."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._lock = asyncio.Lock()
        self.broken = False

    async def write(self, event: bytes, *, last: bool = False) -> None:
        try:
            async with asyncio.timeout(SEND_SECONDS), self._lock:
                await self._send({"type": "http.response.body", "body": event, "more_body": not last})
        except TimeoutError:
            self.broken = True

    async def beat(self) -> None:
        """Keeps proxies from closing what is quiet; returns when the reader no longer takes it."""
        while not self.broken:
            await asyncio.sleep(_BEAT_SECONDS)
            await self.write(_QUIET)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _ended(tasks: Iterable[asyncio.Future[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
