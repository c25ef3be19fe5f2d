"""Databases to kill processes on: each a copy of a prepared one."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import make_url

from tests.support.databases import copy_of_file, on_server, place_on

Fresh = Callable[..., str]
"""The address of a new database: a copy of the one at the given address, of the demo data without one."""


@pytest.fixture(params=["sqlite", "postgresql"])
def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fresh]:
    with ExitStack() as stack:
        if request.param == "sqlite":
            demo = f"sqlite:///{request.getfixturevalue('stocked_file')}"
            yield lambda source=demo: copy_of_file(Path(_name(source)), tmp_path / f"{uuid4().hex}.db")
            return
        server = request.getfixturevalue("postgres")
        demo = on_server(server, request.getfixturevalue("stocked_postgres"))
        yield lambda source=demo: stack.enter_context(place_on(server, _name(source))).url


def _name(url: str) -> str:
    """The file or database that the address names."""
    return make_url(url).database or ""
