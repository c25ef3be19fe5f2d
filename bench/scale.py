"""`python -m bench.scale`: how late the last renewal is, by how many there are and how they are spread, on paper.

A discrete simulation of one month: each second some subscriptions fall due, workers claim what their next batch holds,
and the gateway's accounts take so many charges. It charges nobody and needs no database: what it rests on are the
constants below, and the table that it prints stands in docs/scale.md.
"""

import argparse
import random
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass

from billing.pacing import WORKERS_SHARE
from services.abreast import ABREAST

MONTH_DAYS = 30
DAY_SECONDS = 86_400

MONTH, FIRST, MIDNIGHT = "the month", "the 1st", "its midnight"

PACE_PER_ACCOUNT = round(25 * WORKERS_SHARE)
"""Charges a second that workers make at one account: their share of the stricter of its two limits."""

RENEWALS_PER_WORKER_SECOND = 65
"""What one worker was measured at, a million rows and 50 ms of the gateway's; see `python -m bench.renewals`."""

CLAIM_BATCH = ABREAST
"""Rows that a worker takes at once: what is claimed is done before anything else is."""

_DECLINED_SHARE = 0.08
"""Charges that are tried again another day, on top of each month's renewals."""


@dataclass(frozen=True)
class Plan:
    """A fleet, its customers, and where in the month their days lie."""

    subscriptions: int
    spread: str
    accounts: int
    workers: int

    @property
    def due(self) -> int:
        """Charges of a month, those that are tried anew included."""
        return round(self.subscriptions * (1 + _DECLINED_SHARE))

    @property
    def gateway_pace(self) -> int:
        return self.accounts * PACE_PER_ACCOUNT

    @property
    def pace(self) -> int:
        """Renewals a second, by whatever binds first."""
        return min(self.gateway_pace, self.workers * RENEWALS_PER_WORKER_SECOND)

    @property
    def binds(self) -> str:
        return "the gateway's pace" if self.pace == self.gateway_pace else "the workers"

    @property
    def behind(self) -> int:
        """What each month leaves to the next."""
        return max(0, self.due - self.pace * MONTH_DAYS * DAY_SECONDS)


@dataclass(frozen=True)
class Month:
    """How long a renewal waited, in seconds: the median one and the last."""

    typical: int
    latest: int


def arrivals(plan: Plan, dice: random.Random) -> Counter[int]:
    """How many fall due in each minute of the month. Where days are whole ones, more do in the evening than at dawn."""
    if plan.spread == MIDNIGHT:
        return Counter({0: plan.due})
    days = MONTH_DAYS if plan.spread == MONTH else 1
    weights = [1 + 0.8 * _wave(hour) for hour in range(24)] * days
    whole, found, owed = sum(weights) * 60, Counter[int](), 0.0
    for hour, weight in enumerate(weights):
        for minute in range(60):
            owed += plan.due * weight / whole
            rows = int(owed) + (dice.random() < owed % 1)
            found[hour * 60 + minute] += rows
            owed -= rows
    return found


def _wave(hour: int) -> float:
    """From -1 at 6 o'clock to 1 at 18, and back."""
    return 1 - abs((hour - 18 + 12) % 24 - 12) / 6


def simulate(plan: Plan, seed: int) -> Month:
    """First come, first served, through one month and for as long as it takes afterwards."""
    due = arrivals(plan, random.Random(seed))
    waiting: deque[tuple[int, int]] = deque()
    waits: Counter[int] = Counter()
    minute, last = 0, max(due)
    while minute <= last or waiting:
        if due[minute]:
            waiting.append((minute, due[minute]))
        left = plan.pace * 60
        while waiting and left:
            since, rows = waiting.popleft()
            served = min(rows, left)
            waits[minute - since] += served
            left -= served
            if served < rows:
                waiting.appendleft((since, rows - served))
        minute += 1
    batches = CLAIM_BATCH * plan.workers / plan.pace  # what fell due behind those that were just claimed
    return Month(round(_median(waits) * 60 + batches / 2), round(max(waits) * 60 + batches))


def _median(waits: Counter[int]) -> int:
    half, seen = waits.total() / 2, 0
    for wait, rows in sorted(waits.items()):
        seen += rows
        if seen >= half:
            return wait
    return 0


_FLEETS = ((1_000_000, 1, 1), (10_000_000, 1, 1), (100_000_000, 1, 1), (100_000_000, 4, 2))
PLANS = [
    Plan(subscriptions, spread, accounts, workers)
    for subscriptions, accounts, workers in _FLEETS
    for spread in (MONTH, FIRST, MIDNIGHT)
]
_HEAD = ("subscriptions", "due over", "accounts", "workers", "a second", "what binds", "half wait for", "the last for")


def table(seed: int) -> str:
    lines = [f"| {' | '.join(_HEAD)} |", f"| {' | '.join('---' for _ in _HEAD)} |"]
    for plan in PLANS:
        month = simulate(plan, seed)
        cells = (
            f"{plan.subscriptions:,}",
            plan.spread,
            str(plan.accounts),
            str(plan.workers),
            str(plan.pace),
            plan.binds,
            _spoken(month.typical),
            f"{plan.behind:,} a month are left over" if plan.behind else _spoken(month.latest),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _spoken(seconds: int) -> str:
    if seconds < 120:
        return f"{seconds} s"
    if seconds < 7_200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3_600:.1f} h" if seconds < 2 * DAY_SECONDS else f"{seconds / DAY_SECONDS:.1f} days"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    print(table(parser.parse_args(arguments).seed))


if __name__ == "__main__":
    main()
