"""Paying an open invoice while the customer is present: the oldest one, with a saved card, on the invoice's own intent.

A try that the bank asks the customer about is carried on, not begun anew; the tries of one invoice are limited.
"""

from functools import partial

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.errors import ErrorCode, UserProblem
from billing.lifecycle import SUBSCRIPTION, InvoiceStatus
from billing.quotes import Quote
from models.customers import Customer, PaymentMethod
from models.invoices import Invoice, open_invoices_of
from models.payments import payment_of_invoice
from models.subscriptions import CollectionMethod, Subscription
from services.app import Actor, ActorKind, App
from services.changes import Why
from services.idempotency import PAYMENT_OUTCOMES, once
from services.owned import already_ended, own_invoice, own_method, own_subscription
from services.payments.arrears import effective_method
from services.payments.on_session import Visit, collect_on_session
from services.payments.outcomes import PaymentOutcome, payment_outcome
from services.quotes.payments import quote_payment
from services.quotes.quoting import hold_to_quote
from services.shielding import within_budget
from services.timelines import in_time_of, in_time_within


async def start_subscription_payment(
    app: App,
    actor: Actor,
    *,
    subscription_id: str,
    payment_method_id: str,
    return_url: str | None,
    error_url: str | None = None,
    idempotency_key: str | None,
) -> PaymentOutcome:
    """Try a saved card on the subscription's oldest open invoice. A decline is in the outcome.

    Raises UserProblem NOT_FOUND, INVALID_STATE, IDEMPOTENCY_CONFLICT.
    """
    seen = await own_subscription(app, actor, subscription_id)
    present = await in_time_of(app, seen.test_clock_id)
    why = Why("startSubscriptionPayment", actor, present.now())
    wish = {"subscription": seen.id, "card": payment_method_id, "return_url": return_url, "error_url": error_url}

    async def run() -> PaymentOutcome:
        return await _pay(present, seen.id, None, payment_method_id, why, return_url=return_url, error_url=error_url)

    return await once(app, actor, seen.customer_id, why.cause, idempotency_key, wish, PAYMENT_OUTCOMES, run)


async def retry_payment(
    app: App,
    actor: Actor,
    *,
    invoice_id: str,
    payment_method_id: str | None,
    quote_token: str | None = None,
    idempotency_key: str | None,
) -> PaymentOutcome:
    """Try an open invoice again, with the card that its subscription is paid by unless another is named.

    A decline is in the outcome. Raises UserProblem NOT_FOUND, INVALID_STATE, PAYMENT_METHOD_REQUIRED, QUOTE_STALE,
    IDEMPOTENCY_CONFLICT.
    """
    invoice = await own_invoice(app, actor, invoice_id)
    present = await _present(app, invoice)
    why = Why("retryPayment", actor, present.now())
    wish = {"invoice": invoice.id, "card": payment_method_id, "quote": quote_token}

    async def run() -> PaymentOutcome:
        return await _pay(present, invoice.subscription_id, invoice.id, payment_method_id, why, quote_token=quote_token)

    return await once(app, actor, invoice.customer_id, why.cause, idempotency_key, wish, PAYMENT_OUTCOMES, run)


async def _present(app: App, invoice: Invoice) -> App:
    """The app at the present of the invoice's customer."""
    async with app.database.read() as session:
        subscription = await session.get_one(Subscription, invoice.subscription_id)
        return await in_time_within(app, session, subscription.test_clock_id)


async def quote_retry(invoice_id: str, app: App, session: AsyncSession) -> Quote:
    """What trying this invoice again collects. Raises ALREADY_PAID, INVALID_STATE."""
    wanted = await session.get_one(Invoice, invoice_id)
    row = await session.get_one(Subscription, wanted.subscription_id)
    invoice = await _invoice_to_pay(session, row, invoice_id)
    if invoice is None:
        raise _already_paid()
    return await quote_payment(invoice, {"invoice": invoice_id}, app, session)


async def _pay(
    app: App,
    subscription_id: str,
    invoice_id: str | None,
    card: str | None,
    why: Why,
    *,
    return_url: str | None = None,
    error_url: str | None = None,
    quote_token: str | None = None,
) -> PaymentOutcome:
    async with app.database.read() as session:
        row = await session.get_one(Subscription, subscription_id)
        customer = await session.get_one(Customer, row.customer_id)
        invoice = await _invoice_to_pay(session, row, invoice_id)
        payment = await payment_of_invoice(session, invoice.id) if invoice else None
        method = await _card(session, row, customer, card) if payment else None
        if invoice is not None and payment is not None:
            await hold_to_quote(app, session, quote_token, partial(quote_retry, invoice.id))
    if payment is None or method is None:
        async with app.database.read() as session:
            paid = await payment_of_invoice(session, invoice_id) if invoice_id else None
        return await payment_outcome(app, row.id, paid.id if paid else None, problems=[_already_paid()])
    visit = Visit(
        customer=customer,
        subscription_id=row.id,
        payment_id=payment.id,
        method=method,
        trigger="customer_retry" if why.actor.kind is ActorKind.CUSTOMER else "admin_retry",
        return_url=return_url or payment.return_url,
        error_url=error_url or payment.error_url,
    )
    try:
        return await within_budget(app, collect_on_session(app, visit, why))
    except UserProblem as problem:
        return await payment_outcome(app, row.id, payment.id, problems=[problem])


def _already_paid() -> UserProblem:
    return UserProblem(ErrorCode.ALREADY_PAID, "Nothing is left to pay here; the payment is returned.")


async def _invoice_to_pay(session: AsyncSession, row: Subscription, wanted_id: str | None) -> Invoice | None:
    """The oldest open invoice; None when what is wanted is paid already. Raises INVALID_STATE for any other."""
    unpaid = await open_invoices_of(session, row.id)
    wanted = await session.get_one(Invoice, wanted_id) if wanted_id else None
    if wanted is not None and wanted.status is InvoiceStatus.PAID:
        return None
    if wanted is not None and wanted.status is not InvoiceStatus.OPEN:
        raise UserProblem(ErrorCode.INVALID_STATE, f"The invoice is {wanted.status}; nothing is owed.", ["invoiceId"])
    if not unpaid:
        if row.status in SUBSCRIPTION.final:
            raise already_ended(row)
        return None
    if wanted is not None and wanted.id != unpaid[0].id:
        message = f"Invoice {unpaid[0].number} is older and must be paid first; this one follows of itself."
        raise UserProblem(ErrorCode.INVALID_STATE, message, ["invoiceId"])
    if row.collection_method is CollectionMethod.SEND_INVOICE:
        message = "No card is charged for this invoice: it was sent, and is paid in the way that was agreed on."
        raise UserProblem(ErrorCode.INVALID_STATE, message, ["invoiceId" if wanted_id else "subscriptionId"])
    return unpaid[0]


async def _card(session: AsyncSession, row: Subscription, customer: Customer, named: str | None) -> PaymentMethod:
    if named is not None:
        return await own_method(session, customer.id, named)
    method = await effective_method(session, row, customer)
    if method is None:
        raise UserProblem(
            ErrorCode.PAYMENT_METHOD_REQUIRED,
            "There is no card to pay with. Name a saved card, or save one first.",
            ["paymentMethodId"],
        )
    return method
