"""How amounts and days are written for people, by the rules of their language.

Owns: what Babel is asked for, and words that several papers share.
Does not own: which locales there are (languages), amounts (billing.money).
"""

from copy import copy
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date
from babel.numbers import NumberPattern, get_currency_precision

from billing.money import exponent


def formatted(amount: Decimal, currency: str, locale: Locale) -> str:
    """As the locale writes it; never fewer decimals than the amount has."""
    usual = get_currency_precision(currency)
    decimals = usual if amount == round(amount, usual) else exponent(currency)
    return _pattern(str(locale), decimals).apply(amount, locale, currency=currency, currency_digits=False)


def written_day(at: datetime, zone: ZoneInfo, locale: Locale) -> str:
    """The day that it is there then, as the locale writes it."""
    return format_date(at.astimezone(zone), format="long", locale=locale)


def named_balance(total_minor: int, applied_minor: int) -> str:
    """What the customer's balance has to do with a bill over that total, of which it takes so much over."""
    if applied_minor > 0:
        return "From your balance"
    return "To your balance" if total_minor < 0 else "Owed from before"


@lru_cache(maxsize=256)
def _pattern(locale: str, decimals: int) -> NumberPattern:
    """The locale's way of writing amounts, with so many decimals."""
    pattern = copy(Locale.parse(locale).currency_formats["standard"])
    pattern.frac_prec = (decimals, decimals)
    return pattern
