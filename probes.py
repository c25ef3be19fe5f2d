"""What machines that watch us ask: is the process alive, is it ready, how is it doing.

Owns: those routes, who may read the metrics, and how seldom the database is asked for them. Does not own: what is
measured (gauges) or waits (services.runs.backlog).
May import: services and everything below, settings, gauges.
"""

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Mapping
from typing import Generic, TypeVar

import orjson
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gauges import CONTENT_TYPE, Standing, exposition
from services.app import App
from services.runs.backlog import read_standing
from settings import Settings

_ANSWER_SECONDS = 1.5
_KEEP_SECONDS = 5.0
_DATABASE_AWAY = (SQLAlchemyError, OSError, TimeoutError)

T = TypeVar("T")


class _Question(Generic[T]):
    """What is asked of the database by somebody who does not wait for long.

    A connection that is silent cannot even be given up in time: the question is left alone with it, and nobody asks it
    on another connection meanwhile, or the pool would soon be full of them.
    """

    def __init__(self, ask: Callable[[], Awaitable[T]]) -> None:
        self._ask = ask
        self._under_way: asyncio.Future[T] | None = None

    async def answer(self) -> T:
        """Raises TimeoutError, or what the database raised."""
        if self._under_way is None or self._under_way.done():
            self._under_way = asyncio.ensure_future(self._ask())
            self._under_way.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.wait({self._under_way}, timeout=_ANSWER_SECONDS)
        if not self._under_way.done():
            raise TimeoutError
        return self._under_way.result()


class Probes:
    """The handlers, and what the database last said."""

    def __init__(self, app: App, settings: Settings) -> None:
        self._ping = _Question(app.database.ping)
        self._reading = _Question(lambda: read_standing(app))
        token = settings.metrics_token
        self._token = token.get_secret_value().encode() if token is not None else None
        self._asking = asyncio.Lock()
        self._standing: Standing | None = None
        self._ask_again_at = 0.0

    def routes(self) -> list[Route]:
        """Without a token nobody could be told from anybody, so there are no metrics."""
        listed = [Route("/health/live", self.live), Route("/health/ready", self.ready)]
        return [*listed, Route("/metrics", self.metrics)] if self._token is not None else listed

    async def live(self, _request: Request) -> Response:
        return _json({"status": "live"})

    async def ready(self, _request: Request) -> Response:
        """503 while the database does not answer."""
        try:
            await self._ping.answer()
        except _DATABASE_AWAY:
            return _json({"status": "unavailable", "waiting_for": "database"}, 503)
        return _json({"status": "ready"})

    async def metrics(self, request: Request) -> Response:
        """Also while the database is away: what the process itself measured is worth most then."""
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        known = self._token is not None and hmac.compare_digest(given.strip().encode(), self._token)
        if scheme.lower() != "bearer" or not known:
            refusal = {"error": {"code": "UNAUTHENTICATED", "message": "Send PERENNIAL_METRICS_TOKEN as bearer token."}}
            return _json(refusal, 401, {"WWW-Authenticate": "Bearer"})
        return Response(exposition(await self._current()), headers={"content-type": CONTENT_TYPE})

    async def _current(self) -> Standing | None:
        """What the database holds, asked for every few seconds at most; None while it is away."""
        async with self._asking:
            if asyncio.get_running_loop().time() >= self._ask_again_at:
                try:
                    self._standing = await self._reading.answer()
                except _DATABASE_AWAY:
                    self._standing = None
                self._ask_again_at = asyncio.get_running_loop().time() + _KEEP_SECONDS
            return self._standing


def _json(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(orjson.dumps(body), status, headers, media_type="application/json")
