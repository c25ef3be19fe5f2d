"""A backup restored in the middle of life: the database forgets a month of renewals, refunds and purchases.

The gateway, a process of its own, forgets nothing but its idempotency keys. Renewals are made in a storm, payments are
given back in part and new customers subscribe; then the database is what it was before all that, and the storm goes on.
Nobody is charged or given back twice, and the purchases that the backup does not know are told.

    python -m tests.soak.restored --kills 40 --subscriptions 100 --seed 1 --database sqlite
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from sqlmodel import col, select

from billing.lifecycle import PaymentStatus
from billing.reconciling import DriftKind
from models.payments import Payment
from models.reconciliations import DriftRow
from tests.soak.crew import SharedClock, Site
from tests.soak.renewals import Aftermath, Storm, kill_at_work, look, subscribe_all, until_renewed
from tests.soak.surroundings import LOST_SHARE, parser, surroundings
from tests.support.house import START, House, open_house

REFUND = "mutation ($input: RefundPaymentInput!) { refundPayment(input: $input) { userErrors { code } } }"
_PART = "2.00"
_RECONCILES = {"reconcile_minutes": 15}
_A_QUARTER_OF_AN_HOUR = timedelta(minutes=15)


@dataclass(frozen=True)
class Restored:
    """`after` is judged without what the backup cannot know: the `forgotten` purchases, of which `told` were reported.

    `refunds` were made before the restore, and all of them asked for again after it.
    """

    after: Aftermath
    forgotten: int
    told: int
    refunds: int
    refunded_twice: int

    @property
    def is_clean(self) -> bool:
        return self.after.is_clean and (self.told, self.refunded_twice) == (self.forgotten, 0)


def live_twice(storm: Storm) -> Restored:
    around = storm.around
    asyncio.run(subscribe_all(around, storm.subscriptions))
    site = Site(around.place, around.gateway, SharedClock(START), around.folder / "workers.log")
    backup = around.place.save()

    around.gateway.lose_answers(around.dice.randrange(1 << 30))
    months, findings = kill_at_work(site, storm)
    around.gateway.mend()
    until_renewed(site, storm.subscriptions * months)
    every_third = asyncio.run(_paid_invoices(site))[::3]
    asyncio.run(_refund(site, every_third))
    refunded = around.gateway.refunds()
    known = {row["id"] for row in around.gateway.listed("payment_intents")}
    asyncio.run(subscribe_all(around, max(storm.subscriptions // 10, 1), first=storm.subscriptions))
    unknown = {row["id"] for row in around.gateway.listed("payment_intents")} - known

    around.place.restore(backup)
    around.gateway.lose_answers(around.dice.randrange(1 << 30))
    around.gateway.forget_keys()
    months, more = kill_at_work(site, storm, months, **_RECONCILES)
    around.gateway.mend()
    late = until_renewed(site, storm.subscriptions * months, **_RECONCILES)
    asyncio.run(_refund(site, every_third))
    told = asyncio.run(_told(site)) & unknown
    again = around.gateway.refunds()
    return Restored(
        look(site, storm, months, late, [*findings, *more], unknown=unknown),
        len(unknown),
        len(told),
        len(refunded),
        sum(again[intent] != amount for intent, amount in refunded.items()),
    )


@asynccontextmanager
async def _office(site: Site) -> AsyncIterator[House]:
    """The product at the present of the workers, with which staff works."""
    async with open_house(site.place.url, stripe_api_base=site.gateway.url, demo=False, **_RECONCILES) as house:
        house.pass_time(site.clock.now() - START)
        yield house


async def _paid_invoices(site: Site) -> list[str]:
    async with _office(site) as house, house.app.database.read() as session:
        paid = select(Payment.invoice_id).where(Payment.status == PaymentStatus.SUCCEEDED)
        return sorted((await session.exec(paid)).all())


async def _refund(site: Site, invoices: Collection[str]) -> None:
    """A part of each is given back, asked for under the same key whenever this is called.

    A payment made again after a restore has a new id; its invoice has the one of before.
    """
    async with _office(site) as house:
        async with house.app.database.read() as session:
            paid = select(Payment).where(Payment.status == PaymentStatus.SUCCEEDED)
            payments = (await session.exec(paid.where(col(Payment.invoice_id).in_(invoices)))).all()
        assert len(payments) == len(invoices)
        for payment in payments:
            wish = {
                "paymentId": payment.id,
                "amount": {"amount": _PART, "currencyCode": payment.currency},
                "reason": "REQUESTED_BY_CUSTOMER",
                "idempotencyKey": f"goodwill for {payment.invoice_id}",
            }
            told = (await house.ask(REFUND, {"input": wish}, "demo-admin"))["refundPayment"]
            assert told["userErrors"] == [], told


async def _told(site: Site) -> set[str]:
    """The gateway's references of the payments that reconciling does not know, after one more pass."""
    async with _office(site) as house:
        house.pass_time(_A_QUARTER_OF_AN_HOUR)
        await house.work()
        async with house.app.database.read() as session:
            query = select(DriftRow.gateway_ref).where(col(DriftRow.kind) == DriftKind.INVOICE_UNKNOWN)
            return {ref for ref in (await session.exec(query)).all() if ref is not None}


def main() -> int:
    asked = parser("restored", __doc__, kills=40, subscriptions=100).parse_args()
    began = time.monotonic()
    with surroundings(asked.database, asked.seed) as around:
        found = live_twice(Storm(around, asked.kills, asked.subscriptions, forgets_keys=True))
    after = found.after
    print(*after.findings, sep="\n", end="\n" * bool(after.findings))
    print(
        f"{asked.database}, seed {asked.seed}: {after.renewals} renewals of {asked.subscriptions} subscriptions made "
        f"in {after.kills} kills, forgotten with a restored backup and made again in {after.kills} more, "
        f"{LOST_SHARE:.0%} of answers lost, keys forgotten: {after.twice} charged twice, {after.missed} missed; "
        f"{found.refunds} refunds asked for again: {found.refunded_twice} given back twice; "
        f"{found.told} of {found.forgotten} unknown purchases told; {len(after.findings)} other findings; "
        f"{time.monotonic() - began:.0f} s"
    )
    return 0 if found.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
