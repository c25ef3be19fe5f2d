"""The state machines, as tables: TABLE[status][event] → status.

An event that is missing from a status' row is illegal there. The pictures in docs/lifecycle.md are drawn from these
tables. Flags such as "cancels at the period's end" are not states, and neither are refunded and disputed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar


class SubscriptionStatus(StrEnum):
    SCHEDULED = "scheduled"
    INCOMPLETE = "incomplete"
    INCOMPLETE_EXPIRED = "incomplete_expired"
    TRIALING = "trialing"
    ACTIVE = "active"
    PAST_DUE = "past_due"
    PAUSED = "paused"
    UNPAID = "unpaid"
    CANCELED = "canceled"


class SubscriptionEvent(StrEnum):
    START = "start"
    START_TRIAL = "start_trial"
    ACTIVATE = "activate"
    EXPIRE = "expire"
    FALL_BEHIND = "fall_behind"
    RECOVER = "recover"
    GIVE_UP = "give_up"
    PAUSE = "pause"
    RESUME = "resume"
    RESUME_TRIAL = "resume_trial"
    CANCEL = "cancel"


class InvoiceStatus(StrEnum):
    DRAFT = "draft"
    OPEN = "open"
    PAID = "paid"
    UNCOLLECTIBLE = "uncollectible"
    VOID = "void"


class InvoiceEvent(StrEnum):
    ISSUE = "issue"
    PAY = "pay"
    VOID = "void"
    WRITE_OFF = "write_off"


class PaymentStatus(StrEnum):
    REQUIRES_PAYMENT_METHOD = "requires_payment_method"
    REQUIRES_CONFIRMATION = "requires_confirmation"
    REQUIRES_ACTION = "requires_action"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    UNKNOWN = "unknown"


class PaymentEvent(StrEnum):
    """What the gateway's answer, or its absence, means for a payment."""

    ASK_PAYMENT_METHOD = "ask_payment_method"
    START_ATTEMPT = "start_attempt"
    ASK_CUSTOMER = "ask_customer"
    PROCESS = "process"
    SUCCEED = "succeed"
    DECLINE = "decline"
    LOSE_ANSWER = "lose_answer"
    CANCEL = "cancel"


class AttemptOutcome(StrEnum):
    PENDING = "pending"
    SUCCEEDED = "succeeded"
    DECLINED = "declined"
    REQUIRES_ACTION = "requires_action"
    UNKNOWN = "unknown"
    ABANDONED = "abandoned"


class AttemptEvent(StrEnum):
    SUCCEED = "succeed"
    DECLINE = "decline"
    ASK_CUSTOMER = "ask_customer"
    LOSE_ANSWER = "lose_answer"
    ABANDON = "abandon"


class RefundStatus(StrEnum):
    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


class RefundEvent(StrEnum):
    SUCCEED = "succeed"
    FAIL = "fail"
    CANCEL = "cancel"


class IllegalTransition(Exception):
    """The machine has no such step; nothing was changed."""

    def __init__(self, machine: str, status: str, event: str) -> None:
        super().__init__(f"a {machine} that is {status} cannot {event}")
        self.machine, self.status, self.event = machine, status, event


S = TypeVar("S", bound=StrEnum)
E = TypeVar("E", bound=StrEnum)


@dataclass(frozen=True)
class Machine(Generic[S, E]):
    """One state machine: its name, where it starts, and its table."""

    name: str
    initial: tuple[S, ...]
    table: Mapping[S, Mapping[E, S]]

    def after(self, status: S, event: E) -> S:
        """The status that follows, or IllegalTransition naming both."""
        try:
            return self.table[status][event]
        except KeyError:
            raise IllegalTransition(self.name, status, event) from None

    def allows(self, status: S, event: E) -> bool:
        return event in self.table[status]

    @property
    def final(self) -> frozenset[S]:
        """The statuses that nothing leaves."""
        return frozenset(status for status, events in self.table.items() if not events)


_S, _SE = SubscriptionStatus, SubscriptionEvent
SUBSCRIPTION: Machine[SubscriptionStatus, SubscriptionEvent] = Machine(
    "subscription",
    (_S.INCOMPLETE, _S.SCHEDULED, _S.TRIALING, _S.ACTIVE, _S.PAUSED, _S.CANCELED),
    {
        _S.SCHEDULED: {_SE.START: _S.INCOMPLETE, _SE.START_TRIAL: _S.TRIALING, _SE.CANCEL: _S.CANCELED},
        _S.INCOMPLETE: {
            _SE.ACTIVATE: _S.ACTIVE,
            _SE.EXPIRE: _S.INCOMPLETE_EXPIRED,
            _SE.CANCEL: _S.INCOMPLETE_EXPIRED,
        },
        _S.INCOMPLETE_EXPIRED: {},
        _S.TRIALING: {_SE.ACTIVATE: _S.ACTIVE, _SE.PAUSE: _S.PAUSED, _SE.CANCEL: _S.CANCELED},
        _S.ACTIVE: {_SE.FALL_BEHIND: _S.PAST_DUE, _SE.PAUSE: _S.PAUSED, _SE.CANCEL: _S.CANCELED},
        _S.PAST_DUE: {_SE.RECOVER: _S.ACTIVE, _SE.GIVE_UP: _S.UNPAID, _SE.CANCEL: _S.CANCELED},
        _S.PAUSED: {_SE.RESUME: _S.ACTIVE, _SE.RESUME_TRIAL: _S.TRIALING, _SE.CANCEL: _S.CANCELED},
        _S.UNPAID: {_SE.RECOVER: _S.ACTIVE, _SE.CANCEL: _S.CANCELED},
        _S.CANCELED: {},
    },
)

_I, _IE = InvoiceStatus, InvoiceEvent
INVOICE: Machine[InvoiceStatus, InvoiceEvent] = Machine(
    "invoice",
    (_I.DRAFT, _I.OPEN),
    {
        _I.DRAFT: {_IE.ISSUE: _I.OPEN, _IE.VOID: _I.VOID},
        _I.OPEN: {_IE.PAY: _I.PAID, _IE.VOID: _I.VOID, _IE.WRITE_OFF: _I.UNCOLLECTIBLE},
        _I.PAID: {},
        _I.UNCOLLECTIBLE: {_IE.PAY: _I.PAID, _IE.VOID: _I.VOID},
        _I.VOID: {},
    },
)

_P, _PE = PaymentStatus, PaymentEvent
_OPEN_PAYMENT = {
    _PE.ASK_PAYMENT_METHOD: _P.REQUIRES_PAYMENT_METHOD,
    _PE.START_ATTEMPT: _P.REQUIRES_CONFIRMATION,
    _PE.ASK_CUSTOMER: _P.REQUIRES_ACTION,
    _PE.PROCESS: _P.PROCESSING,
    _PE.SUCCEED: _P.SUCCEEDED,
    _PE.DECLINE: _P.FAILED,
    _PE.LOSE_ANSWER: _P.UNKNOWN,
    _PE.CANCEL: _P.CANCELED,
}
PAYMENT: Machine[PaymentStatus, PaymentEvent] = Machine(
    "payment",
    (_P.REQUIRES_PAYMENT_METHOD,),
    {
        _P.REQUIRES_PAYMENT_METHOD: _OPEN_PAYMENT,
        _P.REQUIRES_CONFIRMATION: _OPEN_PAYMENT,
        _P.REQUIRES_ACTION: _OPEN_PAYMENT,
        _P.PROCESSING: {e: s for e, s in _OPEN_PAYMENT.items() if e is not _PE.START_ATTEMPT},
        _P.SUCCEEDED: {},
        _P.FAILED: _OPEN_PAYMENT,
        _P.CANCELED: {},
        _P.UNKNOWN: {e: s for e, s in _OPEN_PAYMENT.items() if e is not _PE.START_ATTEMPT},
    },
)

_A, _AE = AttemptOutcome, AttemptEvent
_OPEN_ATTEMPT = {
    _AE.SUCCEED: _A.SUCCEEDED,
    _AE.DECLINE: _A.DECLINED,
    _AE.ASK_CUSTOMER: _A.REQUIRES_ACTION,
    _AE.LOSE_ANSWER: _A.UNKNOWN,
    _AE.ABANDON: _A.ABANDONED,
}
ATTEMPT: Machine[AttemptOutcome, AttemptEvent] = Machine(
    "charge attempt",
    (_A.PENDING,),
    {
        _A.PENDING: _OPEN_ATTEMPT,
        _A.REQUIRES_ACTION: _OPEN_ATTEMPT,
        _A.UNKNOWN: _OPEN_ATTEMPT,
        _A.SUCCEEDED: {},
        _A.DECLINED: {},
        _A.ABANDONED: {},
    },
)

_R, _RE = RefundStatus, RefundEvent
# A refund that had succeeded may still come back, weeks later: the card is gone, or the merchant calls it back.
REFUND: Machine[RefundStatus, RefundEvent] = Machine(
    "refund",
    (_R.PENDING,),
    {
        _R.PENDING: {_RE.SUCCEED: _R.SUCCEEDED, _RE.FAIL: _R.FAILED, _RE.CANCEL: _R.CANCELED},
        _R.SUCCEEDED: {_RE.FAIL: _R.FAILED, _RE.CANCEL: _R.CANCELED},
        _R.FAILED: {},
        _R.CANCELED: {},
    },
)

MACHINES = (SUBSCRIPTION, INVOICE, PAYMENT, ATTEMPT, REFUND)
