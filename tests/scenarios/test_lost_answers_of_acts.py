"""An answer lost at each gateway call of a change and of a refund; `tests.soak.lost_answers` has all of them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from gateways.sandbox import Fault
from tests.soak.lost_answers import all_cases
from tests.support.databases import copy_of_file


@pytest.mark.parametrize(
    ("act", "fault", "cases"), [("change the plan", Fault.TIMEOUT_AFTER, 6), ("refund", Fault.ERROR_500_AFTER, 6)]
)
async def test_a_minute_after_the_gateways_return_all_is_known_and_done_once(
    stocked_file: Path, tmp_path: Path, act: str, fault: Fault, cases: int
) -> None:
    @asynccontextmanager
    async def fresh() -> AsyncIterator[str]:
        yield copy_of_file(stocked_file, tmp_path / f"{uuid4().hex}.db")

    seen = await all_cases(fresh, acts=[act], faults=[fault])
    assert (seen.cases, seen.broken) == (cases, [])
