"""Amounts as clients see them."""

import re
from copy import copy
from decimal import Decimal
from functools import lru_cache
from typing import Annotated

import strawberry
from babel import Locale, UnknownLocaleError
from babel.numbers import NumberPattern, get_currency_precision

from billing.errors import ErrorCode, UserProblem
from billing.money import LARGEST_GIVEN, MoneyError, exponent
from billing.money import Money as Amount
from schema.arguments import refuse_arguments
from schema.fields import Info, argument, described
from schema.scalars import BigInt, CurrencyCode

_LOCALE = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8}){0,3}", re.ASCII)


@strawberry.type(description="An amount in one currency. Compute with `amountMinor`, show `formatted`.")
class Money:
    amount: Decimal = described('In major units, with the currency\'s own number of decimals: "7.00".')
    amount_minor: BigInt = described("In minor units, such as cents: 700.")
    currency_code: CurrencyCode = described("The currency.")

    @classmethod
    def of(cls, amount: Amount) -> "Money":
        return cls(amount=amount.major, amount_minor=BigInt(amount.minor), currency_code=CurrencyCode(amount.currency))

    @strawberry.field(description="As text for a person: `$7.00`.")
    def formatted(
        self,
        info: Info,
        locale: Annotated[str, argument("Whose way of writing, by BCP 47: `en`, `de-CH`.")] = "en",
    ) -> str:
        known = _locale(locale)
        if known is None:
            raise refuse_arguments(info, "locale: expected a known language tag, such as en or de-CH.", "locale")
        return formatted(self.amount, self.currency_code, known)


@strawberry.input(description="An amount in one currency.")
class MoneyInput:
    amount: Decimal = described('In major units, no finer than the currency can be paid in: "7.00".')
    currency_code: CurrencyCode = described("The currency.")

    def value(self, field: str) -> Amount:
        """Zero or more. Raises UserProblem INVALID, naming the input's field that it was given for."""
        try:
            amount = Amount.of(self.amount, self.currency_code)
        except MoneyError as problem:
            raise UserProblem(ErrorCode.INVALID, f"{field}: {problem}.", [field]) from None
        if not 0 <= amount.minor <= LARGEST_GIVEN:
            message = f"{field}: give an amount of zero or more, at most 10^12 of the currency's smallest unit."
            raise UserProblem(ErrorCode.INVALID, message, [field])
        return amount


def formatted(amount: Decimal, currency: str, locale: Locale) -> str:
    """As the locale writes it; never fewer decimals than the amount has."""
    usual = get_currency_precision(currency)
    decimals = usual if amount == round(amount, usual) else exponent(currency)
    return _pattern(str(locale), decimals).apply(amount, locale, currency=currency, currency_digits=False)


@lru_cache(maxsize=256)
def _pattern(locale: str, decimals: int) -> NumberPattern:
    """The locale's way of writing amounts, with so many decimals."""
    pattern = copy(Locale.parse(locale).currency_formats["standard"])
    pattern.frac_prec = (decimals, decimals)
    return pattern


@lru_cache(maxsize=256)
def _locale(name: str) -> Locale | None:
    try:
        if _LOCALE.fullmatch(name):
            return Locale.parse(name.replace("-", "_"))
    except (UnknownLocaleError, ValueError):
        pass
    return None
