"""What a subscription shall consist of: wished items as plans at prices, if the caller may choose them. Reads only.

A plan that is subscribed to already stays at the price that it was subscribed to at, whether or not it is for sale.
"""

from collections.abc import Sequence

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.errors import ErrorCode, UserProblem
from billing.money import Money
from models.catalog import Plan, Price, plan_by, plan_of_product, prices_of, product_by
from models.subscriptions import Subscription, SubscriptionItem, items_of
from services.app import Actor, ActorKind
from services.subscriptions.ordering import MOST_ITEMS, WishedItem, refuse_other_names, refuse_unsold
from services.subscriptions.placing import PlacedItem

_MOST = 10_000
"""Of one item."""


async def present_items(session: AsyncSession, row: Subscription) -> Sequence[tuple[SubscriptionItem, PlacedItem]]:
    """What it consists of now, the item of its own plan first."""
    items = sorted(await items_of(session, [row.id]), key=lambda item: item.plan_id != row.plan_id)
    return [(item, await placed_as(session, item)) for item in items]


async def placed_as(session: AsyncSession, item: SubscriptionItem) -> PlacedItem:
    plan, price = await session.get_one(Plan, item.plan_id), await session.get_one(Price, item.price_id)
    return PlacedItem(plan, price, item.quantity, item.unit_amount_minor, item.meta)


async def with_another_plan(
    session: AsyncSession, actor: Actor, row: Subscription, wish: WishedItem
) -> Sequence[PlacedItem]:
    """The same items with another plan in the place of the subscription's own, as many times. Raises UserProblem."""
    (_, own), *others = await present_items(session, row)
    chosen = await _chosen(session, actor, row, wish, [own, *(placed for _, placed in others)], "planId")
    if any(placed.plan.id == chosen.plan.id for _, placed in others):
        message = f"It contains {chosen.plan.name} beside its own plan already. Change its items instead."
        raise UserProblem(ErrorCode.INVALID, message, ["planId"])
    quantity = own.quantity
    return [PlacedItem(chosen.plan, chosen.price, quantity, chosen.unit_amount_minor), *(p for _, p in others)]


async def wished_items(
    session: AsyncSession, actor: Actor, row: Subscription, wishes: Sequence[WishedItem]
) -> Sequence[PlacedItem]:
    """All that it shall consist of; the first one's plan becomes the subscription's own. Raises UserProblem."""
    if not 1 <= len(wishes) <= MOST_ITEMS:
        raise UserProblem(ErrorCode.INVALID, f"A subscription has 1 to {MOST_ITEMS} items.", ["items"])
    present = [placed for _, placed in await present_items(session, row)]
    chosen: list[PlacedItem] = []
    for at, wish in enumerate(wishes):
        if not 1 <= wish.quantity <= _MOST:
            raise UserProblem(ErrorCode.INVALID, f"Give a quantity of 1 to {_MOST}.", ["items", str(at), "quantity"])
        chosen.append(await _chosen(session, actor, row, wish, present, "items", str(at)))
    if len({each.price.id for each in chosen}) < len(chosen):
        raise UserProblem(ErrorCode.INVALID, "Name each plan once, with its quantity.", ["items"])
    return chosen


async def _chosen(
    session: AsyncSession,
    actor: Actor,
    row: Subscription,
    wish: WishedItem,
    present: Sequence[PlacedItem],
    *field: str,
) -> PlacedItem:
    plan = await _plan(session, row, wish)
    if plan is None:
        raise UserProblem(ErrorCode.NOT_FOUND, "There is no such plan.", field)
    await refuse_other_names(session, wish, plan, field)
    own = next((each for each in present if each.plan.id == plan.id), None)
    if own is None:
        await refuse_unsold(session, actor, plan, field)
    price = own.price if own is not None else await _price(session, plan, row.currency, field)
    unit = own.unit_amount_minor if own is not None else None
    if wish.unit_amount is not None:
        _refuse_unit_amount(actor, row, wish.unit_amount, field)
        unit = wish.unit_amount.minor
    return PlacedItem(plan, price, wish.quantity, unit, own.metadata if own is not None else {})


async def _plan(session: AsyncSession, row: Subscription, wish: WishedItem) -> Plan | None:
    if wish.plan_id is not None:
        return await plan_by(session, id=wish.plan_id)
    if wish.plan_code is not None:
        return await plan_by(session, code=wish.plan_code)
    if wish.product_code is None:
        raise UserProblem(ErrorCode.REQUIRED, "Name a plan: planId, planCode or productCode.", ["planId"])
    product = await product_by(session, code=wish.product_code)
    if product is None:
        return None
    return await plan_of_product(session, product_id=product.id, interval=row.interval, currency=row.currency)


def _refuse_unit_amount(actor: Actor, row: Subscription, amount: Money, field: Sequence[str]) -> None:
    if actor.kind is ActorKind.CUSTOMER:
        raise UserProblem(ErrorCode.NOT_PERMITTED, "Only staff and API keys give a price.", [*field, "unitAmount"])
    if amount.currency != row.currency:
        raise UserProblem(
            ErrorCode.CURRENCY_MISMATCH, f"The subscription is paid in {row.currency}.", [*field, "unitAmount"]
        )
    if amount.minor < 0:
        raise UserProblem(ErrorCode.INVALID, "A price is not below zero.", [*field, "unitAmount"])


async def _price(session: AsyncSession, plan: Plan, currency: str, field: Sequence[str]) -> Price:
    """The plan's price in the subscription's currency, which never changes."""
    prices = await prices_of(session, [plan.id])
    price = next((each for each in prices if each.currency == currency), None)
    if price is None:
        raise UserProblem(
            ErrorCode.CURRENCY_UNSUPPORTED, f"{plan.name} has no price in {currency}, which it is paid in.", field
        )
    return price
