"""Each migration can be taken back, and what they make together is what the models describe: on both databases."""

import asyncio
import sqlite3
import warnings
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config

from settings import ROOT
from tests.support.databases import apart, database_on


def test_on_sqlite(tmp_path: Path) -> None:
    file = tmp_path / "perennial.db"

    def tables() -> Sequence[str]:
        with closing(sqlite3.connect(file)) as database:
            return [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]

    apart(lambda: forth_and_back(f"sqlite:///{file}", tables))


async def test_on_postgresql(postgres: str) -> None:
    async with database_on(postgres) as url:

        async def read() -> Sequence[str]:
            connection = await asyncpg.connect(url)
            try:
                rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
                return [row["tablename"] for row in rows]
            finally:
                await connection.close()

        await asyncio.to_thread(forth_and_back, url, lambda: asyncio.run(read()))


def forth_and_back(url: str, tables: Callable[[], Sequence[str]]) -> None:
    config = Config(ROOT / "alembic.ini")
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    command.upgrade(config, "head")
    assert "subscriptions" in tables()
    command.downgrade(config, "base")
    assert tables() == ["alembic_version"]
    command.upgrade(config, "head")
    with warnings.catch_warnings():
        # SQLite has none of these indexes: see Customer.
        warnings.filterwarnings("ignore", "autogenerate skipping metadata-specified expression-based index")
        command.check(config)
