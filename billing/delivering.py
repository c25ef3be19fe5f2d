"""Telling a merchant's endpoint: what its answer means, and when the next try follows."""

from datetime import timedelta
from enum import StrEnum

RETRY_AFTER = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)
"""How long after each failed try the next one follows; when the last has failed too, it is given up."""

GONE = 410
"""By this an endpoint says that it wants nothing more, ever."""


class DeliveryStatus(StrEnum):
    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    DEAD_LETTER = "dead_letter"


def judge(http_status: int | None, tries: int) -> tuple[DeliveryStatus, timedelta | None]:
    """What the answer (None: there was none) to the try of that number makes of the delivery.

    The time to the next try comes with FAILED alone. Only 2xx is success: a redirect leads somewhere unchecked.
    """
    if http_status is not None and 200 <= http_status < 300:
        return DeliveryStatus.SUCCEEDED, None
    if http_status == GONE or tries > len(RETRY_AFTER):
        return DeliveryStatus.DEAD_LETTER, None
    return DeliveryStatus.FAILED, RETRY_AFTER[max(tries, 1) - 1]
