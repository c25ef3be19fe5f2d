"""Listening on the port: one process, or several that share it.

Owns: the web server's own settings, and what processes behind one port have in common. Does not own: what is answered
(server), commands (cli).
May import: server and everything below it.
"""

import gc
import os
import sys
from collections.abc import Mapping
from tempfile import TemporaryDirectory
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from bootstrap import build
from connecting import BoundedSockets
from draining import LastRequests, Processes, Server, ends_well, ends_with_its_parent
from gauges import SHARED_FOLDER, forget_process
from logs import configure_logging
from schema.sockets import MAX_FRAME
from server import create_app
from settings import Settings, load_settings

_OLDEST, _FIRST_COLLECTIONS = 2, 20


def the_server(app: ASGIApp, settings: Settings, *, port: int | None = None) -> Server:
    """On the settings' port unless another is given."""
    ends_well()
    _settle_in()
    return Server(uvicorn.Config(app, **{**_options(settings), "port": port or settings.port}))


def serve_from_processes(settings: Settings, processes: int) -> None:
    """Until SIGTERM; one that dies is replaced. What they measure they add up in a folder."""
    with TemporaryDirectory(prefix="perennial-metrics-") as folder:
        os.environ[SHARED_FOLDER] = folder
        options = {**_options(settings), "timeout_worker_healthcheck": 30}
        config = uvicorn.Config("serving:app_of_this_process", factory=True, workers=processes, **options)
        Processes(config, [config.bind_socket()], forget_process).run()


def app_of_this_process() -> ASGIApp:
    """Each process builds its own from the environment; the command has checked that it can."""
    ends_with_its_parent()
    log_as_server()
    app = create_app(build(load_settings()))
    _settle_in()
    return app


def _settle_in() -> None:
    """What lives as long as the process is not looked through again and again, which held the loop for 0.2 s.

    That is what is there at the start, and what has survived the first full collections: compiled statements, above
    all. Later ones are left to the collector, so that nothing can be kept without end.
    """
    gc.collect()
    gc.freeze()
    left = iter(range(_FIRST_COLLECTIONS))

    def pass_over(phase: str, about: dict[str, int]) -> None:
        if phase == "stop" and about["generation"] == _OLDEST:
            gc.freeze()
            if next(left, None) is None:
                gc.callbacks.remove(pass_over)

    gc.callbacks.append(pass_over)


def log_as_server() -> None:
    """On a terminal the welcome is to stay in sight."""
    is_watched = sys.stderr.isatty()
    configure_logging(json=not is_watched, level="WARNING" if is_watched else "INFO")


def _options(settings: Settings) -> Mapping[str, Any]:
    return {
        "host": settings.host,
        "port": settings.port,
        "http": LastRequests,
        "ws": BoundedSockets,
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "proxy_headers": False,  # the guard alone decides whose word on the address counts
        "timeout_graceful_shutdown": 20,
        "h11_max_incomplete_event_size": 64 * 1024,
        "ws_max_size": MAX_FRAME,
        "ws_per_message_deflate": False,  # it keeps hundreds of KB for each connection
    }
