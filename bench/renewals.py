"""`python -m bench.renewals`: how fast whole renewals go, through services, rows and books, on SQLite.

Monthly subscriptions live for a simulated year. The time of the worker's passes, the gateway's calls taken off, is
compared with that of the bare INSERTs of the same rows in the same transactions, into a copy of the database from
before the year.
"""

import argparse
import asyncio
import logging
import os
import sqlite3
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from time import perf_counter
from typing import Any

from sqlmodel import col, func, select

from bench.bare import insert_again, noted
from bench.measuring import Stopwatch, new_customer
from billing.invoicing import InvoiceReason
from billing.lifecycle import InvoiceStatus
from gateways.port import PaymentGateway
from logs import configure_logging
from models.database import Database
from models.invoices import Invoice
from tests.support.databases import copy_of_file, sqlite_template
from tests.support.house import House, open_house

_MONTHS = 12
# From 31 January on, each step passes exactly one renewal.
_STEP = timedelta(days=31)
_SUBSCRIBE = "mutation($input: SubscribeInput!) { subscribe(input: $input) { userErrors { code } } }"


@dataclass(frozen=True, slots=True)
class Measured:
    renewals: int
    seconds: float
    inserts: int
    bare_seconds: float


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.renewals", description=__doc__)
    parser.add_argument("--subscriptions", type=int, default=20)
    asked = parser.parse_args(arguments)
    with open(os.devnull, "w") as nowhere, tempfile.TemporaryDirectory(prefix="perennial-bench-") as folder:
        configure_logging(stream=nowhere)  # lines are made as in production, and thrown away
        measured = asyncio.run(_measure(Path(folder), asked.subscriptions))
        logging.getLogger().handlers.clear()
    year = f"a year of {asked.subscriptions} monthly subscriptions"
    print(f"{year}: {measured.renewals} renewals in {measured.seconds:.1f} s")
    print(f"renewals per second: {measured.renewals / measured.seconds:.0f}")
    print(
        f"against its {measured.inserts} bare INSERTs: {measured.seconds / measured.bare_seconds:.1f} times their time"
    )
    print(f"`python -m bench.renewals --subscriptions {asked.subscriptions}`; SQLite {sqlite3.sqlite_version}.")


async def _measure(folder: Path, subscriptions: int) -> Measured:
    watches: list[Stopwatch] = []

    def watched(gateway: PaymentGateway) -> Any:
        watches.append(Stopwatch(gateway))
        return watches[-1]

    lived, before = folder / "perennial.db", folder / "before.db"
    url = copy_of_file(sqlite_template(folder), lived)
    async with open_house(
        url, wrap_gateway=watched, sandbox_database_url=f"sqlite:///{folder / 'sandbox.db'}"
    ) as house:
        for _ in range(subscriptions):
            await _subscribe(house)
        with closing(sqlite3.connect(lived)) as now, closing(sqlite3.connect(before)) as then:
            now.backup(then)
        watches[0].spent = 0
        seconds = 0.0
        async with noted(house.app.database) as turns:
            for _ in range(_MONTHS):
                house.pass_time(_STEP)
                began = perf_counter()
                await house.work()
                seconds += perf_counter() - began
        seconds -= watches[0].spent / 1e9
        renewals = await _renewals(house)
        assert renewals == subscriptions * _MONTHS
        assert await house.audit() == []
    copied = Database(f"sqlite:///{before}")
    try:
        began = perf_counter()
        inserts = await insert_again(copied, turns)
        return Measured(renewals, seconds, inserts, perf_counter() - began)
    finally:
        await copied.close()


async def _subscribe(house: House) -> None:
    customer = await new_customer(house.app)
    wish = {"planCode": "reader-pro", "paymentMethodId": customer.card_id}
    answer = await house.ask(_SUBSCRIBE, {"input": wish}, customer.user)
    assert answer["subscribe"]["userErrors"] == []


async def _renewals(house: House) -> int:
    """How many renewals are paid."""
    query = select(func.count()).where(
        col(Invoice.reason) == InvoiceReason.SUBSCRIPTION_CYCLE, col(Invoice.status) == InvoiceStatus.PAID
    )
    async with house.app.database.read() as session:
        return (await session.exec(query)).one()


if __name__ == "__main__":
    main()
