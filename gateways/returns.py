"""Money that went back, as a gateway shows it: part of the port, which is where others take it from."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from billing.lifecycle import RefundStatus
from billing.money import Money
from billing.returning import DisputeStatus, RefundReason


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
