"""Which ways to pay there are for whom, and which of them this installation can subscribe with.

The gateway's table tells of all of them. What its account may charge is asked for once a day; while it does not answer,
what it said last holds, and before it has ever answered nothing is said to be enabled.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog

from billing.errors import ErrorCode, UserProblem
from billing.money import Money, minimum_charge
from gateways.method_types import AmountRange, CountrySpecification, MethodType
from gateways.port import GatewayRefused, GatewayUnavailable
from services.app import App

log = structlog.get_logger(__name__)

CHARGED = ("card",)
"""What renewals can be charged to. The others are told of, so that a client knows what it does without."""
_FRESH = timedelta(days=1)
_ASK_AGAIN = timedelta(minutes=1)
_PATIENCE = 3.0


@dataclass(frozen=True, slots=True)
class Offer:
    """A way to pay for the customers of `country` (None: of any), in these currencies."""

    type: MethodType
    country: str | None
    amounts: Mapping[str, AmountRange]
    is_enabled: bool


async def offers(app: App, country: str, currency: str | None) -> Sequence[Offer]:
    """All that customers of the country can pay with, in that currency if one is named; enabled ones first."""
    account = await account_specification(app)
    found = (
        _offer(type_, account, country, type_.accepts[country], currency)
        for type_ in app.gateway.method_types.values()
        if country in type_.accepts and (currency is None or currency in type_.accepts[country])
    )
    return sorted(found, key=lambda offer: not offer.is_enabled)


async def offer(app: App, code: str) -> Offer | None:
    """One way to pay, wherever the customer is; None if the gateway does not know it."""
    type_ = app.gateway.method_types.get(code)
    if type_ is None:
        return None
    everywhere = sorted({each for currencies in type_.accepts.values() for each in currencies})
    return _offer(type_, await account_specification(app), None, everywhere, None)


def _offer(
    type_: MethodType,
    account: CountrySpecification | None,
    country: str | None,
    accepted: Sequence[str],
    currency: str | None,
) -> Offer:
    """What we charge is told in the currencies that the account may charge, where these are known."""
    is_charged = type_.code in CHARGED
    may = account is not None and type_.code in account.method_types
    chargeable = [each for each in accepted if account is None or each in account.currencies]
    listed = [currency] if currency is not None else chargeable if is_charged else accepted
    return Offer(
        type=type_,
        country=country,
        amounts={each: _bounds(type_, each, is_charged=is_charged) for each in listed},
        is_enabled=is_charged and may and any(each in chargeable for each in listed),
    )


def _bounds(type_: MethodType, currency: str, *, is_charged: bool) -> AmountRange:
    documented = type_.amounts.get(currency)
    if documented is not None:
        return documented
    return AmountRange(Money(minimum_charge(currency), currency) if is_charged else None, None)


def savable(codes: Sequence[str] | None) -> Sequence[str]:
    """The ways to pay that a setup intent shall keep: those that are charged unless named. Raises UserProblem."""
    if codes is None:
        return CHARGED
    if not codes or any(code not in CHARGED for code in codes):
        message = f"Name ways to pay that can be charged again here: {', '.join(CHARGED)}."
        raise UserProblem(ErrorCode.INVALID, message, ["paymentMethodTypes"])
    return sorted(set(codes))


async def account_specification(app: App) -> CountrySpecification | None:
    """What the gateway's account may charge, at most a day old unless the gateway does not answer."""
    memory, now = app.account, app.machine_now()
    async with memory.asking:
        if memory.ask_again_at is None or memory.ask_again_at <= now:
            told = await _asked(app)
            memory.ask_again_at = now + (_ASK_AGAIN if told is None else _FRESH)
            memory.specification = told or memory.specification
    return memory.specification


async def _asked(app: App) -> CountrySpecification | None:
    try:
        async with asyncio.timeout(_PATIENCE):
            return await app.gateway.country_specification(app.account_country)
    except (GatewayRefused, GatewayUnavailable, TimeoutError) as problem:
        log.warning("account_specification_unknown", country=app.account_country, reason=type(problem).__name__)
        return None
