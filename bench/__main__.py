"""`python -m bench`: the table of ratios, on SQLite and on PostgreSQL, with what made it."""

import argparse
import asyncio
import logging
import os
import platform
import sqlite3
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from bench.measuring import Timings, measure
from bench.operations import OPERATIONS
from logs import configure_logging
from tests.support.databases import migrate, place_of

ENGINES = ("sqlite", "postgresql")
_PARTS = ("strawberry-graphql", "starlette", "sqlalchemy", "sqlmodel", "orjson", "aiosqlite", "asyncpg")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=200, help="requests of each operation on either side")
    parser.add_argument("--seed", type=int, default=1, help="of the order in which they are made")
    parser.add_argument("--engine", choices=ENGINES, action="append", help="both unless given")
    asked = parser.parse_args(arguments)
    engines: list[str] = asked.engine or list(ENGINES)
    with open(os.devnull, "w") as nowhere:
        configure_logging(stream=nowhere)  # lines are made as in production, and thrown away
        measured = {engine: _measure(engine, rounds=asked.rounds, seed=asked.seed) for engine in engines}
        logging.getLogger().handlers.clear()
    print("\n".join(report(measured, rounds=asked.rounds, seed=asked.seed)))


def report(measured: Mapping[str, Mapping[str, Timings]], *, rounds: int, seed: int) -> list[str]:
    """A Markdown table of the ratios, and the line that says what made it."""
    engines = list(measured)
    lines = [
        "| operation | statements | " + " | ".join(engines) + " |",
        "| --- | --- | " + " | ".join("---" for _ in engines) + " |",
    ]
    for operation in OPERATIONS:
        each = [measured[engine][operation.name] for engine in engines]
        counts = "/".join(dict.fromkeys(str(timings.statements) for timings in each))
        lines.append(f"| {operation.name} | {counts} | " + " | ".join(_cell(timings) for timings in each) + " |")
    chosen = "".join(f" --engine {engine}" for engine in engines) if len(engines) < len(ENGINES) else ""
    made_by = f"python -m bench --rounds {rounds} --seed {seed}{chosen}"
    parts = ", ".join(f"{part} {version(part)}" for part in _PARTS)
    lines += ["", f"`{made_by}`; Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {parts}."]
    return lines


def _cell(timings: Timings) -> str:
    low, high = timings.spread
    return f"{timings.ratio:.1f} ({low:.1f} to {high:.1f})"


def _measure(engine: str, *, rounds: int, seed: int) -> Mapping[str, Timings]:
    with tempfile.TemporaryDirectory(prefix="perennial-bench-") as name:
        folder = Path(name)
        with place_of(engine, folder) as place:
            migrate(place.url)
            sandbox = f"sqlite:///{folder / 'sandbox.db'}"
            return asyncio.run(measure(place.url, sandbox, rounds=rounds, seed=seed))


if __name__ == "__main__":
    main()
