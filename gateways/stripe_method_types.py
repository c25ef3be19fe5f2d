"""Stripe's ways to pay: reading the table beside this module, once. No calls, no decisions."""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from billing.money import CURRENCIES, Money
from gateways.method_types import AmountRange, MethodType, Requirement

# ISO 3166-1 alpha-2, as assigned.
COUNTRIES = frozenset(
    """AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ CA
    CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB
    GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG
    KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV
    MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB
    SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US
    UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW""".split()
)
_TABLE = Path(__file__).with_suffix(".toml")
_NO_TYPES = ("groups", "asked", "payment_options")

Row = Mapping[str, Any]


@lru_cache(maxsize=1)
def stripe_method_types() -> Mapping[str, MethodType]:
    """Every type of the table by its code, in the table's order."""
    table = tomllib.loads(_TABLE.read_text())
    groups: Mapping[str, str] = table["groups"]
    asked = {name: _requirement(name, row, required=True) for name, row in table["asked"].items()}
    options = [_requirement(name, row, required=False) for name, row in table["payment_options"].items()]
    return {
        code: _method_type(code, row, groups, asked, options) for code, row in table.items() if code not in _NO_TYPES
    }


def _method_type(
    code: str, row: Row, groups: Mapping[str, str], asked: Mapping[str, Requirement], options: Sequence[Requirement]
) -> MethodType:
    waits: tuple[int, int] = tuple(row.get("waits", (0, 0)))
    return MethodType(
        code=code,
        name=row["name"],
        category=row["category"],
        flow=row["flow"],
        accepts=_accepts(row["accepts"], groups),
        is_cancelable=True,
        is_refundable=row.get("refundable", False),
        is_tokenizable=row.get("tokenizable", False),
        is_restricted=row.get("restricted", False),
        allows_multiple_overage=row.get("overage", False),
        virtual_type=row.get("virtual"),
        seconds_to_pay=waits,
        amounts={
            currency: AmountRange(_bound(bounds.get("least"), currency), _bound(bounds.get("most"), currency))
            for currency, bounds in row.get("amounts", {}).items()
        },
        wallets=row.get("wallets", ()),
        required_fields=[asked[name] for name in row.get("fields", ())],
        method_options=[asked[name] for name in row.get("method_options", ())],
        payment_options=options,
    )


def _bound(minor: int | None, currency: str) -> Money | None:
    return None if minor is None else Money(minor, currency)


def _accepts(pairs: Mapping[str, str], groups: Mapping[str, str]) -> Mapping[str, Sequence[str]]:
    """Country → its currencies, of a table of currencies → countries."""
    found: dict[str, set[str]] = {}
    for currencies, countries in pairs.items():
        for country in _members(countries, groups):
            found.setdefault(country, set()).update(CURRENCIES if currencies == "*" else currencies.split())
    return {country: sorted(currencies) for country, currencies in found.items()}


def _members(countries: str, groups: Mapping[str, str]) -> Iterator[str]:
    for word in countries.split():
        if word == "*":
            yield from COUNTRIES
        elif word in groups:
            yield from _members(groups[word], groups)
        else:
            yield word


def _requirement(name: str, row: Row, *, required: bool) -> Requirement:
    return Requirement(
        name=name,
        type=row["type"],
        description=row.get("description"),
        instructions=row.get("instructions"),
        pattern=row.get("pattern"),
        is_required=row.get("required", required),
        is_updatable=row.get("updatable", False),
    )
