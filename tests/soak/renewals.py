"""A storm over renewals: two workers killed again and again while the gateway loses answers and may forget its keys.

The gateway is a process of its own on a database of its own, an independent witness. Whenever everything is renewed
and kills are left, another month passes. Whatever happens, our books hold after each kill, and in the end each
subscription has been charged once per period and both sides' books agree to the cent.

    python -m tests.soak.renewals --kills 200 --subscriptions 200 --seed 1 --database sqlite --forget-keys
"""

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlmodel import col, func, select

from billing.invoicing import InvoiceReason
from billing.lifecycle import InvoiceStatus
from clocks import ManualClock
from models.database import Database
from models.invoices import Invoice
from models.payments import Payment
from models.subscriptions import Subscription
from services.books.audit import audit
from services.books.own_books import audit_own_books
from services.demo import load_catalog
from tests.scenarios.shopping import Shopper
from tests.soak.crew import Mortal, SharedClock, Site
from tests.soak.surroundings import LOST_SHARE, Surroundings, logged_errors, parser, surroundings
from tests.support.house import START, open_house

WORKERS = 2
A_MONTH = timedelta(days=31)
"""From 31 January on each such step passes exactly one renewal."""

_LONGEST_LIFE = 0.5
_MOST_BETWEEN_KILLS = 20
"""How far time leaps after a kill, in seconds: some leases outlive several, some are lost by those who still live."""
_PATIENCE = timedelta(minutes=15)


@dataclass(frozen=True)
class Storm:
    """What a run is made of; the same values give the same run, the operating system's timing aside."""

    around: Surroundings
    kills: int
    subscriptions: int
    forgets_keys: bool


@dataclass(frozen=True)
class Aftermath:
    """What stands when the storm is over. `late`: how long after it the last renewal was paid, by the clock."""

    kills: int
    renewals: int
    twice: int
    missed: int
    late: timedelta
    findings: Sequence[str]
    paid: int
    books_agree: bool

    @property
    def is_clean(self) -> bool:
        return (self.twice, self.missed, self.findings, self.books_agree) == (0, 0, [], True)


def ride_out(storm: Storm) -> Aftermath:
    """Subscribe in calm weather, renew in the storm, and look at what stands after it."""
    around = storm.around
    asyncio.run(subscribe_all(around, storm.subscriptions))
    site = Site(around.place, around.gateway, SharedClock(START), around.folder / "workers.log")
    around.gateway.lose_answers(around.dice.randrange(1 << 30))
    if storm.forgets_keys:
        around.gateway.forget_keys()
    months, findings = kill_at_work(site, storm)
    around.gateway.mend()
    late = until_renewed(site, storm.subscriptions * months)
    return look(site, storm, months, late, findings)


async def subscribe_all(around: Surroundings, subscriptions: int, *, first: int = 0, at: datetime = START) -> None:
    """So many customers with a saved card, each with a monthly subscription that has been paid at that instant."""
    async with open_house(
        around.place.url, stripe_api_base=around.gateway.url, demo=False, clock=ManualClock(at)
    ) as house:
        await load_catalog(house.app)
        turns = asyncio.Semaphore(4)

        async def buy(number: int) -> None:
            async with turns:
                shopper = Shopper(house, f"user-{number}")
                told = await shopper.subscribe(paymentMethodId=await shopper.save_card("pm_card_visa"))
                assert told["subscription"]["status"] == "ACTIVE", told

        await asyncio.gather(*(buy(first + number) for number in range(subscriptions)))


def kill_at_work(site: Site, storm: Storm, months: int = 0, **settings: Any) -> tuple[int, list[str]]:
    """Two workers, one of them killed at a random moment and replaced, again and again, `months` renewals after the
    start: how many have passed then, and what was wrong with our own books after any kill."""
    dice, findings = storm.around.dice, list[str]()
    crew = [Mortal.start(site, **settings) for _ in range(WORKERS)]
    try:
        for _ in range(storm.kills):
            if not asyncio.run(_unfinished(site, storm.subscriptions * months)):
                site.clock.leap(A_MONTH)
                months += 1
            victim = dice.randrange(WORKERS)
            crew[victim].wait_until_at_work()
            time.sleep(dice.random() * _LONGEST_LIFE)
            crew[victim].kill()
            crew[victim] = Mortal.start(site, **settings)
            findings += asyncio.run(_own_findings(site))
            site.clock.leap(timedelta(seconds=dice.randrange(_MOST_BETWEEN_KILLS)))
    finally:
        for worker in crew:
            worker.kill()
    return months, findings


def until_renewed(site: Site, renewals: int, **settings: Any) -> timedelta:
    """Workers whom nobody disturbs and nobody helps: how long it took them by the clock, at the most `_PATIENCE`."""
    began = site.clock.now()
    crew = [Mortal.start(site, **settings) for _ in range(WORKERS)]
    try:
        while asyncio.run(_unfinished(site, renewals)) and site.clock.now() - began < _PATIENCE:
            time.sleep(0.1)
            site.clock.leap(timedelta(seconds=2))
    finally:
        for worker in crew:
            worker.kill()
    return site.clock.now() - began


async def _own_findings(site: Site) -> list[str]:
    installation = site.installed()
    try:
        return [finding.text for finding in await audit_own_books(installation.app)]
    finally:
        await installation.close()


async def _unfinished(site: Site, renewals: int) -> int:
    """How many of so many renewals are not paid yet, and payments that somebody has in hand."""
    database = Database(site.place.url)
    try:
        async with database.read() as session:
            paid = (await session.exec(select(func.count()).where(*_RENEWED))).one()
            held = select(func.count()).where(col(Payment.leased_until).is_not(None))
            return renewals - paid + (await session.exec(held)).one()
    finally:
        await database.close()


_RENEWED = (col(Invoice.reason) == InvoiceReason.SUBSCRIPTION_CYCLE, col(Invoice.status) == InvoiceStatus.PAID)


def look(
    site: Site, storm: Storm, months: int, late: timedelta, findings: list[str], *, unknown: Set[str] = frozenset()
) -> Aftermath:
    """`unknown` are intents of which we cannot know: the operator's check must tell each, and the rest is judged."""
    charged = site.gateway.charges(but=unknown)
    ours, renewed, told = asyncio.run(_books(site))
    wrong = [text for text in told if not any(intent in text for intent in unknown)]
    assert len(told) == len(wrong) + len(unknown), f"not all of {unknown} are told: {told}"
    return Aftermath(
        kills=storm.kills,
        renewals=storm.subscriptions * months,
        twice=sum(len(amounts) > 1 for amounts in charged.values()) + sum(n > months for n in renewed.values()),
        missed=sum(max(months - n, 0) for n in renewed.values()),
        late=late,
        findings=[*findings, *wrong, *logged_errors(site.log)],
        paid=sum(ours.values()),
        books_agree=ours == {invoice: sum(amounts) for invoice, amounts in charged.items()},
    )


async def _books(site: Site) -> tuple[dict[str, int], Counter[str], list[str]]:
    """What is paid by invoice, the renewals paid by subscription, and what the operator's check finds."""
    installation = site.installed()
    try:
        async with installation.app.database.read() as session:
            invoices = (await session.exec(select(Invoice).where(Invoice.amount_paid_minor > 0))).all()
            renewed = Counter((await session.exec(select(Invoice.subscription_id).where(*_RENEWED))).all())
            for subscription in (await session.exec(select(Subscription.id))).all():
                renewed.setdefault(subscription, 0)
        wrong = [finding.text for finding in (await audit(installation.app)).findings]
    finally:
        await installation.close()
    return {invoice.id: invoice.amount_paid_minor for invoice in invoices}, renewed, wrong


def main() -> int:
    asking = parser("renewals", __doc__, kills=200, subscriptions=200)
    asking.add_argument("--forget-keys", action="store_true", help="the gateway forgets every idempotency key at once")
    asked = asking.parse_args()
    began = time.monotonic()
    with surroundings(asked.database, asked.seed) as around:
        after = ride_out(Storm(around, asked.kills, asked.subscriptions, asked.forget_keys))
    print(*after.findings, sep="\n", end="\n" * bool(after.findings))
    print(
        f"{asked.database}, seed {asked.seed}: {after.kills} kills of {WORKERS} workers over {after.renewals} renewals "
        f"of {asked.subscriptions} subscriptions, {LOST_SHARE:.0%} of answers lost"
        f"{', keys forgotten' * asked.forget_keys}: {after.twice} charged twice, {after.missed} missed, "
        f"books of {after.paid} minor units {'agree' if after.books_agree else 'DIFFER'}, "
        f"{len(after.findings)} findings in {after.kills + 1} looks; in order {after.late.total_seconds():.0f} s "
        f"after the last kill; {time.monotonic() - began:.0f} s"
    )
    return 0 if after.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
