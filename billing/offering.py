"""What makes a plan sellable: its terms checked as a whole, each refusal naming the part at fault."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from billing.calendar import Interval
from billing.errors import ErrorCode, UserProblem
from billing.metering import Aggregation, UsageType
from billing.money import LARGEST_GIVEN, Money, MoneyError, exponent, round_to_step
from billing.pricing import BillingScheme, Package, Tier, TiersMode

MOST_PRICES = 50
MOST_TIERS = 100
FINEST_UNIT_PRICE = 12
"""Decimals of a unit's price in major units."""
LARGEST_COUNT = 2**53
LARGEST_UNIT_PRICE = Decimal(10**9)
_LONGEST_PERIOD = {Interval.DAY: 1_095, Interval.WEEK: 156, Interval.MONTH: 36, Interval.YEAR: 3}
_BY_DAY_OF_MONTH = (Interval.MONTH, Interval.YEAR)
_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", re.ASCII)
_LONGEST_TRIAL = 730
LONGEST_DESCRIPTOR = 22
_NOT_ON_STATEMENTS = frozenset("<>\\'\"*")
_FIXED = {
    "interval": "interval",
    "interval_count": "intervalCount",
    "usage_type": "usageType",
    "aggregate_usage": "aggregateUsage",
    "feature_code": "featureCode",
    "scheme": "billingScheme",
    "tiers_mode": "tiersMode",
    "package": "transformUsage",
}
"""Terms of a plan that stay as they are, and what clients call them."""


@dataclass(frozen=True, slots=True)
class NewPrice:
    """A price in one currency, major units: one of `amount`, `unit_amount` (finer than the currency) and `tiers`.

    Not `is_active`: the currency is off sale, and there is no price in it.
    """

    currency: str
    amount: Decimal | None = None
    unit_amount: Decimal | None = None
    tiers: Sequence[Tier] = ()
    is_default: bool = False
    is_active: bool = True

    @property
    def shown(self) -> Money:
        """The price of one unit as the currency can show it; nothing where tiers tell it."""
        if self.tiers or (self.amount is None and self.unit_amount is None):
            return Money.zero(self.currency)
        if self.unit_amount is None:
            return Money.of(self.amount or Decimal(0), self.currency)
        minor = Fraction(self.unit_amount) * 10 ** exponent(self.currency)
        return Money(round_to_step(minor, self.currency), self.currency)


@dataclass(frozen=True, slots=True)
class NewAllowance:
    """Credits of one unit that each paid period grants; `total` None: daily × days × quantity."""

    unit: str
    daily: int | None = None
    total: int | None = None
    is_fixed: bool = False


@dataclass(frozen=True, slots=True)
class NewEntitlement:
    """What the plan allows of a feature; no `limit` with `is_enabled`: without limit."""

    feature_code: str
    is_enabled: bool = True
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class PlanTerms:
    """How a plan bills. `feature_code` is what a metered one measures; `tax_percent` is exclusive, such as 8.25."""

    interval: Interval
    interval_count: int = 1
    billing_day: int | None = None
    trial_period_days: int = 0
    prices: Sequence[NewPrice] = ()
    usage_type: UsageType = UsageType.LICENSED
    aggregate_usage: Aggregation | None = None
    feature_code: str | None = None
    scheme: BillingScheme = BillingScheme.PER_UNIT
    tiers_mode: TiersMode | None = None
    package: Package | None = None
    tax_percent: Decimal | None = None
    entitlements: Sequence[NewEntitlement] = ()
    credits: Sequence[NewAllowance] = ()


def check_code(code: str, *path: str) -> None:
    """Raises UserProblem INVALID for what is no code."""
    if not _CODE.fullmatch(code):
        raise _invalid("A code has 1 to 100 letters, digits, dots, hyphens and underscores.", *path)


def check_name(name: str) -> None:
    """Raises UserProblem REQUIRED for one that says nothing."""
    if not name.strip():
        raise UserProblem(ErrorCode.REQUIRED, "Give it a name.", ["name"])


def check_statement_descriptor(text: str, *path: str) -> None:
    """Raises UserProblem INVALID for what no card statement can say."""
    if len(text) > LONGEST_DESCRIPTOR or not text.isascii() or not text.isprintable() or set(text) & _NOT_ON_STATEMENTS:
        raise _invalid(
            f"A statement descriptor has at most {LONGEST_DESCRIPTOR} plain characters, none of < > \\ ' \" *.", *path
        )


def check_unchanged(before: PlanTerms, after: PlanTerms) -> None:
    """Raises UserProblem INVALID_STATE where a term would change that periods and bills are computed from."""
    for name, field in _FIXED.items():
        if getattr(before, name) != getattr(after, name):
            raise UserProblem(
                ErrorCode.INVALID_STATE,
                f"{field} never changes: periods and bills are computed from it. Create another plan, then archive "
                "this one.",
                [field],
            )


def check_plan(terms: PlanTerms) -> None:
    """Raises UserProblem REQUIRED or INVALID for the first part that does not fit."""
    _check_times(terms)
    _check_usage(terms)
    _check_scheme(terms)
    _check_prices(terms)
    if terms.tax_percent is not None and not (0 <= terms.tax_percent <= 100 and _decimals(terms.tax_percent) <= 4):
        raise _invalid("taxPercent lies between 0 and 100, with at most 4 decimals.", "taxPercent")
    _check_entitlements(terms.entitlements)
    _check_credits(terms.credits)


def _check_times(terms: PlanTerms) -> None:
    longest = _LONGEST_PERIOD[terms.interval]
    if not 1 <= terms.interval_count <= longest:
        raise _invalid(f"intervalCount lies between 1 and {longest}: three years at most.", "intervalCount")
    if terms.billing_day is not None:
        if terms.interval not in _BY_DAY_OF_MONTH:
            raise _invalid("Only plans by months or years have a billing day.", "billingDay")
        if not 1 <= terms.billing_day <= 31:
            raise _invalid("billingDay lies between 1 and 31.", "billingDay")
    if not 0 <= terms.trial_period_days <= _LONGEST_TRIAL:
        raise _invalid(f"trialPeriodDays lies between 0 and {_LONGEST_TRIAL}.", "trialPeriodDays")


def _check_usage(terms: PlanTerms) -> None:
    is_metered = terms.usage_type is UsageType.METERED
    for name, value in (("featureCode", terms.feature_code), ("aggregateUsage", terms.aggregate_usage)):
        if is_metered and value is None:
            raise UserProblem(ErrorCode.REQUIRED, f"A metered plan needs {name}.", [name])
        if not is_metered and value is not None:
            raise _invalid(f"Only a metered plan has {name}.", name)
    if terms.feature_code is not None:
        check_code(terms.feature_code, "featureCode")


def _check_scheme(terms: PlanTerms) -> None:
    if terms.scheme is BillingScheme.TIERED:
        if terms.tiers_mode is None:
            raise UserProblem(ErrorCode.REQUIRED, "Tiers need tiersMode: GRADUATED or VOLUME.", ["tiersMode"])
        if terms.package is not None:
            raise _invalid("Tiers count units, not packages: leave transformUsage out.", "transformUsage")
    elif terms.tiers_mode is not None:
        raise _invalid("Only TIERED plans have tiersMode.", "tiersMode")
    if terms.package is not None and not 1 <= terms.package.divide_by <= LARGEST_COUNT:
        raise _invalid("divideBy is 1 or more.", "transformUsage", "divideBy")


def _check_prices(terms: PlanTerms) -> None:
    if not any(price.is_active for price in terms.prices):
        raise UserProblem(ErrorCode.REQUIRED, "A plan needs at least one price.", ["prices"])
    if len(terms.prices) > MOST_PRICES:
        raise _invalid(f"A plan has at most {MOST_PRICES} prices.", "prices")
    seen: set[str] = set()
    for n, price in enumerate(terms.prices):
        if price.currency in seen:
            raise _invalid(f"There is one price in {price.currency} only.", "prices", str(n), "currencyCode")
        seen.add(price.currency)
        _check_price(price, terms.scheme, ("prices", str(n)))
    if sum(price.is_default for price in terms.prices) > 1:
        raise _invalid("One price is the default.", "prices")


def _check_price(price: NewPrice, scheme: BillingScheme, path: tuple[str, ...]) -> None:
    if not price.is_active:
        if price.amount is not None or price.unit_amount is not None or price.tiers or price.is_default:
            raise _invalid("What is taken off sale has no price: give isActive false alone.", *path, "isActive")
        return
    if scheme is BillingScheme.TIERED:
        if price.unit_amount is not None or price.amount:
            named = "unitAmountDecimal" if price.unit_amount is not None else "amount"
            raise _invalid("Tiers tell the price: give no other one beside them.", *path, named)
        _check_tiers(price.tiers, price.currency, path)
        return
    if price.tiers:
        raise _invalid("Only TIERED plans have tiers.", *path, "tiers")
    if price.amount is None and price.unit_amount is None:
        raise UserProblem(ErrorCode.REQUIRED, "Give the price of one unit.", [*path, "amount"])
    if price.amount is not None:
        _check_amount(price.amount, price.currency, *path, "amount")
    if price.unit_amount is not None:
        _check_unit_amount(price.unit_amount, *path, "unitAmountDecimal")
        if price.amount is not None and price.shown.major != price.amount:
            raise _invalid(
                f"amount must be unitAmountDecimal as {price.currency} can show it: {price.shown.major}; or left out.",
                *path,
                "amount",
            )


def _check_tiers(tiers: Sequence[Tier], currency: str, path: tuple[str, ...]) -> None:
    if not tiers:
        raise UserProblem(ErrorCode.REQUIRED, "Give the tiers, the last one without upTo.", [*path, "tiers"])
    if len(tiers) > MOST_TIERS:
        raise _invalid(f"There are at most {MOST_TIERS} tiers.", *path, "tiers")
    below = 0
    for n, tier in enumerate(tiers):
        place = (*path, "tiers", str(n))
        _check_unit_amount(tier.unit_amount, *place, "unitAmount")
        _check_amount(tier.flat_amount, currency, *place, "flatAmount")
        is_last = n == len(tiers) - 1
        if (tier.up_to is None) is not is_last:
            raise _invalid("The last tier, and only it, has no upTo.", *place, "upTo")
        if tier.up_to is not None:
            if not below < tier.up_to <= LARGEST_COUNT:
                raise _invalid(f"Tiers ascend: upTo must be more than {below}.", *place, "upTo")
            below = tier.up_to


def _check_amount(amount: Decimal, currency: str, *path: str) -> None:
    try:
        minor = Money.of(amount, currency).minor
    except MoneyError as problem:
        raise _invalid(f"{problem}.", *path) from None
    if not 0 <= minor <= LARGEST_GIVEN:
        raise _invalid("A price is not negative, and at most 10^12 of the currency's smallest unit.", *path)


def _check_unit_amount(amount: Decimal, *path: str) -> None:
    if not 0 <= amount < LARGEST_UNIT_PRICE or _decimals(amount) > FINEST_UNIT_PRICE:
        raise _invalid(
            f"A unit's price is not negative, below 10^{LARGEST_UNIT_PRICE.adjusted()} and has at most "
            f"{FINEST_UNIT_PRICE} decimals.",
            *path,
        )


def _check_entitlements(entitlements: Sequence[NewEntitlement]) -> None:
    for n, code in _once("entitlements", "featureCode", [each.feature_code for each in entitlements]):
        check_code(code, "entitlements", str(n), "featureCode")
        limit = entitlements[n].limit
        if limit is not None and not 0 <= limit <= LARGEST_COUNT:
            raise _invalid("A limit is not negative.", "entitlements", str(n), "limit")


def _check_credits(credits: Sequence[NewAllowance]) -> None:
    for n, unit in _once("credits", "unit", [each.unit for each in credits]):
        check_code(unit, "credits", str(n), "unit")
        given = credits[n]
        if given.daily is None and given.total is None:
            raise UserProblem(ErrorCode.REQUIRED, "Give daily or total, or both.", ["credits", str(n), "total"])
        for name, value in (("daily", given.daily), ("total", given.total)):
            if value is not None and not 1 <= value <= 10**12:
                raise _invalid(f"{name} lies between 1 and 10^12.", "credits", str(n), name)


def _once(where: str, name: str, values: Sequence[str]) -> Iterator[tuple[int, str]]:
    for n, value in enumerate(values):
        if value in values[:n]:
            raise _invalid(f"{value!r} is given twice.", where, str(n), name)
        yield n, value


def _decimals(amount: Decimal) -> int:
    exponent_of = amount.normalize().as_tuple().exponent
    return -exponent_of if isinstance(exponent_of, int) and exponent_of < 0 else 0


def _invalid(message: str, *path: str) -> UserProblem:
    return UserProblem(ErrorCode.INVALID, message, path)
