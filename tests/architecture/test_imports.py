"""Imports point one way: between the rooms by the contracts in .importlinter, beside them by the tables here."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.repository import ROOT, committed, text_of

ROOMS = ("billing", "models", "gateways", "services", "resolvers", "schema", "documents", "pages")

# Modules beside the rooms. Leaves know nothing of ours; entries wire the house together and no room knows them.
LEAVES = {
    "clocks",
    "database_urls",
    "gauges",
    "languages",
    "logs",
    "marks",
    "rates",
    "settings",
    "sqlite_trips",
    "tracing",
}
GUARD_MAY_IMPORT = {"clocks", "logs", "rates", "schema", "settings"}

# What of the database's libraries may be named outside models and the sandbox's own store: the handle of a
# transaction, the type of a row and the refusal of a duplicate. Queries are written in models only.
SQL_NAMES_FOR_ALL = {"AsyncSession", "SQLModel", "IntegrityError"}
SQL = ("sqlalchemy", "sqlmodel")
SPEAKS_SQL = ("models/", "gateways/sandbox/")


def modules_of(room: str) -> list[str]:
    return committed(f"{room}/*.py")


def imports_of(module: str) -> list[tuple[str, str | None]]:
    """(module, name) of each import, the name None for `import module`."""
    found: list[tuple[str, str | None]] = []
    for node in ast.walk(ast.parse(text_of(module))):
        if isinstance(node, ast.Import):
            found += [(alias.name, None) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno} imports relatively"
            found += [(node.module or "", alias.name) for alias in node.names]
    return found


def roots_of(module: str) -> set[str]:
    return {name.partition(".")[0] for name, _ in imports_of(module)}


BESIDE = sorted(Path(name).stem for name in committed(":(glob)*.py"))
ENTRIES = {"bootstrap", "server", "worker", "cli", *BESIDE} - LEAVES


def test_the_contracts_between_rooms_hold() -> None:
    lint_imports = Path(sys.executable).with_name("lint-imports")
    checked = subprocess.run(
        [lint_imports, "--no-cache", "--no-logo"], cwd=ROOT, capture_output=True, text=True, timeout=200, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("room", ROOMS)
def test_no_room_knows_who_wires_the_house(room: str) -> None:
    assert {name: roots_of(name) & ENTRIES for name in modules_of(room) if roots_of(name) & ENTRIES} == {}


@pytest.mark.parametrize("leaf", sorted(LEAVES))
def test_a_leaf_knows_nothing_of_ours(leaf: str) -> None:
    assert roots_of(f"{leaf}.py") & {*ROOMS, *BESIDE} == set()


def test_the_guard_knows_how_refusals_look_and_no_more() -> None:
    assert roots_of("guard.py") & {*ROOMS, *BESIDE} == GUARD_MAY_IMPORT


@pytest.mark.parametrize("module", [name for name in BESIDE if name != "bootstrap"])
def test_beside_bootstrap_nobody_picks_a_gateway(module: str) -> None:
    """The promise that gateways make may be named, and nothing else of them."""
    named = {name for name, _ in imports_of(f"{module}.py") if name.startswith(("gateways", "stripe"))}
    assert named - {"gateways.port"} == set()


def test_the_engine_needs_the_standard_library_only() -> None:
    foreign = {name: roots_of(name) - sys.stdlib_module_names - {"billing"} for name in modules_of("billing")}
    assert {name: imported for name, imported in foreign.items() if imported} == {}


@pytest.mark.parametrize("room", [room for room in ROOMS if room != "models"])
def test_only_models_and_the_sandboxs_store_write_queries(room: str) -> None:
    written = {
        name: sorted(what for what in imports_of(name) if what[0].startswith(SQL) and what[1] not in SQL_NAMES_FOR_ALL)
        for name in modules_of(room)
        if not name.startswith(SPEAKS_SQL)
    }
    assert {name: queries for name, queries in written.items() if queries} == {}


# A gateway's own words: ids, keys and tokens of Stripe's, and its name; `whsec_` is Standard Webhooks' too.
GATEWAY_WORDS = re.compile(r"stripe|\b(?:pi|seti|pm|cus|ch|re|dp|evt|tok|promo|sk|pk|rk)_", re.IGNORECASE)
# The platform's name, which clients are told, the webhook's address and the sandbox's. `pages` holds the browser's
# half, which loads the gateway's own script.
NAMES_A_GATEWAY = {
    "schema/enums.py": {'STRIPE = "stripe"', '"STRIPE": "Stripe.",'},
    "models/base.py": {'"pk": "pk_%(table_name)s",'},
    "server.py": {
        'Route("/webhooks/stripe", front.webhook, methods=["POST"]),',
        'routes.append(Mount("/sandbox/stripe", installation.sandbox.app))',
    },
}


def test_no_room_speaks_a_gateways_words() -> None:
    rooms = [module for room in ROOMS if room not in ("gateways", "pages") for module in modules_of(room)]
    said = {
        (module, line.strip())
        for module in [*rooms, "server.py", "worker.py"]
        for line in text_of(module).splitlines()
        if GATEWAY_WORDS.search(line)
    }
    assert said == {(module, line) for module, lines in NAMES_A_GATEWAY.items() for line in lines}


def test_the_picture_of_services_names_each_of_its_rooms_by_its_sign() -> None:
    signs = {
        f"| `{Path(door).parent}/` | {(ast.get_docstring(ast.parse(text_of(door))) or '').splitlines()[0]} |"
        for door in committed("services/*/__init__.py")
    }
    told = text_of("docs/architecture.md").splitlines()
    assert {line for line in told if line.startswith("| `services/") and line.count("/") == 2} == signs
