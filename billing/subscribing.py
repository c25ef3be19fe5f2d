"""What a wish to subscribe means beside the subscription that is already there."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from billing.lifecycle import SUBSCRIPTION, SubscriptionStatus

INCOMPLETE_LIFETIME = timedelta(hours=23)
"""An unpaid first invoice is given up after this long, an hour before the gateway may forget idempotency keys."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What must be equal for a second wish to continue the first; the card and whether it is kept may change."""

    items: tuple[tuple[str, int], ...]
    currency: str
    coupon: str | None = None


class Course(StrEnum):
    """What to do about a wish to subscribe."""

    START = "start"
    CONTINUE = "continue"
    REPLACE = "replace"
    REFUSE = "refuse"


def course(existing: tuple[SubscriptionStatus, Terms] | None, wished: Terms) -> Course:
    """One non-ended subscription per customer and product: an unpaid first one is continued or replaced."""
    if existing is None or existing[0] in SUBSCRIPTION.final:
        return Course.START
    status, terms = existing
    if status is not SubscriptionStatus.INCOMPLETE:
        return Course.REFUSE
    return Course.CONTINUE if terms == wished else Course.REPLACE
