"""Whether a subscription gives access at an instant. Always derived, never stored."""

from datetime import datetime, timedelta

from billing.lifecycle import SubscriptionStatus

_ALWAYS = frozenset((SubscriptionStatus.TRIALING, SubscriptionStatus.ACTIVE))


def has_access(status: SubscriptionStatus, *, past_due_since: datetime | None, grace: timedelta, now: datetime) -> bool:
    """TRIALING and ACTIVE do, PAST_DUE until its grace has run out, all else does not.

    A subscription that cancels at its period's end keeps access to that end: it is ACTIVE until then.
    """
    if status is SubscriptionStatus.PAST_DUE:
        return past_due_since is not None and now < past_due_since + grace
    return status in _ALWAYS
