"""Changing at once what a subscription consists of: another plan, other quantities, more or fewer items.

Items, period, invoice and payment are one commit; collecting comes after it. A decline leaves the change in place and
the subscription past due. One change is written once: its row has the id that its idempotency key makes.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.errors import ErrorCode, UserProblem
from billing.invoicing import InvoiceReason
from billing.lifecycle import PAYMENT, SUBSCRIPTION, SubscriptionStatus
from billing.proration import ProrationBehavior
from models.base import ID_PREFIXES, new_id
from models.customers import Customer, PaymentMethod
from models.invoices import Invoice, invoice_of, open_invoices_of
from models.payments import Payment, payment_of_invoice
from models.subscriptions import Change, CollectionMethod, Subscription, SubscriptionOrigin
from services.amendments.planned import refuse_if_over, take_back_planned_change
from services.amendments.turning import ChangeProposal, Target, carry_out, propose_change
from services.amendments.unplanning import drop_planned_change
from services.app import Actor, ActorKind, App
from services.changes import Why
from services.idempotency import Memory, scope_of
from services.owned import already_ended, locked_subscription
from services.payments.arrears import effective_method
from services.payments.on_session import Visit, collect_on_session
from services.payments.outcomes import PaymentOutcome, payment_outcome
from services.payments.retrying import collect
from services.problems import refuse_stale
from services.quotes.quoting import Hold
from services.shielding import within_budget
from services.subscriptions.placing import PlacedItem

Choose = Callable[[AsyncSession, Subscription], Awaitable[Sequence[PlacedItem]]]
"""(session, subscription) → all that it shall consist of. Raises UserProblem."""

Amend = Callable[[AsyncSession, Subscription], None]
"""What else of the subscription changes in the same transaction."""

_CHANGES = uuid5(NAMESPACE_URL, "perennial:change")


@dataclass(frozen=True, slots=True)
class ChangeOutcome:
    """The subscription after a change, its invoice if one was made, and how the payment of that stands."""

    subscription: Subscription
    invoice: Invoice | None = None
    payment: PaymentOutcome | None = None

    @property
    def problems(self) -> Sequence[UserProblem]:
        return self.payment.problems if self.payment is not None else ()


@dataclass(frozen=True, slots=True)
class Act:
    """One change at once. `change_id` is the same for a request that is repeated under its key (`is_keyed`)."""

    seen: Subscription
    choose: Choose
    behavior: ProrationBehavior
    change_id: str
    expected_version: int | None = None
    return_url: str | None = None
    amend: Amend | None = None
    hold: Hold | None = None
    is_keyed: bool = False


def refuse_gift(actor: Actor, behavior: ProrationBehavior | None) -> None:
    """More for the rest of a period that less was paid for is the merchant's to give. Raises NOT_PERMITTED."""
    if actor.kind is ActorKind.CUSTOMER and behavior is ProrationBehavior.NONE:
        message = "Customers do not change without money moving: leave proration out, or change at PERIOD_END."
        raise UserProblem(ErrorCode.NOT_PERMITTED, message, ["proration"])


def change_id_of(actor: Actor, seen: Subscription, mutation: str, key: str | None) -> str:
    """Who repeats a request under its key means the same change."""
    if key is None:
        return new_id("change")
    return derived_change_id(scope_of(actor, seen.customer_id, mutation, key))


def derived_change_id(name: str) -> str:
    return f"{ID_PREFIXES['change']}_{uuid5(_CHANGES, name).hex}"


@dataclass(frozen=True, slots=True)
class _Written:
    """What stands after the transaction. `fence`: this step holds the lease of a payment that it has just written."""

    row: Subscription
    customer: Customer
    invoice: Invoice | None = None
    payment: Payment | None = None
    method: PaymentMethod | None = None
    fence: int | None = None


async def change_now(app: App, act: Act, why: Why) -> ChangeOutcome:
    """Write the change and collect what it costs. Raises UserProblem when nothing was changed."""
    async with app.database.write() as session:
        written = await _write(app, session, act, why)
    payment = written.payment
    if payment is None:
        return ChangeOutcome(written.row, written.invoice)
    if payment.status in PAYMENT.final:
        return await change_outcome(app, written.row.id, written.invoice, payment.id)
    try:
        paid = await within_budget(app, _collect(app, act, written, payment, why))
    except UserProblem as problem:
        paid = await payment_outcome(app, written.row.id, payment.id, problems=[problem])
    return await change_outcome(app, written.row.id, written.invoice, payment.id, paid)


async def _write(app: App, session: AsyncSession, act: Act, why: Why) -> _Written:
    row, customer = await locked_subscription(session, act.seen, None)
    if await session.get(Change, act.change_id) is not None:
        return await _written_before(session, row, customer, act)
    refuse_stale(row.version, act.expected_version)
    refuse_status(row)
    refuse_if_over(app, row)
    if act.hold is not None:
        await act.hold(session)
    items = await act.choose(session, row)
    if act.amend is not None:
        act.amend(session, row)
    target = Target(items, act.behavior, why.now)
    proposal = await propose_change(session, customer, row, target, occasion=act.change_id)
    if proposal is None:
        await take_back_planned_change(session, row, why)
        return await _nothing_to_change(session, row, customer)
    await drop_planned_change(session, row, why)
    method = await effective_method(session, row, customer)
    if method is None:
        _refuse_unpaid(row, proposal)
    invoice, payment = await carry_out(
        app, session, customer, row, proposal, act.change_id, why, return_url=act.return_url
    )
    if payment is not None:
        # Should this process die, the worker collects it.
        payment.collect_at = why.now
    return _Written(row, customer, invoice, payment, method, payment.fence if payment is not None else None)


async def _written_before(session: AsyncSession, row: Subscription, customer: Customer, act: Act) -> _Written:
    invoice = await invoice_of(session, row.id, InvoiceReason.SUBSCRIPTION_UPDATE, act.change_id)
    return await _found(session, row, customer, invoice)


async def _nothing_to_change(session: AsyncSession, row: Subscription, customer: Customer) -> _Written:
    """It consists of just that: whoever asks again is told of the invoice that the first request left open."""
    unpaid = await open_invoices_of(session, row.id)
    updates = [invoice for invoice in unpaid if invoice.reason is InvoiceReason.SUBSCRIPTION_UPDATE]
    return await _found(session, row, customer, updates[-1] if updates else None)


async def _found(session: AsyncSession, row: Subscription, customer: Customer, invoice: Invoice | None) -> _Written:
    payment = await payment_of_invoice(session, invoice.id) if invoice is not None else None
    return _Written(row, customer, invoice, payment, await effective_method(session, row, customer))


_WHY_NOT: Mapping[SubscriptionStatus, str] = {
    SubscriptionStatus.INCOMPLETE: "Its first period is not paid yet. Subscribe to the other plan instead.",
    SubscriptionStatus.PAUSED: "It is paused. Resume it first.",
    SubscriptionStatus.UNPAID: "It is unpaid. Pay its open invoice first.",
}


def refuse_status(row: Subscription) -> None:
    """Raises INVALID_STATE for what cannot be changed now."""
    if row.status in SUBSCRIPTION.final:
        raise already_ended(row)
    reason = _WHY_NOT.get(row.status)
    if reason is None and row.given_up_at is not None:
        reason = "Nothing more is billed for it. Pay its open invoice first."
    if reason is None and row.origin is SubscriptionOrigin.MANUAL:
        reason = "It was agreed on by hand: what shall hold instead is for the merchant to write down."
    if reason is not None:
        raise UserProblem(ErrorCode.INVALID_STATE, reason, ["subscriptionId"])


def _refuse_unpaid(row: Subscription, proposal: ChangeProposal) -> None:
    """A change that costs something and cannot be paid is not made."""
    is_due = proposal.draft is not None and proposal.draft.amount_due.minor > 0
    if is_due and row.collection_method is CollectionMethod.CHARGE_AUTOMATICALLY:
        raise UserProblem(
            ErrorCode.PAYMENT_METHOD_REQUIRED, "This change costs something now, and there is no card. Save one first."
        )


async def _collect(app: App, act: Act, written: _Written, payment: Payment, why: Why) -> PaymentOutcome:
    """On session for the customer, who can answer the bank; off session for those who act in its absence."""
    fence = written.fence
    if why.actor.kind is ActorKind.CUSTOMER:
        visit = Visit(
            customer=written.customer,
            subscription_id=written.row.id,
            payment_id=payment.id,
            method=written.method,
            trigger="plan_change",
            return_url=payment.return_url,
            fence=fence,
            is_repeatable=act.is_keyed,
        )
        return await collect_on_session(app, visit, why)
    if fence is not None:
        await collect(app, payment.id, fence)
    return await payment_outcome(app, written.row.id, payment.id)


async def change_outcome(
    app: App,
    subscription_id: str,
    invoice: Invoice | None,
    payment_id: str | None,
    paid: PaymentOutcome | None = None,
) -> ChangeOutcome:
    """The rows as they are now."""
    if paid is None and payment_id is not None:
        paid = await payment_outcome(app, subscription_id, payment_id)
    async with app.database.read() as session:
        row = await session.get_one(Subscription, subscription_id)
        billed = await session.get_one(Invoice, invoice.id) if invoice is not None else None
    return ChangeOutcome(row, billed, paid)


def _kept(outcome: ChangeOutcome) -> Mapping[str, Any]:
    paid = outcome.payment
    return {
        "subscription": outcome.subscription.id,
        "invoice": outcome.invoice.id if outcome.invoice is not None else None,
        "payment": paid.payment.id if paid is not None and paid.payment is not None else None,
        "problems": [{"code": p.code.value, "message": p.message, "field": p.field} for p in outcome.problems],
    }


async def _told_again(app: App, answer: Mapping[str, Any]) -> ChangeOutcome:
    async with app.database.read() as session:
        invoice = await session.get_one(Invoice, answer["invoice"]) if answer["invoice"] else None
    return await change_outcome(app, answer["subscription"], invoice, answer["payment"])


CHANGE_OUTCOMES = Memory(_kept, _told_again)
