"""What a step works with, put together by bootstrap; and who asks for it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from billing.breaking import Breaker
from billing.running import Deed
from clocks import Clock, ManualClock
from gateways.customer_side import CardBrowser
from gateways.method_types import CountrySpecification
from gateways.outward import Messenger
from gateways.port import PaymentGateway
from models.database import Database
from services.events.hearing import Hearing
from services.scopes import Scope

Witness = Callable[[Deed], Awaitable[None]]


@dataclass
class AccountMemory:
    """What this process was last told of the gateway's account, and when it asks again; None: it never has."""

    specification: CountrySpecification | None = None
    ask_again_at: datetime | None = None
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(frozen=True)
class App:
    """Concrete parts behind plain names.

    `timezone` is the IANA zone of new customers, `grace` how long PAST_DUE keeps access, `gateway_budget` the time
    that a request spends on gateway calls before it answers PAYMENT_OUTCOME_UNKNOWN. `api_key_key` is what digests of
    API keys are made with, `quote_key` what quotes, `checkout_key` what checkout links are sealed with, `endpoint_key`
    what endpoints' secrets are kept under. `messenger` reaches merchants' endpoints, `hearing` wakes those who follow
    changes. `account_country` is where the gateway's account is, `account` what was last heard of what it may charge.
    `breaker` knows whether the gateway answers. `browser` plays the customer's browser and exists with the sandbox
    only. `support_refund_cap`: what SUPPORT may give back of one payment, in minor units.
    `reconcile_every`: how often the worker reconciles, None: never. `timeline` is the test clock whose customers it
    serves, None: those who live by `clock`; what is due is always looked for on one timeline. `witness` is told what
    the steps of a run do; `due_by` leaves what is due later than that to others.
    """

    database: Database
    gateway: PaymentGateway
    clock: Clock
    security_clock: Clock
    timezone: str
    grace: timedelta
    gateway_budget: timedelta
    api_key_key: bytes = field(repr=False)
    quote_key: bytes = field(repr=False)
    checkout_key: bytes = field(repr=False)
    endpoint_key: bytes = field(repr=False)
    messenger: Messenger
    hearing: Hearing
    account_country: str = "US"
    account: AccountMemory = field(default_factory=AccountMemory)
    support_refund_cap: int = 0
    breaker: Breaker = field(default_factory=Breaker)
    browser: CardBrowser | None = None
    reconcile_every: timedelta | None = None
    timeline: str | None = None
    witness: Witness | None = None
    due_by: datetime | None = None

    def at(self, now: datetime, timeline: str | None) -> "App":
        """The same parts at another present: `timeline`'s."""
        return replace(self, clock=ManualClock(now), timeline=timeline)

    @property
    def is_sandbox(self) -> bool:
        """Whether the gateway is the sandbox: no money moves, and time may be moved by hand."""
        return self.browser is not None

    def now(self) -> datetime:
        """The billing instant; read once per step."""
        return self.clock.now()

    def due(self) -> datetime:
        """Up to when what is due is carried out: until now, unless less was asked for."""
        return min(self.now(), self.due_by) if self.due_by is not None else self.now()

    def machine_now(self) -> datetime:
        """The machine's instant, for leases and for asking the gateway again."""
        return self.security_clock.now()


class ActorKind(StrEnum):
    CUSTOMER = "customer"
    SUPPORT = "support"
    ADMIN = "admin"
    SERVICE = "service"
    WEBHOOK = "webhook"
    WORKER = "worker"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who causes a step. `user_id` is the token's subject; `email` and `name` are what the token says of a person.

    A SERVICE has a key's id and scopes instead.
    """

    kind: ActorKind
    user_id: str | None = None
    email: str | None = None
    name: str | None = None
    api_key_id: str | None = None
    scopes: frozenset[Scope] = frozenset()

    @property
    def is_staff(self) -> bool:
        return self.kind in (ActorKind.SUPPORT, ActorKind.ADMIN)

    @property
    def acts_for_customers(self) -> bool:
        """Whether it may name the customer that a step is about. Which steps those are, the access table says."""
        return self.is_staff or (self.kind is ActorKind.SERVICE and Scope.ACT_FOR_CUSTOMER in self.scopes)

    def __str__(self) -> str:
        who = self.user_id or self.api_key_id
        return f"{self.kind}:{who}" if who else str(self.kind)


WORKER = Actor(ActorKind.WORKER)
WEBHOOK = Actor(ActorKind.WEBHOOK)
