"""Fixtures of the edge: one toy server per test, and what is logged."""

import io
import logging
from collections.abc import AsyncIterator, Iterator

import pytest
import structlog

from logs import configure_logging
from tests.edge.toy import Toy


@pytest.fixture
async def toy() -> AsyncIterator[Toy]:
    server = Toy()
    async with server.client:
        yield server


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """Everything that is logged, through the real pipeline, as text."""
    stream = io.StringIO()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    configure_logging(stream=stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
