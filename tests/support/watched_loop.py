"""The server as it is served, with a watch on its event loop: how long each step held it.

Run as a process of its own: `python -m tests.support.watched_loop`, set up by the environment as the command is. What
was longest since the last question is told at WORST, the wall clock's and the processor's milliseconds apart: on a
machine that has more to do, a step also waits for its turn. The collector comes when it likes, in whoever's step: its
time is counted apart.
"""

import asyncio
import gc
import time
from asyncio import events
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from bootstrap import build
from logs import configure_logging
from server import create_app
from serving import the_server
from settings import load_settings

WORST = "/worst"


@dataclass
class Watch:
    """The longest step by either clock, what it was, and the collector's longest turn."""

    wall: float = 0.0
    processor: float = 0.0
    collector: float = 0.0
    step: str = ""
    collected: float = 0.0
    _began: float = 0.0

    def told(self) -> dict[str, Any]:
        told = {name: getattr(self, name) * 1000 for name in ("wall", "processor", "collector")}
        told["step"] = self.step
        self.wall, self.processor, self.collector, self.step = 0.0, 0.0, 0.0, ""
        return told

    def collecting(self, phase: str, _about: object) -> None:
        """The collector's callback."""
        if phase == "start":
            self._began = time.thread_time()
            return
        took = time.thread_time() - self._began
        self.collected += took
        self.collector = max(self.collector, took)


def watch_the_loop() -> Watch:
    """From now on, each step of this process' event loops (not those written in C) is measured."""
    watch, run = Watch(), events.Handle._run

    def measured(handle: asyncio.Handle) -> None:
        collected, processor, wall = watch.collected, time.thread_time(), time.perf_counter()
        run(handle)
        wall, processor = time.perf_counter() - wall, time.thread_time() - processor - (watch.collected - collected)
        watch.wall = max(watch.wall, wall)
        if processor > watch.processor:
            watch.processor, watch.step = processor, repr(handle)[:300]

    events.Handle._run = measured  # type: ignore[method-assign]
    gc.callbacks.append(watch.collecting)
    return watch


def watched(app: ASGIApp, watch: Watch) -> ASGIApp:
    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == WORST:
            await Response(orjson.dumps(watch.told()), media_type="application/json")(scope, receive, send)
        else:
            await app(scope, receive, send)

    return answer


def main() -> None:
    configure_logging(json=True, level="INFO")
    settings = load_settings()
    watch = watch_the_loop()
    asyncio.run(the_server(watched(create_app(build(settings)), watch), settings).serve())


if __name__ == "__main__":
    main()
