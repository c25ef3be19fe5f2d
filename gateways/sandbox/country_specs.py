"""Country specifications: in which countries an account can be, its currency there, and what it may charge in.

Owns: one table of our own and two reads. What an account would have to tell about itself is no concern of a sandbox:
`verification_fields` are empty, transfers go to the account's own country.
"""

from gateways.sandbox.calls import Body, Call
from gateways.sandbox.currencies import SUPPORTED
from gateways.sandbox.errors import no_such
from gateways.sandbox.parameter_kinds import refuse_both

KIND = "country_spec"

# currency -> the countries whose accounts settle in it
_SETTLES_IN = {
    "aed": "AE",
    "aud": "AU",
    "brl": "BR",
    "cad": "CA",
    "chf": "CH LI",
    "czk": "CZ",
    "dkk": "DK",
    "eur": "AT BE BG CY DE EE ES FI FR GR HR IE IT LT LU LV MT NL PT SI SK",
    "gbp": "GB GI",
    "hkd": "HK",
    "huf": "HU",
    "inr": "IN",
    "jpy": "JP",
    "mxn": "MX",
    "myr": "MY",
    "nok": "NO",
    "nzd": "NZ",
    "pln": "PL",
    "ron": "RO",
    "sek": "SE",
    "sgd": "SG",
    "thb": "TH",
    "usd": "US",
}
DEFAULT_CURRENCY = {
    country: currency for currency, countries in sorted(_SETTLES_IN.items()) for country in countries.split()
}
ONE_CURRENCY_ONLY = ("BR",)
ALSO_TAKES = {"US": ["ach"]}


def spec(country: str) -> Body:
    """The country's object."""
    currency = DEFAULT_CURRENCY[country]
    others = [] if country in ONE_CURRENCY_ONLY else sorted(SUPPORTED - {currency})
    nothing_asked = {"additional": [], "minimum": []}
    return {
        "id": country,
        "object": KIND,
        "default_currency": currency,
        "supported_bank_account_currencies": {currency: [country]},
        "supported_payment_currencies": [currency, *others],
        "supported_payment_methods": [*ALSO_TAKES.get(country, []), "card", "stripe"],
        "supported_transfer_countries": [country],
        "verification_fields": {"company": nothing_asked, "individual": nothing_asked},
    }


async def retrieve(call: Call) -> Body:
    country = call.path[0]
    if country not in DEFAULT_CURRENCY:
        raise no_such(KIND, country, "country", in_path=True)
    return spec(country)


async def list_all(call: Call) -> Body:
    """In the order of the alphabet: nothing here was made at any time."""
    params = call.params
    refuse_both(params, "starting_after", "ending_before")
    countries, limit = sorted(DEFAULT_CURRENCY), params.get("limit", 10)
    for name in ("starting_after", "ending_before"):
        if params.get(name) is not None and params[name] not in DEFAULT_CURRENCY:
            raise no_such(KIND, params[name], name, in_path=False)
    if last := params.get("ending_before"):
        before = countries[: countries.index(last)]
        page, has_more = before[-limit:], len(before) > limit
    else:
        start = countries.index(params["starting_after"]) + 1 if "starting_after" in params else 0
        page, has_more = countries[start : start + limit], len(countries) > start + limit
    data = [spec(country) for country in page]
    return {"object": "list", "data": data, "has_more": has_more, "url": "/v1/country_specs"}
