"""Withdrawing an open invoice: nothing is asked for any more, unless its payment turns out to have gone through."""

from billing.errors import ErrorCode, UserProblem
from billing.lifecycle import SUBSCRIPTION, InvoiceStatus, SubscriptionStatus
from models.invoices import Invoice
from models.subscriptions import Subscription
from services.app import Actor, App
from services.changes import Why
from services.ends.closing import write_balances_off
from services.invoices.issuing import void_invoice as void
from services.owned import locked_subscription
from services.payments.arrears import after_success
from services.payments.stopping import collecting_stopped, void_collection
from services.people.customers import may_act_for
from services.problems import not_found, refuse_stale
from services.shielding import within_budget
from services.timelines import in_time_of


async def void_invoice(app: App, actor: Actor, *, invoice_id: str, expected_version: int | None) -> Invoice:
    """Void an OPEN invoice of which nothing was paid. A subscription that was behind with it alone recovers.

    Raises UserProblem NOT_FOUND, INVALID_STATE, ALREADY_PAID, VERSION_CONFLICT, GATEWAY_UNAVAILABLE,
    PAYMENT_IN_PROGRESS.
    """
    async with app.database.read() as session:
        seen = await session.get(Invoice, invoice_id)
        subscription = seen and await session.get(Subscription, seen.subscription_id)
    if seen is None or subscription is None or not await may_act_for(app, actor, seen.customer_id):
        raise not_found("invoice", "id")
    app = await in_time_of(app, subscription.test_clock_id)
    refuse_stale(seen.version, expected_version)
    _refuse_what_stays(seen, subscription)
    return await within_budget(app, _void(app, seen, subscription, Why("voidInvoice", actor, app.now())))


async def _void(app: App, seen: Invoice, subscription: Subscription, why: Why) -> Invoice:
    async with collecting_stopped(app, [seen], why) as fences, app.database.write() as session:
        row, _ = await locked_subscription(session, subscription, None)
        invoice = await session.get_one(Invoice, seen.id, populate_existing=True)
        _refuse_what_stays(invoice, row)
        for payment_id, fence in fences.items():
            await void_collection(session, payment_id, fence, why)
        await session.flush()
        if invoice.status is InvoiceStatus.OPEN:
            await void(session, invoice, why)  # One that was sent has no payment that would take it along.
            await session.flush()
        await after_success(session, row, why)
        if row.status in SUBSCRIPTION.final:
            await write_balances_off(session, row, invoice.id, why)  # What the balance owed is back in it.
        return invoice


def _refuse_what_stays(invoice: Invoice, subscription: Subscription) -> None:
    """Raises for what was paid, wholly or in part, what is no invoice any more, and for a first one."""
    if invoice.status is InvoiceStatus.PAID:
        raise UserProblem(ErrorCode.ALREADY_PAID, "It has been paid. Refund the payment instead.", ["id"])
    if invoice.status is not InvoiceStatus.OPEN:
        raise UserProblem(ErrorCode.INVALID_STATE, f"The invoice is {invoice.status}.", ["id"])
    if invoice.amount_paid_minor:
        raise UserProblem(ErrorCode.INVALID_STATE, "A part of it has been paid already.", ["id"])
    if subscription.status is SubscriptionStatus.INCOMPLETE:
        raise UserProblem(
            ErrorCode.INVALID_STATE, "Its subscription has never been paid. Cancel the subscription instead.", ["id"]
        )
