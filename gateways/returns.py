"""Money that went back, as a gateway shows it: part of the port, which is where others take it from."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from billing.lifecycle import RefundStatus
from billing.money import Money
from billing.returning import DisputeStatus, RefundReason

REFUND_KEY = "perennial_refund"
"""Where a refund at the gateway names ours, among its metadata."""


@dataclass(frozen=True, slots=True)
class RefundSnapshot:
    """Money sent back, as the gateway sees it now. `intent_ref` is None when the money did not come by an intent."""

    ref: str
    intent_ref: str | None
    amount: Money
    status: RefundStatus
    reason: RefundReason
    failure_reason: str | None
    created_at: datetime
    metadata: Mapping[str, str]

    @property
    def refund_id(self) -> str | None:
        """The refund of ours that it was made for, None when others made it."""
        return self.metadata.get(REFUND_KEY)


@dataclass(frozen=True, slots=True)
class DisputeSnapshot:
    """A bank's objection to a charge, as the gateway sees it now.

    `amount` is what the bank objects to; `withdrawn` and `reinstated` are what it has taken and given back so far, in
    the currency of the charge.
    """

    ref: str
    intent_ref: str | None
    amount: Money
    withdrawn: Money
    reinstated: Money
    status: DisputeStatus
    reason: str
    created_at: datetime
