"""Faults on request: what can go wrong between a program and Stripe, made to happen.

Owns: which faults are armed and whether one strikes now. Does not own: how a fault is carried out (wire.py for
requests, deliveries.py for webhooks).
"""

import random
from dataclasses import dataclass, field
from enum import StrEnum


class Fault(StrEnum):
    """What goes wrong. BEFORE: nothing was executed. AFTER: everything was, only the answer is lost or wrong.

    An ERROR_500_AFTER is kept under the request's idempotency key, as Stripe keeps it: a replay answers 500 again and
    only the object itself tells what happened. KEYS_FORGOTTEN executes a known key anew.
    """

    TIMEOUT_BEFORE = "timeout_before"
    TIMEOUT_AFTER = "timeout_after"
    RESET_BEFORE = "reset_before"
    RESET_AFTER = "reset_after"
    CONFLICT_409 = "conflict_409"
    LOCK_TIMEOUT_429 = "lock_timeout_429"
    RATE_LIMIT_429 = "rate_limit_429"
    ERROR_500_BEFORE = "error_500_before"
    ERROR_500_AFTER = "error_500_after"
    SLOW = "slow"
    KEYS_FORGOTTEN = "keys_forgotten"
    WEBHOOKS_OFF = "webhooks_off"
    WEBHOOKS_TWICE = "webhooks_twice"
    WEBHOOKS_LATE = "webhooks_late"
    WEBHOOKS_SHUFFLED = "webhooks_shuffled"


BEFORE = (
    Fault.SLOW,
    Fault.TIMEOUT_BEFORE,
    Fault.RESET_BEFORE,
    Fault.CONFLICT_409,
    Fault.LOCK_TIMEOUT_429,
    Fault.RATE_LIMIT_429,
    Fault.ERROR_500_BEFORE,
)
AFTER = (Fault.TIMEOUT_AFTER, Fault.RESET_AFTER, Fault.ERROR_500_AFTER)


class AnswerLost(Exception):
    """The connection ended without an answer; `fault` says how. Raised only where no real socket can be closed."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(f"the sandbox was asked to lose this answer: {fault.value}")
        self.fault = fault


@dataclass
class _Arming:
    kind: Fault
    path_contains: str | None
    left: int | None
    rate: float = 1.0
    dice: random.Random = field(default_factory=lambda: random.Random(0))  # noqa: S311


class Faults:
    """The armed faults of one sandbox. Requests are matched by path, webhook faults by event type."""

    def __init__(self, *, slow_seconds: float = 1.0, late_seconds: float = 30.0) -> None:
        self.slow_seconds = slow_seconds
        self.late_seconds = late_seconds
        self._armed: list[_Arming] = []
        self.dice = random.Random(0)  # noqa: S311

    def arm(self, kind: Fault, *, count: int = 1, path_contains: str | None = None) -> None:
        """Strike the next `count` requests (or events) whose path (or type) contains the text."""
        self._armed.append(_Arming(Fault(kind), path_contains, count))

    def at_rate(self, kind: Fault, rate: float, seed: int, *, path_contains: str | None = None) -> None:
        """Strike each matching request with probability `rate`, repeatably by `seed`, until cleared."""
        dice = random.Random(seed)  # noqa: S311
        self._armed.append(_Arming(Fault(kind), path_contains, None, rate, dice))

    def clear(self) -> None:
        self._armed.clear()

    def take(self, path: str, *kinds: Fault) -> Fault | None:
        """The first of `kinds` that strikes `path` now, used up by being told."""
        for arming in self._armed:
            if arming.kind not in kinds or (arming.path_contains and arming.path_contains not in path):
                continue
            if arming.left is None:
                if arming.dice.random() >= arming.rate:
                    continue
            else:
                arming.left -= 1
                if arming.left <= 0:
                    self._armed.remove(arming)
            return arming.kind
        return None
