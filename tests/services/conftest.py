"""Databases to kill processes on: each a copy of a prepared one."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import make_url

from tests.support.databases import TEMPLATE, copy_of_file, on_server, run
from tests.support.house import open_house

Fresh = Callable[..., str]
"""The address of a new database: a copy of the one at the given address, of the demo data without one."""


@pytest.fixture(params=["sqlite", "postgresql"])
def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fresh]:
    with ExitStack() as stack:
        if request.param == "sqlite":
            demo = copy_of_file(request.getfixturevalue("sqlite_file"), tmp_path / "demo.db")
            _load_demo(demo)
            yield lambda source=demo: copy_of_file(Path(_name(source)), tmp_path / f"{uuid4().hex}.db")
            return
        server = request.getfixturevalue("postgres")
        demo = on_server(server, stack.enter_context(_database(server, TEMPLATE)))
        _load_demo(demo)
        yield lambda source=demo: on_server(server, stack.enter_context(_database(server, _name(source))))


def _name(url: str) -> str:
    """The file or database that the address names."""
    return make_url(url).database or ""


@contextmanager
def _database(server: str, template: str) -> Iterator[str]:
    name = f"perennial_{uuid4().hex[:12]}"
    asyncio.run(run(server, f'CREATE DATABASE "{name}" TEMPLATE "{template}"'))
    yield name
    asyncio.run(run(server, f'DROP DATABASE "{name}" WITH (FORCE)'))


def _load_demo(url: str) -> None:
    async def load() -> None:
        async with open_house(url):
            pass

    asyncio.run(load())
