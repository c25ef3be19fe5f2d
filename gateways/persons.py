"""Persons in the promise of a gateway: who pays, and whom a card belongs to."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Address:
    line1: str | None = None
    line2: str | None = None
    city: str | None = None
    state: str | None = None
    postal_code: str | None = None
    country: str | None = None


@dataclass(frozen=True, slots=True)
class BillingDetails:
    name: str | None = None
    email: str | None = None
    phone: str | None = None
    address: Address = field(default_factory=Address)


@dataclass(frozen=True, slots=True)
class CustomerFacts:
    """What a gateway is told of a customer; None is told as well, as nothing."""

    name: str | None = None
    email: str | None = None
    phone: str | None = None
    address: Address | None = None
