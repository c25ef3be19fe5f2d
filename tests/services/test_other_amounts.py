"""An intent that asks for another amount than its invoice is never charged: it is canceled, and another one asks."""

from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import col, select

from billing.lifecycle import InvoiceStatus, PaymentStatus
from gateways.sandbox import Fault
from gateways.sandbox.cards import INSUFFICIENT_FUNDS
from models.invoices import Invoice
from models.payments import ChargeAttempt, Payment
from services.payments.resolving import resolve_due_payments
from tests.scenarios.shopping import Shopper
from tests.support.bank import bank
from tests.support.breaking import alter
from tests.support.house import House
from tests.support.outside import VISA, charges_by_invoice, dashboard, sandbox_of

RETRY = "mutation ($id: ID!) { retryPayment(input: {invoiceId: $id}) { payment { status } userErrors { code } } }"
PAID = (PaymentStatus.SUCCEEDED, ["declined", "succeeded"])


async def _declined_and_altered(house: House) -> str:
    """A renewal of 7.00 that was declined; somebody has made 9.00 of its intent since, at the gateway."""
    with bank() as visa:
        shopper = Shopper(house, "demo-card")
        await shopper.subscribe(paymentMethodId=await shopper.default_card())
        await house.deliver()
        visa.declines(VISA, INSUFFICIENT_FUNDS)
        house.pass_time(timedelta(days=31))
        await house.work()
    reference = (await dashboard(house).payment_intents.list_async()).data[0].id
    await dashboard(house).payment_intents.update_async(reference, {"amount": 900})
    return reference


async def _intents(house: House) -> list[tuple[int, str, int]]:
    """Of the renewal, the newest first: what each asks for, how it stands, what it has taken."""
    listed: list[Any] = (await dashboard(house).payment_intents.list_async()).data
    return [(each.amount, each.status, each.amount_received) for each in listed[:-1]]


async def _renewal(house: House) -> tuple[PaymentStatus, list[str]]:
    async with house.app.database.read() as session:
        payments = (await session.exec(select(Payment).order_by(col(Payment.number)))).all()
        tries = (await session.exec(select(ChargeAttempt).where(col(ChargeAttempt.payment_id) == payments[1].id))).all()
    return payments[1].status, [each.outcome.value for each in sorted(tries, key=lambda each: each.sequence)]


@pytest.mark.parametrize("is_lost", [False, True], ids=["", "known at the gateway only"])
async def test_what_the_invoice_does_not_ask_for_is_not_charged(small_house: House, is_lost: bool) -> None:
    """Neither the intent that its row names, nor one that a restored database has to find first."""
    house = small_house
    reference = await _declined_and_altered(house)
    if is_lost:
        await alter(house, "collection_intents", {"gateway_ref": reference}, gateway_ref=None)
    house.pass_time(timedelta(days=3))
    await house.work()
    assert await _intents(house) == [(700, "succeeded", 700), (900, "canceled", 0)]
    assert await _renewal(house) == PAID
    assert set((await charges_by_invoice(house)).values()) == {1}
    assert await house.audit() == []


async def test_a_try_whose_answer_was_lost_is_not_repeated_for_another_amount(small_house: House) -> None:
    house = small_house
    reference = await _declined_and_altered(house)
    await dashboard(house).payment_intents.update_async(reference, {"amount": 700})
    house.pass_time(timedelta(days=3))
    sandbox_of(house).faults.arm(Fault.TIMEOUT_BEFORE, count=2, path_contains="/confirm")
    await house.work()
    assert await _renewal(house) == (PaymentStatus.UNKNOWN, ["declined", "unknown"])
    await dashboard(house).payment_intents.update_async(reference, {"amount": 900})
    house.pass_time(timedelta(seconds=10))
    assert await resolve_due_payments(house.app) == 1
    assert await _intents(house) == [(900, "requires_payment_method", 0)]
    async with house.app.database.read() as session:
        invoice = (await session.exec(select(Invoice).where(Invoice.status == InvoiceStatus.OPEN))).one()
    retried = await house.ask(RETRY, {"id": invoice.id}, "demo-card")
    assert retried["retryPayment"] == {"payment": {"status": "SUCCEEDED"}, "userErrors": []}
    assert await _intents(house) == [(700, "succeeded", 700), (900, "canceled", 0)]
    assert await _renewal(house) == (PaymentStatus.SUCCEEDED, ["declined", "abandoned", "succeeded"])
    assert await house.audit() == []
