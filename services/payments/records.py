"""Records of the payments ledger: what the merchant writes down of payments that no gateway of ours makes.

A record that is PAID is money that came, and goes through the same door as `recordManualPayment`. Any other only
announces: no money moves, nobody is charged, no invoice changes. What a gateway collects is the gateway's to tell.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy.exc import IntegrityError
from sqlmodel.ext.asyncio.session import AsyncSession

from billing.confirming import CONFIRMATIONS, PaymentConfirmation
from billing.errors import ErrorCode, UserProblem
from billing.lifecycle import PAYMENT, PaymentEvent, PaymentStatus
from billing.money import Money
from models.base import Notes, new_id
from models.customers import locked_customer
from models.database import is_unique_violation
from models.invoices import Invoice, open_invoices_of
from models.payments import MANUAL, Payment, payment_by_id, payment_of_invoice, standing_record
from models.subscriptions import Subscription
from services.app import Actor, App
from services.changes import Why, move_payment
from services.owned import locked_subscription
from services.payments.offline import PaymentRecord, announce_payment, receive, refuse_for
from services.problems import not_found, refuse_stale
from services.shielding import within_budget
from services.timelines import in_time_of

_EVENTS: Mapping[PaymentConfirmation, PaymentEvent] = {
    PaymentConfirmation.PENDING: PaymentEvent.ASK_PAYMENT_METHOD,
    PaymentConfirmation.PROCESSING: PaymentEvent.PROCESS,
    PaymentConfirmation.CANCELED: PaymentEvent.CANCEL,
}


@dataclass(frozen=True, slots=True)
class NewRecord:
    """`order_id` is an open invoice, or a subscription's oldest one; `amount` all that it asks for unless given."""

    order_id: str
    reference: str
    gateway_status: str
    status: PaymentConfirmation
    amount: Money | None = None
    redirect_url: str | None = None
    metadata: Notes = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RecordChange:
    """What a record says from now on; None leaves a part as it is."""

    payment_id: str
    reference: str | None = None
    gateway_status: str | None = None
    status: PaymentConfirmation | None = None
    redirect_url: str | None = None
    metadata: Notes | None = None
    expected_version: int | None = None

    def texts(self, payment: Payment) -> tuple[str | None, str | None, str | None, Notes]:
        """Reference, status, address and notes as the payment will have them."""
        return (
            self.reference if self.reference is not None else payment.reference,
            self.gateway_status if self.gateway_status is not None else payment.gateway_status,
            self.redirect_url if self.redirect_url is not None else payment.return_url,
            self.metadata if self.metadata is not None else payment.meta,
        )


async def create_payment_record(app: App, actor: Actor, new: NewRecord) -> Payment:
    """Write a payment down under its reference; the same again is told again.

    Raises UserProblem NOT_FOUND, ALREADY_EXISTS, ALREADY_PAID, INVALID_STATE, INVALID, CURRENCY_MISMATCH,
    GATEWAY_UNAVAILABLE, PAYMENT_IN_PROGRESS.
    """
    async with app.database.read() as session:
        subscription, invoice = await _order(session, new.order_id)
        known = await standing_record(session, new.reference)
    if known is not None:
        return _same(known, new)
    if invoice is None:
        raise UserProblem(ErrorCode.INVALID_STATE, "The subscription has no open invoice.", ["orderId"])
    present = await in_time_of(app, subscription.test_clock_id)
    why = Why("createPaymentRecord", actor, present.now())
    try:
        return await _write(present, subscription, invoice, new, why)
    except (UserProblem, IntegrityError) as error:
        async with app.database.read() as session:
            known = await standing_record(session, new.reference)
        if known is not None:
            return _same(known, new)  # Another request was faster under the same reference.
        if isinstance(error, UserProblem):
            raise _blamed(error, {"invoiceId": "orderId", "payment": "amount"}) from None
        raise


async def _order(session: AsyncSession, order_id: str) -> tuple[Subscription, Invoice | None]:
    """Any customer's, for writing down is the merchant's side alone. Raises NOT_FOUND."""
    invoice = await session.get(Invoice, order_id)
    subscription = await session.get(Subscription, invoice.subscription_id if invoice is not None else order_id)
    if subscription is None:
        raise not_found("order", "orderId")
    if invoice is None:
        invoice = next(iter(await open_invoices_of(session, subscription.id)), None)
    return subscription, invoice


def _same(known: Payment, new: NewRecord) -> Payment:
    """The record if it says what is said now. Raises ALREADY_EXISTS."""
    if (
        new.order_id in (known.invoice_id, known.subscription_id)
        and new.status is CONFIRMATIONS[known.status]
        and new.amount in (None, known.amount)
        and (new.gateway_status, new.redirect_url, new.metadata) == (known.gateway_status, known.return_url, known.meta)
    ):
        return known
    raise _taken()


def _taken() -> UserProblem:
    message = "Another record has this gatewayPaymentId. Update that one, or choose another."
    return UserProblem(ErrorCode.ALREADY_EXISTS, message, ["gatewayPaymentId"])


async def _write(app: App, subscription: Subscription, invoice: Invoice, new: NewRecord, why: Why) -> Payment:
    record = PaymentRecord(
        paid=new.amount if new.amount is not None else invoice.amount_due,
        due=invoice.amount_due if new.amount is None else None,
        reference=new.reference,
        gateway_status=new.gateway_status,
        redirect_url=new.redirect_url,
        metadata=new.metadata,
    )
    payment_id = new_id("payment")
    if new.status is PaymentConfirmation.PAID:
        return await within_budget(app, receive(app, invoice, subscription, record, why, payment_id=payment_id))
    async with app.database.write() as session:
        _, customer = await locked_subscription(session, subscription, None)
        invoice = await session.get_one(Invoice, invoice.id, populate_existing=True)
        refuse_for(invoice, record, why.now)
        if await payment_of_invoice(session, invoice.id) is not None:
            raise UserProblem(
                ErrorCode.INVALID_STATE,
                "A card pays this invoice, and its gateway tells how that stands. Record only what has been paid.",
                ["statusLiteral"],
            )
        payment = await announce_payment(session, customer, invoice, record, why, payment_id=payment_id)
        move_payment(session, payment, _EVENTS[new.status], why)
        return payment


async def update_payment_record(app: App, actor: Actor, change: RecordChange) -> Payment:
    """Say something else of a record. Once it is paid or canceled, only its texts change.

    Raises UserProblem NOT_FOUND, NOT_PERMITTED, INVALID_STATE, VERSION_CONFLICT, ALREADY_EXISTS, and for a record that
    becomes PAID all that `create_payment_record` does.
    """
    seen, subscription = await _record(app, change.payment_id, "paymentId")
    present = await in_time_of(app, subscription.test_clock_id)
    why = Why("updatePaymentRecord", actor, present.now())
    _refuse_change(seen, change)
    try:
        if change.status is PaymentConfirmation.PAID and seen.status is not PaymentStatus.SUCCEEDED:
            return await _pay(present, seen, subscription, change, why)
        return await _rewrite(present, seen, change, why)
    except UserProblem as problem:
        raise _blamed(problem, {"invoiceId": "statusLiteral", "payment": "statusLiteral"}) from None
    except IntegrityError as error:
        if not is_unique_violation(error):
            raise
        raise _taken() from None


def _refuse_change(row: Payment, change: RecordChange) -> None:
    """Raises VERSION_CONFLICT, and INVALID_STATE for a record that was deleted or has come to its end."""
    refuse_stale(row.version, change.expected_version)
    if row.archived_at is not None:
        raise UserProblem(ErrorCode.INVALID_STATE, "The record was deleted.", ["paymentId"])
    stands = CONFIRMATIONS[row.status]
    if change.status not in (None, stands) and row.status in PAYMENT.final:
        raise UserProblem(
            ErrorCode.INVALID_STATE, f"The record is {stands} for good. Create another one.", ["statusLiteral"]
        )


async def _pay(app: App, seen: Payment, subscription: Subscription, change: RecordChange, why: Why) -> Payment:
    """What was announced has come. Whatever became of the record meanwhile, it is paid only as it was seen."""
    async with app.database.read() as session:
        invoice = await session.get_one(Invoice, seen.invoice_id)
    reference, gateway_status, redirect_url, metadata = change.texts(seen)
    record = PaymentRecord(
        paid=seen.amount,
        reference=reference,
        gateway_status=gateway_status,
        redirect_url=redirect_url,
        metadata=metadata,
    )
    paid = await within_budget(
        app,
        receive(app, invoice, subscription, record, why, payment_id=seen.id, expected_version=seen.version),
    )
    _refuse_change(paid, RecordChange(change.payment_id, status=change.status))
    return paid


async def _rewrite(app: App, seen: Payment, change: RecordChange, why: Why) -> Payment:
    """No money moves. What is said already changes nothing."""
    async with app.database.write() as session:
        row = await _locked(session, seen)
        _refuse_change(row, change)
        version, texts = row.version, change.texts(row)
        if change.status not in (None, CONFIRMATIONS[row.status]):
            move_payment(session, row, _EVENTS[change.status], why)
        if texts != (row.reference, row.gateway_status, row.return_url, row.meta):
            row.reference, row.gateway_status, row.return_url, row.meta = texts
            if row.version == version:
                row.touch(why.now)
        return row


async def delete_payment_record(app: App, payment_id: str, *, expected_version: int | None) -> Payment:
    """Take a record of which nothing came out of the ledger; it stays to be read by staff. Repeating changes nothing.

    Raises UserProblem NOT_FOUND, NOT_PERMITTED, INVALID_STATE, VERSION_CONFLICT.
    """
    seen, subscription = await _record(app, payment_id, "id")
    present = await in_time_of(app, subscription.test_clock_id)
    async with present.database.write() as session:
        row = await _locked(session, seen)
        refuse_stale(row.version, expected_version)
        if row.status is PaymentStatus.SUCCEEDED:
            message = "What it paid is in the books: a record of money that came stays."
            raise UserProblem(ErrorCode.INVALID_STATE, message, ["id"])
        if row.archived_at is None:
            row.archived_at = present.now()
            row.touch(present.now())
        return row


async def _record(app: App, payment_id: str, field: str) -> tuple[Payment, Subscription]:
    """Raises NOT_FOUND, and NOT_PERMITTED for what a gateway collects."""
    async with app.database.read() as session:
        row = await payment_by_id(session, payment_id)
        if row is None:
            raise not_found("payment", field)
        subscription = await session.get_one(Subscription, row.subscription_id)
    if row.platform != MANUAL:
        message = "A gateway makes this payment, and it alone tells how it stands. Only records are written by hand."
        raise UserProblem(ErrorCode.NOT_PERMITTED, message, [field])
    return row, subscription


async def _locked(session: AsyncSession, seen: Payment) -> Payment:
    """The record as it is under its customer's lock."""
    await locked_customer(session, seen.customer_id)
    row = await session.merge(seen)
    await session.refresh(row)
    return row


def _blamed(problem: UserProblem, names: Mapping[str, str]) -> UserProblem:
    """The same problem, by the names of this input's fields."""
    problem.field = [names.get(each, each) for each in problem.field] if problem.field else None
    return problem
