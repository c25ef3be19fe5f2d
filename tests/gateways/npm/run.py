"""Tells a stranger's story with the npm `stripe` client against a sandbox of its own: `make npm-test`.

The sandbox is a process of its own with a fresh database and a free port. Exit code: the story's; 2 if the sandbox does
not get ready within 30 s.
"""

import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from settings import ROOT

READY_WITHIN_S = 30


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def wait_until_listening(port: int, sandbox: "subprocess.Popen[bytes]") -> bool:
    """True once it takes connections; False when it ended or took too long."""
    for _ in range(READY_WITHIN_S * 10):
        if sandbox.poll() is not None:
            return False
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return True
        except OSError:
            time.sleep(0.1)
    return False


def tell_story(folder: Path) -> int:
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    told = ["--port", str(port), "--database", f"sqlite:///{folder / 'stripe.db'}"]
    log_path = folder / "sandbox.log"
    with log_path.open("wb") as log:
        sandbox = subprocess.Popen([sys.executable, "-m", "gateways.sandbox", *told], cwd=ROOT, stdout=log, stderr=log)
        try:
            if not wait_until_listening(port, sandbox):
                print(f"The sandbox did not get ready:\n{log_path.read_text()[-4000:]}", file=sys.stderr)
                return 2
            story = ["node", "tests/gateways/npm/story.mjs"]
            return subprocess.run(story, cwd=ROOT, env={**os.environ, "SANDBOX_URL": address}, check=False).returncode
        finally:
            sandbox.terminate()
            sandbox.wait(timeout=30)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="perennial-npm-") as temporary:
        sys.exit(tell_story(Path(temporary)))
