"""Fixtures for every room: a database of its own on either engine, and the whole product on it."""

import asyncio
import gc
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from models import database
from tests.support.compiling import compile_once
from tests.support.databases import (
    STOCKED,
    TEMPLATE,
    apart,
    copy_of_file,
    database_on,
    migrate_template,
    postgres_server,
    sqlite_template,
    stock_template,
)
from tests.support.house import House, open_house
from tests.support.waiting import PATIENCE_SECONDS
from tests.support.written import logs_as_they_were

MEMORY = Path("/dev/shm")  # noqa: S108 (names below it are made by tempfile)
_ENOUGH_BYTES = 2 * 1024**3
_LONG = ("test_odd_values", "test_beyond_measure", "test_kills", "test_year", "test_lives", "test_interleavings")


def pytest_configure() -> None:
    """Databases live in memory where there is enough: copying one and waiting for the disk is most of a short test."""
    if "TMPDIR" not in os.environ and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > _ENOUGH_BYTES:
        os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)
    if find_spec("sniffio") is None:
        sys.modules["sniffio"] = None  # type: ignore[assignment] (httpx searches the disk for it at every request)
    compile_once()
    _the_same_examples()
    database.POOL_SECONDS = database.LOCK_SECONDS = PATIENCE_SECONDS


def _the_same_examples() -> None:
    """Properties are held with the same examples in every run, however slow the machine.

    Whoever looks for other examples sets HYPOTHESIS_PROFILE=default; a failure that it finds becomes an example of its
    own.
    """
    settings.register_profile(
        "the same in every run",
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "the same in every run"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests first: whoever of two workers is done earlier takes short ones from the other, never half of one."""
    items.sort(key=lambda item: not item.path.stem.startswith(_LONG))


def pytest_collection_finish() -> None:
    """What all modules hold is not looked through for garbage again and again, nor touched by forked processes."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def load_demo_into(url: str) -> None:
    """The demo data, loaded by the product itself; once per session, copied from then on."""

    async def load() -> None:
        async with open_house(url):
            pass

    asyncio.run(load())


@pytest.fixture(autouse=True)
def _logs() -> Iterator[None]:  # pyright: ignore[reportUnusedFunction] (a fixture)
    """No test hears, or is deafened by, what an earlier one configured."""
    with logs_as_they_were():
        yield


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


@pytest.fixture(scope="session")
def stocked_file(sqlite_file: Path) -> Path:
    """The same with the demo data."""
    stocked = sqlite_file.with_name("stocked.db")
    url = copy_of_file(sqlite_file, stocked)
    apart(lambda: load_demo_into(url))
    return stocked


@pytest.fixture(scope="session")
def stocked_postgres(postgres: str) -> str:
    """The name of a template with the demo data."""
    stock_template(postgres, STOCKED, load_demo_into)
    return STOCKED


@pytest.fixture(params=["sqlite", "postgresql"])
async def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """A migrated database on either engine: empty, or with the demo data for tests that live in a house."""
    stocked = "house" in request.fixturenames
    if request.param == "sqlite":
        source = request.getfixturevalue("stocked_file" if stocked else "sqlite_file")
        yield copy_of_file(source, tmp_path / "perennial.db")
        return
    template = request.getfixturevalue("stocked_postgres") if stocked else TEMPLATE
    async with database_on(request.getfixturevalue("postgres"), template) as url:
        yield url


@pytest.fixture
async def house(database_url: str) -> AsyncIterator[House]:
    """The product with its demo data on either engine."""
    async with open_house(database_url, demo=False) as opened:
        yield opened


@pytest.fixture
async def small_house(stocked_file: Path, tmp_path: Path) -> AsyncIterator[House]:
    """The product with its demo data on SQLite, for what does not depend on the engine."""
    async with open_house(copy_of_file(stocked_file, tmp_path / "perennial.db"), demo=False) as opened:
        yield opened
