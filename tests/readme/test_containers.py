"""Dockerfile and compose.yaml without an engine: each command is run, or checked, on a copy of what the image holds."""

import json
import re
import shlex
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from cli import cli
from settings import Settings
from tests.architecture.repository import committed
from tests.readme.snippets import ROOT
from tests.support.processes import environment, free_port, running
from tests.support.scraping import METRICS_TOKEN, read

KNOWN = {"FROM", "WORKDIR", "ENV", "COPY", "RUN", "USER", "EXPOSE", "HEALTHCHECK", "CMD"}


def instructions() -> list[tuple[str, str]]:
    """Word and rest of each instruction, comments left out."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines)]


def rests(word: str) -> list[str]:
    return [rest for known, rest in instructions() if known == word]


def only(word: str) -> str:
    (rest,) = rests(word)
    return rest


def exec_form(rest: str) -> list[str]:
    return json.loads(rest[rest.index("[") :])


def copies() -> list[tuple[list[str], str]]:
    """The sources of each COPY, patterns spelled out, and its target."""
    found: list[tuple[list[str], str]] = []
    for rest in rests("COPY"):
        *sources, target = rest.split()
        names = [name for source in sources for name in (sorted(p.name for p in ROOT.glob(source)) or [source])]
        found.append(([*sources] if "*" not in rest else names, target))
    return found


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the image's /app holds, and nothing else of the checkout."""
    app = tmp_path_factory.mktemp("image")
    for sources, target in copies():
        for source in sources:
            for name in committed(source):
                inner = Path(name).relative_to(source) if (ROOT / source).is_dir() else Path(name).name
                copy = app / target / inner
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, copy)
    return app


def compose() -> Mapping[str, Any]:
    return yaml.safe_load((ROOT / "compose.yaml").read_text())


def check_command(words: Sequence[str]) -> None:
    """Raises click's own complaint for a command or option that does not exist."""
    assert list(words[:2]) == ["python", "cli.py"]
    group = typer.main.get_command(cli)
    context = group.make_context("cli", list(words[2:]))
    name, command, rest = group.resolve_command(context, [*context._protected_args, *context.args])  # type: ignore[attr-defined]
    command.make_context(name, rest, parent=context)


# The Dockerfile


def test_every_instruction_is_known_here_and_every_source_is_committed() -> None:
    assert {word for word, _ in instructions()} == KNOWN
    listed = set(committed())
    missing = [
        source for sources, _ in copies() for source in sources if source not in listed and not committed(f"{source}/*")
    ]
    assert missing == []


def test_it_runs_as_nobody_in_particular_and_holds_no_secret() -> None:
    order = [word for word, _ in instructions()]
    user = only("USER")
    assert user != "root"
    assert any(f"useradd --system {user}" in rest for rest in rests("RUN"))
    assert order.index("USER") > max(place for place, word in enumerate(order) if word in ("COPY", "RUN"))
    assert [rest for rest in rests("ENV") if re.search("SECRET|KEY|TOKEN|PASSWORD", rest)] == []
    assert not {".env", "var", "."} & {source for sources, _ in copies() for source in sources}


def test_its_packages_are_those_that_are_pinned() -> None:
    (install,) = [rest for rest in rests("RUN") if "pip" in rest]
    words = shlex.split(install)
    assert words[:4] == ["python", "-m", "pip", "install"]
    assert words[4:] == ["--no-cache-dir", "--require-hashes", "-r", "requirements.txt"]
    understood = subprocess.run(
        [sys.executable, *words[1:4], *words[4:], "--dry-run", "--no-deps", "--no-index", "--help"],
        cwd=ROOT, capture_output=True, check=False,
    )  # fmt: skip
    assert understood.returncode == 0


def test_the_image_has_all_that_its_commands_need(image: Path, tmp_path: Path) -> None:
    """Migrated by compose's command, served by CMD in two processes, found healthy by HEALTHCHECK, scraped."""
    port = str(free_port())
    settings = {
        "PERENNIAL_PORT": port,
        "PERENNIAL_DATABASE_URL": f"sqlite:///{tmp_path / 'perennial.db'}",
        "PERENNIAL_WORKER": "off",
        "PERENNIAL_METRICS_TOKEN": METRICS_TOKEN,
        "PYTHONPATH": "",
    }
    run = {"cwd": image, "env": environment(**settings), "capture_output": True, "text": True, "timeout": 100}
    services = compose()["services"]
    _, *migrate = services["migrate"]["command"]
    migrated = subprocess.run([sys.executable, *migrate], check=False, **run)
    assert migrated.returncode == 0, migrated.stderr
    program, *checks = exec_form(only("HEALTHCHECK"))
    assert program == "python"
    health = [sys.executable, *(word.replace(":8000/", f":{port}/") for word in checks)]
    assert subprocess.run(health, check=False, **run).returncode == 1
    _, *serve = services["server"]["command"]
    assert serve[:2] == exec_form(only("CMD"))[1:]
    with running(serve, f"http://127.0.0.1:{port}/health/ready", image, settings):
        assert subprocess.run(health, check=False, **run).returncode == 0
        for _ in range(8):  # whichever process answers
            asked = urllib.request.Request(
                f"http://127.0.0.1:{port}/graphql",
                json.dumps({"query": "{ plans(first: 1) { nodes { code } } }"}).encode(),
                {"Content-Type": "application/json", "Connection": "close"},
            )
            with urllib.request.urlopen(asked) as answer:  # noqa: S310 (our own address)
                assert json.load(answer)["data"] == {"plans": {"nodes": []}}
        asked = urllib.request.Request(
            f"http://127.0.0.1:{port}/metrics", headers={"Authorization": f"Bearer {METRICS_TOKEN}"}
        )
        with urllib.request.urlopen(asked) as answer:  # noqa: S310 (our own address)
            told = answer.read().decode()
    counted = read(told).of("perennial_operation_seconds_count", operation="Query.plans", outcome="answered")
    assert counted == 8.0


def test_a_worker_of_its_own_is_watched_as_a_server_is(image: Path, tmp_path: Path) -> None:
    port = str(free_port())
    settings = {
        "PERENNIAL_WORKER_PORT": port,
        "PERENNIAL_DATABASE_URL": f"sqlite:///{tmp_path / 'perennial.db'}",
        "PERENNIAL_METRICS_TOKEN": METRICS_TOKEN,
        "PYTHONPATH": "",
    }
    run = {"cwd": image, "env": environment(**settings), "capture_output": True, "timeout": 100}
    services = compose()["services"]
    assert subprocess.run([sys.executable, *services["migrate"]["command"][1:]], check=False, **run).returncode == 0
    with running(services["worker"]["command"][1:], f"http://127.0.0.1:{port}/health/ready", image, settings):
        known = {"Authorization": f"Bearer {METRICS_TOKEN}"}
        asked = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers=known)
        deadline = time.monotonic() + 60
        passes = 0.0
        while not passes and time.monotonic() < deadline:
            with urllib.request.urlopen(asked) as answer:  # noqa: S310 (our own address)
                passes = read(answer.read().decode()).of("perennial_worker_pass_seconds_count")
            time.sleep(0.1)
        assert passes >= 1.0
        with pytest.raises(urllib.error.HTTPError, match="404") as refused:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/.well-known/jwks.json")
        refused.value.close()


# compose.yaml


def test_every_command_is_one_of_the_command_line() -> None:
    ours = [service for name, service in compose()["services"].items() if name != "database"]
    for service in ours:
        check_command(service["command"])
    check_command(exec_form(only("CMD")))
    with pytest.raises(Exception, match="No such option"):
        check_command(["python", "cli.py", "serve", "--processes", "2"])


def test_one_database_serves_them_all_and_no_password_is_written_down() -> None:
    services = compose()["services"]
    assert set(services) == {"database", "migrate", "server", "worker"}
    ours = [service for name, service in services.items() if name != "database"]
    assert {service["environment"]["PERENNIAL_WORKER"] for service in ours} == {"off"}
    (url,) = {service["environment"]["PERENNIAL_DATABASE_URL"] for service in ours}
    assert url == "postgresql://perennial:${POSTGRES_PASSWORD:?set it in .env}@database/perennial"
    assert services["database"]["environment"]["POSTGRES_PASSWORD"] == "${POSTGRES_PASSWORD:?set it in .env}"


def test_the_database_counts_as_there_once_others_reach_it_and_has_connections_for_the_fleet_of_the_docs() -> None:
    """What the image starts while it makes its files listens on no address."""
    database = compose()["services"]["database"]
    check = database["healthcheck"]["test"]
    assert check[:2] == ["CMD", "pg_isready"]
    assert check[check.index("-h") + 1] == "127.0.0.1"
    most = {name: Settings.model_fields[f"database_pool_{name}"].default for name in ("size", "overflow")}
    servers = int(compose()["services"]["server"]["command"][-1])
    (line,) = re.findall(r"docker compose up --build (.*)", (ROOT / "docs/operations.md").read_text())
    count = {name: int(number) for name, number in re.findall(r"--scale (\w+)=(\d+)", line)}
    processes = count["server"] * servers + count["worker"]
    (given,) = [word for word in database["command"] if word.startswith("max_connections=")]
    assert int(given.partition("=")[2]) >= processes * (most["size"] + most["overflow"] + 1) + 10


def test_every_setting_that_they_name_exists() -> None:
    text = (ROOT / "Dockerfile").read_text() + (ROOT / "compose.yaml").read_text()
    named = set(re.findall(r"PERENNIAL_([A-Z_]+)\b", text))
    assert named == {"HOST", "DATABASE_URL", "WORKER", "WORKER_PORT"}
    assert {name.lower() for name in named} <= set(Settings.model_fields)


def test_every_path_that_they_mount_or_leave_out_is_one_that_the_image_knows() -> None:
    services, workdir = compose()["services"], only("WORKDIR")
    ours = {mount for name, service in services.items() if name != "database" for mount in service["volumes"]}
    assert ours == {f"var:{workdir}/var"}
    (made,) = [rest for rest in rests("RUN") if "install -d" in rest]
    assert made.endswith("install -d -o perennial var")
    ignored = set((ROOT / ".dockerignore").read_text().split())
    assert ignored & {source for sources, _ in copies() for source in sources} == set()
    volumes = {mount.partition(":")[0] for service in services.values() for mount in service.get("volumes", ())}
    assert volumes == set(compose()["volumes"])


def test_several_processes_want_their_worker_beside_them(tmp_path: Path) -> None:
    refused = subprocess.run(
        [sys.executable, str(ROOT / "cli.py"), "serve", "--workers", "2"],
        cwd=tmp_path, env=environment(PERENNIAL_PORT=str(free_port())), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert refused.returncode == 1
    assert refused.stderr.strip().startswith("PERENNIAL_WORKER: set it to off")
