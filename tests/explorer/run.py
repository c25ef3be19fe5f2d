"""Tells the shelf's story in a browser against a server of its own: `make explorer-test`.

The server has a fresh database and a free port, so neither `make run` nor its data is touched. Exit code: the story's;
2 if the server does not get ready within 30 s. SHOTS=<folder> keeps the pictures.
"""

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from settings import ROOT

READY_WITHIN_S = 30


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def wait_until_ready(address: str, server: "subprocess.Popen[bytes]") -> bool:
    """True once the server says so; False when it ended or took too long."""
    for _ in range(READY_WITHIN_S * 10):
        if server.poll() is not None:
            return False
        try:
            with urllib.request.urlopen(f"{address}/health/ready", timeout=1):  # noqa: S310 (http, our own loopback)
                return True
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    return False


def tell_story(folder: Path) -> int:
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    settings = {
        "PERENNIAL_DATABASE_URL": f"sqlite:///{folder / 'story.db'}",
        "PERENNIAL_HOST": "127.0.0.1",
        "PERENNIAL_PORT": str(port),
    }
    log_path = folder / "server.log"
    with log_path.open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "cli.py", "serve", "--prepare"],
            cwd=ROOT,
            env={**os.environ, **settings},
            stdout=log,
            stderr=log,
        )
        try:
            if not wait_until_ready(address, server):
                print(f"The server did not get ready:\n{log_path.read_text()[-4000:]}", file=sys.stderr)
                return 2
            story = ["node", "tests/explorer/story.mjs"]
            return subprocess.run(story, cwd=ROOT, env={**os.environ, "BASE_URL": address}, check=False).returncode
        finally:
            server.terminate()
            server.wait(timeout=30)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="perennial-story-") as temporary:
        sys.exit(tell_story(Path(temporary)))
