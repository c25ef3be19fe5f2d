"""The house keeps small rooms with signs on their doors, and says why where it makes an exception."""

import ast
import io
import re
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import PurePath

import pytest

from tests.architecture.repository import committed, text_of

LONGEST_MODULE = 400
LONGEST_FUNCTION = 60
DOOR_SIGN = ("Owns:", "Does not own:", "May import:")
NAMES_THAT_SAY_NOTHING = re.compile(r"(?:^|_)(?:utils?|helpers?|commons?|managers?|misc|base_?class)$")
SIZE_IS_FREE_IN = ("tests/", "migrations/")

# path or path:function → why it may be longer
LONG_FOR_A_REASON = {
    "gateways/sandbox/parameters.py": "a table: which operation of Stripe's takes which parameters",
    "gateways/sandbox/shapes.py": "a table: the fields of Stripe's objects, each object written out once",
}

NOQA = re.compile(r"#\s*noqa\b")
NOQA_WITH_RULE = re.compile(r"#\s*noqa: [A-Z]+\d+")
IGNORE = re.compile(r"#\s*(?:pyright|type|basedpyright):\s*ignore\b")
IGNORE_WITH_RULE = re.compile(r"#\s*(?:pyright|type): ignore\[[\w, -]+\]")


PYTHON = committed("*.py")
SIZED = [name for name in PYTHON if not name.startswith(SIZE_IS_FREE_IN)]


def lengths(name: str) -> Iterator[tuple[str, int, int]]:
    """What is measured in a module, its length in lines, and how long it may be."""
    text = text_of(name)
    yield name, len(text.splitlines()), LONGEST_MODULE
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{name}:{node.name}", (node.end_lineno or 0) - node.lineno + 1, LONGEST_FUNCTION


def written_at_the_top(name: str) -> Iterator[str]:
    """The names of a module's own functions, classes and values."""
    for node in ast.parse(text_of(name)).body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name
            case ast.Assign(targets=targets):
                yield from (target.id for target in targets if isinstance(target, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=written)):
                yield written
            case _:
                pass


def comments(name: str) -> Iterator[tuple[int, str]]:
    source = io.StringIO(text_of(name))
    for token in tokenize.generate_tokens(source.readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def test_the_repository_lists_its_python() -> None:
    assert {"billing/money.py", "tests/architecture/test_house_style.py"} <= set(PYTHON)


@pytest.mark.parametrize("door", [name for name in SIZED if name.endswith("__init__.py")])
def test_a_packages_docstring_is_its_door_sign(door: str) -> None:
    sign = ast.get_docstring(ast.parse(text_of(door))) or ""
    assert [line for line in DOOR_SIGN if line not in sign] == []


def test_no_module_or_function_is_longer_than_one_thing_needs() -> None:
    too_long = {what: lines for name in SIZED for what, lines, most in lengths(name) if lines > most}
    assert {what: lines for what, lines in too_long.items() if what not in LONG_FOR_A_REASON} == {}
    assert set(LONG_FOR_A_REASON) - set(too_long) == set(), "these exemptions are needed no longer"


def test_nothing_is_kept_that_nobody_names() -> None:
    named = Counter(word for name in PYTHON for word in re.findall(r"\w+", text_of(name)))
    mine = [f"{name}: {each}" for name in SIZED for each in written_at_the_top(name) if named[each] == 1]
    assert [each for each in mine if not each.endswith("__")] == []


def test_no_file_has_a_name_that_says_nothing() -> None:
    parts = {part for name in committed() for part in PurePath(name).with_suffix("").parts}
    assert sorted(part for part in parts if NAMES_THAT_SAY_NOTHING.search(part)) == []


def test_a_silenced_rule_is_named() -> None:
    nameless = [
        f"{name}:{line} {text}"
        for name in PYTHON
        for line, text in comments(name)
        if (NOQA.search(text) and not NOQA_WITH_RULE.search(text))
        or (IGNORE.search(text) and not IGNORE_WITH_RULE.search(text))
    ]
    assert nameless == []


def test_no_log_line_has_a_field_that_is_called_as_its_text_is() -> None:
    """`log.info("told", event=…)` gives structlog two texts: it raises instead of writing the line."""
    doubled = [
        f"{name}:{node.lineno}"
        for name in SIZED
        for node in ast.walk(ast.parse(text_of(name)))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id in ("log", "logger")
        and any(keyword.arg == "event" for keyword in node.keywords)
    ]
    assert doubled == []
