"""The bench runs, and the page that keeps its table knows the same operations."""

import re
import subprocess
import sys

from bench.operations import OPERATIONS
from tests.readme.snippets import ROOT
from tests.support.processes import environment

NAMES = [operation.name for operation in OPERATIONS]
_ROW = re.compile(r"^\| ([^|]+) \| \d+(?:/\d+)? \|((?: \d+\.\d \(\d+\.\d to \d+\.\d\) \|)+)$", re.MULTILINE)


def rows(table: str) -> list[tuple[str, int]]:
    """Each operation of a table and how many engines it was measured on."""
    return [(row[1], row[2].count("|")) for row in _ROW.finditer(table)]


def output(*command: str) -> str:
    """What the module prints when it is run as a program that must succeed."""
    ran = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout


def test_the_bench_compares_every_operation_with_a_route_that_answers_the_same() -> None:
    told = output("bench", "--rounds", "2", "--engine", "sqlite")
    assert rows(told) == [(name, 1) for name in NAMES]
    assert "`python -m bench --rounds 2 --seed 1 --engine sqlite`" in told


def test_the_page_keeps_a_table_of_the_same_operations_and_how_it_was_made() -> None:
    page = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert rows(page) == [(name, 2) for name in NAMES]
    assert re.search(r"^`python -m bench --rounds \d+ --seed \d+`; Python 3\.", page, re.MULTILINE)


def test_renewals_are_held_against_the_same_rows_written_in_bulk() -> None:
    told = output("bench.renewals", "--subscriptions", "6", "--due", "3")
    assert told.startswith("sqlite: 6 subscriptions, 3 due; made in ")
    for latency in (0, 50):
        rate = rf"^1 worker, gateway {latency} ms: \d+ renewals a second, \d+\.\d ms of CPU each$"
        assert re.search(rate, told, re.MULTILINE)
    bulk = r"^the same 63 rows by 9 statements in one transaction: \d+ renewals a second$"
    assert re.search(bulk, told, re.MULTILINE)


def test_the_engine_alone_decides_what_bare_arithmetic_does() -> None:
    assert output("bench.engine", "--subscriptions", "5").startswith("a year of 5 subscriptions: 41 invoices in ")
