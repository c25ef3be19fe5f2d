"""Fixtures of this room."""

from tests.gateways.sandbox_fixtures import bench, quick, sandbox_postgres

__all__ = ["bench", "quick", "sandbox_postgres"]
