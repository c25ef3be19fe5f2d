"""Quotes of what a coupon takes off what is to come."""

from dataclasses import replace

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.forecasting import forecast
from billing.quotes import Quote, quote
from models.customers import Customer
from models.subscriptions import Subscription
from services.app import WORKER, App
from services.changes import Why
from services.invoices.discounting import as_value
from services.invoices.redeeming import applicable, applied_to
from services.quotes.forecasting import outlook_of
from services.quotes.quoting import FORESEEN, asked


async def quote_coupon(
    subscription_id: str, coupon_code: str | None, promotion_code: str | None, app: App, session: AsyncSession
) -> Quote:
    """Raises UserProblem for a coupon that may not be put on the subscription."""
    row = await session.get_one(Subscription, subscription_id)
    customer = await session.get_one(Customer, row.customer_id)
    why = Why("previewApplyCoupon", WORKER, app.now())
    wish = await applicable(session, row, customer, coupon_code, promotion_code, why)
    outlook = await outlook_of(session, customer, row)
    discounts = (*outlook.agreement.discounts, as_value(applied_to(row, wish, why), row))
    outlook = replace(outlook, agreement=replace(outlook.agreement, discounts=discounts))
    given = {"coupon_code": coupon_code, "promotion_code": promotion_code}
    return quote(
        asked("applyCoupon", customer, given, row.version),
        why.now,
        outlook.agreement.balance,
        None,
        foreseen=forecast(outlook, FORESEEN),
    )
