"""A second wish to subscribe continues, replaces or is refused, never doubles."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from billing.lifecycle import SubscriptionStatus
from billing.subscribing import INCOMPLETE_LIFETIME, Course, Terms, course, heaviest

TERMS = Terms(items=(("plan_1", 1, None), ("plan_2", 3, None)), currency="USD")
COURSES = {
    SubscriptionStatus.SCHEDULED: (Course.REFUSE, Course.REFUSE),
    SubscriptionStatus.INCOMPLETE: (Course.CONTINUE, Course.REPLACE),
    SubscriptionStatus.INCOMPLETE_EXPIRED: (Course.START, Course.START),
    SubscriptionStatus.TRIALING: (Course.REFUSE, Course.REFUSE),
    SubscriptionStatus.ACTIVE: (Course.REFUSE, Course.REFUSE),
    SubscriptionStatus.PAST_DUE: (Course.REFUSE, Course.REFUSE),
    SubscriptionStatus.PAUSED: (Course.REFUSE, Course.REFUSE),
    SubscriptionStatus.UNPAID: (Course.REFUSE, Course.REFUSE),
    SubscriptionStatus.CANCELED: (Course.START, Course.START),
}
OTHER_TERMS = {
    "another plan": replace(TERMS, items=(("plan_9", 1, None), ("plan_2", 3, None))),
    "another quantity": replace(TERMS, items=(("plan_1", 2, None), ("plan_2", 3, None))),
    "an item less": replace(TERMS, items=(("plan_1", 1, None),)),
    "another currency": replace(TERMS, currency="CNY"),
    "a price of its own": replace(TERMS, items=(("plan_1", 1, 500), ("plan_2", 3, None))),
    "another start": replace(TERMS, start=datetime(2026, 3, 1, tzinfo=UTC)),
    "an end": replace(TERMS, ends_at=datetime(2027, 3, 1, tzinfo=UTC)),
    "a billing day": replace(TERMS, billing_day=5),
    "an invoice by mail": replace(TERMS, collection_method="send_invoice"),
    "more time to pay": replace(TERMS, days_until_due=14),
    "another tax": replace(TERMS, tax_percent=Decimal(19)),
    "a coupon": replace(TERMS, coupon="WELCOME"),
}


def test_the_first_wish_starts_a_subscription() -> None:
    assert course(None, TERMS) is Course.START


@pytest.mark.parametrize("status", SubscriptionStatus)
def test_an_equal_wish_meets_the_subscription_that_is_there(status: SubscriptionStatus) -> None:
    assert course((status, TERMS), replace(TERMS)) is COURSES[status][0]


@pytest.mark.parametrize("other", OTHER_TERMS)
@pytest.mark.parametrize("status", SubscriptionStatus)
def test_a_different_wish_replaces_only_an_unpaid_first_one(status: SubscriptionStatus, other: str) -> None:
    assert course((status, TERMS), OTHER_TERMS[other]) is COURSES[status][1]
    assert course((status, OTHER_TERMS[other]), TERMS) is COURSES[status][1]


def test_an_unpaid_first_invoice_is_given_up_an_hour_before_a_day_has_passed() -> None:
    assert timedelta(days=1) - INCOMPLETE_LIFETIME == timedelta(hours=1)


def test_of_several_products_the_heaviest_course_decides() -> None:
    assert heaviest([]) is Course.START
    assert heaviest([Course.CONTINUE, Course.START]) is Course.CONTINUE
    assert heaviest([Course.REPLACE, Course.CONTINUE]) is Course.REPLACE
    assert heaviest([Course.REFUSE, Course.REPLACE, Course.START]) is Course.REFUSE
