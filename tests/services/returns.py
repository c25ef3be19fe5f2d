"""What went back, as our rows and books tell it, and the buying that comes before it."""

from typing import Any

import stripe
from sqlmodel import col, select

from billing.ledger import Account
from models.ledger import LedgerEntry
from models.payments import Payment
from models.returns import Dispute, Refund
from tests.scenarios.shopping import Shopper
from tests.support.house import House
from tests.support.outside import dashboard

PRICE = 700
REFUND_PENDS = "4000000000007726"
REFUND_FAILS = "4000000000005126"
IS_DISPUTED = "4000000000000259"
IS_INQUIRED = "4000000000001976"


async def buy(house: House, number: str, user: str = "demo-new") -> str:
    """Subscribe for 7.00 USD with this card in the browser: the gateway's id of the intent. No webhook comes yet."""
    shopper = Shopper(house, user)
    told = await shopper.subscribe()
    answer = await shopper.browser.confirm(told["paymentIntent"]["clientSecret"], number)
    assert answer.json()["status"] == "succeeded"
    return told["paymentIntent"]["gatewayId"]


async def give_back(house: House, intent: str, amount: int | None = None, **more: Any) -> stripe.Refund:
    """A refund at the dashboard, of all that is left unless told."""
    params = {"payment_intent": intent, **({} if amount is None else {"amount": amount}), **more}
    return await dashboard(house).refunds.create_async(params)


async def the_dispute(house: House, intent: str) -> Any:
    page = await dashboard(house).disputes.list_async({"payment_intent": intent})
    assert len(page.data) == 1
    return page.data[0]


async def answer_bank(house: House, intent: str, evidence: str) -> None:
    dispute = await the_dispute(house, intent)
    await dashboard(house).disputes.update_async(dispute.id, {"evidence": {"uncategorized_text": evidence}})


async def payments(house: House) -> list[tuple[str, int, int, int]]:
    """How each payment is seen, what was paid, refunded and is disputed of it."""
    async with house.app.database.read() as session:
        rows = (await session.exec(select(Payment).order_by(col(Payment.number)))).all()
    return [(row.standing, row.amount_paid_minor, row.amount_refunded_minor, row.amount_disputed_minor) for row in rows]


async def refunds(house: House) -> list[tuple[int, str]]:
    """Amount and status, in the order of amounts."""
    async with house.app.database.read() as session:
        rows = (await session.exec(select(Refund))).all()
    return sorted((row.amount_minor, str(row.status)) for row in rows)


async def disputes(house: House) -> list[tuple[str, int, int]]:
    """Status, what was withdrawn and what reinstated."""
    async with house.app.database.read() as session:
        rows = (await session.exec(select(Dispute))).all()
    return sorted((str(row.status), row.withdrawn_minor, row.reinstated_minor) for row in rows)


async def balances(house: House) -> dict[str, int]:
    """What stands in each account that is not empty."""
    async with house.app.database.read() as session:
        entries = (await session.exec(select(LedgerEntry))).all()
    sums = {str(account): sum(e.amount_minor for e in entries if e.account is account) for account in Account}
    return {account: amount for account, amount in sums.items() if amount}


async def gateway_balance(house: House) -> int:
    """What the gateway's own books hold in all."""
    page = await dashboard(house).balance_transactions.list_async({"limit": 100})
    return sum(entry.amount for entry in page.data)
