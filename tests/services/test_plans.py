"""Every query that runs again and again has an index to go by (its plans on a million rows: docs/operations.md)."""

import re
from datetime import UTC, datetime

import pytest

from bench.million import FILLED
from bench.plans import plan_of
from bench.repeated import DUE, LISTS, WATCHED
from models.base import Leased, metadata
from models.database import Database
from tests.support.databases import TEMPLATE, copy_of_template

ALL = {**DUE, **WATCHED, **LISTS}
NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)


async def test_none_reads_a_large_table_from_one_end_to_the_other(postgres: str) -> None:
    """PostgreSQL is told that this would be dear: where it still does it, there is no index."""
    scanned: dict[str, list[str]] = {}
    async with copy_of_template(postgres, TEMPLATE) as url:
        database = Database(url)
        for name, ask in ALL.items():
            plan = await plan_of(database, name, ask, NOW, explain="COSTS OFF", before="SET enable_seqscan = off")
            large = [table for table in plan.scanned if table in FILLED]
            if large:
                scanned[name] = large
        await database.close()
    assert scanned == {}


async def test_due_work_is_found_in_its_order(postgres: str) -> None:
    """What is due is never sorted as a whole: an index gives it in the order of the due time."""
    sorted_whole: list[str] = []
    async with copy_of_template(postgres, TEMPLATE) as url:
        database = Database(url)
        for name in ("subscriptions due", "cards to try again", "payments to ask for", "inbox", "events to publish"):
            before = "SET enable_seqscan = off; SET enable_bitmapscan = off"
            plan = await plan_of(database, name, ALL[name], NOW, explain="COSTS OFF", before=before)
            if any(re.match(r"\s*(->\s+)?Sort\b", line) for line in plan.lines):
                sorted_whole.append(name)
        await database.close()
    assert sorted_whole == []


@pytest.mark.parametrize(
    "row", sorted(Leased.__subclasses__(), key=lambda row: row.__name__), ids=lambda row: row.__name__
)
def test_a_table_of_due_work_that_grows_has_an_index_of_what_is_due(row: type[Leased]) -> None:
    table = metadata().tables[str(row.__tablename__)]
    few = {"timers", "test_clocks"}
    if table.name in few:
        return
    assert f"ix_{table.name}_due_at_set" in {index.name for index in table.indexes}
