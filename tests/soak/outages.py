"""The gateway hangs in the middle of a renewals run, and comes back.

It is a process of its own that is stopped (SIGSTOP: connections are taken, nothing is ever answered) and let go on.
Meanwhile clients read and write over HTTP. Afterwards whatever was unknown has to become known, and its books and ours
agree.

    python -m tests.soak.outages --seconds 60 --subscriptions 40 --database sqlite
"""

import argparse
import asyncio
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from time import perf_counter
from typing import Any

from sqlmodel import col, select

from billing.lifecycle import AttemptOutcome, PaymentStatus
from models.payments import ChargeAttempt, Payment
from services.app import Actor, ActorKind
from services.demo import load_catalog
from services.subscriptions.ordering import SubscribeWish
from services.subscriptions.subscribing import subscribe
from services.wallet.cards import attach_payment_method
from tests.soak.surroundings import database, gateway_process
from tests.support.house import House, open_house
from worker import Worker

_READ = "{ mySubscription { status } }"
_WRITE = "mutation { createSetupIntent(input: {}) { setupIntent { id } userErrors { code } } }"
_READ_EVERY, _WRITE_EVERY = 0.2, 2.0
_KNOWN_WITHIN = 60.0
_LOOKS, _LOOK_EVERY = 1200, 0.1


@dataclass(frozen=True)
class Outage:
    """`gateway` is the process that is stopped for so many seconds while so many renewals are due."""

    database_url: str
    gateway_url: str
    gateway: "subprocess.Popen[bytes]"
    seconds: float
    subscriptions: int


@dataclass(frozen=True)
class Figures:
    """What was seen: answers' times in seconds, and what writes were told during the outage."""

    calm_reads: list[float]
    reads: list[float]
    writes: list[float]
    told: Mapping[str, int]
    unknown: int
    known_after: float
    all_paid_after: float
    failed: int
    findings: list[str]

    @property
    def is_kept(self) -> bool:
        """Writes end within their 8 s, all is known within 60 s, nothing that was paid failed, and the books agree."""
        in_time = max(self.writes) < 8.5 and self.known_after <= _KNOWN_WITHIN
        retryable = set(self.told) <= {"GATEWAY_UNAVAILABLE", "PAYMENT_OUTCOME_UNKNOWN"}
        return in_time and retryable and not self.failed and not self.findings


async def sit_out(outage: Outage) -> Figures:
    """Subscribe, let a month pass, stop the gateway while renewals go on, and wait until all is known and paid."""
    async with open_house(outage.database_url, stripe_api_base=outage.gateway_url, demo=False) as house:
        await _subscribe_all(house, outage.subscriptions)
        house.pass_time(timedelta(days=28))
        async with _in_real_time(house), _at_work(house):
            calm = [await _timed(house, _READ) for _ in range(20)]
            outage.gateway.send_signal(signal.SIGSTOP)
            try:
                reads, writes, told = await _meanwhile(house, outage.seconds)
                unknown = await _count(house, PaymentStatus.UNKNOWN)
            finally:
                outage.gateway.send_signal(signal.SIGCONT)
            back = perf_counter()
            await _until(house, PaymentStatus.UNKNOWN, 0)
            known_after = perf_counter() - back
            await _until(house, PaymentStatus.SUCCEEDED, 2 * outage.subscriptions)
            paid_after = perf_counter() - back
        failed = await _failed(house)
        return Figures(
            [each for each, _ in calm],
            reads,
            writes,
            told,
            unknown,
            known_after,
            paid_after,
            failed,
            [*await house.audit()],
        )


async def _subscribe_all(house: House, number: int) -> None:
    await load_catalog(house.app)
    for each in range(number):
        actor = Actor(ActorKind.CUSTOMER, f"user-{each}")
        card = await attach_payment_method(
            house.app, actor, reference="pm_card_visa", make_default=True, customer_id=None
        )
        await subscribe(house.app, actor, SubscribeWish(plan_code="reader-pro", payment_method_id=card.id))


async def _meanwhile(house: House, seconds: float) -> tuple[list[float], list[float], Counter[str]]:
    """What readers and writers meet until so many seconds are over."""
    reads: list[float] = []
    writes: list[tuple[float, Any]] = []
    until = perf_counter() + seconds

    async def read() -> None:
        while perf_counter() < until:
            reads.append((await _timed(house, _READ))[0])
            await asyncio.sleep(_READ_EVERY)

    async def write() -> None:
        while perf_counter() < until:
            writes.append(await _timed(house, _WRITE))
            await asyncio.sleep(_WRITE_EVERY)

    await asyncio.gather(read(), write())
    told = Counter(error["code"] for _, data in writes for error in data["createSetupIntent"]["userErrors"])
    assert sum(told.values()) == len(writes), "a write was carried out by a gateway that stands still"
    return reads, [each for each, _ in writes], told


async def _timed(house: House, query: str) -> tuple[float, dict[str, Any]]:
    began = perf_counter()
    data = await house.ask(query, user="user-0")
    return perf_counter() - began, data


@asynccontextmanager
async def _in_real_time(house: House) -> AsyncIterator[None]:
    """Both clocks go on as the real one does."""

    async def tick() -> None:
        seen = perf_counter()
        while True:
            await asyncio.sleep(0.02)
            now = perf_counter()
            house.pass_time(timedelta(seconds=now - seen))
            seen = now

    ticking = asyncio.create_task(tick())
    try:
        yield
    finally:
        ticking.cancel()


@asynccontextmanager
async def _at_work(house: House) -> AsyncIterator[None]:
    stop = asyncio.Event()
    working = asyncio.create_task(Worker(house.app).run(stop))
    try:
        yield
    finally:
        stop.set()
        await working


async def _count(house: House, status: PaymentStatus) -> int:
    async with house.app.database.read() as session:
        return len((await session.exec(select(Payment.id).where(col(Payment.status) == status))).all())


async def _until(house: House, status: PaymentStatus, number: int) -> None:
    for _ in range(_LOOKS):
        if await _count(house, status) == number:
            return
        await asyncio.sleep(_LOOK_EVERY)
    raise AssertionError(f"there are {await _count(house, status)} payments {status}, not {number}")


async def _failed(house: House) -> int:
    """Attempts that count as declined: every card here pays, so there must be none."""
    async with house.app.database.read() as session:
        query = select(ChargeAttempt.id).where(col(ChargeAttempt.outcome) == AttemptOutcome.DECLINED)
        return len((await session.exec(query)).all())


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


def _share(times: list[float], share: float) -> float:
    return sorted(times)[min(len(times) - 1, int(len(times) * share))]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.outages", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--subscriptions", type=int, default=40)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    asked = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="perennial-soak-")))
        database_url = stack.enter_context(database(asked.database, folder)).url
        gateway = stack.enter_context(gateway_process(folder))
        seen = asyncio.run(
            sit_out(Outage(database_url, gateway.url, gateway.process, asked.seconds, asked.subscriptions))
        )
    sys.stdout.write(
        f"{asked.database}: the gateway hangs for {asked.seconds:.0f} s with {asked.subscriptions} renewals due: "
        f"{len(seen.reads)} reads, half within {_ms(_share(seen.reads, 0.5))} "
        f"(before: {_ms(_share(seen.calm_reads, 0.5))}), 99 % within {_ms(_share(seen.reads, 0.99))}; "
        f"{len(seen.writes)} writes, half within {_ms(_share(seen.writes, 0.5))}, the slowest {_ms(max(seen.writes))}, "
        f"told {dict(seen.told)}; {seen.unknown} payments unknown, known {seen.known_after:.1f} s after its return, "
        f"all paid after {seen.all_paid_after:.1f} s, {seen.failed} marked failed, {len(seen.findings)} findings\n"
    )
    return 0 if seen.is_kept else 1


if __name__ == "__main__":
    sys.exit(main())
