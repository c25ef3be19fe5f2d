"""Worker processes to be killed: forked warm from the run itself, all of them on one clock that it may move."""

import asyncio
import os
import signal
from dataclasses import dataclass
from datetime import datetime, timedelta
from multiprocessing.sharedctypes import RawValue
from pathlib import Path
from typing import Any

from bootstrap import Installation, build
from clocks import SystemClock
from logs import configure_logging
from settings import load_settings
from tests.soak.surroundings import Gateway
from tests.support.databases import Place
from tests.support.house import ENTITLEMENT_KEY, QUIET
from worker import Worker


class SharedClock:
    """Goes on as the machine's does, and by leaps; whoever is forked after it was made reads the same."""

    def __init__(self, start: datetime) -> None:
        self._behind = start - SystemClock().now()
        # Without a lock, which somebody killed could keep for ever.
        self._leapt = RawValue("d", 0.0)

    def now(self) -> datetime:
        return SystemClock().now() + self._behind + timedelta(seconds=self._leapt.value)

    def leap(self, by: timedelta) -> None:
        self._leapt.value += by.total_seconds()


@dataclass(frozen=True)
class Site:
    """Where the workers of a run work; `log` is what they write."""

    place: Place
    gateway: Gateway
    clock: SharedClock
    log: Path

    def installed(self, **settings: Any) -> Installation:
        told = {"database_url": self.place.url, "stripe_api_base": self.gateway.url, "entitlement_key": ENTITLEMENT_KEY}
        return build(
            load_settings(_env_file=None, **{**QUIET, **told, **settings}),
            clock=self.clock,
            security_clock=self.clock,
        )


@dataclass
class Mortal:
    """A worker at work in a process of its own."""

    pid: int
    ready: int

    @classmethod
    def start(cls, site: Site, **settings: Any) -> "Mortal":
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.close(reading)
                asyncio.run(_work(site, writing, settings))
            finally:
                os._exit(1)  # It never ends by itself.
        os.close(writing)
        return cls(child, reading)

    def wait_until_at_work(self) -> None:
        told = os.read(self.ready, 1)
        assert told, "the worker ended before it began"

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        _, status = os.waitpid(self.pid, 0)
        os.close(self.ready)
        assert os.WIFSIGNALED(status), f"the worker had ended by itself: {status}"


async def _work(site: Site, ready: int, settings: dict[str, Any]) -> None:
    with site.log.open("a", buffering=1) as log:
        configure_logging(json=True, stream=log)
        installation = site.installed(**settings)
        await installation.start()
        os.write(ready, b"1")
        await Worker(installation.app).run(asyncio.Event())
