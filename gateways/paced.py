"""Any gateway, the worker's calls to it one after another at the pace that its account allows.

Owns: waiting for a place, and trying again after a 429. Does not own: who gets which place (billing.pacing), how all
processes share them (models.pacing). A request never waits: people come first, and workers take a share only.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from inspect import iscoroutinefunction
from time import perf_counter
from typing import Any, Protocol, cast

from billing.pacing import HORIZON
from gateways.port import GatewayBusy, PaymentGateway, waits_its_turn
from gauges import PACE_WAITS

_PATIENCE = 8.0
"""Seconds that a call waits for a place: several of them fit into a lease."""
_TRIES = 3

Sleep = Callable[[float], Awaitable[None]]


class Pace(Protocol):
    """What all processes have in common."""

    async def reserve(self, wanted: Mapping[str, int]) -> Mapping[str, Sequence[float]]:
        """For each endpoint some of the wanted places, none or all: in how many seconds each begins."""
        ...

    async def rest(self, endpoint: str | None, at_least: timedelta | None) -> None:
        """Give no places for a while, at one endpoint or (None) at all."""
        ...


def paced(gateway: PaymentGateway, pace: Pace, *, sleep: Sleep = asyncio.sleep) -> PaymentGateway:
    """The same gateway; calls of a block that is `in_turn` wait for their places."""
    return cast(PaymentGateway, _Paced(gateway, pace, sleep))


class _Paced:
    def __init__(self, gateway: PaymentGateway, pace: Pace, sleep: Sleep) -> None:
        self._gateway, self._pace, self._sleep = gateway, pace, sleep
        self._queue = _Queue(pace, sleep)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._gateway, name)
        if not iscoroutinefunction(found) or name == "close":
            return found
        return self._waiting(self._gateway.endpoints.get(name, name), found)

    def _waiting(self, endpoint: str, call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def waiting(*args: Any, **kwargs: Any) -> Any:
            for tries_left in reversed(range(_TRIES if waits_its_turn() else 1)):
                if waits_its_turn():
                    await self._queue.turn(endpoint)
                try:
                    return await call(*args, **kwargs)
                except GatewayBusy as busy:
                    await self._pace.rest(None if busy.is_account else endpoint, busy.retry_after)
                    if not tries_left:
                        raise
            raise AssertionError("the last try returns or raises")

        return waiting


class _Queue:
    """Those of this process who wait; one task asks for the places of all of them at once."""

    def __init__(self, pace: Pace, sleep: Sleep) -> None:
        self._pace, self._sleep = pace, sleep
        self._waiting: dict[str, deque[asyncio.Future[float]]] = {}
        self._serving: asyncio.Task[None] | None = None

    async def turn(self, endpoint: str) -> None:
        """Return when it is this call's turn. Raises GatewayBusy when there is no place for long."""
        began, loop = perf_counter(), asyncio.get_running_loop()
        place: asyncio.Future[float] = loop.create_future()
        self._waiting.setdefault(endpoint, deque()).append(place)
        if self._serving is None or self._serving.done():
            self._serving = loop.create_task(self._serve())
        try:
            async with asyncio.timeout(_PATIENCE):
                delay = await place
        except TimeoutError:
            raise GatewayBusy("no place among the calls that the gateway takes") from None
        await self._sleep(delay)
        PACE_WAITS.labels(endpoint).observe(perf_counter() - began)

    async def _serve(self) -> None:
        try:
            while wanted := self._wanted():
                given = await self._pace.reserve(wanted)
                for endpoint, delays in given.items():
                    for delay in delays:
                        self._give(endpoint, delay)
                    # Where the account is the limit, each endpoint comes first in its turn.
                    self._waiting[endpoint] = self._waiting.pop(endpoint)
                if self._wanted():
                    await self._sleep(HORIZON.total_seconds())
        except Exception as trouble:  # the database's: told to whoever waits
            for place in (place for queue in self._waiting.values() for place in queue if not place.done()):
                place.set_exception(trouble)
            self._waiting.clear()

    def _give(self, endpoint: str, delay: float) -> None:
        """A place, to the first who is still there; there is one for each who was."""
        queue = self._waiting[endpoint]
        while queue:
            place = queue.popleft()
            if not place.done():
                place.set_result(delay)
                return

    def _wanted(self) -> Mapping[str, int]:
        """How many wait at each endpoint, those who have left aside."""
        for endpoint, queue in self._waiting.items():
            self._waiting[endpoint] = deque(place for place in queue if not place.done())
        return {endpoint: len(queue) for endpoint, queue in self._waiting.items() if queue}
