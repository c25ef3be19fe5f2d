"""The official SDK's way into the sandbox without a socket.

Owns: one raw ASGI call per request, and what a lost answer looks like to the SDK.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx
import stripe
from starlette.types import ASGIApp, Message

from gateways.sandbox.faults import AnswerLost
from gateways.sandbox.wire import LOSES_ANSWERS


class InProcessTransport(stripe.HTTPClient):
    """Calls an ASGI application as if it were api.stripe.com. `sleep` paces the SDK's own retries (seconds)."""

    name = "asgi"

    def __init__(self, app: ASGIApp, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        super().__init__()
        self._app, self._sleep = app, sleep

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """Body, status and case-insensitive headers; a lost answer is an APIConnectionError that may be retried."""
        parts = urlsplit(url)
        body = post_data.encode() if isinstance(post_data, str) else (post_data or b"")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method.upper(),
            "scheme": parts.scheme,
            "path": parts.path,
            "raw_path": parts.path.encode(),
            "root_path": "",
            "query_string": parts.query.encode(),
            "headers": [
                (b"host", parts.netloc.encode()),
                *((name.lower().encode(), str(value).encode()) for name, value in headers.items()),
            ],
            "client": ("127.0.0.1", 0),
            "server": (parts.hostname, parts.port or 443),
            "extensions": {LOSES_ANSWERS: {}},
        }
        told: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            told.append(message)

        try:
            await self._app(scope, receive, send)
        except AnswerLost as lost:
            raise stripe.APIConnectionError(str(lost), should_retry=True) from lost
        content = b"".join(message.get("body", b"") for message in told[1:])
        return content, told[0]["status"], httpx.Headers(told[0]["headers"])

    def sleep_async(self, secs: float) -> Awaitable[None]:
        return self._sleep(secs)

    async def close_async(self) -> None:
        """Nothing is held open."""
