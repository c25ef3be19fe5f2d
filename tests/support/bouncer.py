"""A real PgBouncer in transaction mode before the tests' PostgreSQL, where one is installed."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import make_url

from tests.support.processes import free_port

PGBOUNCER = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")
CONNECTIONS = 3
"""Fewer than a process keeps of its own, so that each is lent to many."""

_READY_SECONDS = 60.0


@contextmanager
def bouncer(server: str) -> Iterator[str]:
    """The address of the same server behind it, without a database."""
    target = make_url(server)
    host, port = target.query.get("host") or target.host, target.port or 5432
    own = free_port()
    login = f"user={target.username}" + (f" password={target.password}" if target.password else "")
    with tempfile.TemporaryDirectory(prefix="perennial-bouncer-") as folder:
        settings = Path(folder) / "pgbouncer.ini"
        settings.write_text(
            f"[databases]\n* = host={host} port={port} {login}\n"
            "[pgbouncer]\npool_mode = transaction\nauth_type = any\nlisten_addr = 127.0.0.1\n"
            f"listen_port = {own}\nunix_socket_dir =\ndefault_pool_size = {CONNECTIONS}\nmax_client_conn = 200\n"
        )
        Path(folder).chmod(0o755)
        assert PGBOUNCER is not None
        # It does not run as root. The server's socket may be its owner's alone.
        user = _owner(host) if os.geteuid() == 0 else None
        with Path(folder, "log").open("wb") as log:
            process = subprocess.Popen([PGBOUNCER, str(settings)], stdout=log, stderr=log, user=user)
        try:
            _wait_for(own, process, Path(folder, "log"))
            yield (
                target.set(host="127.0.0.1", port=own)
                .difference_update_query(["host"])
                .render_as_string(hide_password=False)
            )
        finally:
            process.kill()
            process.wait()


def _owner(host: object) -> int | str:
    return Path(host).stat().st_uid if isinstance(host, str) and host.startswith("/") else "nobody"


def _wait_for(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError(f"PgBouncer does not listen:\n{log.read_text()}")
