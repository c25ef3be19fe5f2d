"""What is logged, as text: through the product's own pipeline, which is taken down again for the tests that follow."""

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from logs import configure_logging


@contextmanager
def written_logs(*, json: bool = True, level: str = "INFO") -> Iterator[io.StringIO]:
    stream = io.StringIO()
    root = logging.getLogger()
    handlers, before = root.handlers[:], root.level
    configure_logging(json=json, level=level, stream=stream)
    try:
        yield stream
    finally:
        root.handlers[:] = handlers
        root.setLevel(before)
        structlog.reset_defaults()
