"""Quotes of paying again and of giving back."""

from collections.abc import Mapping
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.forecasting import forecast
from billing.money import Money
from billing.quotes import Quote, quote
from models.customers import Customer
from models.invoices import Invoice
from models.payments import Payment
from models.subscriptions import Subscription
from services.app import App
from services.ends.settling_up import LastBill, last_bill
from services.quotes.forecasting import outlook_of
from services.quotes.quoting import FORESEEN, asked, issued_draft
from services.subscriptions.entitling import NOTHING, changes_of_access


async def quote_payment(invoice: Invoice, wish: Mapping[str, Any], app: App, session: AsyncSession) -> Quote:
    """Of collecting this open invoice."""
    row = await session.get_one(Subscription, invoice.subscription_id)
    customer = await session.get_one(Customer, row.customer_id)
    outlook = await outlook_of(session, customer, row)
    return quote(
        asked("retryPayment", customer, wish, row.version),
        app.now(),
        outlook.agreement.balance,
        await issued_draft(session, invoice),
        foreseen=forecast(outlook, FORESEEN),
    )


async def quote_refund(
    payment: Payment, amount: Money, wish: Mapping[str, Any], ends: bool, app: App, session: AsyncSession
) -> Quote:
    """Of giving back this much of a payment. `ends`: its subscription ends with it, and what was left is billed."""
    row = await session.get_one(Subscription, payment.subscription_id)
    customer = await session.get_one(Customer, row.customer_id)
    outlook = await outlook_of(session, customer, row)
    bill = await last_bill(session, customer, row, app.now(), gives_back=False) if ends else LastBill()
    return quote(
        asked("refundPayment", customer, wish, row.version),
        app.now(),
        outlook.agreement.balance,
        bill.draft,
        refund=amount,
        foreseen=() if ends else forecast(outlook, FORESEEN),
        entitlement_changes=await changes_of_access(app, session, customer.id, row, NOTHING, app.now()) if ends else (),
    )
