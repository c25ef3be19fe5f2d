"""A short seed of the stops that `make soak` does many times."""

import os
import signal
import socket
import time
from pathlib import Path

import pytest
from uvicorn.config import STARTUP_FAILURE

from serving import app_of_this_process
from settings import ROOT
from tests.soak.stopping import stop_often
from tests.support.databases import copy_of_file
from tests.support.processes import free_port, started


async def test_a_server_told_to_stop_answers_what_was_asked_and_ends_by_itself(tmp_path: Path) -> None:
    seen = await stop_often(stops=1, clients=10, processes=1, seed=1, folder=tmp_path)
    assert seen.lost == []
    assert seen.answered >= 30
    assert (seen.stopped, dict(seen.exits)) == (1, {0: 1})
    assert dict(seen.streams) == {"sse without complete": 1, "1012": 1}


def test_processes_told_to_stop_before_any_of_them_listens_end_as_well(sqlite_file: Path, tmp_path: Path) -> None:
    settings = {
        "PERENNIAL_DATABASE_URL": copy_of_file(sqlite_file, tmp_path / "perennial.db"),
        "PERENNIAL_PORT": str(free_port()),
        "PERENNIAL_WORKER": "off",
    }
    command = [str(ROOT / "cli.py"), "serve", "--workers", "2"]
    with started(command, "", tmp_path, settings) as it:
        deadline = time.monotonic() + 60
        while b"Started parent process" not in it.log.read_bytes() and time.monotonic() < deadline:
            time.sleep(0.01)
        it.process.terminate()
        assert it.process.wait(timeout=60) == 0
        assert "Traceback" not in it.log.read_text()


TOLD_EARLY = """
import asyncio, os, signal, sys, uvicorn
from draining import Server, ends_well

async def app(scope, receive, send): ...

ends_well()
os.kill(os.getpid(), signal.SIGTERM)
asyncio.run(Server(uvicorn.Config(app, port=int(sys.argv[1]), lifespan="off")).serve())
"""


def test_a_server_told_to_stop_before_it_listens_to_signals_ends_as_well(tmp_path: Path) -> None:
    (tmp_path / "told_early.py").write_text(TOLD_EARLY)
    with started([str(tmp_path / "told_early.py"), str(free_port())], "", tmp_path, {}) as it:
        assert it.process.wait(timeout=60) == 0


CANNOT_START = """
import sys, uvicorn
from draining import Processes

async def app(scope, receive, send):
    await send({"type": "lifespan.startup.failed", "message": "the database is away"})

if __name__ == "__main__":
    config = uvicorn.Config("cannot_start:app", port=int(sys.argv[1]), workers=2, lifespan="on")
    Processes(config, [config.bind_socket()], lambda number: None).run()
"""


def test_processes_that_cannot_start_end_with_a_failure_that_a_supervisor_sees(tmp_path: Path) -> None:
    (tmp_path / "cannot_start.py").write_text(CANNOT_START)
    settings = {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    with started([str(tmp_path / "cannot_start.py"), str(free_port())], "", tmp_path, settings) as it:
        assert it.process.wait(timeout=60) == STARTUP_FAILURE


LEFT_ALONE = """
import sys, uvicorn
from draining import Processes, ends_with_its_parent

def made():
    ends_with_its_parent()
    return app

async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body"})

if __name__ == "__main__":
    config = uvicorn.Config("left_alone:made", factory=True, port=int(sys.argv[1]), workers=2, lifespan="off")
    Processes(config, [config.bind_socket()], lambda number: None).run()
"""


def test_processes_whose_parent_was_killed_leave_the_port_to_the_next_one(tmp_path: Path) -> None:
    (tmp_path / "left_alone.py").write_text(LEFT_ALONE)
    port = free_port()
    settings = {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    command = [str(tmp_path / "left_alone.py"), str(port)]
    with started(command, f"http://127.0.0.1:{port}/", tmp_path, settings) as it:
        it.wait()
        it.process.send_signal(signal.SIGKILL)
        it.process.wait()
        deadline = time.monotonic() + 30
        while not _is_free(port) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert _is_free(port)


def test_each_process_of_a_server_ends_with_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    class Asked(Exception): ...

    def ask() -> None:
        raise Asked

    monkeypatch.setattr("serving.ends_with_its_parent", ask)
    with pytest.raises(Asked):
        app_of_this_process()


def _is_free(port: int) -> bool:
    with socket.socket() as another:
        return another.connect_ex(("127.0.0.1", port)) != 0
