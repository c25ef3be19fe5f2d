"""What a step works with, put together by bootstrap; and who asks for it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from clocks import Clock
from gateways.port import CardBrowser, PaymentGateway
from models.database import Database


@dataclass(frozen=True)
class App:
    """Concrete parts behind plain names.

    `timezone` is the IANA zone of new customers, `grace` how long PAST_DUE keeps access, `gateway_budget` the time
    that a request spends on gateway calls before it answers PAYMENT_OUTCOME_UNKNOWN. `browser` plays the customer's
    browser and exists with the sandbox only.
    """

    database: Database
    gateway: PaymentGateway
    clock: Clock
    security_clock: Clock
    timezone: str
    grace: timedelta
    gateway_budget: timedelta
    browser: CardBrowser | None = None

    def now(self) -> datetime:
        """The billing instant; read once per step."""
        return self.clock.now()

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
    """Who causes a step. `user_id` is the token's subject; `email` and `name` are what the token says of a person."""

    kind: ActorKind
    user_id: str | None = None
    email: str | None = None
    name: str | None = None

    @property
    def is_staff(self) -> bool:
        return self.kind in (ActorKind.SUPPORT, ActorKind.ADMIN)

    def __str__(self) -> str:
        return f"{self.kind}:{self.user_id}" if self.user_id else str(self.kind)


WORKER = Actor(ActorKind.WORKER)
WEBHOOK = Actor(ActorKind.WEBHOOK)
