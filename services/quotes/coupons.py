"""Quotes of what a coupon takes off what is to come."""

from dataclasses import replace

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.calendar import Interval
from billing.discounting import Discount
from billing.forecasting import Outlook, forecast
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
    outlook = _with_discount(outlook, as_value(applied_to(row, wish, why), row), wish.coupon.interval)
    given = {"coupon_code": coupon_code, "promotion_code": promotion_code}
    return quote(
        asked("applyCoupon", customer, given, row.version),
        why.now,
        outlook.agreement.balance,
        None,
        foreseen=forecast(outlook, FORESEEN),
    )


def _with_discount(outlook: Outlook, discount: Discount, interval: Interval | None) -> Outlook:
    """The same with one more; after a planned change too, unless that is to an interval which it is not for."""
    planned = outlook.planned
    if planned is not None and planned.draft is not None and planned.span is not None:
        planned = None  # The new period's invoice was reckoned without it.
    elif planned is not None and interval in (None, (planned.grid or outlook.grid).interval):
        planned = replace(planned, discounts=(*planned.discounts, discount))
    agreement = replace(outlook.agreement, discounts=(*outlook.agreement.discounts, discount))
    return replace(outlook, agreement=agreement, planned=planned)
