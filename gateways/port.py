"""The promise a gateway makes, in billing's words.

A gateway keeps cards and moves money; it decides nothing about billing. Every call is one network round trip at
most (plus the adapter's own safe retries with the same idempotency key). Calls raise only the exceptions below;
a charge's end is a value, never an exception, because a lost answer is an outcome of its own.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Generic, Protocol, TypeVar

from billing.charging import CardProblem, IntentStatus, SetupFutureUsage
from billing.dashboard_coupons import DashboardCode, DashboardCoupon
from billing.money import Money
from billing.returning import RefundReason
from gateways.cards import CardNews, NextStep, PaymentMethodSnapshot, SetupIntentSnapshot
from gateways.method_types import CountrySpecification, MethodType
from gateways.persons import Address, CustomerFacts
from gateways.returns import DisputeSnapshot, RefundSnapshot


class GatewayRefused(Exception):
    """The gateway understood the request and will never carry it out as it is.

    `code` is the gateway's error code, `param` the offending parameter if it named one.
    """

    def __init__(self, message: str, *, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.param = param


class GatewayNotFound(GatewayRefused):
    """The object does not exist at the gateway, or belongs to somebody else."""


class GatewayUnavailable(Exception):
    """No answer, or none that tells what happened: connection lost, time-out, 409, 5xx.

    Whether the request took effect is unknown. `is_fault`: the gateway has answered, with a fault of its own, and may
    answer so again under the same idempotency key.
    """

    def __init__(self, message: str, *, is_fault: bool = False) -> None:
        super().__init__(message)
        self.is_fault = is_fault


class GatewayBusy(GatewayUnavailable):
    """Too many calls for the gateway, or for the workers' share of what it takes: ask again later, with the same key.

    This call had no effect, an earlier sending of it by the adapter may have had one. `retry_after` is the least that
    the gateway wants to be left alone; `is_account`: by all calls, not this endpoint's alone.
    """

    def __init__(self, message: str, *, retry_after: timedelta | None = None, is_account: bool = False) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.is_account = is_account


class GatewayHeld(GatewayUnavailable):
    """Another request is at the same object, or carries the same key: ask again later, with the same key.

    This call had no effect, an earlier sending of it by the adapter may have had one.
    """


class CardRefused(Exception):
    """A card was refused while being saved. Charges never raise this: a decline is in the intent."""

    def __init__(self, problem: CardProblem) -> None:
        super().__init__(problem.message)
        self.problem = problem


@dataclass(frozen=True, slots=True)
class CustomerSnapshot:
    """A customer as the gateway sees it now; `is_deleted` ones keep nothing but their reference."""

    ref: str
    is_deleted: bool
    default_payment_method_ref: str | None


@dataclass(frozen=True, slots=True)
class PaymentIntentSnapshot:
    """A payment intent as the gateway sees it now.

    `invoice_id` is the invoice of ours that it was made for, None when others made it. `client_secret` is for the
    owner's browser: never stored, never logged. `latest_charge_ref` names the newest try at moving money. `raw` is the
    gateway's own object without secrets and what tells of the holder.
    """

    ref: str
    invoice_id: str | None
    status: IntentStatus
    amount: Money
    captured: Money
    customer_ref: str | None
    payment_method_ref: str | None
    setup_future_usage: SetupFutureUsage | None
    next_step: NextStep | None
    last_problem: CardProblem | None
    last_problem_method_ref: str | None
    latest_charge_ref: str | None
    client_secret: str = field(repr=False)
    created_at: datetime
    livemode: bool
    metadata: Mapping[str, str]
    raw: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class ChargeSnapshot:
    """One try at moving an intent's money that has ended; `problem` is None when it succeeded."""

    ref: str
    intent_ref: str | None
    problem: CardProblem | None
    payment_method_ref: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class GatewayEventHint:
    """A verified webhook: what happened to which object. The object itself is fetched anew before it is believed.

    `object_kind` is one of payment_intent, setup_intent, payment_method, customer, refund, dispute, coupon,
    promotion_code, and charge when money was sent back on it; None for whatever else.
    """

    ref: str
    type: str
    created_at: datetime
    object_kind: str | None
    object_ref: str | None
    payload: Mapping[str, object]


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class GatewayPage(Generic[T]):
    """One page of a gateway's list, newest first; `next_after` asks for the one that follows, None: there is none."""

    items: Sequence[T]
    next_after: str | None


class WebhookRefused(Exception):
    """The delivery is not from the gateway, too old, from the future, or not an event."""


_in_turn: ContextVar[bool] = ContextVar("in_turn", default=False)


@contextmanager
def in_turn() -> Iterator[None]:
    """Nobody waits for an answer to this block: its calls keep the pace that a gateway may have."""
    token = _in_turn.set(True)
    try:
        yield
    finally:
        _in_turn.reset(token)


def waits_its_turn() -> bool:
    """Whether the present call is made `in_turn`."""
    return _in_turn.get()


class PaymentGateway(Protocol):
    """All that the product asks of a gateway. `tests/gateways/contract.py` is this promise as tests.

    Every creating or moving call takes an `idempotency_key` made from our own rows. `signature_header` is where its
    webhooks carry their signature.
    """

    platform: str
    publishable_key: str
    signature_header: str
    livemode: bool
    method_types: Mapping[str, MethodType]
    """Every way to pay that the gateway knows, by its code."""
    endpoints: Mapping[str, str]
    """Calls that count against the limit of another call; every other has one of its own."""

    async def create_customer(self, *, customer_id: str, facts: CustomerFacts, idempotency_key: str) -> str: ...

    async def update_customer(self, ref: str, facts: CustomerFacts, *, idempotency_key: str) -> None:
        """Tell it anew, the whole of it. Raises GatewayNotFound, for a deleted one too."""
        ...

    async def delete_customer(self, ref: str) -> None:
        """Let go of the customer and of its cards for good; what was charged stays. Raises GatewayNotFound."""
        ...

    async def retrieve_customer(self, ref: str) -> CustomerSnapshot: ...

    async def create_setup_intent(
        self, *, customer_ref: str, usage: SetupFutureUsage, method_types: Sequence[str], idempotency_key: str
    ) -> SetupIntentSnapshot:
        """Begin to save a way to pay of one of these types. Raises GatewayRefused for a type that it does not know."""
        ...

    async def retrieve_setup_intent(self, ref: str) -> SetupIntentSnapshot: ...

    async def attach_payment_method(
        self, ref: str, *, customer_ref: str, idempotency_key: str
    ) -> PaymentMethodSnapshot: ...

    async def redeem_card_token(self, reference: str, *, idempotency_key: str) -> str:
        """The payment method that a one-time token of the browser stands for; any other reference stays as it is."""
        ...

    async def retrieve_payment_method(self, ref: str) -> PaymentMethodSnapshot: ...

    async def update_payment_method(
        self,
        ref: str,
        *,
        name: str | None,
        address: Address | None,
        exp_month: int | None,
        exp_year: int | None,
        idempotency_key: str,
    ) -> PaymentMethodSnapshot:
        """Change what is given; an address is given whole. Raises CardRefused for an expiry that cannot be."""
        ...

    async def blank_payment_method(self, ref: str, *, idempotency_key: str) -> None:
        """Forget whom the card belongs to. Raises GatewayRefused when it is attached to nobody."""
        ...

    async def detach_payment_method(self, ref: str, *, idempotency_key: str) -> None:
        """Keep the card no longer. Raises GatewayRefused when it belongs to nobody already."""
        ...

    async def set_default_payment_method(
        self, *, customer_ref: str, payment_method_ref: str, idempotency_key: str
    ) -> None: ...

    async def create_payment_intent(
        self,
        *,
        customer_ref: str,
        amount: Money,
        invoice_id: str,
        description: str,
        setup_future_usage: SetupFutureUsage | None,
        idempotency_key: str,
    ) -> PaymentIntentSnapshot: ...

    async def update_payment_intent(
        self, ref: str, *, setup_future_usage: SetupFutureUsage | None, idempotency_key: str
    ) -> PaymentIntentSnapshot: ...

    async def confirm_payment_intent(
        self, ref: str, *, payment_method_ref: str, off_session: bool, return_url: str | None, idempotency_key: str
    ) -> PaymentIntentSnapshot:
        """Try to charge. A decline comes back as the snapshot with `last_problem`, not as an exception.

        Raises GatewayRefused off session while the card is to be kept (`setup_future_usage`): nobody is there to agree.
        """
        ...

    async def retrieve_payment_intent(self, ref: str) -> PaymentIntentSnapshot: ...

    async def cancel_payment_intent(self, ref: str, *, idempotency_key: str) -> PaymentIntentSnapshot:
        """Cancel; when it can no longer be canceled, answer with the intent as it is."""
        ...

    async def find_payment_intents(
        self, *, customer_ref: str, invoice_id: str, created_since: datetime | None
    ) -> Sequence[PaymentIntentSnapshot]:
        """Every intent of the customer since then (None: ever) with our invoice id, newest first; no lagging search."""
        ...

    async def find_charges(self, intent_ref: str) -> Sequence[ChargeSnapshot]:
        """The intent's newest hundred charges that have ended, whoever made them, oldest first."""
        ...

    async def retrieve_charge(self, ref: str) -> ChargeSnapshot | None:
        """None while it has not ended."""
        ...

    async def create_refund(
        self, intent_ref: str, *, amount: Money, reason: RefundReason, refund_id: str, idempotency_key: str
    ) -> RefundSnapshot:
        """Give back of an intent's charge, with our refund's id in its metadata; asked once, never repeated by itself.

        Raises GatewayRefused when so much cannot be given back.
        """
        ...

    async def retrieve_refund(self, ref: str) -> RefundSnapshot: ...

    async def find_refunds(self, intent_ref: str) -> Sequence[RefundSnapshot]:
        """The newest hundred refunds of the intent's charges, whoever made them, oldest first."""
        ...

    async def retrieve_dispute(self, ref: str) -> DisputeSnapshot: ...

    async def find_disputes(self, intent_ref: str) -> Sequence[DisputeSnapshot]:
        """The newest hundred disputes of the intent's charges, oldest first."""
        ...

    async def list_payment_intents(
        self, *, created_since: datetime | None, after: str | None
    ) -> GatewayPage[PaymentIntentSnapshot]:
        """A page of all intents of the account since then that carry an invoice id of ours, whoever made them."""
        ...

    async def list_charges(self, *, after: str | None) -> GatewayPage[ChargeSnapshot]:
        """A page of all charges of the account that have ended."""
        ...

    async def list_refunds(self, *, created_since: datetime | None, after: str | None) -> GatewayPage[RefundSnapshot]:
        """A page of the account's refunds, all of them unless `created_since`."""
        ...

    async def list_disputes(self, *, created_since: datetime | None, after: str | None) -> GatewayPage[DisputeSnapshot]:
        """A page of the account's disputes, all of them unless `created_since`."""
        ...

    async def list_card_news(self, *, created_since: datetime, after: str | None) -> GatewayPage[CardNews]:
        """A page of what happened to cards, their owners and the intents that save them, as far back as is kept."""
        ...

    async def list_return_news(self, *, created_since: datetime, after: str | None) -> GatewayPage[str | None]:
        """A page of news of refunds and disputes, as far back as is kept: the intents that they are about."""
        ...

    async def country_specification(self, country: str) -> CountrySpecification:
        """What an account in that country may charge. Raises GatewayNotFound where it can have none."""
        ...

    async def list_payment_methods(self, *, customer_ref: str) -> Sequence[PaymentMethodSnapshot]:
        """The customer's newest hundred attached cards. Raises GatewayNotFound when the customer is gone."""
        ...

    async def list_coupons(self, *, after: str | None) -> GatewayPage[DashboardCoupon]:
        """A page of the coupons on the gateway's dashboard. A gateway without coupons has none."""
        ...

    async def retrieve_coupon(self, ref: str) -> DashboardCoupon: ...

    async def list_promotion_codes(self, *, after: str | None) -> GatewayPage[DashboardCode]:
        """A page of the promotion codes on the gateway's dashboard, ended ones included."""
        ...

    async def retrieve_promotion_code(self, ref: str) -> DashboardCode: ...

    def verify_webhook(self, body: bytes, signature: str | None, *, now: datetime) -> GatewayEventHint:
        """Check the signature against every configured secret, and ±300 s of the security clock.

        Raises WebhookRefused.
        """
        ...

    async def close(self) -> None: ...
