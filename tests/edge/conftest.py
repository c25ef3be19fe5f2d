"""Fixtures of the edge: one toy server per test."""

from collections.abc import AsyncIterator

import pytest

from tests.edge.toy import Toy


@pytest.fixture
async def toy() -> AsyncIterator[Toy]:
    server = Toy()
    async with server.client:
        yield server
