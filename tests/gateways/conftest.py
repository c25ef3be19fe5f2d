"""Fixtures of this room."""

from tests.gateways.sandbox_alone import alone
from tests.gateways.sandbox_fixtures import bench, quick

__all__ = ["alone", "bench", "quick"]
