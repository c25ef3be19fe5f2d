"""What is known of a customer as a person: one table of the columns, whose they are to change, what they may hold."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from babel import Locale

from billing.errors import ErrorCode, UserProblem
from gateways.port import Address, CustomerFacts
from languages import known_locale
from models.customers import Customer

Facts = Mapping[str, Any]
"""Values by the column of Customer; what is left out is not spoken of, None takes away what was there."""

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_PHONE = re.compile(r"\+?[0-9 ()./-]*[0-9][0-9 ()./-]*")
_MOST_ADDRESSES = 10
_LONGEST_LINE = 250
# Names of territories come with codes of unions, of nothing known, and of tests.
_NO_COUNTRIES = frozenset(("EU", "EZ", "QO", "UN", "XA", "XB", "ZZ"))
_COUNTRIES = frozenset(code for code in map(str, Locale("en").territories) if code.isalpha()) - _NO_COUNTRIES


@dataclass(frozen=True, slots=True)
class _Fact:
    """How clients know a column. `is_own`: customers may change theirs. `nothing` is what it is kept as when cleared.

    `wrong` says what is wrong with a value, if anything; a birth date is judged by the day that it is.
    """

    name: str
    longest: int | None = None
    is_own: bool = True
    nothing: Callable[[], Any] = lambda: None
    wrong: Callable[[Any, date], str | None] = lambda value, today: None


def _wrong_email(value: str, today: date) -> str | None:
    return None if _EMAIL.fullmatch(value) else "this is no address."


def _wrong_phone(value: str, today: date) -> str | None:
    return None if _PHONE.fullmatch(value) else "give digits, such as +49 30 123456."


def _wrong_locale(value: str, today: date) -> str | None:
    return None if known_locale(value) else "give a BCP 47 tag, such as pt-BR."


def _wrong_birth_date(value: date, today: date) -> str | None:
    return None if value < today else "give a day in the past."


def _wrong_addresses(value: Sequence[Mapping[str, str | None]], today: date) -> str | None:
    if len(value) > _MOST_ADDRESSES:
        return f"at most {_MOST_ADDRESSES} are kept."
    for address in value:
        if any(len(line) > _LONGEST_LINE for line in address.values() if line is not None):
            return f"a line holds at most {_LONGEST_LINE} characters."
        if (country := address["country"]) is not None and country not in _COUNTRIES:
            return f"{country} is no country."
    return None


_FACTS: Mapping[str, _Fact] = {
    "name": _Fact("name", 250),
    "first_name": _Fact("firstName", 100),
    "last_name": _Fact("lastName", 100),
    "email": _Fact("email", 320, wrong=_wrong_email),
    "phone": _Fact("phone", 20, wrong=_wrong_phone),
    "birth_date": _Fact("birthDate", wrong=_wrong_birth_date),
    "region": _Fact("region", 100),
    "locale": _Fact("locale", 35, nothing=lambda: "en", wrong=_wrong_locale),
    "image": _Fact("image"),
    "username": _Fact("username", 255),
    "addresses": _Fact("addresses", nothing=list, wrong=_wrong_addresses),
    "business_vat_id": _Fact("businessVatId", 30),
    "currency": _Fact("currencyCode"),
    "is_onboarded": _Fact("onboarded", nothing=lambda: False),
    "external_id": _Fact("externalId", 255, is_own=False),
    "account_id": _Fact("accountId", 255, is_own=False),
    "description": _Fact("description", 1000, is_own=False),
    "sales_code": _Fact("salesCode", 100, is_own=False),
    "is_valued_coupon_sent": _Fact("isValuedCustomerCouponSent", is_own=False, nothing=lambda: False),
    "meta": _Fact("metadata", is_own=False, nothing=dict),
}


def check_facts(facts: Facts, today: date) -> None:
    """Raises UserProblem INVALID for a value that cannot be, naming its field."""
    for column, value in facts.items():
        if value is None:
            continue
        fact = _FACTS[column]
        is_long = fact.longest is not None and len(value) > fact.longest
        wrong = f"at most {fact.longest} characters are kept." if is_long else fact.wrong(value, today)
        if wrong is not None:
            raise UserProblem(ErrorCode.INVALID, f"{fact.name}: {wrong}", [fact.name])


def refuse_others_facts(columns: Iterable[str]) -> None:
    """Raises UserProblem NOT_PERMITTED for the first that customers do not change themselves, naming its field."""
    for column in columns:
        fact = _FACTS[column]
        if not fact.is_own:
            message = f"{fact.name}: this is for the application to say. Leave it out."
            raise UserProblem(ErrorCode.NOT_PERMITTED, message, [fact.name])


def write_facts(customer: Customer, facts: Facts) -> bool:
    """Whether anything became different."""
    before = {column: getattr(customer, column) for column in facts}
    for column, value in facts.items():
        setattr(customer, column, _FACTS[column].nothing() if value is None else value)
    return any(getattr(customer, column) != value for column, value in before.items())


def forget_facts(customer: Customer) -> None:
    """Nothing is known of the person any more."""
    write_facts(customer, dict.fromkeys(_FACTS))


def told_to_gateways(customer: Customer) -> CustomerFacts:
    """A gateway knows of one address: the first."""
    return CustomerFacts(
        name=customer.full_name,
        email=customer.email,
        phone=customer.phone,
        address=Address(**customer.addresses[0]) if customer.addresses else None,
    )
