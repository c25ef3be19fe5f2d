"""The promise of whoever carries messages to merchants' own addresses; part of the port."""

from collections.abc import Mapping
from typing import Protocol


class TargetRefused(Exception):
    """Nothing may be sent to this address; the text says why, and what would do."""


class NoAnswer(Exception):
    """The address did not answer in time, or not in HTTP; the text says how it failed."""


class Messenger(Protocol):
    """Reaches addresses that somebody typed in, and no others: never one of the operator's own network."""

    async def check(self, url: str) -> None:
        """Raises TargetRefused for an address that nothing may be sent to, as its name resolves now."""
        ...

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        """Send the body once: the HTTP status of the answer. Redirects are not followed.

        The address is checked anew. Raises TargetRefused, NoAnswer.
        """
        ...

    async def close(self) -> None: ...
