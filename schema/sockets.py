"""Live updates over WebSockets, by the protocol graphql-transport-ws.

Owns: the messages of the protocol, what closes a connection and with which code. Does not own: who may come in
(entrance), the origin of the handshake (the guard), what is told (live_results).

Nothing is buffered: an operation goes on once its last result was taken, and who does not take one in time is dropped.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from contextlib import aclosing
from typing import Any

import orjson
import structlog
from starlette.requests import HTTPConnection
from starlette.websockets import WebSocket, WebSocketDisconnect

from rates import Allowance
from resolvers.identity import Identity
from schema.documents import GuardedSchema
from schema.entrance import Entrance, Refused, credentials_of
from schema.errors import RequestErrorCode, problem
from schema.live_results import live_results
from schema.parameters import BadParameters, Parameters, from_object, read_json

log = structlog.get_logger("perennial.graphql")

PROTOCOL = "graphql-transport-ws"
INIT_SECONDS = 3.0
SEND_SECONDS = 10.0
MAX_FRAME = 64 * 1024
MAX_OPERATIONS = 20
MAX_ID_LENGTH = 100
_CLOSE_SECONDS = 1.0

TOO_LARGE, RESTART, TRY_LATER = 1009, 1012, 1013
BAD_REQUEST, UNAUTHORIZED, FORBIDDEN, NO_PROTOCOL = 4400, 4401, 4403, 4406
NO_INIT, ID_TAKEN, INIT_TWICE, FAULT = 4408, 4409, 4429, 4500

Message = Mapping[str, Any]
MakeContext = Callable[[HTTPConnection, Identity, Allowance], object]


class Closed(Exception):
    """The connection is to be closed with this code, which says what the client should do about it."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


class Sockets:
    """Serves each connection until it ends."""

    def __init__(self, schema: GuardedSchema, entrance: Entrance, get_context: MakeContext) -> None:
        self._schema, self._entrance, self._get_context = schema, entrance, get_context

    async def serve(self, socket: WebSocket) -> None:
        if PROTOCOL not in socket.scope["subprotocols"]:
            await socket.accept()
            await socket.close(NO_PROTOCOL, "Subprotocol not acceptable")
            return
        await socket.accept(PROTOCOL)
        try:
            await self._connected(socket)
        except Closed as closed:
            await _close(socket, closed)
        except WebSocketDisconnect:
            return

    async def _connected(self, socket: WebSocket) -> None:
        try:
            with self._entrance.waiting_room(socket):
                authorization, api_keys = await _initialised(socket)
            identity = await self._entrance.identify_and_count(socket, authorization, api_keys)
            if not (authorization or api_keys):
                raise Closed(FORBIDDEN, "Sign in: send {authorization: 'Bearer …'} with connection_init")
            allowance = self._entrance.allowance(socket, identity)
            with self._entrance.room(allowance):
                connection = Connection(self._schema, self._entrance, socket, identity, allowance, self._get_context)
                await connection.serve(lambda: self._entrance.over(identity, authorization, api_keys))
        except Refused as refused:
            later = refused.status in (429, 503)
            raise Closed(TRY_LATER if later else FORBIDDEN, refused.message) from None


class Connection:
    """One connection whose caller is known, and its operations by their ids."""

    def __init__(
        self,
        schema: GuardedSchema,
        entrance: Entrance,
        socket: WebSocket,
        identity: Identity,
        allowance: Allowance,
        get_context: MakeContext,
    ) -> None:
        self._schema, self._entrance, self._socket = schema, entrance, socket
        self._identity, self._allowance, self._get_context = identity, allowance, get_context
        self._operations: dict[str, asyncio.Task[None]] = {}
        self._running = set[asyncio.Task[None]]()  # those, too, that are over for the client and still put away things
        self._sending = asyncio.Lock()
        self._end: asyncio.Future[Closed] = asyncio.get_running_loop().create_future()

    async def serve(self, over: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Until the client leaves; raises Closed when it is we who end it. `over` ends with the credential."""
        await self._send({"type": "connection_ack"})
        reading, staying = asyncio.create_task(self._read()), asyncio.create_task(over())
        closing = asyncio.create_task(self._entrance.closing.wait())
        try:
            await asyncio.wait((reading, staying, closing, self._end), return_when=asyncio.FIRST_COMPLETED)
            if self._end.done():
                raise self._end.result()
            if reading.done():
                reading.result()
            elif closing.done():
                raise Closed(RESTART, "The server ends; connect again and go on from your last cursor")
            else:
                raise _signed_out()
        finally:
            tasks = [reading, staying, closing, *self._running]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self) -> None:
        handlers = {"subscribe": self._subscribe, "complete": self._complete, "ping": self._ping, "pong": _nothing}
        while True:
            message = await _received(self._socket)
            if message["type"] == "connection_init":
                raise Closed(INIT_TWICE, "Too many initialisation requests")
            handle = handlers.get(message["type"])
            if handle is None:
                raise Closed(BAD_REQUEST, "Unknown message type")
            await handle(message)

    async def _subscribe(self, message: Message) -> None:
        name = _id_of(message)
        if name in self._operations:
            raise Closed(ID_TAKEN, f"Subscriber for {name} already exists")
        try:
            parameters = from_object(message.get("payload"), "'payload'")
            if len(self._operations) >= MAX_OPERATIONS:
                text = f"One connection carries at most {MAX_OPERATIONS} operations; complete one first."
                raise Refused(429, RequestErrorCode.RATE_LIMITED, text)
            self._entrance.allowance(self._socket, self._identity)  # what each costs before it is read
        except BadParameters as bad:
            raise Closed(BAD_REQUEST, str(bad)) from None
        except Refused as refused:
            told = problem(refused.code, refused.message, **refused.details)
            await self._send({"type": "error", "id": name, "payload": [told]})
            return
        task = self._operations[name] = asyncio.create_task(self._operate(name, parameters))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _complete(self, message: Message) -> None:
        task = self._operations.pop(_id_of(message), None)
        if task is not None:
            task.cancel()

    async def _ping(self, message: Message) -> None:
        await self._send({"type": "pong"})

    async def _operate(self, name: str, parameters: Parameters) -> None:
        try:
            context = self._get_context(self._socket, self._identity, self._allowance)
            results = live_results(self._schema, parameters, context, self._may_go_on)
            async with aclosing(results):
                async for answer in results:
                    if not answer.executed:
                        await self._send({"type": "error", "id": name, "payload": answer.body["errors"]}, ends=name)
                        return
                    await self._send({"type": "next", "id": name, "payload": answer.body})
            await self._send({"type": "complete", "id": name}, ends=name)
        except Exception as error:
            closed = error if isinstance(error, Closed) else Closed(FAULT, "Internal error")
            if not isinstance(error, Closed | WebSocketDisconnect):
                log.exception("live operation failed")
            self._end_with(closed)

    def _may_go_on(self) -> bool:
        if self._entrance.holds(self._identity):
            return True
        self._end_with(_signed_out())
        return False

    def _end_with(self, closed: Closed) -> None:
        if not self._end.done():
            self._end.set_result(closed)

    async def _send(self, message: Message, *, ends: str | None = None) -> None:
        """One message at a time; Closed when the client does not take it in time.

        `ends`: the operation that is over by this. Until it is said, whoever completes it keeps it from being said: it
        would end what is begun anew under the id. It is free once it is said, for nothing is waited for in between.
        """
        try:
            async with asyncio.timeout(SEND_SECONDS), self._sending:
                await self._socket.send_text(orjson.dumps(message).decode())
                if ends is not None:
                    self._operations.pop(ends, None)
        except TimeoutError:
            raise Closed(TRY_LATER, "You read too slowly") from None


async def _initialised(socket: WebSocket) -> tuple[list[str], list[str]]:
    """The credentials in connection_init, or of the handshake where it brings none. Closed if it does not come."""
    try:
        async with asyncio.timeout(INIT_SECONDS):
            while True:
                message = await _received(socket)
                if message["type"] == "connection_init":
                    return _credentials(message.get("payload")) or credentials_of(socket.headers)
                if message["type"] == "ping":
                    await socket.send_text('{"type":"pong"}')
                elif message["type"] == "subscribe":
                    raise Closed(UNAUTHORIZED, "Unauthorized")
                elif message["type"] not in ("pong", "complete"):
                    raise Closed(BAD_REQUEST, "Unknown message type")
    except TimeoutError:
        raise Closed(NO_INIT, "Connection initialisation timeout") from None


def _credentials(payload: object) -> tuple[list[str], list[str]] | None:
    """Those that the payload names as headers are named, in any case of letters; None if it names none."""
    if payload is None:
        return None
    if not isinstance(payload, dict):
        raise Closed(BAD_REQUEST, "'payload' is not a JSON object")
    found: dict[str, list[str]] = {"authorization": [], "x-api-key": []}
    for name, value in payload.items():
        if name.lower() in found:
            if not isinstance(value, str):
                raise Closed(BAD_REQUEST, f"'{name.lower()}' is not a string")
            found[name.lower()].append(value)
    given = found["authorization"], found["x-api-key"]
    return given if any(given) else None


async def _received(socket: WebSocket) -> dict[str, Any]:
    """The next message of the protocol. Closed for what is none, WebSocketDisconnect when the client is gone."""
    frame = await socket.receive()
    if frame["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(frame.get("code", 1000))
    text = frame.get("text")
    if text is None:
        raise Closed(BAD_REQUEST, "A message is text")
    encoded = text.encode("utf-8", "surrogatepass")
    if len(encoded) > MAX_FRAME:
        raise Closed(TOO_LARGE, f"A message holds at most {MAX_FRAME // 1024} KB")
    try:
        message = read_json(encoded, "The message")
    except BadParameters as bad:
        raise Closed(BAD_REQUEST, str(bad)) from None
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise Closed(BAD_REQUEST, "A message is a JSON object with a type")
    return message


def _id_of(message: Message) -> str:
    name = message.get("id")
    if not isinstance(name, str) or not 0 < len(name) <= MAX_ID_LENGTH:
        raise Closed(BAD_REQUEST, f"'id' is a string of 1 to {MAX_ID_LENGTH} characters")
    return name


def _signed_out() -> Closed:
    return Closed(FORBIDDEN, "The credential no longer holds; sign in again")


async def _nothing(_message: Message) -> None:
    """An answer to a ping that we never send."""


async def _close(socket: WebSocket, closed: Closed) -> None:
    """A client that takes nothing does not take this either; the server then cuts it off."""
    reason = closed.reason.encode()[:120].decode(errors="ignore")  # a close frame holds 123 bytes
    try:
        async with asyncio.timeout(_CLOSE_SECONDS):
            await socket.close(closed.code, reason)
    except (TimeoutError, WebSocketDisconnect, RuntimeError):
        return
