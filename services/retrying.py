"""Collecting open invoices off session: at the renewal, and again when a new card is there.

Which card is decided at the moment of the try: the subscription's pinned one, else the customer's default.
"""

from datetime import timedelta

from billing.errors import UserProblem
from billing.lifecycle import PAYMENT
from gateways.port import GatewayRefused, GatewayUnavailable
from models.customers import Customer
from models.leases import LeaseLost, claim, release
from models.payments import Payment, attempts_of, payment_by_id, payments_to_collect
from models.subscriptions import Subscription
from services.app import WORKER, App
from services.arrears import effective_method
from services.asking import next_question
from services.changes import Why
from services.collecting import Try, open_intent
from services.customers import ensure_gateway_account
from services.paying import pay

_BATCH = 100
_GATEWAY_AWAY = timedelta(minutes=1)


async def collect_due_payments(app: App) -> int:
    """One pass over the payments whose time to be tried has come; how many were tried."""
    async with app.database.read() as session:
        due = await payments_to_collect(session, app.now(), limit=_BATCH)
    tried = 0
    for payment_id in due:
        async with app.database.write() as session:
            fence = await claim(session, Payment, payment_id, machine_now=app.machine_now())
        if fence is not None:
            tried += await collect(app, payment_id, fence)
    return tried


async def collect(app: App, payment_id: str, fence: int) -> bool:
    """Try the effective card once, off session, under the held lease; whether it was tried.

    A gateway that is away leaves the payment due in a minute.
    """
    try:
        ready = await _prepare(app, payment_id, fence)
        if ready is None:
            return False
        customer, wish = ready
        why = Why(wish.trigger, WORKER, app.now())
        await ensure_gateway_account(app, customer)
        snapshot = await open_intent(app, payment_id, fence, why)
        await pay(app, payment_id, fence, snapshot, wish, why)
    except (GatewayUnavailable, GatewayRefused, UserProblem):
        await _postpone(app, payment_id)
        return False
    except LeaseLost:
        return False  # Whoever took over goes on.
    return True


async def _prepare(app: App, payment_id: str, fence: int) -> tuple[Customer, Try] | None:
    """The customer and what to try; None, and the payment put aside, when there is nothing to try it with."""
    async with app.database.write() as session:
        payment = await payment_by_id(session, payment_id)
        if payment is None or payment.fence != fence:
            raise LeaseLost(payment_id)
        subscription = await session.get_one(Subscription, payment.subscription_id)
        customer = await session.get_one(Customer, payment.customer_id)
        method = await effective_method(session, subscription, customer)
        if method is not None and payment.status not in PAYMENT.final:
            tried = await attempts_of(session, [payment_id])
            trigger = "payment_method_updated" if tried else "renewal"
            return customer, Try(method, trigger, off_session=True, return_url=None)
        payment.collect_at = None
        release(payment, due_at=next_question(app, payment))
        return None


async def _postpone(app: App, payment_id: str) -> None:
    async with app.database.write() as session:
        payment = await payment_by_id(session, payment_id)
        if payment is None or payment.status in PAYMENT.final:
            return
        payment.collect_at = app.now() + _GATEWAY_AWAY
        release(payment, due_at=next_question(app, payment))
