"""What is logged, as text: through the product's own pipeline, which is taken down again for the tests that follow."""

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from logs import configure_logging


@contextmanager
def logs_as_they_were() -> Iterator[None]:
    """Whatever is configured inside, by a command for instance, is undone at the end."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.reset_defaults()


@contextmanager
def written_logs(*, json: bool = True, level: str = "INFO") -> Iterator[io.StringIO]:
    stream = io.StringIO()
    with logs_as_they_were():
        configure_logging(json=json, level=level, stream=stream)
        yield stream
