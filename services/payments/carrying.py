"""Invoices that the gateway calls too small to charge: the customer's balance takes over what is due."""

from billing.errors import UserProblem
from billing.invoicing import InvoiceReason
from billing.ledger import PostingKind
from billing.lifecycle import PAYMENT, SUBSCRIPTION, InvoiceStatus, PaymentEvent
from gateways.port import GatewayRefused, GatewayUnavailable
from models.customers import change_balance
from models.invoices import Invoice
from models.leases import LeaseLost, release
from models.ledger import book
from models.payments import newest_intent
from models.subscriptions import Subscription
from services.app import WORKER, App
from services.changes import Why, move_payment
from services.ends.closing import write_balances_off
from services.invoices.issuing import settle_without_money
from services.payments.arrears import after_success
from services.payments.holding import held_payment
from services.usage.refilling import refill

TOO_SMALL = "amount_too_small"


async def carried_over(
    app: App, payment_id: str, fence: int, problem: GatewayUnavailable | GatewayRefused | UserProblem
) -> bool:
    """Whether the gateway refused for want of an amount, and the invoice has settled itself since.

    A first invoice does not: what nobody would charge is not sold. Nor does one that has an intent to be paid.
    """
    if not isinstance(problem, GatewayRefused) or problem.code != TOO_SMALL:
        return False
    why = Why(TOO_SMALL, WORKER, app.now())
    async with app.database.write() as session:
        try:
            payment = await held_payment(session, payment_id, fence)
        except LeaseLost:
            return True  # Whoever took over goes on.
        invoice = await session.get_one(Invoice, payment.invoice_id)
        intent = await newest_intent(session, payment_id)
        has_intent = intent is None or intent.gateway_ref is not None
        is_open = payment.status not in PAYMENT.final and invoice.status is InvoiceStatus.OPEN
        if has_intent or not is_open or invoice.reason is InvoiceReason.SUBSCRIPTION_CREATE:
            return False
        due = invoice.amount_due
        await change_balance(session, payment.customer_id, -due)
        # Booked under the payment: what the balance took over at first stands under the invoice.
        book(
            session,
            PostingKind.BALANCE_APPLIED,
            due,
            subject_id=payment.id,
            customer_id=payment.customer_id,
            at=why.now,
        )
        invoice.credit_applied_minor += due.minor
        settle_without_money(session, invoice, why)
        subscription = await session.get_one(Subscription, payment.subscription_id)
        await refill(session, subscription, invoice, why)
        payment.collect_at = payment.give_up_at = None
        move_payment(session, payment, PaymentEvent.CANCEL, why)
        release(payment, due_at=None)
        await after_success(session, subscription, why)
        if subscription.status in SUBSCRIPTION.final:
            await write_balances_off(session, subscription, payment.id, why)
        return True
