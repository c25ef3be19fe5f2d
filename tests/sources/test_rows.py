"""Every row of what the product must carry has a test that is named by it."""

import ast
import csv
import re
from collections import Counter
from pathlib import Path

HERE = Path(__file__).parent
_NAMED = re.compile(r"test_(x|\d{3})_(\d{2})_[a-z]")
OF_EACH_SOURCE = {"X": 9, "000": 61, "001": 46, "002": 27, "003": 56, "004": 48}


def _rows() -> dict[str, str]:
    """Row → what it asks for."""
    with (HERE / "rows.csv").open(newline="") as file:
        return {each["row"]: each["line"] for each in csv.DictReader(file)}


def _tested() -> Counter[str]:
    """Row → how many tests are named by it."""
    names = [
        node.name
        for path in sorted(HERE.glob("test_*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return Counter(f"{found[1].upper()}.{found[2]}" for name in names if (found := _NAMED.match(name)))


def test_the_rows_are_all_there_with_a_line_each() -> None:
    rows = _rows()
    assert Counter(row.partition(".")[0] for row in rows) == OF_EACH_SOURCE
    assert [row for row, line in rows.items() if not line.strip()] == []


def test_every_row_has_a_test_and_every_such_test_a_row() -> None:
    rows, tested = _rows(), _tested()
    assert sorted(set(rows) - set(tested)) == []
    assert sorted(set(tested) - set(rows)) == []
