"""Saving ways to pay, as a gateway shows it: part of the port, which is where others take it from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from billing.charging import CardProblem, IntentStatus, SetupFutureUsage
from billing.money import Money
from gateways.persons import BillingDetails


@dataclass(frozen=True, slots=True)
class NextStep:
    """What the customer must do: visit `redirect_url`, or let the gateway's browser SDK act when it is None."""

    redirect_url: str | None


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What a gateway tells of a card; never the number. Checks read pass, fail, unavailable, unchecked.

    `bin` is the beginning of the number that names its issuer, eight digits at most, `level` the kind of cards that
    begin so; `acs_check` is what the bank's own page said of the holder. `raw` is the gateway's own object without what
    tells of the holder.
    """

    brand: str
    last4: str
    exp_month: int
    exp_year: int
    funding: str
    country: str | None = None
    fingerprint: str | None = None
    address_line1_check: str | None = None
    address_postal_code_check: str | None = None
    cvc_check: str | None = None
    networks: Sequence[str] = ()
    preferred_network: str | None = None
    three_d_secure_supported: bool = False
    wallet: str | None = None
    generated_from: str | None = None
    bin: str | None = None
    level: str | None = None
    acs_check: str | None = None
    raw: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MandateFacts:
    """The customer's permission to be charged; what the gateway does not tell is None."""

    ref: str
    status: str | None
    max_amount: Money | None
    is_single_use: bool


@dataclass(frozen=True, slots=True)
class PaymentMethodSnapshot:
    """A saved way to pay as the gateway sees it now. `customer_ref` is None when it belongs to nobody."""

    ref: str
    type: str
    customer_ref: str | None
    created_at: datetime
    livemode: bool
    card: CardFacts | None
    billing_details: BillingDetails
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SetupIntentSnapshot:
    """A setup intent as the gateway sees it now: saving a card without charging it."""

    ref: str
    status: IntentStatus
    usage: SetupFutureUsage
    customer_ref: str | None
    payment_method_ref: str | None
    next_step: NextStep | None
    last_problem: CardProblem | None
    client_secret: str = field(repr=False)
    created_at: datetime
    livemode: bool
    application: str | None
    cancellation_reason: str | None
    description: str | None
    mandate: MandateFacts | None
    single_use_mandate: MandateFacts | None
    on_behalf_of: str | None
    payment_method_types: Sequence[str]
    request_three_d_secure: str
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class CardNews:
    """Something about saving cards happened: to which object, and of which customer as far as the gateway tells.

    `object_kind` is one of setup_intent, payment_method, customer.
    """

    object_kind: str
    object_ref: str
    customer_ref: str | None
