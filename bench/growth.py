"""`python -m bench.growth`: what a renewal leaves behind in PostgreSQL, table by table, and what it asks of it.

Monthly subscriptions live for a simulated year; sizes are taken before and after it, indexes and TOAST included, each
table vacuumed first so that dead rows do not count. The sandbox keeps a database of its own. What `docs/scale.md`
reckons with is printed last, as one renewal's share.
"""

import argparse
import asyncio
import logging
import os
import tempfile
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import asyncpg

from bench.measuring import new_customer
from logs import configure_logging
from services.app import Actor, ActorKind
from services.subscriptions.ordering import SubscribeWish
from services.subscriptions.subscribing import subscribe
from tests.support.databases import migrate, place_of
from tests.support.house import counted, open_house

_MONTHS = 12
# From 31 January on, each step passes exactly one renewal.
_STEP = timedelta(days=31)
_SIZES = """SELECT relname, n_live_tup, pg_total_relation_size(relid), n_tup_upd FROM pg_stat_user_tables"""


class Size(NamedTuple):
    rows: int
    bytes: int
    updates: int


class Grown(NamedTuple):
    """A year's."""

    renewals: int
    tables: Mapping[str, Size]
    statements: int
    wal_bytes: int


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.growth", description=__doc__)
    parser.add_argument("--subscriptions", type=int, default=200)
    asked = parser.parse_args(arguments)
    with open(os.devnull, "w") as nowhere, tempfile.TemporaryDirectory(prefix="perennial-bench-") as folder:
        configure_logging(stream=nowhere)
        with place_of("postgresql", Path(folder)) as place:
            migrate(place.url)
            grown = asyncio.run(_measure(place.url, Path(folder), asked.subscriptions))
        logging.getLogger().handlers.clear()
    print("| table | rows a renewal | bytes a renewal |\n| --- | --- | --- |")
    for name, size in sorted(grown.tables.items(), key=lambda item: -item[1].bytes):
        if size.rows * 20 >= grown.renewals:
            print(f"| `{name}` | {size.rows / grown.renewals:.1f} | {size.bytes / grown.renewals:.0f} |")
    rows, held, updates = (sum(size[place] for size in grown.tables.values()) / grown.renewals for place in range(3))
    print(f"| all | {rows:.1f} | {held:.0f} |")
    print(
        f"\n{grown.renewals} renewals: {grown.statements / grown.renewals:.0f} statements, {updates:.0f} updates and "
        f"{grown.wal_bytes / grown.renewals:.0f} bytes of WAL each"
    )
    print(f"`python -m bench.growth --subscriptions {asked.subscriptions}`")


async def _measure(url: str, folder: Path, subscriptions: int) -> Grown:
    async with open_house(url, sandbox_database_url=f"sqlite:///{folder / 'sandbox.db'}") as house:
        for _ in range(subscriptions):
            customer = await new_customer(house.app)
            wish = SubscribeWish(plan_code="reader-pro", payment_method_id=customer.card_id)
            await subscribe(house.app, Actor(ActorKind.CUSTOMER, customer.user), wish)
        await house.work()
        before, began = await _sizes(url)
        async with counted(house.app) as statements:
            for _ in range(_MONTHS):
                house.pass_time(_STEP)
                await house.work()
        after, ended = await _sizes(url)
        assert await house.audit() == []
    grown = {
        name: Size(*(now - then for now, then in zip(size, before[name], strict=True))) for name, size in after.items()
    }
    return Grown(subscriptions * _MONTHS, grown, len(statements), ended - began)


async def _sizes(url: str) -> tuple[dict[str, Size], int]:
    """Rows and bytes of each table, and the place in the WAL."""
    connection = await asyncpg.connect(url)
    try:
        wal = await connection.fetchval("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn")
        await connection.execute("VACUUM ANALYZE")
        await connection.execute("SELECT pg_stat_force_next_flush()")
        return {name: Size(*size) for name, *size in await connection.fetch(_SIZES)}, int(wal)
    finally:
        await connection.close()


if __name__ == "__main__":
    main()
