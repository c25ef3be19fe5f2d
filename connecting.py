"""Connections whose clients do not come to the point.

Owns: how large a request may grow, how long its head may take, how many frames a WebSocket may bring, how long what a
client is told may wait to be taken, and how long a client that was refused is heard out; the web server minds none of
them. Does not own: the sizes of bodies and how long answers take (guard), the messages of live updates (schema), the
end of the server (draining).
May import: the web server and its WebSockets alone.
"""

import asyncio
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode
from websockets.protocol import OPEN

if TYPE_CHECKING:
    from uvicorn._types import ASGISendEvent

HEAD_SECONDS, TAKE_SECONDS, HEAR_OUT_SECONDS = 10.0, 60.0, 5.0
MOST_HEAD = 64 * 1024
# Bodies hold a megabyte at most; in the smallest of chunks, six times as many bytes carry one.
MOST_REQUEST = 8 * 1024 * 1024
MOST_FRAMES = 200  # in a second
_BITE = 16 * 1024


class TooLarge(Exception):
    """Told by the parser as any other fault of a request."""


class TakenInTime(asyncio.Protocol):
    """Cuts off a client that does not take what it is told, be the connection in use or about to end."""

    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    _untaken: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=0)  # so that each byte that has to wait is heard of

    def connection_lost(self, exc: Exception | None) -> None:
        self._all_taken()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        self._untaken = self.loop.call_later(TAKE_SECONDS, self.transport.abort)
        super().pause_writing()

    def resume_writing(self) -> None:
        self._all_taken()
        super().resume_writing()

    def _all_taken(self) -> None:
        if self._untaken is not None:
            self._untaken.cancel()


class HeardOut:
    """The transport of a client that may still be sending when the connection ends.

    Closed at once it would be reset by what comes after, and the answer be lost that tells why. So it is told that
    nothing more comes, and what it still sends is dropped for a moment, until it closes.
    """

    def __init__(self, transport: Any, is_sending: Callable[[], bool], loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._is_sending, self._loop = transport, is_sending, loop
        self.is_ending = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        return self.is_ending or self._transport.is_closing()

    def close(self) -> None:
        if self.is_closing() or not self._is_sending():
            self._transport.close()
            return
        self.is_ending = True
        self._transport.write_eof()
        self._transport.resume_reading()
        self._loop.call_later(HEAR_OUT_SECONDS, self._transport.close)


class BoundedRequests(TakenInTime, HttpToolsProtocol):
    """Closes a connection whose request has no end, and one whose request does not come."""

    transport: Any
    parser: Any
    _bytes = 0
    _bytes_of_head = 0
    _in_head = True
    _in_request = False
    _has_offer = False  # of a protocol that is not spoken here
    _read = _unread = b""
    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(HeardOut(transport, lambda: self._in_request, self.loop))
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait_no_more()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_ending:
            return
        self._bytes += len(data)
        self._unread = data
        while data := self._unread:
            self._read, self._unread = data, b""
            super().data_received(data)
        if self.transport.is_closing() or self.transport.get_protocol() is not self:  # it became a WebSocket
            return
        if self._bytes > (MOST_HEAD if self._in_head else MOST_REQUEST):
            self.send_400_response("The request is too large.")
        elif self._is_idle() and self._patience is None:
            self._await_head()

    def _unsupported_upgrade_warning(self) -> None:
        """A client may offer another protocol, as Java's offers HTTP/2 with whatever it posts, and be answered in this
        one. The parser takes the body for the other one's: so it reads the request again, without the offer."""
        offered = sys.exception()
        if not self._has_offer or offered is None:
            return
        kept = (name + b": " + value for name, value in self.headers if name != b"upgrade")
        line = b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        self._unread = b"\r\n".join([line, *kept, b"", self._read[offered.args[0] :]])

    def send_400_response(self, msg: str) -> None:
        """Whoever works on the request has nobody to answer any more."""
        super().send_400_response(msg)
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()

    def on_message_begin(self) -> None:
        """What came along with its first byte is not counted: a part of it may be of the request before."""
        self._bytes = self._bytes_of_head = 0
        self._in_head = self._in_request = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Trailers come this way, too."""
        self._bytes_of_head += len(name) + len(value)
        if self._bytes_of_head > MOST_HEAD:
            raise TooLarge
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        has_upgrade = any(name == b"upgrade" for name, _ in self.headers)
        self._has_offer = has_upgrade and self.parser.should_upgrade() and not self._should_upgrade()
        if self._has_offer:
            return
        self._in_head = False
        self._wait_no_more()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        if self._has_offer:
            return
        self._in_request = False
        super().on_message_complete()

    def _is_idle(self) -> bool:
        """Whether no request is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def _await_head(self) -> None:
        self._patience = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _wait_no_more(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None


class BoundedSockets(TakenInTime, WebSocketsSansIOProtocol):
    """Takes apart little at a time, and closes a connection that brings more frames than anybody needs.

    Frames of every kind count: pings are answered and pieces of a message kept before the application hears of them.
    """

    _second = 0.0
    _frames = 0

    def data_received(self, data: bytes) -> None:
        for start in range(0, len(data), _BITE):
            if self.transport.is_closing():
                return
            super().data_received(data[start : start + _BITE])
            if self.conn.handshake_exc is not None:  # one that cannot be read, which the web server takes for unended
                self.transport.close()

    def handle_events(self) -> None:
        now = self.loop.time()
        if now - self._second >= 1:
            self._second, self._frames = now, 0
        self._frames += len(self.conn.events)
        if self._frames <= MOST_FRAMES:
            super().handle_events()
        elif self.conn.state is OPEN:
            self.conn.fail(CloseCode.TRY_AGAIN_LATER, f"You send more than {MOST_FRAMES} frames in a second")
            self.handle_parser_exception()
        else:
            self.transport.abort()

    async def send(self, message: "ASGISendEvent") -> None:
        """The application may not have heard yet that the connection was closed: that is no fault of its."""
        await self.writable.wait()
        if self.close_sent:
            raise ClientDisconnected
        await super().send(message)
