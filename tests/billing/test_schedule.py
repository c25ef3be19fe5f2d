"""What time does next, where starts, ends and invoices that were sent meet."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from billing.lifecycle import SubscriptionStatus
from billing.schedule import Happening, Schedule, next_happening, what_is_due

START = datetime(2026, 3, 1, tzinfo=UTC)
END, DAY = datetime(2026, 4, 1, tzinfo=UTC), timedelta(days=1)
ACTIVE = Schedule(status=SubscriptionStatus.ACTIVE, since=START, period_start=START, period_end=END)
SCHEDULED = replace(ACTIVE, status=SubscriptionStatus.SCHEDULED, since=START - 10 * DAY)

CASES: dict[str, tuple[Schedule, tuple[datetime, Happening] | None]] = {
    "a start to come": (SCHEDULED, (START, Happening.START)),
    "a term that ends at its start": (replace(SCHEDULED, ends_at=START), (START, Happening.END)),
    "an end that was asked for at the start": (replace(SCHEDULED, cancel_at=START), (START, Happening.END)),
    "an end before the start": (replace(SCHEDULED, cancel_at=START - DAY), (START - DAY, Happening.END)),
    "a term that ends with the period": (replace(ACTIVE, ends_at=END), (END, Happening.END)),
    "a term that ends later": (replace(ACTIVE, ends_at=END + DAY), (END, Happening.RENEW)),
    "a term that ends while paused": (
        replace(ACTIVE, status=SubscriptionStatus.PAUSED, ends_at=END),
        (END, Happening.END),
    ),
    "an invoice to be paid": (replace(ACTIVE, invoice_due_at=END - DAY), (END - DAY, Happening.OVERDUE)),
    "an invoice to be paid when the next one is issued": (
        replace(ACTIVE, invoice_due_at=END),
        (END, Happening.OVERDUE),
    ),
    "an invoice to be paid when it ends": (replace(ACTIVE, invoice_due_at=END, ends_at=END), (END, Happening.END)),
    "an invoice that is overdue already": (
        replace(ACTIVE, status=SubscriptionStatus.PAST_DUE, invoice_due_at=START),
        (END, Happening.RENEW),
    ),
    "an invoice of what is paused": (
        replace(ACTIVE, status=SubscriptionStatus.PAUSED, invoice_due_at=START),
        None,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_next_thing_and_its_instant(case: str) -> None:
    schedule, expected = CASES[case]
    assert next_happening(schedule) == expected
    if expected is not None:
        at, what = expected
        assert what_is_due(schedule, at) is what
        assert what_is_due(schedule, at - timedelta(microseconds=1)) is None
