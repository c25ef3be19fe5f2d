"""Whether a gateway that does not answer is asked at all.

| state | asks | a silence | an answer |
| --- | --- | --- | --- |
| closed | everybody | the fifth in a row opens it | begins to count anew |
| open | nobody until its rest is over | (of a call begun before) changes nothing | closes it |
| probing | one, the first to come after the rest | opens it for twice as long | closes it |
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

_SILENCES = 5
_FIRST_REST = timedelta(seconds=2)
LONGEST_REST = timedelta(seconds=30)


@dataclass(slots=True)
class Breaker:
    """One process' experience of its gateway; instants are the machine's."""

    silences: int = 0
    rests: int = 0
    asks_again_at: datetime | None = None
    is_probing: bool = False

    @property
    def is_open(self) -> bool:
        return self.asks_again_at is not None

    def admits(self, now: datetime) -> bool:
        """Whether a call may be made. Who is told so while it is open is the probe, and has to tell how it ended."""
        if self.asks_again_at is None:
            return True
        # A clock that was set back does not make the rest any longer.
        if self.is_probing or now < self.asks_again_at <= now + LONGEST_REST:
            return False
        self.is_probing = True
        return True

    def heard(self) -> None:
        """An answer, whatever it says."""
        self.silences = self.rests = 0
        self.asks_again_at, self.is_probing = None, False

    def missed(self, now: datetime) -> None:
        """No answer."""
        self.silences += 1
        if self.is_probing or (not self.is_open and self.silences >= _SILENCES):
            self.rests += 1
            self.asks_again_at = now + min(_FIRST_REST * 2 ** min(self.rests - 1, 4), LONGEST_REST)
        self.is_probing = False

    def gave_up(self) -> None:
        """The call was broken off before anything could be learned; the next one is the probe."""
        self.is_probing = False
