"""Time as a value.

Owns: the two clocks and nothing else. The billing clock is testable and says when money is due; the security
clock is the system's and judges tokens and signatures. Everything else receives `now` as an argument.
May import: the standard library.
"""

from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Tells the present instant, aware and in UTC."""

    def now(self) -> datetime: ...


class SystemClock:
    """The machine's clock: the security clock always, the billing clock in production."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class ManualClock:
    """A billing clock that moves only when told to, for tests and simulations."""

    def __init__(self, start: datetime) -> None:
        self._now = _aware_utc(start)

    def now(self) -> datetime:
        return self._now

    def set(self, instant: datetime) -> None:
        """Jump to `instant`, which may lie in the past."""
        self._now = _aware_utc(instant)

    def advance(self, by: timedelta) -> None:
        self._now += by


def _aware_utc(instant: datetime) -> datetime:
    if instant.tzinfo is None:
        raise ValueError(f"an instant needs a time zone: {instant.isoformat()}")
    return instant.astimezone(UTC)
