"""What lists are narrowed and ordered by is what the API tells of each row: both compared over all states."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import product
from typing import Any

from sqlmodel import SQLModel, col, select

from billing.lifecycle import InvoiceStatus, PaymentStatus, SubscriptionStatus
from models.base import new_id
from models.invoices import Invoice
from models.payments import MANUAL, Payment
from models.standing import CONFIRMATION, NEXT_BILLING_AT, PAYMENT_STANDING
from models.subscriptions import CollectionMethod, Subscription
from resolvers.standing import confirmation, will_renew
from tests.schema.rows import add_customer
from tests.support.house import START, House

A_DAY = timedelta(days=1)


async def _example(house: House, row: type[Any]) -> dict[str, Any]:
    """The columns of the one row that there is, without what names it."""
    async with house.app.database.read() as session:
        columns = (await session.exec(select(row))).one().model_dump()
    return {name: value for name, value in columns.items() if name not in ("id", "number")}


async def _add(house: House, rows: Sequence[SQLModel]) -> None:
    async with house.app.database.write() as session:
        session.add_all(rows)


async def test_the_confirmation_of_a_subscription(house: House) -> None:
    await add_customer(house.app, "rows", 1)
    like, paid = await _example(house, Subscription), await _example(house, Payment)
    billed = await _example(house, Invoice)
    rows: list[Subscription] = []
    payments: dict[str, Payment] = {}
    invoices: list[Invoice] = []
    # Charged, or sent with an invoice paid or open: the last one is waited for.
    for status, bill, activated, latest in product(
        SubscriptionStatus, (None, InvoiceStatus.PAID, InvoiceStatus.OPEN), (None, START), (None, *PaymentStatus)
    ):
        how = CollectionMethod.CHARGE_AUTOMATICALLY if bill is None else CollectionMethod.SEND_INVOICE
        id = new_id("subscription")
        row = Subscription(**{**like, "id": id, "status": status, "collection_method": how, "activated_at": activated})
        rows.append(row)
        numbered = {"id": new_id("invoice"), "number": f"N-{len(rows)}", "subscription_id": id}
        invoices.append(Invoice(**{**billed, **numbered, "status": bill or InvoiceStatus.OPEN}))
        if latest is not None:
            changes = {"id": new_id("payment"), "subscription_id": row.id, "platform": MANUAL, "status": latest}
            payments[row.id] = Payment(**{**paid, **changes})
    # Of two the newer one counts, and a deleted one never.
    older = [Payment(**{**paid, "id": new_id("payment"), "subscription_id": rows[0].id, "platform": MANUAL})]
    deleted = [
        Payment(**{**each.model_dump(exclude={"number"}), "id": new_id("payment"), "archived_at": START})
        for each in payments.values()
    ]
    for each in deleted:
        each.status = PaymentStatus.SUCCEEDED
    payments[rows[0].id] = older[0]
    newer = Payment(**{**older[0].model_dump(exclude={"number"}), "id": new_id("payment"), "status": "processing"})
    await _add(house, rows)
    await _add(house, invoices)
    await _add(house, list(payments.values()))
    await _add(house, [*deleted, newer])
    payments[rows[0].id] = newer
    async with house.app.database.read() as session:
        query = select(Subscription, CONFIRMATION).where(col(Subscription.id).in_([row.id for row in rows]))
        found = {row.id: (row, word) for row, word in (await session.exec(query)).all()}
    assert len(found) == 9 * 3 * 2 * 9
    sent = {row.id for row in rows if row.collection_method is CollectionMethod.SEND_INVOICE}
    awaited = sent & {each.subscription_id for each in invoices if each.status is InvoiceStatus.OPEN}
    assert len(awaited) == 9 * 2 * 9
    assert {id: word for id, (_, word) in found.items()} == {
        id: confirmation(row, payments.get(id), awaits_invoice=id in awaited).value for id, (row, _) in found.items()
    }


async def test_when_a_subscription_renews(house: House) -> None:
    await add_customer(house.app, "rows", 1)
    like = await _example(house, Subscription)
    end: datetime = like["period_end"]
    dates = (None, end - A_DAY, end, end + A_DAY)
    rows = [
        Subscription(
            **{
                **like,
                "id": new_id("subscription"),
                "status": status,
                "cancel_at_period_end": leaves,
                "cancel_at": cancel_at,
                "ends_at": ends_at,
                **resting,
            }
        )
        for status, leaves, cancel_at, ends_at, resting in product(
            SubscriptionStatus, (False, True), dates, dates, ({}, {"pause_at": end}, {"given_up_at": START})
        )
    ]
    await _add(house, rows)
    async with house.app.database.read() as session:
        found = (await session.exec(select(Subscription, NEXT_BILLING_AT))).all()
    assert len(found) == 9 * 2 * 4 * 4 * 3 + 1
    told = {row.id: at for row, at in found}
    assert told == {row.id: row.period_end if will_renew(row) else None for row, _ in found}
    assert set(told.values()) == {None, end}


async def test_the_standing_of_a_payment(house: House) -> None:
    await add_customer(house.app, "rows", 1)
    like = await _example(house, Payment)
    rows = [
        Payment(
            **{
                **like,
                "id": new_id("payment"),
                "platform": MANUAL,
                "status": status,
                "amount_paid_minor": 10,
                "amount_refunded_minor": refunded,
                "amount_disputed_minor": disputed,
            }
        )
        for status, refunded, disputed in product(PaymentStatus, (0, 4, 10), (0, 3))
    ]
    await _add(house, rows)
    async with house.app.database.read() as session:
        found = (await session.exec(select(Payment, PAYMENT_STANDING))).all()
    assert len(found) == 8 * 3 * 2 + 1
    assert {row.id: word for row, word in found} == {row.id: row.standing.value for row, _ in found}
