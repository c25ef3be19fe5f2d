"""What a long run stands on: a database of its own, and the gateway as a process of its own with books of its own."""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping, Set
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from gateways.sandbox import Fault
from logs import configure_logging
from settings import ROOT, SANDBOX_SECRET_KEY
from tests.support.databases import Place, apart, migrate, place_of
from tests.support.house import ENTITLEMENT_KEY
from tests.support.processes import environment, free_port, started

LOST_SHARE = 0.2
LOST = (
    Fault.TIMEOUT_BEFORE,
    Fault.TIMEOUT_AFTER,
    Fault.RESET_AFTER,
    Fault.ERROR_500_AFTER,
    Fault.ERROR_500_BEFORE,
    Fault.CONFLICT_409,
)

UNMETERED = {"rate_caller_per_minute": 0, "rate_address_per_minute": 0, "rate_failures_per_minute": 0}
"""Settings of a house that is asked more than anybody may: what the door turns away would try nothing behind it."""


def parser(module: str, says: str | None, **size: int) -> argparse.ArgumentParser:
    """The arguments that each run takes, and those of its size with what they are unless given. From here on only
    warnings are logged."""
    configure_logging(level="WARNING")
    made = argparse.ArgumentParser(prog=f"python -m tests.soak.{module}", description=says)
    made.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    for name, default in size.items():
        made.add_argument(f"--{name}", type=int, default=default)
    made.add_argument("--seed", type=int, default=1)
    return made


@contextmanager
def database(engine: str, folder: Path) -> Iterator[Place]:
    """A migrated one."""
    with place_of(engine, folder) as place:
        apart(lambda: migrate(place.url))
        yield place


@dataclass(frozen=True)
class Gateway:
    """The sandbox at its address: what it is told to do wrong, and what its books hold in the end."""

    url: str
    process: "subprocess.Popen[bytes]"

    def lose_answers(self, seed: int) -> None:
        """A share of all answers is lost or broken, each way as often as the others."""
        for place, kind in enumerate(LOST):
            self.arm(kind, rate=LOST_SHARE / len(LOST), seed=seed + place)

    def forget_keys(self) -> None:
        """Each idempotency key is met as if it had never been seen."""
        self.arm(Fault.KEYS_FORGOTTEN, rate=1.0)

    def arm(self, kind: Fault, **told: Any) -> None:
        self._call("POST", "/sandbox/faults", {"kind": kind.value, **told})

    def mend(self) -> None:
        self._call("DELETE", "/sandbox/faults")

    def charges(self, *, but: Set[str] = frozenset()) -> Mapping[str, list[int]]:
        """The amounts of the succeeded charges by our invoices, those of some intents left out."""
        invoices = {row["id"]: row["metadata"]["perennial_invoice"] for row in self.listed("payment_intents")}
        found: dict[str, list[int]] = {}
        for row in self.listed("charges"):
            if row["status"] == "succeeded" and row["payment_intent"] not in but:
                found.setdefault(invoices[row["payment_intent"]], []).append(row["amount"])
        return found

    def refunds(self) -> Counter[str]:
        """What has been given back, by the gateway's intents."""
        found: Counter[str] = Counter()
        for row in self.listed("refunds"):
            if row["status"] == "succeeded":
                found[row["payment_intent"]] += row["amount"]
        return found

    def listed(self, kind: str) -> list[dict[str, Any]]:
        """Every object of a kind, the newest first."""
        rows: list[dict[str, Any]] = []
        after: dict[str, str] = {}
        while True:
            page = self._call("GET", f"/v1/{kind}?" + urlencode({"limit": "100", **after}))
            rows += page["data"]
            if not page["has_more"]:
                return rows
            after = {"starting_after": rows[-1]["id"]}

    def _call(self, method: str, path: str, told: object = None) -> Any:
        request = urllib.request.Request(  # noqa: S310 (http, our own loopback)
            f"{self.url}{path}",
            method=method,
            data=json.dumps(told).encode() if told is not None else None,
            headers={"Authorization": f"Bearer {SANDBOX_SECRET_KEY}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 (http, our own loopback)
            return json.loads(answer.read() or b"null")


@contextmanager
def gateway_process(folder: Path) -> Iterator[Gateway]:
    """The sandbox as its own process on its own SQLite file."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    told = ["--port", str(port), "--database", f"sqlite:///{folder / 'gateway.db'}"]
    with started(["-m", "gateways.sandbox", *told], f"{url}/v1/customers", folder, {}) as it:
        it.wait()
        yield Gateway(url, it.process)


def product(around: "Surroundings", *command: str, **settings: Any) -> "subprocess.Popen[str]":
    """`python cli.py …` as an operator runs it, on the run's database and gateway."""
    told = {
        "database_url": around.place.url,
        "stripe_api_base": around.gateway.url,
        "entitlement_key": ENTITLEMENT_KEY,
        "reconcile_minutes": 0,
        **settings,
    }
    return subprocess.Popen(
        [sys.executable, "cli.py", *command],
        cwd=ROOT,
        env=environment(**{f"PERENNIAL_{name.upper()}": str(value) for name, value in told.items()}),
        stdout=subprocess.PIPE,
        stderr=(around.folder / "product.log").open("a"),
        text=True,
    )


@dataclass(frozen=True)
class Surroundings:
    """All that a run needs. `dice` is its own chance, by its seed."""

    place: Place
    gateway: Gateway
    dice: random.Random
    folder: Path


def logged_errors(*logs: Path) -> list[str]:
    """What processes logged as an error: steps outlive one row's trouble by telling the log of it."""
    lines = [line for log in logs if log.exists() for line in log.read_text().splitlines() if line.startswith("{")]
    return [line for line in lines if json.loads(line).get("level") in ("error", "critical")]


@contextmanager
def surroundings(engine: str, seed: int, folder: Path | None = None) -> Iterator[Surroundings]:
    with ExitStack() as stack:
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="perennial-soak-")))
        place = stack.enter_context(database(engine, folder))
        yield Surroundings(place, stack.enter_context(gateway_process(folder)), random.Random(seed), folder)
