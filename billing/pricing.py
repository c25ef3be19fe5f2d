"""What a quantity costs at a price, exactly, and why.

The amount stays a fraction until a line is rounded: a stub or a proration takes its part first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction

from billing.explaining import ExplanationInput
from billing.money import Money, exponent


class BillingScheme(StrEnum):
    """Whether every unit costs the same, or what it costs depends on how many there are."""

    PER_UNIT = "per_unit"
    TIERED = "tiered"


class TiersMode(StrEnum):
    """GRADUATED: each unit at the price of the tier it falls in. VOLUME: all units at the price of the last one's."""

    GRADUATED = "graduated"
    VOLUME = "volume"


class Rounding(StrEnum):
    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Tier:
    """Units up to and with `up_to` (None: without end), each at `unit_amount` major units, plus `flat_amount` once."""

    up_to: int | None
    unit_amount: Decimal = Decimal(0)
    flat_amount: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Package:
    """Quantities are divided by `divide_by` and rounded before they are priced."""

    divide_by: int
    round: Rounding


@dataclass(frozen=True, slots=True)
class PriceTerms:
    """How a price counts. `unit_amount` is in major units and may be finer than the currency's step."""

    price_id: str
    currency: str
    unit_amount: Decimal
    scheme: BillingScheme = BillingScheme.PER_UNIT
    tiers_mode: TiersMode | None = None
    tiers: Sequence[Tier] = ()
    package: Package | None = None

    @property
    def unit_money(self) -> Money | None:
        """The price of one unit where that is a whole amount of the currency, to be shown."""
        minor = Fraction(self.unit_amount) * 10 ** exponent(self.currency)
        return Money(int(minor), self.currency) if minor.denominator == 1 else None


@dataclass(frozen=True, slots=True)
class Rated:
    """An exact amount in major units, with the text, formula and inputs that make it."""

    major: Fraction
    currency: str
    text: str
    formula: str
    inputs: Sequence[ExplanationInput]


def rate(terms: PriceTerms, quantity: Decimal) -> Rated:
    """What `quantity` units cost at these terms."""
    shown = f"{quantity.normalize():f}"
    unit = _shown_unit(terms)
    return Rated(
        major=Fraction(terms.unit_amount) * Fraction(quantity),
        currency=terms.currency,
        text=f"{shown} × {unit}",
        formula="quantity × unitAmount",
        inputs=(ExplanationInput("quantity", shown), ExplanationInput("unitAmount", unit, terms.price_id)),
    )


def _shown_unit(terms: PriceTerms) -> str:
    money = terms.unit_money
    return str(money) if money is not None else f"{terms.currency} {terms.unit_amount.normalize():f}"
