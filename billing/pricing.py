"""What a quantity costs at a price, exactly, and why.

The amount stays a fraction until a line is rounded: a stub or a proration takes its part first.
"""

import math
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
        """The price of one unit, to be shown: None where there is none, or none that the currency can write."""
        if self.scheme is BillingScheme.TIERED or self.package is not None:
            return None
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
    """What `quantity` units cost at these terms. The first tier is always reached: its flat amount is asked for none.

    Raises ValueError for less than nothing, and for tiers without any.
    """
    if quantity < 0:
        raise ValueError(f"a quantity is not negative: {quantity}")
    if terms.scheme is BillingScheme.PER_UNIT:
        return _per_unit(terms, quantity) if terms.package is None else _by_package(terms, terms.package, quantity)
    if not terms.tiers or terms.tiers[-1].up_to is not None:
        raise ValueError(f"the price {terms.price_id} has no open tier")
    return _graduated(terms, quantity) if terms.tiers_mode is TiersMode.GRADUATED else _by_volume(terms, quantity)


def billed_quantity(terms: PriceTerms, quantity: Decimal) -> Decimal:
    """How many are priced: packages where there are any, else the units."""
    if terms.package is None:
        return quantity
    packages = Fraction(quantity) / terms.package.divide_by
    return Decimal(math.ceil(packages) if terms.package.round is Rounding.UP else math.floor(packages))


def _per_unit(terms: PriceTerms, quantity: Decimal) -> Rated:
    unit = _shown_unit(terms)
    return Rated(
        major=Fraction(terms.unit_amount) * Fraction(quantity),
        currency=terms.currency,
        text=f"{number(quantity)} × {unit}",
        formula="quantity × unitAmount",
        inputs=(_quantity(quantity), ExplanationInput("unitAmount", unit, terms.price_id)),
    )


def _by_package(terms: PriceTerms, package: Package, quantity: Decimal) -> Rated:
    count, unit = billed_quantity(terms, quantity), _shown_unit(terms)
    function, side = ("ceil", "begun") if package.round is Rounding.UP else ("floor", "full")
    return Rated(
        major=Fraction(terms.unit_amount) * Fraction(count),
        currency=terms.currency,
        text=f"{number(count)} {side} packages of {package.divide_by} × {unit}",
        formula=f"{function}(quantity ÷ packageSize) × unitAmount",
        inputs=(
            _quantity(quantity),
            ExplanationInput("packageSize", str(package.divide_by), terms.price_id),
            ExplanationInput("unitAmount", unit, terms.price_id),
        ),
    )


def _graduated(terms: PriceTerms, quantity: Decimal) -> Rated:
    """Every tier below the last one reached is full."""
    major, below, under = Fraction(0), 0, ""
    texts: list[str] = []
    sums: list[str] = []
    inputs = [_quantity(quantity)]
    for n, tier in enumerate(terms.tiers, start=1):
        is_last = tier.up_to is None or quantity <= tier.up_to
        units = (quantity if is_last or tier.up_to is None else Decimal(tier.up_to)) - below
        top = "quantity" if is_last else f"tier{n}UpTo"
        if not is_last:
            inputs.append(ExplanationInput(top, str(tier.up_to), terms.price_id))
        sums.append(f"({top} − {under}) × tier{n}UnitAmount" if under else f"{top} × tier{n}UnitAmount")
        texts.append(f"{number(units)} × {_shown(tier.unit_amount, terms.currency)}")
        _add_tier(n, tier, terms, sums, texts, inputs)
        major += Fraction(tier.unit_amount) * Fraction(units) + Fraction(tier.flat_amount)
        if is_last or tier.up_to is None:
            break
        below, under = tier.up_to, top
    return Rated(major, terms.currency, " + ".join(texts), " + ".join(sums), inputs)


def _by_volume(terms: PriceTerms, quantity: Decimal) -> Rated:
    """All units at the price of the one tier that the last of them falls in."""
    n, tier = next((n, t) for n, t in enumerate(terms.tiers, start=1) if t.up_to is None or quantity <= t.up_to)
    sums, inputs = [f"quantity × tier{n}UnitAmount"], [_quantity(quantity)]
    texts = [f"{number(quantity)} × {_shown(tier.unit_amount, terms.currency)}"]
    _add_tier(n, tier, terms, sums, texts, inputs)
    major = Fraction(tier.unit_amount) * Fraction(quantity) + Fraction(tier.flat_amount)
    return Rated(major, terms.currency, " + ".join(texts), " + ".join(sums), inputs)


def _add_tier(
    n: int, tier: Tier, terms: PriceTerms, sums: list[str], texts: list[str], inputs: list[ExplanationInput]
) -> None:
    inputs.append(ExplanationInput(f"tier{n}UnitAmount", _shown(tier.unit_amount, terms.currency), terms.price_id))
    if tier.flat_amount:
        flat = _shown(tier.flat_amount, terms.currency)
        sums.append(f"tier{n}FlatAmount")
        texts.append(flat)
        inputs.append(ExplanationInput(f"tier{n}FlatAmount", flat, terms.price_id))


def number(quantity: Decimal) -> str:
    """As it is written in texts and formulas: without an exponent or trailing zeros."""
    return f"{quantity.normalize():f}"


def _quantity(quantity: Decimal) -> ExplanationInput:
    return ExplanationInput("quantity", number(quantity))


def _shown_unit(terms: PriceTerms) -> str:
    return _shown(terms.unit_amount, terms.currency)


def _shown(major: Decimal, currency: str) -> str:
    """As money where it is a whole amount of the currency, else with all its digits."""
    minor = Fraction(major) * 10 ** exponent(currency)
    return str(Money(int(minor), currency)) if minor.denominator == 1 else f"{currency} {number(major)}"
