"""A year of data is migrated under load, old and new code side by side (promise R6).

The code of before the migration 0017, from this repository's own history, makes a year of lives, then serves and works
under load. Meanwhile the present code migrates and starts beside it; both serve; the old one is taken out and ends. No
client may hear of it, nobody is charged twice or not at all, and `cli.py check` ends it.

    python -m tests.soak.upgrades --database postgresql --subscriptions 40
"""

import argparse
import asyncio
import io
import itertools
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import asyncpg
from sqlmodel import col, func, select

from billing.lifecycle import InvoiceStatus, SubscriptionStatus
from clocks import SystemClock
from models.database import Database
from models.inbox import GatewayEvent
from models.invoices import Invoice
from models.subscriptions import Subscription
from settings import ROOT, SANDBOX_WEBHOOK_SECRET
from tests.soak.restarts import Seen, Shop
from tests.support.databases import place_of
from tests.support.processes import environment, free_port, started

FIRST_NEW = "0017"
_A_RENEWAL_OF_THE_PAST_SECONDS = 0.3
_READER_SECONDS = 5.0
_SHELF = """{ subscriptions { nodes { status invoices(first: 13) { nodes { status total { amountMinor } } }
  items { quantity } } } }"""
_PROFILE = """mutation { updateProfile(input: {name: "Ann Example"}) { customer { id } userErrors { code } } }"""
_CLIENTS = 4
_WEBHOOK_SECONDS = 0.2


@dataclass
class Upgrade:
    """What came of it."""

    seen: Seen = field(default_factory=Seen)
    answered: Counter[str] = field(default_factory=Counter)
    heard: dict[str, Counter[str]] = field(default_factory=dict)
    migrated_seconds: float = 0.0
    shoppers: Counter[str] = field(default_factory=Counter)
    renewed: int = 0
    charged_twice: int = 0
    missed: int = 0
    lost_webhooks: int = 0
    faults: list[str] = field(default_factory=list)
    findings: str = ""

    @property
    def is_clean(self) -> bool:
        faults = self.seen.answers.total() + self.seen.refused.total() + len(self.faults)
        return not (faults or self.charged_twice or self.missed or self.lost_webhooks or self.findings) and set(
            self.shoppers
        ) == {"ACTIVE"}


def code_before(revision: str, folder: Path) -> Path:
    """A tree of the last code that knew nothing of the migration. LookupError where the history does not tell."""
    added = _git("log", "--diff-filter=A", "--format=%H", "--", f"migrations/versions/{revision}_*").decode().split()
    if not added:
        raise LookupError(f"No history tells of the code before {revision}: this needs a clone that is not shallow.")
    tree = folder / "old"
    with tarfile.open(fileobj=io.BytesIO(_git("archive", f"{added[-1]}^"))) as archive:
        archive.extractall(tree, filter="data")
    return tree


def _git(*command: str) -> bytes:
    try:
        return subprocess.run(["git", "-C", str(ROOT), *command], capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return b""


class Crowd:
    """Clients of whichever servers are in turn, as behind a load balancer."""

    def __init__(self, members: int, outcome: Upgrade) -> None:
        self.shop = Shop(outcome.seen)
        self._members = members
        self._outcome = outcome
        self._is_over = asyncio.Event()

    def go_home(self) -> None:
        self._is_over.set()

    async def come(self) -> None:
        await asyncio.gather(self._webhooks(), self._shoppers(), *(self._looks(number) for number in range(_CLIENTS)))

    async def _looks(self, number: int) -> None:
        for turn in itertools.count(number, _CLIENTS):
            if self._is_over.is_set():
                return
            user = f"user-{turn % self._members}"
            await self.shop.ask(user, _SHELF if turn % 3 else _PROFILE, {})
            self._outcome.answered["asked"] += 1
            await asyncio.sleep(0.1)

    async def _shoppers(self) -> None:
        for number in itertools.count():
            if self._is_over.is_set():
                return
            states = await self.shop.shopper(f"new-{number}")
            self._outcome.shoppers[", ".join(states)] += 1
            await asyncio.sleep(0.3)

    async def _webhooks(self) -> None:
        for number in itertools.count():
            if self._is_over.is_set():
                return
            await self.shop.webhook(number)
            await asyncio.sleep(_WEBHOOK_SECONDS)


@dataclass(frozen=True)
class Stage:
    """Where it is played."""

    database_url: str
    folder: Path
    old: Path
    settings: Mapping[str, str]

    def of(self, tree: Path) -> dict[str, str]:
        return {**self.settings, "PYTHONPATH": str(tree)}

    def ask(self, tree: Path, command: list[str]) -> str:
        """What it said when it failed."""
        done = subprocess.run(
            [sys.executable, *command],
            cwd=tree, env=environment(**self.of(tree)), capture_output=True, text=True, timeout=900, check=False,
        )  # fmt: skip
        return "" if done.returncode == 0 else done.stdout + done.stderr

    @contextmanager
    def processes(self, tree: Path, port: int) -> Iterator[list[Path]]:
        """A server and a worker of that code, ready: their logs."""
        ports = {"serve": port, "worker": free_port()}
        with ExitStack() as stack:
            both = [
                stack.enter_context(
                    started(
                        [str(tree / "cli.py"), command],
                        f"http://127.0.0.1:{each}/health/ready",
                        self.folder,
                        self.of(tree) | {"PERENNIAL_PORT": str(port), "PERENNIAL_WORKER_PORT": str(ports["worker"])},
                    )
                )
                for command, each in ports.items()
            ]
            for each in both:
                each.wait()
            yield [each.log for each in both]


async def upgrade_under_load(stage: Stage, ports: tuple[int, int], members: int, seconds: float) -> Upgrade:
    """Four quarters: the old code alone; on the new schema; beside the new code; the new code alone."""
    outcome = Upgrade()
    crowd = Crowd(members, outcome)
    old, new = (f"http://127.0.0.1:{port}" for port in ports)
    logs: list[Path] = []

    async def lasts(name: str) -> None:
        before = outcome.seen.answers.copy()
        await asyncio.sleep(seconds / 4)
        outcome.heard[name] = outcome.seen.answers - before

    with ExitStack() as old_code, ExitStack() as new_code:
        logs += await _enter(old_code, stage.processes(stage.old, ports[0]))
        crowd.shop.serve_by(old)
        coming = asyncio.create_task(crowd.come())
        await lasts("old")
        outcome.migrated_seconds = await _migrate(stage)
        await lasts("old, migrated")
        logs += await _enter(new_code, stage.processes(ROOT, ports[1]))
        crowd.shop.serve_by(old, new)
        await lasts("both")
        crowd.shop.serve_by(new)
        await asyncio.sleep(2)  # who was let in is answered
        await asyncio.to_thread(old_code.close)
        await lasts("new")
        crowd.go_home()
        await coming
        await crowd.shop.close()
    outcome.faults = [
        line
        for log in logs
        for line in log.read_text().splitlines()
        if "resolver failed" in line
        or "resolver timed out" in line
        or '"level":"error"' in line
        or line.startswith("Traceback")
    ]
    return outcome


async def _enter(stack: ExitStack, processes: AbstractContextManager[list[Path]]) -> list[Path]:
    return await asyncio.to_thread(stack.enter_context, processes)


async def _migrate(stage: Stage) -> float:
    """While somebody reads for as long as a report takes."""
    reader = None
    if stage.database_url.startswith("postgresql"):
        reader = await asyncpg.connect(stage.database_url)
        await reader.execute("BEGIN; SELECT count(*) FROM subscriptions, payments")
    began = time.monotonic()
    migrating = asyncio.create_task(asyncio.to_thread(stage.ask, ROOT, ["cli.py", "migrate"]))
    if reader is not None:
        await asyncio.sleep(_READER_SECONDS)
        await reader.close()
    failure = await migrating
    assert not failure, failure
    return time.monotonic() - began


async def look(stage: Stage, outcome: Upgrade, due: datetime) -> None:
    """The books in the end; `due` is when the first of the year's subscriptions was to be renewed."""
    books = Database(stage.database_url)
    now = SystemClock().now()
    try:
        async with books.read() as session:
            rows = (await session.exec(select(Subscription).where(col(Subscription.period_start) < due))).all()
            paid = select(Invoice).where(
                col(Invoice.period_start) >= due - timedelta(seconds=1), Invoice.status == InvoiceStatus.PAID
            )
            renewals = Counter(each.subscription_id for each in (await session.exec(paid)).all())
            stored = set((await session.exec(select(GatewayEvent.gateway_ref))).all())
            total = (await session.exec(select(func.count()).select_from(Subscription))).one()
    finally:
        await books.close()
    outcome.missed = sum(each.status is SubscriptionStatus.ACTIVE and each.period_end < now for each in rows)
    outcome.renewed = renewals.total() - outcome.shoppers.total()
    outcome.charged_twice = sum(count > 1 for count in renewals.values())
    outcome.lost_webhooks = len(outcome.seen.kept - stored)
    assert total >= outcome.shoppers.total()


@contextmanager
def gateway(folder: Path, port: int, *more: str) -> Iterator[None]:
    command = ["-m", "gateways.sandbox", "--port", str(port), "--database", f"sqlite:///{folder / 'gateway.db'}"]
    with started([*command, *more], f"http://127.0.0.1:{port}/v1/customers", folder, {}) as process:
        process.wait()
        yield


def play(stage: Stage, *, subscriptions: int, seconds: float, gateway_port: int) -> Upgrade:
    """The year, then the upgrade."""
    due = SystemClock().now() + timedelta(seconds=subscriptions * 12 * _A_RENEWAL_OF_THE_PAST_SECONDS)
    shutil.copy(ROOT / "tests" / "soak" / "past.py", stage.old / "tests" / "soak" / "past.py")
    living = ["-m", "tests.soak.past", "--database", stage.database_url, "--subscriptions", str(subscriptions)]
    living += ["--gateway", stage.settings["PERENNIAL_STRIPE_API_BASE"]]
    living += ["--until", str(due.timestamp()), "--due-within", str(seconds)]
    with gateway(stage.folder, gateway_port):
        for command in (["cli.py", "migrate"], living):
            failure = stage.ask(stage.old, command)
            assert not failure, failure[-3000:]
    time.sleep(max(0.0, (due - SystemClock().now()).total_seconds()))
    ports = (free_port(), free_port())
    with gateway(stage.folder, gateway_port, "--webhook-url", f"http://127.0.0.1:{ports[0]}/webhooks/stripe"):
        outcome = asyncio.run(upgrade_under_load(stage, ports, subscriptions, seconds))
        failure = stage.ask(ROOT, ["cli.py", "worker", "--once"])
        assert not failure, failure
        outcome.findings = stage.ask(ROOT, ["cli.py", "check"])
    asyncio.run(look(stage, outcome, due))
    return outcome


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.upgrades", description=__doc__)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--subscriptions", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=60)
    asked = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="perennial-soak-")))
        try:
            old = code_before(FIRST_NEW, folder)
        except LookupError as problem:
            sys.stdout.write(f"{problem}\n")
            return 2
        url, gateway_port = stack.enter_context(place_of(asked.database, folder)).url, free_port()
        settings = {
            "PERENNIAL_DATABASE_URL": url,
            "PERENNIAL_STRIPE_API_BASE": f"http://127.0.0.1:{gateway_port}",
            "PERENNIAL_STRIPE_WEBHOOK_SECRET": SANDBOX_WEBHOOK_SECRET,
            "PERENNIAL_WORKER": "off",
        }
        stage = Stage(url, folder, old, settings)
        outcome = play(stage, subscriptions=asked.subscriptions, seconds=asked.seconds, gateway_port=gateway_port)
    sys.stdout.write(
        f"{asked.database}: a year of {asked.subscriptions} subscriptions migrated in {outcome.migrated_seconds:.1f} s "
        f"between code before {FIRST_NEW} and this: {outcome.answered['asked']} requests answered, "
        f"{dict(outcome.shoppers)} shoppers, {len(outcome.seen.kept)} webhooks kept, {outcome.lost_webhooks} lost; "
        f"errors heard {dict(outcome.seen.answers)} {dict(outcome.seen.refused)}, logged {len(outcome.faults)}; "
        f"{outcome.renewed} renewals, {outcome.charged_twice} charged twice, {outcome.missed} missed; "
        f"{outcome.findings or 'books agree'}\n"
    )
    if outcome.seen.answers:
        sys.stderr.write(f"heard in {outcome.heard}\n")
    sys.stderr.writelines(f"{fault}\n" for fault in outcome.faults[:20])
    return 0 if outcome.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
