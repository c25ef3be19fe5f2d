"""Ways to pay, as a gateway offers them: part of the port, which is where others take it from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from billing.money import Money


@dataclass(frozen=True, slots=True)
class Requirement:
    """Something that is given with a payment or a way to pay: where, and how it must look."""

    name: str
    type: str
    description: str | None = None
    instructions: str | None = None
    pattern: str | None = None
    is_required: bool = False
    is_updatable: bool = False


@dataclass(frozen=True, slots=True)
class AmountRange:
    """How little and how much one payment may be, both included; None where the gateway names no bound."""

    minimum: Money | None
    maximum: Money | None


@dataclass(frozen=True, slots=True)
class MethodType:
    """A kind of way to pay. `accepts` says which currencies customers of a country pay in.

    `flow` is what the customer does: direct (types into a form), redirect (goes to another page), debit (permits to be
    debited), wallet (confirms in an app), voucher (pays at a counter), transfer (sends the money). `seconds_to_pay` is
    how short and how long a payment may be made to wait.
    """

    code: str
    name: str
    category: str
    flow: str
    accepts: Mapping[str, Sequence[str]]
    is_cancelable: bool
    is_refundable: bool
    is_tokenizable: bool
    is_restricted: bool
    allows_multiple_overage: bool
    virtual_type: str | None
    seconds_to_pay: tuple[int, int]
    amounts: Mapping[str, AmountRange]
    wallets: Sequence[str]
    required_fields: Sequence[Requirement]
    method_options: Sequence[Requirement]
    payment_options: Sequence[Requirement]


@dataclass(frozen=True, slots=True)
class CountrySpecification:
    """What an account in a country may charge: in which currencies, and by which kinds of ways to pay."""

    country: str
    currencies: frozenset[str]
    method_types: frozenset[str]
