"""Migrations run beside the code before them (promise R6): expand first, contract in a later release.

What is held here: docs/upgrading.md.
"""

import ast
from collections.abc import Iterator

import pytest

from tests.architecture.repository import ROOT, committed

HELD_FROM = "0017"
"""Those before it ran while nobody had any data."""

TAKES_AWAY = {"drop_column", "drop_table", "rename_table"}
LOCKS_OUT = {"create_unique_constraint", "create_check_constraint", "create_foreign_key", "drop_constraint"}
MIGRATIONS = [name for name in committed("migrations/versions/*.py") if name.rpartition("/")[2] >= HELD_FROM]


def objections(source: str) -> list[str]:
    """What in `upgrade` the code of the release before could not live with."""
    tree = ast.parse(source)
    if any(isinstance(node, ast.Assign) and _names(node) == ["contracts"] for node in tree.body):
        return []
    upgrade = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "upgrade")
    new = {_text(call.args[0]) for call, _ in _calls(upgrade, None) if _name(call) == "create_table"}
    found = [(_name(call), table, _objection(call)) for call, table in _calls(upgrade, None)]
    return [f"{name} on {table}: {why}" for name, table, why in found if why and table not in new]


def _objection(call: ast.Call) -> str | None:
    name, given = _name(call), {each.arg: each.value for each in call.keywords}
    if name in TAKES_AWAY:
        return "the code before it still reads and writes this"
    if name == "alter_column" and set(given) & {"new_column_name", "type_", "nullable"}:
        if isinstance(given.get("nullable"), ast.Constant) and given["nullable"].value is True and len(given) <= 3:
            return None
        return "the code before it knows the column as it was"
    if name in LOCKS_OUT:
        return "the code before it may write what this refuses"
    if name == "create_index" and isinstance(call.func, ast.Attribute):
        return "writers wait while it is built: use migrations.beside.create_index"
    if name == "add_column":
        column = next((each for each in call.args if isinstance(each, ast.Call) and _name(each) == "Column"), None)
        told = {each.arg: each.value for each in column.keywords} if column is not None else {}
        is_wanted = isinstance(told.get("nullable"), ast.Constant) and told["nullable"].value is False
        if is_wanted and "server_default" not in told:
            return "the code before it inserts rows without this column: give it a server_default"
    return None


def _calls(node: ast.AST, table: str | None) -> Iterator[tuple[ast.Call, str | None]]:
    """Every call, with the table that it is about: a batch's, or its first or second argument."""
    if isinstance(node, ast.With):
        entered = node.items[0].context_expr
        if isinstance(entered, ast.Call) and _name(entered) == "batch_alter_table":
            table = _text(entered.args[0])
    if isinstance(node, ast.Call):
        of_batch = isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) == "batch_op"
        texts = [_text(each) for each in node.args]
        place = 1 if _name(node) in {"create_index", *LOCKS_OUT} else 0
        yield node, table if of_batch else (texts[place] if len(texts) > place else None)
    for child in ast.iter_child_nodes(node):
        yield from _calls(child, table)


def _name(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _text(node: ast.AST) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _names(node: ast.Assign) -> list[str]:
    return [target.id for target in node.targets if isinstance(target, ast.Name)]


@pytest.mark.parametrize("name", MIGRATIONS)
def test_the_code_before_it_lives_with_it(name: str) -> None:
    assert objections((ROOT / name).read_text()) == []


BROKEN = {
    'op.drop_column("payments", "reference")': "drop_column on payments",
    'op.drop_table("payments")': "drop_table on payments",
    'op.rename_table("payments", "takings")': "rename_table on payments",
    'op.alter_column("payments", "reference", new_column_name="name")': "alter_column on payments",
    'op.alter_column("payments", "reference", nullable=False)': "alter_column on payments",
    'op.add_column("payments", sa.Column("mood", sa.String(), nullable=False))': "add_column on payments",
    'op.create_index("ix_mood", "payments", ["mood"])': "create_index on payments",
    'op.create_unique_constraint("uq_mood", "payments", ["mood"])': "create_unique_constraint on payments",
    'with op.batch_alter_table("payments") as batch_op:\n        batch_op.drop_column("m")': "drop_column on payments",
}
FINE = (
    'op.add_column("payments", sa.Column("mood", sa.String(), nullable=True))',
    'op.add_column("payments", sa.Column("mood", sa.String(), nullable=False, server_default="fair"))',
    'op.alter_column("payments", "reference", nullable=True)',
    'create_index("ix_mood", "payments", ["mood"])',
    'op.create_table("moods")\n    op.create_index("ix_moods", "moods", ["mood"])',
    'op.create_table("a")\n    with op.batch_alter_table("a") as batch_op:\n        batch_op.create_index("i", ["b"])',
)


@pytest.mark.parametrize("statement", BROKEN)
def test_what_it_could_not_live_with_is_found(statement: str) -> None:
    (objection,) = objections(f"def upgrade():\n    {statement}\n")
    assert objection.startswith(BROKEN[statement])
    assert objections(f'contracts = "0042"\ndef upgrade():\n    {statement}\n') == []


@pytest.mark.parametrize("statement", FINE)
def test_what_it_lives_with_is_not(statement: str) -> None:
    assert objections(f"def upgrade():\n    {statement}\n") == []
