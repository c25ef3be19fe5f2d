"""A limit of calls a second, as an account of Stripe's has it: off until it is set.

Owns: who has called lately. Does not own: how a refusal is told (errors.py), when (wire.py).
"""

from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta

from gateways.sandbox.errors import rate_limited

_WINDOW = timedelta(seconds=1)


class RateLimits:
    """Counts the calls of the last second, in all and by method and kind of path; None: as many as wished.

    A call that is refused does not count.
    """

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._all: deque[datetime] = deque()
        self._at: dict[str, deque[datetime]] = {}
        self.account: int | None = None
        self.endpoint: int | None = None

    def set(self, *, account: int | None, endpoint: int | None) -> None:
        self.account, self.endpoint = account, endpoint
        self._all.clear()
        self._at.clear()

    def count(self, endpoint: str) -> None:
        """One call more. Raises what Stripe answers beyond the limit."""
        if self.account is None and self.endpoint is None:
            return
        now, own = self._now(), self._at.setdefault(endpoint, deque())
        if self.account is not None and _lately(self._all, now) >= self.account:
            raise rate_limited()
        if self.endpoint is not None and _lately(own, now) >= self.endpoint:
            raise rate_limited("endpoint-rate")
        self._all.append(now)
        own.append(now)


def _lately(calls: deque[datetime], now: datetime) -> int:
    while calls and calls[0] <= now - _WINDOW:
        calls.popleft()
    return len(calls)
