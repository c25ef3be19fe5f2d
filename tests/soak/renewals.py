"""A storm over renewals: workers killed again and again while the gateway loses answers and forgets its keys.

The gateway is a process of its own on a database of its own, an independent witness. Whatever happens, in the end each
subscription has been charged once per period, and its books and ours agree to the cent.

    python -m tests.soak.renewals --kills 200 --subscriptions 200 --seed 1 --database sqlite
"""

import argparse
import asyncio
import json
import random
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from sqlmodel import select

from billing.invoicing import InvoiceReason
from billing.lifecycle import InvoiceStatus, SubscriptionStatus
from models.invoices import Invoice
from models.subscriptions import Subscription
from services.app import Actor, ActorKind
from services.cards import attach_payment_method
from services.demo import load_catalog
from services.ordering import SubscribeWish
from services.subscribing import subscribe
from settings import ROOT
from tests.support.databases import apart, migrate, on_server, postgres_server, run
from tests.support.house import House, open_house
from tests.support.kills import EVER, Points, in_child, mortal
from worker import Worker

LOST_SHARE = 0.2
LOST = ("timeout_before", "timeout_after", "reset_after", "error_500_after", "error_500_before", "conflict_409")
LEASE_OVER = timedelta(seconds=60)
_READY_TRIES = 200
_CALM_ROUNDS = 3


@dataclass(frozen=True)
class Storm:
    """What a run is made of; the same values give the same run, the operating system's timing aside."""

    database_url: str
    gateway_url: str
    kills: int
    subscriptions: int
    seed: int


@dataclass(frozen=True)
class Aftermath:
    """What stands when the storm is over."""

    kills: int
    twice: int
    missed: int
    findings: list[str]
    our_books: dict[str, int]
    gateway_books: dict[str, int]

    @property
    def is_clean(self) -> bool:
        return (self.twice, self.missed, self.findings) == (0, 0, []) and self.our_books == self.gateway_books


def ride_out(storm: Storm) -> Aftermath:
    """Subscribe in calm weather, let a month pass, renew in the storm, and look at what stands three minutes later."""
    dice = random.Random(storm.seed)
    asyncio.run(_subscribe_all(storm))
    _break_gateway(storm)
    killed = 0
    for round_ in range(storm.kills):
        killed += in_child(_renewing(storm, round_), dice.randrange(4, 60)) is None
    _mend_gateway(storm)
    for round_ in range(storm.kills, storm.kills + _CALM_ROUNDS):
        in_child(_renewing(storm, round_), EVER)
    return asyncio.run(_look(storm, killed))


def _settings(storm: Storm) -> dict[str, Any]:
    return {"stripe_api_base": storm.gateway_url, "demo": False}


async def _subscribe_all(storm: Storm) -> None:
    async with open_house(storm.database_url, **_settings(storm)) as house:
        await load_catalog(house.app)
        for number in range(storm.subscriptions):
            actor = Actor(ActorKind.CUSTOMER, f"user-{number}")
            card = await attach_payment_method(
                house.app, actor, reference="pm_card_visa", make_default=True, customer_id=None
            )
            wish = SubscribeWish(plan_code="reader-pro", payment_method_id=card.id)
            outcome = await subscribe(house.app, actor, wish)
            assert outcome.subscription is not None
            assert outcome.subscription.status is SubscriptionStatus.ACTIVE


def _renewing(storm: Storm, round_: int) -> Any:
    """A worker's passes a month later, each process a minute after the one that died before it."""

    async def work(points: Points) -> None:
        async with open_house(storm.database_url, **_settings(storm)) as house:
            _a_month_later(house, round_)
            await Worker(mortal(house.app, storm.database_url, points)).once()

    return work


def _a_month_later(house: House, rounds: int) -> None:
    house.pass_time(timedelta(days=28) + LEASE_OVER * rounds)


async def _look(storm: Storm, killed: int) -> Aftermath:
    async with open_house(storm.database_url, **_settings(storm)) as house, house.app.database.read() as session:
        invoices = (await session.exec(select(Invoice))).all()
        subscriptions = (await session.exec(select(Subscription))).all()
        findings = list(await house.audit())
    renewed = Counter(
        invoice.subscription_id
        for invoice in invoices
        if invoice.reason is InvoiceReason.SUBSCRIPTION_CYCLE and invoice.status is InvoiceStatus.PAID
    )
    charged = Counter(charge["metadata"]["perennial_invoice"] for charge in _charges(storm))
    return Aftermath(
        kills=killed,
        twice=sum(count > 1 for count in charged.values()) + sum(count > 1 for count in renewed.values()),
        missed=sum(renewed[row.id] == 0 for row in subscriptions),
        findings=findings,
        our_books={invoice.id: invoice.amount_paid_minor for invoice in invoices if invoice.amount_paid_minor},
        gateway_books={charge["metadata"]["perennial_invoice"]: charge["amount"] for charge in _charges(storm)},
    )


def _charges(storm: Storm) -> list[dict[str, Any]]:
    """Every succeeded charge with its intent's metadata, from the gateway's own books."""
    succeeded: list[dict[str, Any]] = []
    after: dict[str, str] = {}
    while True:
        page = _call(storm, "GET", "/v1/payment_intents?" + urlencode({"limit": "100", **after}))
        succeeded += [
            {"metadata": row["metadata"], "amount": row["amount_received"]}
            for row in page["data"]
            if row["status"] == "succeeded"
        ]
        if not page["has_more"]:
            return succeeded
        after = {"starting_after": page["data"][-1]["id"]}


def _break_gateway(storm: Storm) -> None:
    for place, kind in enumerate(LOST):
        told = {"kind": kind, "rate": LOST_SHARE / len(LOST), "seed": storm.seed + place}
        _call(storm, "POST", "/sandbox/faults", told)
    _call(storm, "POST", "/sandbox/faults", {"kind": "keys_forgotten", "rate": 1.0, "seed": storm.seed})


def _mend_gateway(storm: Storm) -> None:
    _call(storm, "DELETE", "/sandbox/faults")


def _call(storm: Storm, method: str, path: str, told: object = None) -> Any:
    request = urllib.request.Request(  # noqa: S310 (http, our own loopback)
        f"{storm.gateway_url}{path}",
        method=method,
        data=json.dumps(told).encode() if told is not None else None,
        headers={"Authorization": "Bearer sk_test_sandbox", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 (http, our own loopback)
        return json.loads(answer.read() or b"null")


@contextmanager
def gateway_process(folder: Path) -> Iterator[str]:
    """The sandbox as its own process on its own SQLite file; its address."""
    with gateway_at(folder) as (url, _process):
        yield url


@contextmanager
def gateway_at(folder: Path) -> "Iterator[tuple[str, subprocess.Popen[bytes]]]":
    """The same, and the process."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    told = ["--port", str(port), "--database", f"sqlite:///{folder / 'gateway.db'}"]
    process = subprocess.Popen([sys.executable, "-m", "gateways.sandbox", *told], cwd=ROOT)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(url, process)
        yield url, process
    finally:
        process.terminate()
        process.wait(timeout=20)


def _wait_for(url: str, process: "subprocess.Popen[bytes]") -> None:
    import time

    for _ in range(_READY_TRIES):
        assert process.poll() is None, "the gateway ended"
        try:
            urllib.request.urlopen(f"{url}/v1/customers", timeout=1)  # noqa: S310 (http, our own loopback)
        except urllib.error.HTTPError:
            return  # it answers: 401 without a key
        except OSError:
            time.sleep(0.05)
    raise AssertionError("the gateway does not answer")


@contextmanager
def database(engine: str, folder: Path) -> Iterator[str]:
    """A migrated database of the storm's own."""
    if engine == "sqlite":
        url = f"sqlite:///{folder / 'storm.db'}"
        apart(lambda: migrate(url))
        yield url
        return
    with postgres_server() as server:
        asyncio.run(run(server, 'CREATE DATABASE "storm"'))
        url = on_server(server, "storm")
        apart(lambda: migrate(url))
        yield url


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.renewals", description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--subscriptions", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    asked = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="perennial-soak-")))
        storm = Storm(
            stack.enter_context(database(asked.database, folder)),
            stack.enter_context(gateway_process(folder)),
            asked.kills,
            asked.subscriptions,
            asked.seed,
        )
        after = ride_out(storm)
    paid = sum(after.our_books.values())
    sys.stdout.write(
        f"{asked.database}, seed {asked.seed}: {after.kills} kills over {asked.subscriptions} renewals, "
        f"{LOST_SHARE:.0%} of answers lost, keys forgotten: {after.twice} charged twice, {after.missed} missed, "
        f"books of {paid} minor units {'agree' if after.our_books == after.gateway_books else 'DIFFER'}, "
        f"{len(after.findings)} findings\n"
    )
    return 0 if after.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
