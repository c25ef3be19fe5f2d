"""Thousands of random lives, each in a house of its own: no order of events may break a promise.

Every seed is one life. One that breaks something is told with its story, and can be lived again alone.

    python -m tests.soak.interleavings --database sqlite --rounds 10000 --seed 1
"""

import argparse
import asyncio
import sys
import tempfile
import traceback
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path

from tests.conftest import load_demo_into
from tests.scenarios.lifetimes import live_through
from tests.support.databases import (
    STOCKED,
    apart,
    copy_of_file,
    copy_of_template,
    migrate_template,
    postgres_server,
    sqlite_template,
    stock_template,
)
from tests.support.house import open_house

Fresh = Callable[[], AbstractAsyncContextManager[str]]
"""The address of a new database with the demo data, gone at the end."""


async def live_once(fresh: Fresh, seed: int) -> Sequence[str]:
    """What a life broke, its story first; nothing when it broke nothing."""
    story = [f"seed {seed}:"]
    try:
        async with fresh() as url, open_house(url, demo=False) as house:
            broken = list(await live_through(house, seed, story))
    except Exception:  # Whatever goes wrong is this seed's; the others are lived all the same.
        broken = [traceback.format_exc()]
    return [*story, *broken] if broken else []


@contextmanager
def databases(engine: str) -> Iterator[Fresh]:
    with tempfile.TemporaryDirectory(prefix="perennial-lives-") as folder:
        if engine == "sqlite":
            yield _files(Path(folder))
            return
        with postgres_server() as server:
            migrate_template(server)
            stock_template(server, STOCKED, load_demo_into)
            yield lambda: copy_of_template(server, STOCKED)


def _files(folder: Path) -> Fresh:
    template = sqlite_template(folder)
    apart(lambda: load_demo_into(f"sqlite:///{template}"))

    @asynccontextmanager
    async def fresh() -> AsyncIterator[str]:
        with tempfile.TemporaryDirectory(dir=folder) as place:
            yield copy_of_file(template, Path(place) / "life.db")

    return fresh


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--rounds", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    broken = 0
    with databases(given.database) as fresh:
        for seed in range(given.seed, given.seed + given.rounds):
            told = asyncio.run(live_once(fresh, seed))
            broken += bool(told)
            if told:
                print(*told, sep="\n  ", flush=True)
    last = given.seed + given.rounds - 1
    print(f"{given.database}: {given.rounds} lives, seeds {given.seed} to {last}: {broken} broken", flush=True)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
