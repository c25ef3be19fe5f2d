"""Which products a subscription stands for: a customer has one that has not ended to each."""

from collections.abc import Iterable

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.errors import ErrorCode, UserProblem
from models.subscriptions import LivePlace, Subscription, live_places


async def hold_places(session: AsyncSession, row: Subscription, product_ids: Iterable[str]) -> None:
    """It stands for just these products from now on, under the customer's lock.

    Raises ALREADY_SUBSCRIBED when another subscription of the customer stands for one of them.
    """
    wanted = dict.fromkeys(product_ids)
    held = {place.product_id: place for place in await live_places(session, row.id)}
    for product_id, place in held.items():
        if product_id not in wanted:
            await session.delete(place)
    await refuse_taken_places(session, row, wanted)
    for product_id in wanted:
        if product_id not in held:
            session.add(LivePlace(customer_id=row.customer_id, product_id=product_id, subscription_id=row.id))


async def refuse_taken_places(session: AsyncSession, row: Subscription, product_ids: Iterable[str]) -> None:
    """Raises ALREADY_SUBSCRIBED when another subscription of the customer stands for one of these products."""
    for product_id in product_ids:
        place = await session.get(LivePlace, (row.customer_id, product_id))
        if place is not None and place.subscription_id != row.id:
            raise UserProblem(
                ErrorCode.ALREADY_SUBSCRIBED,
                "Another subscription is to this product already. Change or cancel that one.",
                ["items"],
            )
