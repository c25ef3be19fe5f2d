"""The end of a server, so that no request which had begun is lost.

Owns: what happens to the port and to open connections between SIGTERM and the end. Does not own: live updates, which
the application ends (schema), the rest of the web server's settings (serving).
May import: the web server and how it takes connections (connecting).
"""

import asyncio
import multiprocessing
import os
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from connecting import BoundedRequests

IDLE_SECONDS = 1.0
_CLOSE = (b"connection", b"close")
_QUEUE_AT = 24  # in the kernel's tcp_info of a listening socket: how many connections wait to be accepted
_QUEUE_TRIES = 100
_told_early = threading.Event()


class LastRequests(BoundedRequests):
    """A connection of a server that ends takes one more request, and its answer says that it is the last.

    One that is idle is left open for a moment: its client may just be writing, and would see its request reset.
    """

    _ending = False

    def shutdown(self) -> None:
        self._ending = True
        if self._is_idle():
            self.loop.call_later(IDLE_SECONDS, self._close_if_idle)
        else:
            self._is_the_last()

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        if self._ending and not self._is_idle():
            self._is_the_last()

    def _is_the_last(self) -> None:
        self.cycle.keep_alive = False
        self.cycle.scope["headers"] = [*self.cycle.scope["headers"], _CLOSE]  # by which the answer says so, too

    def _close_if_idle(self) -> None:
        if self._is_idle() and not self.transport.is_closing():
            self.transport.close()


class Server(uvicorn.Server):
    """One process on a port of its own."""

    async def main_loop(self) -> None:
        """Whoever was told to end before the web server listened to signals ends now."""
        self.should_exit = self.should_exit or _told_early.is_set()
        await super().main_loop()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Whoever has connected is let in before the port is closed."""
        for _ in range(_QUEUE_TRIES):
            if not any(_waiting(each.fileno()) for server in self.servers for each in server.sockets):
                break
            await asyncio.sleep(0)
        for server in self.servers:
            server.close()
        await asyncio.sleep(0.05)  # those just let in become connections
        await super().shutdown(sockets)


class Processes(Multiprocess):
    """Several that share a port. It is closed for all of them here: what still waited at one that each closes for
    itself would be reset when the last is gone. `when_gone` hears the number of each that was replaced."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket], when_gone: Callable[[int], None]) -> None:
        super().__init__(config, sockets)
        self._when_gone = when_gone
        self._known = set[int]()

    def run(self) -> None:
        """Where one cannot even start, so could none, and that is a failure of all."""
        super().run()
        if any(each.exitcode == STARTUP_FAILURE for each in self.processes):
            sys.exit(STARTUP_FAILURE)

    def keep_subprocess_alive(self) -> None:
        before = self._known | self._numbers()
        super().keep_subprocess_alive()
        self._known = self._numbers()
        for number in before - self._known:
            self._when_gone(number)

    def _numbers(self) -> set[int]:
        return {each.pid for each in self.processes if each.pid is not None}

    def terminate_all(self) -> None:
        for each in self.sockets:
            for _ in range(_QUEUE_TRIES):
                if not _waiting(each.fileno()):
                    break
                time.sleep(0.001)
            with suppress(OSError):  # none of them listens yet
                each.shutdown(socket.SHUT_RDWR)
        super().terminate_all()


@contextmanager
def told_at_the_signal(tell: Callable[[], None]) -> Iterator[None]:
    """`tell` is called in the loop as soon as the process is to end, beside what the web server does then."""
    loop = asyncio.get_running_loop()

    def also(of: Callable[[int, FrameType | None], object]) -> Callable[[int, FrameType | None], None]:
        def handle(number: int, frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(tell)
            of(number, frame)

        return handle

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    served = {number: handler for number, handler in before.items() if callable(handler)}
    try:
        for number, handler in served.items():
            signal.signal(number, also(handler))
    except ValueError:  # not the main thread: nobody sends signals here
        served = {}
    try:
        yield
    finally:
        for number, handler in served.items():
            signal.signal(number, handler)


def ends_well() -> None:
    """To be ended by SIGTERM is no failure: the web server raises the signal again when it is done."""
    signal.signal(signal.SIGTERM, lambda _number, _frame: _told_early.set())


def ends_with_its_parent() -> None:
    """A parent that is killed tells nobody, and what it leaves would hold the port: nobody could start another."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def end_after_it() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=end_after_it, daemon=True).start()


def _waiting(listening: int) -> int:
    """How many have connected and are not accepted; 0 where the kernel does not tell."""
    if not hasattr(socket, "TCP_INFO"):
        return 0
    with socket.socket(fileno=os.dup(listening)) as seen:
        told = seen.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _QUEUE_AT + 4)
    return struct.unpack_from("I", told, _QUEUE_AT)[0]
