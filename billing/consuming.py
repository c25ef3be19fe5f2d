"""Credits: how many a paid period grants, and whether so many may be consumed now."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from zoneinfo import ZoneInfo

from billing.calendar import Period
from billing.errors import ErrorCode, UserProblem

LARGEST_GRANT = 10**15
"""What is granted beyond that is none the less: a balance can be kept and told, whatever it is multiplied from."""


@dataclass(frozen=True, slots=True)
class CreditTerms:
    """What one item grants of a unit for each of its quantity. `total` None: daily × days of the period."""

    daily: int | None
    total: int | None
    quantity: int = 1


@dataclass(frozen=True, slots=True)
class Grant:
    """What a period grants of a unit in all; `daily` None: without a limit for the day."""

    daily: int | None
    total: int


@dataclass(frozen=True, slots=True)
class Holding:
    """What is left of a unit, and how many were used on the day `used_on`, by the customer's calendar."""

    remaining: int
    daily: int | None = None
    used_today: int = 0
    used_on: date | None = None

    def left_on(self, today: date) -> int:
        """How many may still be consumed that day."""
        if self.daily is None:
            return self.remaining
        return min(self.remaining, max(self.daily - self._used(today), 0))

    def consumed(self, quantity: int, today: date) -> "Holding":
        """What is left once so many more are gone. A clock that was put back begins no new day."""
        day = today if self.used_on is None else max(today, self.used_on)
        return replace(self, remaining=self.remaining - quantity, used_today=self._used(today) + quantity, used_on=day)

    def _used(self, today: date) -> int:
        return self.used_today if self.used_on is not None and self.used_on >= today else 0


def granted(terms: Sequence[CreditTerms], period: Period, zone: ZoneInfo) -> Grant:
    """What the items grant together. A period has at least one day, by the zone's calendar."""
    days = max((period.end.astimezone(zone).date() - period.start.astimezone(zone).date()).days, 1)
    totals = [(days * (each.daily or 0) if each.total is None else each.total) * each.quantity for each in terms]
    dailies = [each.daily * each.quantity for each in terms if each.daily is not None]
    daily = min(sum(dailies), LARGEST_GRANT) if len(dailies) == len(terms) else None
    return Grant(daily, min(sum(totals), LARGEST_GRANT))


def consume(holding: Holding, quantity: int, today: date) -> Holding:
    """What is left after it. Raises UserProblem OUT_OF_CREDITS, DAILY_LIMIT_REACHED: all of it or nothing."""
    if holding.remaining < quantity:
        raise UserProblem(ErrorCode.OUT_OF_CREDITS, f"{holding.remaining} are left, not {quantity}.", ["quantity"])
    if holding.left_on(today) < quantity:
        raise UserProblem(
            ErrorCode.DAILY_LIMIT_REACHED,
            f"{holding.left_on(today)} are left for today, not {quantity}. There are more tomorrow.",
            ["quantity"],
        )
    return holding.consumed(quantity, today)
