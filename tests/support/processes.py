"""The product as its users start it: a process of its own on a free port of this machine, with data of its own."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from settings import ROOT

_READY_SECONDS = 60.0  # several processes on a machine that has more to do
_END_SECONDS = 60.0

# Below those that the system gives to connections and to whoever asks it for a port: it would give one of these away
# again before its server has started. Each process of a parallel run begins elsewhere.
_PORTS = range(20_000, 32_000)
_turns = count(os.getpid() * 101)


def free_port() -> int:
    """A port for a server to start at, another one each time."""
    while True:
        port = _PORTS[next(_turns) % len(_PORTS)]
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def environment(**given: str) -> dict[str, str]:
    """This process' environment without the settings that a developer may have made."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PERENNIAL_")}
    return {**inherited, "PYTHONPATH": str(ROOT), **given}


@dataclass(frozen=True)
class Started:
    """A process of the product's; `ready` is the address that answers once it is."""

    process: subprocess.Popen[bytes]
    ready: str
    log: Path

    def wait(self) -> None:
        """Until it is ready. AssertionError with its log when it never is."""
        _wait_until(self.ready, self.process, self.log)


@contextmanager
def started(command: Sequence[str], ready: str, folder: Path, settings: Mapping[str, str]) -> Iterator[Started]:
    """The command in `folder` (without a .env file), ended politely unless it has ended before."""
    log = folder / f"{free_port()}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, *command], cwd=folder, env=environment(**settings), stdout=out, stderr=subprocess.STDOUT
        )
        try:
            yield Started(process, ready, log)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=_END_SECONDS)
            finally:
                process.kill()  # nothing to a process that has ended
                process.wait()


@contextmanager
def running(command: Sequence[str], ready: str, folder: Path, settings: Mapping[str, str]) -> Iterator[Path]:
    """The same once the address `ready` answers: its log."""
    with started(command, ready, folder, settings) as it:
        it.wait()
        yield it.log


def _wait_until(ready: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(ready, timeout=5):  # noqa: S310 (our own address)
                return
        except urllib.error.HTTPError as answer:
            answer.close()
            if answer.code < 500:
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"{ready} does not answer:\n{log.read_text()}")


@contextmanager
def perennial(folder: Path, **settings: str) -> Iterator[str]:
    """What `make run` starts: the server's address."""
    settings = {
        "PERENNIAL_PORT": str(free_port()),
        "PERENNIAL_DATABASE_URL": f"sqlite:///{folder / 'perennial.db'}",
        **settings,
    }
    address = f"http://127.0.0.1:{settings['PERENNIAL_PORT']}"
    with running([str(ROOT / "cli.py"), "serve", "--prepare"], f"{address}/health/ready", folder, settings):
        yield address


@contextmanager
def stripe_stand_in(folder: Path, webhooks: str) -> Iterator[str]:
    """The sandbox as a process of its own, its webhooks going to `webhooks`: its address."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command = ["-m", "gateways.sandbox", "--port", str(port), "--database", f"sqlite:///{folder / 'stripe.db'}"]
    with running([*command, "--webhook-url", webhooks], f"{address}/v1/customers", folder, {}):
        yield address
