"""Every query that runs again and again has an index to go by (its plans on a million rows: docs/operations.md)."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bench.million import FILLED
from bench.plans import plan_of, the_statements
from bench.repeated import DUE, LISTS, WATCHED
from models import convoys
from models.base import Leased, metadata
from models.database import Database
from services.app import Actor, ActorKind
from services.wallet.cards import attach_payment_method
from tests.scenarios.metering import key_of, sell, take, tell
from tests.support.databases import TEMPLATE, database_on
from tests.support.house import House

ALL = {**DUE, **WATCHED, **LISTS}
NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)


async def test_none_reads_a_large_table_from_one_end_to_the_other(postgres: str) -> None:
    """PostgreSQL is told that this would be dear: where it still does it, there is no index."""
    scanned: dict[str, list[str]] = {}
    async with database_on(postgres, TEMPLATE) as url:
        database = Database(url)
        for name, ask in ALL.items():
            plan = await plan_of(database, name, ask, NOW, explain="COSTS OFF", before="SET enable_seqscan = off")
            large = [table for table in plan.scanned if table in FILLED]
            if large:
                scanned[name] = large
        await database.close()
    assert scanned == {}


LEASED = {str(row.__tablename__) for row in Leased.__subclasses__()} - {"timers", "test_clocks"}
"""The last two stay small."""


@pytest.mark.parametrize("name", sorted(LEASED))
def test_a_table_of_due_work_that_grows_has_an_index_of_what_is_due(name: str) -> None:
    ends = {index.name for index in metadata().tables[name].indexes if list(index.columns)[-1].name == "due_at"}
    assert {f"ix_{name}_due_at_set", f"ix_{name}_platform_due_at_set"} & ends


_SCAN = re.compile(r"SCAN (\w+)(?: USING (?:COVERING )?INDEX (?!\w+_set$)\w+)?$")
"""An index whose name ends so holds only the rows with which something is to be done."""


async def _read_whole_by_sqlite(database: Database, sent: Sequence[tuple[str, Any]]) -> dict[str, set[str]]:
    """The statements that read tables of many rows from one end to the other, and which tables."""
    found: dict[str, set[str]] = {}
    async with database.engine.connect() as connection:
        for statement, parameters in sent:
            if statement.startswith(("SELECT", "WITH", "UPDATE", "DELETE")):
                first = parameters[0] if isinstance(parameters, list) else parameters
                plan = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", first)
                scanned = {scan[1] for *_, line in plan if (scan := _SCAN.match(line))}
                found[statement] = scanned & {*FILLED, "customer_balances"}
    return {statement: tables for statement, tables in found.items() if tables}


async def test_on_sqlite_neither_renewals_side_by_side_nor_usage_told_in_a_batch_read_a_large_table(
    small_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convoys, "LINGER_SECONDS", 60)
    house, database = small_house, small_house.app.database
    await sell(house, "api")
    cards: list[str] = []
    for user in ("reader-1", "reader-2"):
        actor = Actor(ActorKind.CUSTOMER, user)
        card = await attach_payment_method(
            house.app, actor, reference="pm_card_visa", make_default=True, customer_id=None
        )
        cards.append(card.gateway_ref)
    subscriptions = [await take(house, "api", user) for user in ("reader-1", "reader-2")]
    key = await key_of(house)
    async with the_statements(database) as sent:
        told = await tell(house, key, *({"subscriptionId": id, "quantity": "1000"} for id in subscriptions))
        assert told["accepted"] == 2
        house.pass_time(timedelta(days=31))
        assert (await house.work())["happened"] == 2
    assert any({*cards} <= {*parameters} for statement, parameters in sent if statement.startswith("SELECT"))
    assert await _read_whole_by_sqlite(database, sent) == {}
