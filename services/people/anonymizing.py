"""Forgetting who a customer was: the person goes, the books stay to the cent."""

import secrets

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.errors import ErrorCode, UserProblem
from models.anonymizing import Renaming, blank_rows_of
from models.customers import Customer, live_payment_methods, locked_customer
from models.subscriptions import live_subscriptions_of
from services.app import Actor, ActorKind, App
from services.people.facts import forget_facts
from services.people.telling import make_due, tell_now
from services.problems import not_found
from services.timelines import present_of
from services.wallet.keeping import drop_card

# As whom a user can have acted.
_USERS = (ActorKind.CUSTOMER, ActorKind.SUPPORT, ActorKind.ADMIN)


async def anonymize_customer(app: App, customer_id: str) -> Customer:
    """Replace all that tells who it was, then have the gateway forget it too. Repeating it changes nothing.

    The user id becomes a pseudonym: the same user may come anew, as another customer. Raises UserProblem NOT_FOUND, and
    INVALID_STATE while a subscription goes on.
    """
    async with app.database.write() as session:
        customer = await locked_customer(session, customer_id)
        if customer is None:
            raise not_found("customer", "id")
        if customer.archived_at is None:
            await _forget(app, session, customer)
    await tell_now(app, customer.id)
    return customer


async def _forget(app: App, session: AsyncSession, customer: Customer) -> None:
    if await live_subscriptions_of(session, customer.id):
        message = "A subscription goes on. Cancel it at once, then anonymize the customer."
        raise UserProblem(ErrorCode.INVALID_STATE, message, ["id"])
    now = await present_of(app, session, customer)
    renaming = _renaming(customer.user_id)
    for card in await live_payment_methods(session, customer.id):
        await drop_card(session, customer, card, now)
    await session.flush()
    await blank_rows_of(session, customer.id, renaming)
    forget_facts(customer)
    customer.user_id = renaming.pseudonym
    if customer.created_by in renaming.actors:
        customer.created_by = renaming.nobody
    customer.archived_at = now
    customer.touch(now)
    await make_due(session, app, customer)


def _renaming(user_id: str) -> Renaming:
    pseudonym = f"anonymous-{secrets.token_hex(16)}"
    return Renaming(
        user_id=user_id,
        pseudonym=pseudonym,
        role=ActorKind.CUSTOMER,
        actors=[str(Actor(kind, user_id)) for kind in _USERS],
        nobody=str(Actor(ActorKind.CUSTOMER, pseudonym)),
    )
