"""Currencies as Stripe charges them: which exist, their minor units, steps and least amounts.

Owns: the tables and the one check made with them. Amounts are integers of the currency's minor unit.
"""

from gateways.sandbox.errors import ApiError, invalid

ZERO_DECIMAL = frozenset("bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf".split())
THREE_DECIMAL = frozenset("bhd jod kwd omr tnd".split())
# Sent with two decimals although nothing smaller than a whole unit exists.
WHOLE_UNITS_ONLY = frozenset(("isk", "ugx"))
_TWO_DECIMAL = """
    aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bmd bnd bob brl bsd btn bwp byn bzd cad cdf chf cny cop crc
    cve czk dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gtq gyd hkd hnl htg huf idr ils inr jmd kes kgs khr kyd kzt
    lak lbp lkr lrd lsl mad mdl mkd mmk mnt mop mur mvr mwk mxn myr mzn nad ngn nio nok npr nzd pab pen pgk php pkr pln
    qar ron rsd rub sar sbd scr sek sgd shp sle sos srd std szl thb tjs top try ttd twd tzs uah usd uyu uzs wst xcd yer
    zar zmw
"""
SUPPORTED = ZERO_DECIMAL | THREE_DECIMAL | WHOLE_UNITS_ONLY | frozenset(_TWO_DECIMAL.split())

LEAST_AMOUNT = {
    **dict.fromkeys("usd aud brl cad chf eur inr nzd sgd jpy krw".split(), 50),
    "gbp": 30,
    "dkk": 250,
    **dict.fromkeys(("nok", "sek"), 300),
    "hkd": 400,
    **dict.fromkeys(("mxn", "thb"), 1000),
    "czk": 1500,
    "huf": 17500,
    **dict.fromkeys("aed myr pln ron".split(), 200),
}
MOST = 999_999_999_999  # twelve digits


def check_currency(currency: str, param: str = "currency") -> str:
    """The currency in lower case, as answers carry it."""
    lowered = currency.lower()
    if lowered not in SUPPORTED:
        listed = ", ".join(sorted(SUPPORTED))
        raise invalid(f"Invalid currency: {lowered}. Stripe currently supports these currencies: {listed}", param)
    return lowered


def check_step(amount: int, currency: str) -> None:
    """Refuses an amount finer than the currency goes."""
    step = 10 if currency in THREE_DECIMAL else 100 if currency in WHOLE_UNITS_ONLY else 1
    if amount % step:
        message = f"Invalid amount: amounts in {currency} must be divisible by {step}."
        raise invalid(message, "amount", "parameter_invalid_integer")


def check_amount(amount: int, currency: str) -> None:
    """Refuses what Stripe would not charge: too small, too large, or finer than the currency goes."""
    check_step(amount, currency)
    if amount > MOST:
        raise ApiError(400, f"Amount must be no more than {MOST}.", code="amount_too_large", param="amount")
    least = LEAST_AMOUNT.get(currency, 1)
    if amount < least:
        message = f"Amount must be at least {written(least, currency)} {currency}"
        raise ApiError(400, message, code="amount_too_small", param="amount")


_SIGNS = {"usd": "$", "eur": "€", "gbp": "£", "jpy": "¥"}


def priced(amount: int, currency: str) -> str:
    """The amount with its currency, as messages name it: "$12.50", "12.50 aed"."""
    sign = _SIGNS.get(currency)
    return f"{sign}{written(amount, currency)}" if sign else f"{written(amount, currency)} {currency}"


def written(amount: int, currency: str) -> str:
    """The amount in major units, as a person reads it: 1250 usd is "12.50"."""
    places = 0 if currency in ZERO_DECIMAL else 3 if currency in THREE_DECIMAL else 2
    if places == 0:
        return f"{amount:,}"
    major, minor = divmod(amount, 10**places)
    return f"{major:,}.{minor:0{places}d}"
