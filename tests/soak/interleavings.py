"""Thousands of random lives, each in a house of its own: no order of events may break a promise.

Every seed is one life. One that breaks something is told with its story, and can be lived again alone. With
`--missed-news` no webhook ever arrives: one reconcile must find out, and all of them sent after all change nothing.

    python -m tests.soak.interleavings --database sqlite --rounds 10000 --seed 1
"""

import asyncio
import multiprocessing
import os
import sys
import tempfile
import time
import traceback
from argparse import Namespace
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path

from tests.conftest import load_demo_into
from tests.scenarios.lifetimes import live_through
from tests.scenarios.missed_news import miss_all_news
from tests.soak.surroundings import parser
from tests.support.compiling import compile_once
from tests.support.databases import (
    STOCKED,
    apart,
    copy_of_file,
    database_on,
    migrate_template,
    postgres_server,
    sqlite_template,
    stock_template,
)
from tests.support.house import House, open_house

Fresh = Callable[[], AbstractAsyncContextManager[str]]
"""The address of a new database with the demo data, gone at the end."""

Live = Callable[[House, int, list[str]], Awaitable[Sequence[str]]]


async def live_once(fresh: Fresh, live: Live, seed: int) -> Sequence[str]:
    """What a life broke, its story first; nothing when it broke nothing."""
    story = [f"seed {seed}:"]
    try:
        async with fresh() as url, open_house(url, demo=False) as house:
            broken = list(await live(house, seed, story))
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
            yield lambda: database_on(server, STOCKED)


def _files(folder: Path) -> Fresh:
    template = sqlite_template(folder)
    apart(lambda: load_demo_into(f"sqlite:///{template}"))

    @asynccontextmanager
    async def fresh() -> AsyncIterator[str]:
        with tempfile.TemporaryDirectory(dir=folder) as place:
            yield copy_of_file(template, Path(place) / "life.db")

    return fresh


def live_all(fresh: Fresh, live: Live, seeds: Sequence[int], jobs: int) -> Iterator[Sequence[str]]:
    """What each life broke, in the order of the seeds, lived in so many processes at a time."""
    # Forked, for what is handed on lives in this process only.
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("fork"), _begin, (fresh, live)) as pool:
        yield from pool.map(_live, seeds)


def live_and_tell(given: Namespace, live: Live, what: str, how: str) -> int:
    """The run's exit code. Each life that broke something is printed with its story, in the end how many did.

    `what` was lived, and `how` it is called when it goes wrong.
    """
    seeds, broken, began = range(given.seed, given.seed + given.rounds), 0, time.monotonic()
    with databases(given.database) as fresh:
        for told in live_all(fresh, live, seeds, given.jobs):
            broken += bool(told)
            if told:
                print(*told, sep="\n  ", flush=True)
    taken = f"{time.monotonic() - began:.0f} s"
    print(f"{given.database}: {given.rounds} {what}, seeds {seeds[0]} to {seeds[-1]}: {broken} {how}; {taken}")
    return 1 if broken else 0


_given: tuple[Fresh, Live]


def _begin(fresh: Fresh, live: Live) -> None:
    global _given
    _given = fresh, live
    compile_once()


def _live(seed: int) -> Sequence[str]:
    return asyncio.run(live_once(*_given, seed))


def main() -> int:
    asking = parser("interleavings", __doc__, rounds=10_000, jobs=os.cpu_count() or 1)
    asking.add_argument("--missed-news", action="store_true", help="no webhook ever arrives")
    given = asking.parse_args()
    if given.missed_news:
        return live_and_tell(given, miss_all_news, "lives of which no news came", "broken")
    return live_and_tell(given, live_through, "lives", "broken")


if __name__ == "__main__":
    sys.exit(main())
