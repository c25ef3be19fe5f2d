"""`python -m bench.renewals`: how fast workers renew, as the table of subscriptions grows.

A crowd of subscriptions is made inside the database, a few of them due. Worker processes carry out whole passes until
nothing is due: claims, invoices, books, attempts, events. Their time is held against that of writing the same rows
again in bulk, a statement a table, into the same tables. The gateway answers from memory after a set time: what its
own calls cost, the SDK's work and the network, is left out; that they are waited for is not.
"""

import argparse
import asyncio
import logging
import multiprocessing
import os
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, cast
from uuid import uuid4

from sqlmodel import col, func, select

from bench.crowds import Crowd, gather, write_again
from billing.charging import IntentStatus
from billing.invoicing import InvoiceReason
from billing.lifecycle import InvoiceStatus
from billing.money import Money
from bootstrap import build
from clocks import ManualClock
from gateways.port import PaymentGateway, PaymentIntentSnapshot
from logs import configure_logging
from models.database import Database, Limits
from models.invoices import Invoice
from models.ledger import sums_by_currency
from models.payments import ChargeAttempt
from services.app import Actor, ActorKind
from services.demo import load_catalog
from services.subscriptions.ordering import SubscribeWish
from services.subscriptions.subscribing import subscribe
from services.wallet.cards import attach_payment_method
from settings import load_settings
from tests.support.databases import migrate, place_of
from tests.support.house import ENTITLEMENT_KEY, QUIET, START, open_house
from worker import Worker

# From 31 January on, each step passes exactly one renewal.
_STEP = timedelta(days=31)
_LATER = timedelta(days=3660)
# A million rows take longer than any statement of the product may.
_PATIENT = Limits(statement_seconds=0)


@dataclass(frozen=True, slots=True)
class Round:
    """So many workers at once, and how long the gateway takes for each call; `month` makes the round's renewals."""

    workers: int
    latency: float
    month: int = 0

    @property
    def now(self) -> Any:
        return START + _STEP * self.month


@dataclass(frozen=True, slots=True)
class Measured:
    renewals: int
    seconds: float
    processor_seconds: float


class _Prompt:
    """A gateway that takes every card, from memory, after a set time; all else is the one behind it."""

    def __init__(self, gateway: PaymentGateway, latency: float) -> None:
        self._gateway, self._latency = gateway, latency
        self._made: dict[str, PaymentIntentSnapshot] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._gateway, name)

    async def find_payment_intents(self, **_wish: Any) -> Sequence[PaymentIntentSnapshot]:
        await asyncio.sleep(self._latency)
        return ()

    async def create_payment_intent(
        self, *, customer_ref: str, amount: Money, invoice_id: str, **_wish: Any
    ) -> PaymentIntentSnapshot:
        await asyncio.sleep(self._latency)
        made = PaymentIntentSnapshot(
            ref=f"pi_{uuid4().hex}",
            invoice_id=invoice_id,
            status=IntentStatus.REQUIRES_PAYMENT_METHOD,
            amount=amount,
            captured=Money.zero(amount.currency),
            customer_ref=customer_ref,
            payment_method_ref=None,
            setup_future_usage=None,
            next_step=None,
            last_problem=None,
            last_problem_method_ref=None,
            latest_charge_ref=None,
            client_secret="",
            created_at=START,
            livemode=False,
            metadata={},
            raw={},
        )
        self._made[made.ref] = made
        return made

    async def confirm_payment_intent(self, ref: str, *, payment_method_ref: str, **_wish: Any) -> PaymentIntentSnapshot:
        await asyncio.sleep(self._latency)
        made = self._made.pop(ref)
        return replace(
            made,
            status=IntentStatus.SUCCEEDED,
            captured=made.amount,
            payment_method_ref=payment_method_ref,
            latest_charge_ref=f"ch_{uuid4().hex}",
        )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.renewals", description=__doc__)
    parser.add_argument("--subscriptions", type=int, default=10_000)
    parser.add_argument("--due", type=int, default=500)
    parser.add_argument("--engine", choices=["sqlite", "postgresql"], default="sqlite")
    asked = parser.parse_args(arguments)
    most = 1 if asked.engine == "sqlite" else 2
    rounds = [Round(workers, latency) for latency in (0, 0.05) for workers in range(1, most + 1)]
    with open(os.devnull, "w") as nowhere, ExitStack() as stack:
        configure_logging(stream=nowhere)  # lines are made as in production, and thrown away
        stack.callback(logging.getLogger().handlers.clear)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="perennial-bench-")))
        url = stack.enter_context(place_of(asked.engine, folder)).url
        migrate(url)
        crowd = Crowd(asked.subscriptions, max(asked.subscriptions // asked.due, 1), START + _LATER)
        began = perf_counter()
        asyncio.run(_prepare(url, crowd))
        print(f"{asked.engine}: {crowd.size} subscriptions, {crowd.due} due; made in {perf_counter() - began:.0f} s")
        for month, each in enumerate(rounds, 1):
            _tell(each, _measure(url, replace(each, month=month), crowd.due))
        statements, rows, seconds = asyncio.run(_written_again(url, replace(rounds[-1], month=len(rounds))))
        rate = crowd.due / seconds
        print(f"the same {rows} rows by {statements} statements in one transaction: {rate:.0f} renewals a second")


def _tell(each: Round, measured: Measured) -> None:
    workers = "1 worker" if each.workers == 1 else f"{each.workers} workers"
    rate, cost = measured.renewals / measured.seconds, measured.processor_seconds / measured.renewals * 1000
    print(f"{workers}, gateway {each.latency * 1000:.0f} ms: {rate:.0f} renewals a second, {cost:.1f} ms of CPU each")


async def _prepare(url: str, crowd: Crowd) -> None:
    """One subscriber who has lived, and paid, by the ordinary way; then the crowd."""
    async with open_house(url, demo=False) as house:
        await load_catalog(house.app)
        actor = Actor(ActorKind.CUSTOMER, "user")
        card = await attach_payment_method(
            house.app, actor, reference="pm_card_visa", make_default=True, customer_id=None
        )
        await subscribe(house.app, actor, SubscribeWish(plan_code="reader-pro", payment_method_id=card.id))
        await Worker(house.app).once()
    opened = Database(url, _PATIENT)
    await gather(opened, crowd)
    await opened.close()


def _measure(url: str, round_: Round, due: int) -> Measured:
    """The workers' passes, from the moment at which all of them stand ready to the end of the last."""
    fork = multiprocessing.get_context("fork")
    ready, told = fork.Barrier(round_.workers + 1), fork.SimpleQueue()
    workers = [fork.Process(target=_worker, args=(url, round_, ready, told)) for _ in range(round_.workers)]
    for worker in workers:
        worker.start()
    ready.wait()
    began = perf_counter()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * round_.workers
    ended, spent = zip(*(told.get() for _ in workers), strict=True)
    assert asyncio.run(_renewed(url, round_)) == due
    return Measured(due, max(ended) - began, sum(spent))


def _worker(url: str, round_: Round, ready: Any, told: Any) -> None:
    async def work() -> None:
        installation = build(
            load_settings(_env_file=None, database_url=url, entitlement_key=ENTITLEMENT_KEY, **QUIET),
            clock=ManualClock(round_.now),
            security_clock=ManualClock(round_.now),
            wrap_gateway=lambda gateway: cast(PaymentGateway, _Prompt(gateway, round_.latency)),
        )
        await installation.start()
        ready.wait()
        began = process_time()
        await Worker(installation.app).once()
        told.put((perf_counter(), process_time() - began))
        await installation.close()

    asyncio.run(work())


async def _renewed(url: str, round_: Round) -> int:
    """How many were renewed and paid in the round, each by one charge; the books balance."""
    opened = Database(url, _PATIENT)
    try:
        async with opened.read() as session:
            paid = select(func.count()).where(
                col(Invoice.created_at) == round_.now,
                col(Invoice.reason) == InvoiceReason.SUBSCRIPTION_CYCLE,
                col(Invoice.status) == InvoiceStatus.PAID,
            )
            tried = select(func.count()).where(col(ChargeAttempt.started_at) == round_.now)
            renewed = (await session.exec(paid)).one()
            assert (await session.exec(tried)).one() == renewed
            assert set((await sums_by_currency(session)).values()) == {0}
            return renewed
    finally:
        await opened.close()


async def _written_again(url: str, round_: Round) -> tuple[int, int, float]:
    opened = Database(url, _PATIENT)
    try:
        began = perf_counter()
        statements, rows = await write_again(opened, round_.now)
        return statements, rows, perf_counter() - began
    finally:
        await opened.close()


if __name__ == "__main__":
    main()
