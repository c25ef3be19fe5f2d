"""Money: integers of minor units plus a currency, one rounding, one splitter.

Exponents and steps are the card gateways', not ISO 4217's: ISK and UGX are written with two decimals that are
always 00, three-decimal currencies end in 0. Amounts are 64-bit; floats never appear.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction

from billing.errors import ErrorCode, UserProblem

_ZERO_DECIMAL = frozenset("BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF".split())
_THREE_DECIMAL = frozenset("BHD JOD KWD OMR TND".split())
_WHOLE_UNITS_WRITTEN_WITH_CENTS = frozenset(("ISK", "UGX"))
_TWO_DECIMAL = frozenset(
    """AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL BSD BWP BYN BZD CAD CDF CHF CNY COP
    CRC CVE CZK DKK DOP DZD EGP ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR ISK JMD KES
    KGS KHR KYD KZT LAK LBP LKR LRD LSL MAD MDL MKD MMK MNT MOP MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB
    PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SEK SGD SHP SLE SOS SRD STD SZL THB TJS TOP TRY TTD TWD TZS UAH
    UGX USD UYU UZS WST XCD YER ZAR ZMW""".split()
)
CURRENCIES = _ZERO_DECIMAL | _TWO_DECIMAL | _THREE_DECIMAL

_MINIMUM_CHARGE = {
    **dict.fromkeys("USD AUD BRL CAD CHF EUR INR NZD SGD".split(), 50),
    "GBP": 30,
    **dict.fromkeys(("JPY", "KRW"), 50),
    "DKK": 250,
    **dict.fromkeys(("NOK", "SEK"), 300),
    "HKD": 400,
    **dict.fromkeys(("MXN", "THB"), 1000),
    "CZK": 1500,
    "HUF": 17500,
    **dict.fromkeys("AED MYR PLN RON".split(), 200),
}
_MAX_MINOR = 2**63 - 1
LARGEST_TOLD = 2**53 - 1
"""Minor units, or a count, that a client can be told: JSON readers keep no more."""
LARGEST_GIVEN = 10**12
"""Minor units that one amount may have that somebody gives: ten thousand of it can be told."""
_MAX_EXPONENT = len(str(_MAX_MINOR))


class MoneyError(ValueError):
    """An amount or a currency that cannot be."""


class CurrencyMismatch(MoneyError):
    """Two currencies met in one sum."""


def exponent(currency: str) -> int:
    """How many decimals the gateway expects: 0, 2 or 3. Raises MoneyError for a currency it does not know."""
    if currency in _ZERO_DECIMAL:
        return 0
    if currency in _THREE_DECIMAL:
        return 3
    if currency in _TWO_DECIMAL:
        return 2
    raise MoneyError(f"{currency!r} is no supported ISO 4217 currency code, such as USD")


def step(currency: str) -> int:
    """The smallest chargeable difference in minor units: 1, 10 (KWD and its kin) or 100 (ISK, UGX)."""
    if currency in _WHOLE_UNITS_WRITTEN_WITH_CENTS:
        return 100
    return 10 if exponent(currency) == 3 else 1


def minimum_charge(currency: str) -> int:
    """The smallest amount in minor units that the gateway charges; one step where it names none."""
    return _MINIMUM_CHARGE.get(currency, step(currency))


class AmountTooLarge(UserProblem, MoneyError):
    """Numbers, each sound by itself, that multiply or add up to what cannot be kept or told."""

    def __init__(self, what: str = "This comes to more than can be billed. Give smaller numbers.") -> None:
        super().__init__(ErrorCode.INVALID, what)


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in minor units of one currency; may be negative (a credit)."""

    minor: int
    currency: str

    def __post_init__(self) -> None:
        exponent(self.currency)
        if abs(self.minor) > _MAX_MINOR:
            raise AmountTooLarge(f"{self.minor} {self.currency} does not fit 64 bits")

    @classmethod
    def zero(cls, currency: str) -> "Money":
        return cls(0, currency)

    @classmethod
    def of(cls, major: Decimal | str, currency: str) -> "Money":
        """From major units: `Money.of("9.99", "USD")`.

        Raises MoneyError if it is no finite decimal number, finer than the currency's step or beyond 64 bits.
        """
        minor = _exact(major) * 10 ** exponent(currency)
        if minor % step(currency):
            raise MoneyError(f"{major} is finer than {currency} can be charged")
        return cls(int(minor), currency)

    @property
    def major(self) -> Decimal:
        """In major units, with the currency's own number of decimals: 700 USD minor is Decimal('7.00')."""
        return Decimal(self.minor).scaleb(-exponent(self.currency))

    @property
    def is_zero(self) -> bool:
        return self.minor == 0

    def __add__(self, other: "Money") -> "Money":
        return Money(self.minor + self._same(other), self.currency)

    def __sub__(self, other: "Money") -> "Money":
        return Money(self.minor - self._same(other), self.currency)

    def __neg__(self) -> "Money":
        return Money(-self.minor, self.currency)

    def __lt__(self, other: "Money") -> bool:
        return self.minor < self._same(other)

    def __le__(self, other: "Money") -> bool:
        return self.minor <= self._same(other)

    def __str__(self) -> str:
        return f"{self.currency} {self.major}"

    def times(self, factor: Fraction | int) -> "Money":
        """This amount times an exact factor, rounded to the currency's step."""
        return Money(round_to_step(self.minor * Fraction(factor), self.currency), self.currency)

    def split(self, weights: Sequence[int]) -> list["Money"]:
        """In proportion to `weights`, by largest remainder: the parts always sum to the whole.

        An amount that is no multiple of the currency's step leaves its odd rest on the first weighted part.
        """
        if not weights or any(w < 0 for w in weights) or not any(weights):
            raise MoneyError("a split needs weights that are not negative and not all zero")
        unit = step(self.currency)
        sign = -1 if self.minor < 0 else 1
        units, rest = divmod(abs(self.minor), unit)
        total = sum(weights)
        parts = [units * w // total for w in weights]
        by_remainder = sorted(range(len(weights)), key=lambda i: (-(units * weights[i] % total), i))
        for i in by_remainder[: units - sum(parts)]:
            parts[i] += 1
        amounts = [part * unit for part in parts]
        amounts[next(i for i, w in enumerate(weights) if w)] += rest
        return [Money(sign * amount, self.currency) for amount in amounts]

    def _same(self, other: "Money") -> int:
        if other.currency != self.currency:
            raise CurrencyMismatch(f"{self.currency} and {other.currency} cannot be added or compared")
        return other.minor


def _exact(major: Decimal | str) -> Fraction:
    """The number as written. Arithmetic on Decimal would first round it to the context's 28 digits."""
    try:
        number = Decimal(major)
    except InvalidOperation:
        raise MoneyError(f"{major!r} is no decimal number, such as 9.99") from None
    if not number.is_finite() or abs(number.adjusted()) > _MAX_EXPONENT:
        raise MoneyError(f"{major} is no amount of money")
    return Fraction(number)


def round_to_step(minor: Fraction, currency: str) -> int:
    """The product's only rounding: to the currency's step, half away from zero."""
    unit = step(currency)
    doubled, denominator = 2 * abs(minor.numerator), minor.denominator * unit
    units = (doubled + denominator) // (2 * denominator)
    return (-units if minor < 0 else units) * unit


def total(amounts: Sequence[Money], currency: str) -> Money:
    """Their sum; of nothing, zero of `currency`."""
    return sum(amounts, start=Money.zero(currency))
