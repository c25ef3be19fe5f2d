"""Money that goes back: how a payment is seen, and what a gateway's word means for a refund."""

import pytest

from billing.lifecycle import REFUND, PaymentStatus, RefundStatus
from billing.returning import REFUND_NEWS, PaymentStanding, standing


@pytest.mark.parametrize(
    ("refunded", "disputed", "seen"),
    [
        (0, 0, PaymentStanding.SUCCEEDED),
        (1, 0, PaymentStanding.PARTIALLY_REFUNDED),
        (699, 0, PaymentStanding.PARTIALLY_REFUNDED),
        (700, 0, PaymentStanding.REFUNDED),
        (0, 1, PaymentStanding.DISPUTED),
        (0, 700, PaymentStanding.DISPUTED),
        (300, 400, PaymentStanding.DISPUTED),
        (700, 700, PaymentStanding.DISPUTED),
    ],
)
def test_a_paid_payment_is_seen_by_what_went_back_of_it(refunded: int, disputed: int, seen: PaymentStanding) -> None:
    assert standing(PaymentStatus.SUCCEEDED, paid=700, refunded=refunded, disputed=disputed) is seen


@pytest.mark.parametrize("status", PaymentStatus)
def test_a_payment_of_which_nothing_went_back_is_seen_by_its_status(status: PaymentStatus) -> None:
    assert standing(status, paid=700, refunded=0, disputed=0).name == status.name


def test_every_status_of_the_machine_can_be_seen_and_three_more() -> None:
    more = {"PARTIALLY_REFUNDED", "REFUNDED", "DISPUTED"}
    assert {seen.name for seen in PaymentStanding} == {status.name for status in PaymentStatus} | more


@pytest.mark.parametrize("status", RefundStatus)
def test_the_gateways_word_leads_a_new_refund_to_that_very_status(status: RefundStatus) -> None:
    event = REFUND_NEWS[status]
    assert (RefundStatus.PENDING if event is None else REFUND.after(RefundStatus.PENDING, event)) is status
