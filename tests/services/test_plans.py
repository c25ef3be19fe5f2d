"""Every query that runs again and again has an index to go by (its plans on a million rows: docs/operations.md)."""

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


LEASED = {str(row.__tablename__) for row in Leased.__subclasses__()} - {"timers", "test_clocks"}
"""The last two stay small."""


@pytest.mark.parametrize("name", sorted(LEASED))
def test_a_table_of_due_work_that_grows_has_an_index_of_what_is_due(name: str) -> None:
    ends = {index.name for index in metadata().tables[name].indexes if list(index.columns)[-1].name == "due_at"}
    assert {f"ix_{name}_due_at_set", f"ix_{name}_platform_due_at_set"} & ends
