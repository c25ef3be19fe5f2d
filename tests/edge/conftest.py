"""Fixtures of the edge: one toy server per test, and what is logged."""

import io
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.edge.toy import Toy
from tests.support.written import written_logs


@pytest.fixture
async def toy() -> AsyncIterator[Toy]:
    server = Toy()
    async with server.client:
        yield server


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """Everything that is logged, through the real pipeline, as text."""
    with written_logs() as stream:
        yield stream
