"""Who may come in: by status, and for the overdue until their grace has run out."""

from datetime import UTC, datetime, timedelta

import pytest

from billing.access import has_access
from billing.lifecycle import SubscriptionStatus

SINCE = datetime(2024, 3, 1, 12, tzinfo=UTC)
WEEK = timedelta(days=7)
INSTANT = timedelta(microseconds=1)

ALWAYS = {SubscriptionStatus.TRIALING, SubscriptionStatus.ACTIVE}
UNTIL_GRACE_ENDS = {SubscriptionStatus.PAST_DUE}


@pytest.mark.parametrize("now", [SINCE, SINCE + WEEK, SINCE + 100 * WEEK], ids=["at once", "at grace's end", "late"])
@pytest.mark.parametrize("past_due_since", [None, SINCE], ids=["never overdue", "once overdue"])
@pytest.mark.parametrize("status", sorted(set(SubscriptionStatus) - UNTIL_GRACE_ENDS))
def test_only_a_trial_and_an_active_subscription_give_access_at_any_time(
    status: SubscriptionStatus, past_due_since: datetime | None, now: datetime
) -> None:
    assert has_access(status, past_due_since=past_due_since, grace=WEEK, now=now) is (status in ALWAYS)


@pytest.mark.parametrize(
    ("grace", "now", "expected"),
    [
        (WEEK, SINCE, True),
        (WEEK, SINCE + WEEK - INSTANT, True),
        (WEEK, SINCE + WEEK, False),
        (WEEK, SINCE + WEEK + INSTANT, False),
        (timedelta(0), SINCE, False),
        (timedelta(0), SINCE - INSTANT, True),
        (INSTANT, SINCE, True),
    ],
)
def test_an_overdue_subscription_gives_access_until_its_grace_ends(
    grace: timedelta, now: datetime, expected: bool
) -> None:
    assert has_access(SubscriptionStatus.PAST_DUE, past_due_since=SINCE, grace=grace, now=now) is expected


def test_overdue_since_nobody_knows_when_gives_no_access() -> None:
    assert has_access(SubscriptionStatus.PAST_DUE, past_due_since=None, grace=WEEK, now=SINCE) is False
