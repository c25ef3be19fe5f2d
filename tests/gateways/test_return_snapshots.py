"""Refunds and disputes as the adapter reads them: from Stripe's JSON to billing's words."""

from datetime import UTC, datetime
from typing import Any

import pytest

from billing.lifecycle import RefundStatus
from billing.money import Money
from billing.returning import DisputeStatus, RefundReason
from gateways import snapshots
from gateways.port import DisputeSnapshot, RefundSnapshot

CREATED = 1_769_851_800
NOON = datetime.fromtimestamp(CREATED, UTC)
REFUND = {
    "id": "re_1",
    "object": "refund",
    "amount": 300,
    "currency": "jpy",
    "payment_intent": "pi_1",
    "status": "succeeded",
    "reason": "duplicate",
    "created": CREATED,
    "metadata": {"note": "n"},
}


def test_a_refund_is_read_field_by_field() -> None:
    assert snapshots.refund(REFUND) == RefundSnapshot(
        ref="re_1",
        intent_ref="pi_1",
        amount=Money(300, "JPY"),
        status=RefundStatus.SUCCEEDED,
        reason=RefundReason.DUPLICATE,
        failure_reason=None,
        created_at=NOON,
        metadata={"note": "n"},
    )


@pytest.mark.parametrize(
    ("told", "read"),
    [
        ("pending", RefundStatus.PENDING),
        ("requires_action", RefundStatus.PENDING),
        (None, RefundStatus.PENDING),
        ("succeeded", RefundStatus.SUCCEEDED),
        ("failed", RefundStatus.FAILED),
        ("canceled", RefundStatus.CANCELED),
    ],
)
def test_each_status_of_a_refund_is_known(told: str | None, read: RefundStatus) -> None:
    assert snapshots.refund({**REFUND, "status": told}).status is read


@pytest.mark.parametrize(
    ("told", "read"),
    [
        ("duplicate", RefundReason.DUPLICATE),
        ("fraudulent", RefundReason.FRAUDULENT),
        ("requested_by_customer", RefundReason.REQUESTED_BY_CUSTOMER),
        ("expired_uncaptured_charge", RefundReason.OTHER),
        (None, RefundReason.OTHER),
    ],
)
def test_each_reason_of_a_refund_is_known(told: str | None, read: RefundReason) -> None:
    assert snapshots.refund({**REFUND, "reason": told}).reason is read


def dispute(*moved: tuple[int, str]) -> dict[str, Any]:
    return {
        "id": "dp_1",
        "object": "dispute",
        "amount": 1000,
        "currency": "usd",
        "payment_intent": {"id": "pi_1", "object": "payment_intent"},
        "status": "lost",
        "reason": "fraudulent",
        "created": CREATED,
        "balance_transactions": [{"amount": amount, "currency": currency} for amount, currency in moved],
    }


@pytest.mark.parametrize(
    ("moved", "withdrawn", "reinstated"),
    [
        ((), 0, 0),
        (((-1000, "usd"),), 1000, 0),
        (((-1000, "usd"), (1000, "usd")), 1000, 1000),
        (((-1000, "usd"), (400, "usd")), 1000, 400),
        # Settled in euros: the bank took the dispute's amount, whatever that came to.
        (((-913, "eur"),), 1000, 0),
        (((-913, "eur"), (920, "eur")), 1000, 1000),
    ],
)
def test_what_a_bank_took_and_gave_back_is_told_in_the_charges_currency(
    moved: tuple[tuple[int, str], ...], withdrawn: int, reinstated: int
) -> None:
    assert snapshots.dispute(dispute(*moved)) == DisputeSnapshot(
        ref="dp_1",
        intent_ref="pi_1",
        amount=Money(1000, "USD"),
        withdrawn=Money(withdrawn, "USD"),
        reinstated=Money(reinstated, "USD"),
        status=DisputeStatus.LOST,
        reason="fraudulent",
        created_at=NOON,
    )
