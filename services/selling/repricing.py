"""A plan's prices made what they shall be. A price is never edited: another one replaces it, for new subscriptions.

Present subscriptions name the price that they were agreed at, and stay there until `selling.migrating` moves them.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.errors import ErrorCode, UserProblem
from billing.offering import NewPrice
from billing.pricing import Tier
from models.base import new_id
from models.catalog import Plan, Price, prices_of


async def write_prices(session: AsyncSession, plan: Plan, wanted: Sequence[NewPrice], now: datetime) -> None:
    """Active afterwards: one for each currency that is wanted; a price that is the same stays as it is.

    Raises REQUIRED when the default one would be off sale and no other is named.
    """
    present = {row.currency: row for row in await prices_of(session, [plan.id])}
    on_sale = [price for price in wanted if price.is_active]
    default = next((price.currency for price in on_sale if price.is_default), None)
    if default is None and present:
        raise UserProblem(
            ErrorCode.REQUIRED, "Say which price is the default one from now on: isDefault true.", ["prices"]
        )
    rows = [_row(plan, price, now) for price in on_sale]
    kept = {row.currency for row in rows if row.currency in present and _is_same(plan, present[row.currency], row)}
    begun = [row for row in rows if row.currency not in kept]
    ended = [row for currency, row in present.items() if currency not in kept]
    for row in ended:
        row.is_active = row.is_default = False
    await session.flush()  # One price of a currency is active at a time.
    for row in [*present.values(), *begun]:
        row.is_default = row.is_active and row.currency == (default or on_sale[0].currency)
    session.add_all(begun)
    await session.flush()
    follows = {row.currency: row.id for row in begun}
    for row in ended:
        row.replaced_by_id = follows.get(row.currency)


def _is_same(plan: Plan, row: Price, other: Price) -> bool:
    before, after = row.terms(plan), other.terms(plan)
    exact = row.unit_amount_decimal == other.unit_amount_decimal
    return exact and (before.unit_amount, before.tiers) == (after.unit_amount, after.tiers)


def _row(plan: Plan, price: NewPrice, now: datetime) -> Price:
    return Price(
        id=new_id("price"),
        plan_id=plan.id,
        currency=price.currency,
        amount_minor=price.shown.minor,
        unit_amount_decimal=price.unit_amount,
        tiers=[_tier_document(tier) for tier in price.tiers],
        effective_from=now,
    )


def _tier_document(tier: Tier) -> dict[str, Any]:
    return {"up_to": tier.up_to, "unit_amount": f"{tier.unit_amount:f}", "flat_amount": f"{tier.flat_amount:f}"}
