"""What the README says, done as it says it: its commands and snippets against a server of their own."""

import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from bootstrap import build
from settings import DEVELOPMENT_SECRET, Settings, load_settings
from tests.readme.snippets import ROOT, Snippet, answered, difference, snippets
from tests.support.processes import environment, free_port, perennial, stripe_stand_in

README = snippets("README.md")
STORY = [each for each in README if each.section == "The first five minutes"]
WITH_STRIPE = next(each for each in README if each.section == "With a Stripe account" and each.language == "bash")
ADDRESS = "http://127.0.0.1:8000"
END_OF_BLOCK = "\x1e"


def tell(story: Sequence[Snippet], address: str, folder: Path, **settings: str) -> list[str]:
    """Run the bash blocks in one shell, as a reader does: what each of them printed."""
    blocks = [each.text for each in story if each.language == "bash"]
    script = f"printf '{END_OF_BLOCK}'\n".join(blocks)
    # From a folder without a .env file, with the interpreter that runs the tests.
    for written, meant in (
        (ADDRESS, address),
        (".venv/bin/python", sys.executable),
        ("cli.py", str(ROOT / "cli.py")),
    ):
        script = script.replace(written, meant)
    settings = {"PERENNIAL_DATABASE_URL": f"sqlite:///{folder / 'perennial.db'}", **settings}
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout.replace(address, ADDRESS).split(END_OF_BLOCK)


def told_by(user: str, story: Sequence[Snippet]) -> list[Snippet]:
    """The same story with another customer."""
    return [replace(each, text=each.text.replace("demo-new", user)) for each in story]


def shown(story: Sequence[Snippet]) -> list[tuple[int, Snippet]]:
    """Each answer that the page shows, with the number of the bash block that gives it."""
    asked, answers = -1, []
    for each in story:
        if each.language == "bash":
            asked += 1
        else:
            answers.append((asked, each))
    return answers


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    folder = tmp_path_factory.mktemp("readme")
    with perennial(folder) as address:
        yield address, folder


def test_the_first_five_minutes_go_as_they_are_told(server: tuple[str, Path]) -> None:
    address, folder = server
    said = tell(STORY, address, folder)
    expected = shown(STORY)
    assert len(expected) >= 11
    told = [difference(answered(a.language, a.text), answered(a.language, said[block])) for block, a in expected]
    assert told == [None] * len(expected)


def test_running_it_again_charges_nobody(server: tuple[str, Path]) -> None:
    """The page says so beside the first subscription; here with a customer of its own."""
    address, folder = server
    upto = next(n for n, each in enumerate(STORY) if each.language == "bash" and "SUBSCRIBE='" in each.text)
    story = told_by("second-reader", [each for each in STORY[: upto + 1] if each.language == "bash"])
    again = story[-1]
    paid = Snippet("bash", "gql '{ payments { totalCount } }'\n", "")
    said = tell([*story, again, paid], address, folder)
    first, second, count = (answered("json", text)["data"] for text in said[-3:])
    assert second["subscribe"]["subscription"] == first["subscribe"]["subscription"]
    assert [error["code"] for error in second["subscribe"]["userErrors"]] == ["ALREADY_SUBSCRIBED"]
    assert count["payments"]["totalCount"] == 1


@pytest.mark.parametrize("page", ["docs/sandbox.md", "docs/clients.md"])
def test_the_commands_of_a_page_answer_as_it_says(page: str, server: tuple[str, Path]) -> None:
    address, folder = server
    story = [each for each in snippets(page) if each.language in ("bash", "text")]
    story = [each for each in story if not each.text.startswith("python -m")]  # run by running a stand-in
    said = tell(story, address, folder)
    assert [each.text.strip() for _, each in shown(story)] == [said[block].strip() for block, _ in shown(story)]


def test_make_run_starts_what_these_tests_start() -> None:
    assert "make run" in (each.text.strip() for each in README)
    dry = subprocess.run(["make", "-n", "run"], cwd=ROOT, capture_output=True, text=True, timeout=200, check=True)
    assert ".venv/bin/python cli.py serve --prepare" in dry.stdout


def test_an_explorer_that_cannot_be_built_keeps_nothing_from_starting(tmp_path: Path) -> None:
    """Node is there, and what it would install is not."""
    for name, does in (("node", "exit 0"), ("npm", "echo 'npm error code ECONNREFUSED' >&2; exit 1")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / name).chmod(0o755)
    made = subprocess.run(
        ["make", "--no-print-directory", "explorer-if-possible", f"EXPLORER={tmp_path / 'index.html'}"],
        cwd=ROOT,
        env=environment(PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}"),
        capture_output=True,
        text=True,
        timeout=200,
        check=True,
    )
    assert made.stderr.startswith("npm error code ECONNREFUSED\n")
    assert (
        made.stdout
        == "The explorer could not be built, see above: the API starts without it (later: 'make explorer').\n"
    )


def test_make_test_runs_these_tests() -> None:
    assert "make test" in (each.text.strip() for each in README)
    dry = subprocess.run(["make", "-n", "test"], cwd=ROOT, capture_output=True, text=True, timeout=200, check=True)
    assert ".venv/bin/pytest" in dry.stdout


def exported() -> dict[str, str]:
    """The variables of the page's Stripe block; the keys are completed so that they could be keys."""
    found = dict(re.findall(r"^export (PERENNIAL_\w+)=(\S+)$", WITH_STRIPE.text, re.MULTILINE))
    assert len(found) == WITH_STRIPE.text.count("export ") == 3
    return {name: value.replace("…", "0123456789") for name, value in found.items()}


def test_the_variables_of_the_stripe_section_choose_stripe() -> None:
    given = {name.removeprefix("PERENNIAL_").lower(): value for name, value in exported().items()}
    settings = load_settings(_env_file=None, **given)
    installation = build(settings)
    assert installation.sandbox is None
    assert installation.app.browser is None
    assert installation.app.gateway.platform == "stripe"
    assert installation.app.gateway.livemode is False
    assert settings.webhook_secrets == ("whsec_0123456789",)


def test_with_another_process_in_stripes_place_the_steps_without_sandbox_mutations_go_the_same(
    server: tuple[str, Path], tmp_path: Path
) -> None:
    """The catalog was loaded by a run with the sandbox, as the page says; then only the environment changes."""
    with (
        closing(sqlite3.connect(server[1] / "perennial.db")) as before,
        closing(sqlite3.connect(tmp_path / "perennial.db")) as after,
    ):
        before.backup(after)
    port = str(free_port())
    story = told_by("third-reader", STORY[: next(n for n, each in enumerate(STORY) if "sandboxConfirm" in each.text)])
    with stripe_stand_in(tmp_path, f"http://127.0.0.1:{port}/webhooks/stripe") as stripe:
        settings = {
            "PERENNIAL_PORT": port,
            "PERENNIAL_STRIPE_API_BASE": stripe,
            "PERENNIAL_STRIPE_SECRET_KEY": "sk_test_sandbox",
            "PERENNIAL_STRIPE_PUBLISHABLE_KEY": "pk_test_sandbox",
            "PERENNIAL_STRIPE_WEBHOOK_SECRET": "whsec_sandbox",
        }
        assert exported().keys() <= settings.keys()
        with perennial(tmp_path, **settings) as address:
            said = tell(story, address, tmp_path, **settings)
    told = [difference(answered(a.language, a.text), answered(a.language, said[block])) for block, a in shown(story)]
    assert told == [None] * 6


def test_every_setting_is_listed_with_its_default_and_its_meaning() -> None:
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    listed = re.findall(r"^#PERENNIAL_(\w+)=(.*)$", text, re.MULTILINE)
    assert [name.lower() for name, _ in listed] == list(Settings.model_fields)
    assert re.findall(r"^(?!#|$).*", text, re.MULTILINE) == [], "every line is a comment: a copy changes nothing"
    defaults = load_settings(_env_file=None)
    for name, value in listed:
        given = value.replace("sqlite:///", f"sqlite:///{ROOT}{os.sep}")
        read = load_settings(_env_file=None, **{name.lower(): given}) if value else defaults
        assert getattr(read, name.lower()) == getattr(defaults, name.lower()), name
        assert bool(value) is (getattr(defaults, name.lower()) not in (None, ())), name
        above = text.partition(f"#PERENNIAL_{name}=")[0].splitlines()
        assert above[-1].startswith("# "), f"{name} has no meaning above it"
    assert DEVELOPMENT_SECRET in text


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{p.name}" for p in sorted((ROOT / "docs").glob("*.md")))])
def test_no_link_of_a_page_leads_nowhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    targets = [target.partition("#")[0] for target in re.findall(r"\]\((?!\w+://)([^)\s]+)\)", text)]
    assert [target for target in targets if target and not ((ROOT / page).parent / target).exists()] == []
