"""Fixtures for every room: a database of its own on either engine, and the whole product on it."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support.databases import (
    TEMPLATE,
    copy_of_file,
    copy_of_template,
    migrate_template,
    postgres_server,
    sqlite_template,
)
from tests.support.house import House, open_house


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The address of a PostgreSQL server that holds the migrated template."""
    with postgres_server() as server:
        migrate_template(server)
        yield server


@pytest.fixture(scope="session")
def sqlite_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy."""
    return sqlite_template(tmp_path_factory.mktemp("sqlite"))


@pytest.fixture(params=["sqlite", "postgresql"])
async def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """A migrated, empty database on either engine."""
    if request.param == "sqlite":
        yield copy_of_file(request.getfixturevalue("sqlite_file"), tmp_path / "perennial.db")
        return
    async with copy_of_template(request.getfixturevalue("postgres"), TEMPLATE) as url:
        yield url


@pytest.fixture
async def house(database_url: str) -> AsyncIterator[House]:
    """The product with its demo data on either engine."""
    async with open_house(database_url) as opened:
        yield opened


@pytest.fixture
async def small_house(sqlite_file: Path, tmp_path: Path) -> AsyncIterator[House]:
    """The product with its demo data on SQLite, for what does not depend on the engine."""
    async with open_house(copy_of_file(sqlite_file, tmp_path / "perennial.db")) as opened:
        yield opened
