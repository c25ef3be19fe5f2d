"""Telling the gateway who a customer is, after our own rows have said so.

The account's row is due until the gateway was told what the customer's row says: at once after a change, and by the
worker for as long as the gateway does not answer. A customer that was anonymized is deleted there.
"""

from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta

import structlog
from sqlmodel.ext.asyncio.session import AsyncSession

from billing.errors import UserProblem
from gateways.port import GatewayNotFound, GatewayRefused, GatewayUnavailable
from models.base import new_id
from models.customers import (
    Customer,
    GatewayAccount,
    PaymentMethod,
    accounts_at,
    accounts_of,
    cards_ever_of,
    locked_customer,
)
from models.leases import claim_all_due, release
from services.abreast import ABREAST, abreast
from services.app import App
from services.people.facts import told_to_gateways
from services.shielding import within_budget

log = structlog.get_logger(__name__)

_BACK_OFF_FIRST = timedelta(seconds=10)
_BACK_OFF_LONGEST = timedelta(hours=1)


async def make_due(session: AsyncSession, app: App, customer: Customer) -> None:
    """The gateway has something to hear of the (locked) customer, if it knows it."""
    for account in await accounts_of(session, customer.id):
        account.due_at = app.machine_now()


async def tell_now(app: App, customer_id: str) -> None:
    """Tell it without waiting for the worker. Not getting through is the worker's trouble."""
    try:
        await within_budget(app, tell_gateway_of_customers(app, customer_id))
    except UserProblem:
        return


async def tell_gateway_of_customers(app: App, customer_id: str | None = None) -> int:
    """One pass over the customers whom the gateway does not know as they are, or this one; how many it was told of."""
    now, which = app.machine_now(), accounts_at(app.gateway.platform, customer_id)
    claimed = await app.database.transact(
        claim_all_due, GatewayAccount, now=now, machine_now=now, limit=ABREAST, only=which
    )
    await abreast(app, claimed, _tell)
    return len(claimed)


async def _tell(app: App, account_id: str, fence: int) -> None:
    """One customer's trouble must not keep the others waiting: its lease runs out."""
    try:
        account, customer, cards = await app.database.consult(_known_there, account_id)
        is_heard = await _is_heard(app, account, customer, cards, fence)
        await app.database.transact(_close, app, account_id, fence, customer, is_heard=is_heard)
    except Exception:
        log.exception("customer_not_told", account=account_id)


async def _known_there(
    session: AsyncSession, account_id: str
) -> tuple[GatewayAccount, Customer, Sequence[PaymentMethod]]:
    account = await session.get_one(GatewayAccount, account_id)
    customer = await session.get_one(Customer, account.customer_id)
    return account, customer, await cards_ever_of(session, customer.id, account.platform)


async def _is_heard(
    app: App, account: GatewayAccount, customer: Customer, cards: Sequence[PaymentMethod], fence: int
) -> bool:
    try:
        if customer.archived_at is not None:
            await _forget(app, account, cards)
        else:
            facts = told_to_gateways(customer)
            await app.gateway.update_customer(account.gateway_ref, facts, idempotency_key=f"{account.id}:{fence}")
    except GatewayUnavailable:
        return False
    except GatewayRefused as refusal:
        log.warning("gateway_refused_customer", customer=customer.id, reason=str(refusal), param=refusal.param)
        # Saying it again would not help; the next change is told anew. Of who is to be forgotten there is none.
        return customer.archived_at is None
    return True


async def _forget(app: App, account: GatewayAccount, cards: Sequence[PaymentMethod]) -> None:
    """Cards first: once the customer is gone, nobody may change what they say of their holder."""
    for card in cards:
        try:
            await app.gateway.blank_payment_method(card.gateway_ref, idempotency_key=new_id("payment_method"))
        except GatewayRefused:
            continue  # Detached before, or gone: it cannot be changed there any more.
    with suppress(GatewayNotFound):
        await app.gateway.delete_customer(account.gateway_ref)


async def _close(
    session: AsyncSession, app: App, account_id: str, fence: int, told: Customer, *, is_heard: bool
) -> None:
    """Not due any more, unless the customer has changed while it was told of."""
    now = app.machine_now()
    customer = await locked_customer(session, told.id)
    account = await session.get(GatewayAccount, account_id, populate_existing=True)
    if customer is None or account is None or account.fence != fence:
        return
    if not is_heard:
        wait = min(_BACK_OFF_FIRST * 2 ** min(account.tries, 16), _BACK_OFF_LONGEST)
        release(account, due_at=now + wait)
        return
    account.tries = 0
    is_same = (customer.archived_at, told_to_gateways(customer)) == (told.archived_at, told_to_gateways(told))
    release(account, due_at=None if is_same else now)
