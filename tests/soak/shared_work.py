"""Ten worker processes share what is due, and some of them die: nobody is charged twice, nobody is left out.

The workers are `python cli.py worker`, by the machine's own clock; the subscriptions were bought a month ago. What the
dead held is free for the others within a minute.

    python -m tests.soak.shared_work --workers 10 --subscriptions 1000 --kills 3 --seed 1 --database sqlite
"""

import asyncio
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlmodel import col, select

from billing.invoicing import InvoiceReason
from billing.lifecycle import InvoiceStatus
from clocks import SystemClock
from models.database import Database
from models.invoices import Invoice
from models.payments import Payment
from models.subscriptions import Subscription
from tests.soak.renewals import A_MONTH, subscribe_all
from tests.soak.surroundings import Surroundings, logged_errors, parser, product, surroundings

LONGEST_HELD = 60.0
_PATIENCE_SECONDS = 600.0
_DONE_AT_THE_LAST_KILL = 0.6

Lease = tuple[str, int]
"""A row and its fence."""


@dataclass(frozen=True)
class Shared:
    """What ten workers left behind. `held`: the longest that a lease of the dead kept others away, in seconds."""

    seconds: float
    twice: int
    missed: int
    held: float
    findings: Sequence[str]

    @property
    def is_clean(self) -> bool:
        return (self.twice, self.missed, list(self.findings)) == (0, 0, []) and self.held <= LONGEST_HELD


def share(around: Surroundings, *, workers: int, subscriptions: int, kills: int) -> Shared:
    asyncio.run(subscribe_all(around, subscriptions, at=SystemClock().now() - A_MONTH))
    began = time.monotonic()
    crew = [product(around, "worker") for _ in range(workers)]
    try:
        held = 0.0
        waiting: dict[Lease, float] = {}
        moments = [subscriptions * _DONE_AT_THE_LAST_KILL * (n + 1) / kills for n in range(kills)]
        finished_at = None
        while (renewed := asyncio.run(_renewed(around))) < subscriptions or waiting:
            now = time.monotonic()
            assert now - began < _PATIENCE_SECONDS, f"{renewed} of {subscriptions} renewed, {len(waiting)} rows held"
            if moments and renewed >= moments[0]:
                moments.pop(0)
                _kill(crew.pop(around.dice.randrange(len(crew))))
                waiting |= dict.fromkeys(asyncio.run(_leases(around)), now)
            leases = asyncio.run(_leases(around))
            held = max([held, *(now - since for lease, since in waiting.items() if lease not in leases)])
            waiting = {lease: since for lease, since in waiting.items() if lease in leases}
            finished_at = finished_at or (now if renewed == subscriptions else None)
            time.sleep(0.2)
        seconds = (finished_at or time.monotonic()) - began
    finally:
        for process in crew:
            _end(process)
    return _look(around, subscriptions, seconds, held)


def _kill(process: "subprocess.Popen[Any]") -> None:
    process.kill()
    process.wait()


def _end(process: "subprocess.Popen[Any]") -> None:
    process.terminate()
    process.wait(timeout=40)


async def _renewed(around: Surroundings) -> int:
    return len(await _asked(around, select(Invoice.id).where(*_RENEWED)))


async def _leases(around: Surroundings) -> set[Lease]:
    found = set[Lease]()
    for kind in (Subscription, Payment):
        query = select(kind.id, kind.fence).where(col(kind.leased_until).is_not(None))
        found |= {(id, fence) for id, fence in await _asked(around, query)}
    return found


_RENEWED = (col(Invoice.reason) == InvoiceReason.SUBSCRIPTION_CYCLE, col(Invoice.status) == InvoiceStatus.PAID)


async def _asked(around: Surroundings, query: Any) -> Sequence[Any]:
    database = Database(around.place.url)
    try:
        async with database.read() as session:
            return (await session.exec(query)).all()
    finally:
        await database.close()


def _look(around: Surroundings, subscriptions: int, seconds: float, held: float) -> Shared:
    charged = around.gateway.charges()
    check = product(around, "check")
    told, _ = check.communicate()
    log = around.folder / "product.log"
    return Shared(
        seconds=seconds,
        twice=sum(len(amounts) > 1 for amounts in charged.values()),
        missed=2 * subscriptions - len(charged),
        held=held,
        findings=[*([told] if check.returncode else []), *logged_errors(log)],
    )


def main() -> int:
    asked = parser("shared_work", __doc__, workers=10, subscriptions=1000, kills=3).parse_args()
    began = time.monotonic()
    with surroundings(asked.database, asked.seed) as around:
        found = share(around, workers=asked.workers, subscriptions=asked.subscriptions, kills=asked.kills)
    print(*found.findings, sep="\n", end="\n" * bool(found.findings))
    print(
        f"{asked.database}, seed {asked.seed}: {asked.workers} workers, {asked.kills} of them killed, renewed "
        f"{asked.subscriptions} subscriptions in {found.seconds:.0f} s: {found.twice} charged twice, {found.missed} "
        f"missed, no lease of the dead held longer than {found.held:.0f} s, {len(found.findings)} findings; "
        f"{time.monotonic() - began:.0f} s"
    )
    return 0 if found.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
