"""How much one caller may ask for at a time: token buckets in memory, and whose address a request counts for.

Owns: the buckets of this process and the question which address is the client's. Does not own: what an answer of 429
looks like (guard, schema), how much an operation costs (schema).
May import: the standard library.
"""

import asyncio
import math
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NamedTuple

MOST_BUCKETS = 10_000
ENTRANCE = 1
_MINUTE = 60.0
_LOOK_AGAIN_SECONDS = 1.0
_NETWORK_OF_A_HOUSE = 64  # whoever has one IPv6 address has all of its /64

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Taken:
    """The answer to a wish. `remaining` is what is left now; `retry_after` whole seconds until the wish is granted."""

    granted: bool
    limit: int
    remaining: int
    retry_after: int = 0


class _Level(NamedTuple):
    """What was in a bucket at that instant, and what was wished for last by somebody who had paid at the entrance."""

    left: float
    at: datetime
    wished: int = 0


class Buckets:
    """A bucket for each name, full at first and refilled evenly within a minute.

    `per_minute` is its size in whatever is counted; 0 grants everything. At most `most` are kept, the one that was
    used least recently leaving first: after a minute without use a bucket is full, and a new one is the same.
    """

    def __init__(self, per_minute: int, now: Callable[[], datetime], *, most: int = MOST_BUCKETS) -> None:
        self.per_minute = per_minute
        self._now = now
        self._most = most
        self._levels: OrderedDict[str, _Level] = OrderedDict()

    def __len__(self) -> int:
        return len(self._levels)

    def peek(self, name: str, wish: int) -> Taken:
        """What `take` would answer; nothing is taken."""
        if self.per_minute == 0:
            return Taken(True, 0, 0)
        level, _ = self._level(name)
        return self._judged(level, wish, 0)

    def enter(self, name: str, fee: int) -> Taken:
        """Take what is paid before the wish is known. Who is refused is told when the last wish would be granted:
        after the fee alone has come together the same request would only be refused again, for all that it asks for."""
        taken = self.take(name, fee)
        if taken.granted:
            return taken
        left, _, wished = self._levels[name]
        return self._judged(left, max(wished, fee), 0)

    def take(self, name: str, wish: int, *, paid: int = 0) -> Taken:
        """Take `wish` out of the bucket, or nothing. A wish beyond its size needs, and takes, all of it.

        `paid` is what was taken for the same wish before: it counts towards it, and is lost when the wish is refused.
        """
        if self.per_minute == 0:
            return Taken(True, 0, 0)
        level, now = self._level(name)
        taken = self._judged(level, wish, paid)
        left = level - self._missing(wish, paid) if taken.granted else level
        self._levels[name] = _Level(left, now, wish if paid else self._levels.get(name, _Level(left, now)).wished)
        self._levels.move_to_end(name)
        if len(self._levels) > self._most:
            self._levels.popitem(last=False)
        return taken

    def _judged(self, level: float, wish: int, paid: int) -> Taken:
        missing = self._missing(wish, paid)
        if level >= missing:
            return Taken(True, self.per_minute, int(level - missing))
        wait = math.ceil((missing + paid - level) * _MINUTE / self.per_minute)
        return Taken(False, self.per_minute, int(level), wait)

    def _missing(self, wish: int, paid: int) -> int:
        return max(min(wish, self.per_minute) - paid, 0)

    def _level(self, name: str) -> tuple[float, datetime]:
        """How full the bucket is now. A clock that was set back refills nothing, and counts from there."""
        now = self._now()
        if name not in self._levels:
            return float(self.per_minute), now
        level, at, _ = self._levels[name]
        elapsed = max((now - at).total_seconds(), 0.0)
        return min(level + elapsed * self.per_minute / _MINUTE, float(self.per_minute)), now


@dataclass(frozen=True, slots=True)
class Allowance:
    """One caller's bucket."""

    buckets: Buckets
    name: str

    @property
    def is_limited(self) -> bool:
        return self.buckets.per_minute > 0

    def enter(self) -> Taken:
        """Take what every request costs, whatever it asks for."""
        return self.buckets.enter(self.name, ENTRANCE)

    def spend(self, cost: int) -> Taken:
        """Take what an operation costs; what was taken at the entrance counts."""
        return self.buckets.take(self.name, max(cost, ENTRANCE), paid=ENTRANCE)

    async def draw(self, cost: int) -> None:
        """Take what nobody stood at the entrance for: it is waited for while the bucket does not hold it."""
        while not self.buckets.take(self.name, max(cost, ENTRANCE)).granted:  # noqa: ASYNC110 (buckets tell nobody)
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)


class Seats:
    """How many of something each name has at once, `most` at a time."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken: Counter[str] = Counter()

    @contextmanager
    def seat(self, name: str) -> Iterator[bool]:
        """One of the name's seats while open; False when all are taken."""
        if self._taken[name] >= self._most:
            yield False
            return
        self._taken[name] += 1
        try:
            yield True
        finally:
            self._taken[name] -= 1
            if not self._taken[name]:
                del self._taken[name]


class Peers:
    """Which address a request counts for: the socket's peer, unless that is a proxy whose word is trusted.

    `trusted` are addresses or networks of one's own proxies, each of which appends to X-Forwarded-For.
    """

    def __init__(self, trusted: Sequence[str] = ()) -> None:
        self._trusted: list[IPv4Network | IPv6Network] = [ip_network(each, strict=False) for each in trusted]

    def name(self, peer: str, forwarded_for: Sequence[str]) -> str:
        """The client's name among the buckets, by the socket's peer and all X-Forwarded-For headers."""
        client = _parsed(peer)
        if client is None:
            return "unknown"
        hops = [hop.strip() for hop in ",".join(forwarded_for).split(",") if hop.strip()]
        while self._trusts(client) and hops:
            before = _parsed(hops.pop())
            if before is None:
                break
            client = before
        if isinstance(client, IPv6Address):
            return str(IPv6Network((client, _NETWORK_OF_A_HOUSE), strict=False))
        return str(client)

    def _trusts(self, address: Address) -> bool:
        return any(address in network for network in self._trusted)


def _parsed(text: str) -> Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


@dataclass(frozen=True, slots=True)
class Rates:
    """The three kinds of buckets: by caller, by a nameless caller's address, by the address of failed credentials.

    The first two count values of answers (an operation's cost), the last counts requests.
    """

    callers: Buckets
    addresses: Buckets
    failures: Buckets
    peers: Peers
