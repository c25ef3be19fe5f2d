"""What an endpoint's answer makes of a delivery."""

from datetime import timedelta

import pytest

from billing.delivering import RETRY_AFTER, DeliveryStatus, judge

SUCCEEDED, FAILED, DEAD = DeliveryStatus.SUCCEEDED, DeliveryStatus.FAILED, DeliveryStatus.DEAD_LETTER


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_only_2xx_is_success(status: int) -> None:
    assert judge(status, 1) == (SUCCEEDED, None)


@pytest.mark.parametrize("status", [None, 100, 199, 300, 301, 302, 307, 308, 400, 404, 429, 500, 503])
def test_everything_else_is_tried_again(status: int | None) -> None:
    assert judge(status, 1) == (FAILED, timedelta(seconds=5))


def test_the_waits_grow_until_it_is_given_up() -> None:
    waits = [judge(500, tries) for tries in range(1, 12)]
    assert waits == [*((FAILED, wait) for wait in RETRY_AFTER), (DEAD, None), (DEAD, None)]
    assert sorted(RETRY_AFTER) == list(RETRY_AFTER)
    assert sum(RETRY_AFTER, timedelta()) == timedelta(days=3, hours=3, minutes=35, seconds=5)


def test_gone_is_given_up_at_once() -> None:
    assert judge(410, 1) == (DEAD, None)
