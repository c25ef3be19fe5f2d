"""What a wish to subscribe means beside the subscription that is already there."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from billing.lifecycle import SUBSCRIPTION, SubscriptionStatus

INCOMPLETE_LIFETIME = timedelta(hours=23)
"""An unpaid first invoice is given up after this long, an hour before the gateway may forget idempotency keys."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What must be equal for a second wish to continue the first; all else of the second one takes its place.

    `items` are plan, quantity and a price in minor units that was given instead of the plan's. `start` is None where
    none was asked for.
    """

    items: tuple[tuple[str, int, int | None], ...]
    currency: str
    coupon: str | None = None
    start: datetime | None = None
    ends_at: datetime | None = None
    billing_day: int | None = None
    collection_method: str | None = None
    days_until_due: int | None = None
    tax_percent: Decimal | None = None
    trial: timedelta = timedelta(0)


class Course(StrEnum):
    """What to do about a wish to subscribe, the heaviest course last."""

    START = "start"
    CONTINUE = "continue"
    REPLACE = "replace"
    REFUSE = "refuse"


def heaviest(courses: Iterable[Course]) -> Course:
    """What to do beside several subscriptions: each product has its own course, and the heaviest one decides."""
    return max(courses, key=list(Course).index, default=Course.START)


def course(existing: tuple[SubscriptionStatus, Terms] | None, wished: Terms) -> Course:
    """One non-ended subscription per customer and product: an unpaid first one is continued or replaced."""
    if existing is None or existing[0] in SUBSCRIPTION.final:
        return Course.START
    status, terms = existing
    if status is not SubscriptionStatus.INCOMPLETE:
        return Course.REFUSE
    return Course.CONTINUE if terms == wished else Course.REPLACE
