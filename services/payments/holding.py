"""The lease of a payment: taken by whoever collects it, waited for by others, still held where an end is written."""

import asyncio

from sqlmodel.ext.asyncio.session import AsyncSession

from models.customers import locked_customer
from models.leases import LeaseLost, check_fence, claim, release
from models.payments import Payment, payment_by_id
from services.app import App
from services.payments.asking import next_question


async def hold(app: App, payment_id: str) -> int | None:
    """Take the payment's lease: its fence, or None while another request or worker collects it."""
    async with app.database.write() as session:
        return await claim(session, Payment, payment_id, machine_now=app.machine_now())


async def held_payment(session: AsyncSession, payment_id: str, fence: int) -> Payment:
    """The payment as it is under the customer's lock and its own. Raises LeaseLost."""
    payment = await payment_by_id(session, payment_id)
    if payment is None:
        raise LeaseLost(payment_id)
    await locked_customer(session, payment.customer_id)
    await session.refresh(payment, with_for_update=True)
    check_fence(payment, fence)
    return payment


async def let_go(app: App, payment_id: str, fence: int) -> None:
    """Give the lease back after a step that ended without settling."""
    await app.database.transact(_let_go, app, payment_id, fence)


async def _let_go(session: AsyncSession, app: App, payment_id: str, fence: int) -> None:
    try:
        payment = await held_payment(session, payment_id, fence)
    except LeaseLost:
        return
    release(payment, due_at=next_question(app, payment))


async def wait_until_free(app: App, payment_id: str) -> bool:
    """Wait for the present holder, as long as a request may; whether it has let go."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + app.gateway_budget.total_seconds()
    pause = 0.02
    while loop.time() < deadline:
        async with app.database.read() as session:
            payment = await payment_by_id(session, payment_id)
        if payment is None or payment.leased_until is None or payment.leased_until <= app.machine_now():
            return True
        await asyncio.sleep(pause)
        pause = min(pause * 2, 0.25)
    return False
