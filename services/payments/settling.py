"""The one door through which a payment ends.

Request, webhook, sweep and refresh all come here with the intent as the gateway sees it now. What the gateway says is
applied once: final states stay, a charge is recorded under its own reference, money is booked in the same transaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from sqlmodel.ext.asyncio.session import AsyncSession

from billing.charging import ASKS_FOR_CARD, CardProblem, IntentStatus, Verdict, read_intent
from billing.ledger import PostingKind
from billing.lifecycle import (
    ATTEMPT,
    PAYMENT,
    AttemptEvent,
    AttemptOutcome,
    InvoiceEvent,
    InvoiceStatus,
    PaymentEvent,
    PaymentStatus,
    SubscriptionEvent,
    SubscriptionStatus,
)
from gateways.port import ChargeSnapshot, GatewayRefused, PaymentIntentSnapshot, PaymentMethodSnapshot
from models.base import new_id
from models.customers import Customer, PaymentMethod, locked_customer, payment_method_of
from models.invoices import Invoice
from models.leases import check_fence, release
from models.ledger import book
from models.payments import (
    UNANSWERED,
    ChargeAttempt,
    CollectionIntent,
    Payment,
    attempts_at,
    intent_of,
    newest_intent,
    payment_by_id,
)
from models.subscriptions import Subscription
from services.app import Actor, App
from services.changes import Why, move_attempt, move_invoice, move_payment, move_subscription, remember
from services.payments.arrears import after_success, not_collected, try_anew
from services.payments.asking import next_question
from services.timelines import in_its_time, in_time_within
from services.usage.refilling import refill
from services.wallet.keeping import keep_card, make_default

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Holder:
    """Who settles under the payment's lease. `attempt_id`: the intent's state is the answer to this attempt."""

    fence: int
    attempt_id: str | None = None


_ENDED_AS = {IntentStatus.SUCCEEDED: PaymentStatus.SUCCEEDED, IntentStatus.CANCELED: PaymentStatus.CANCELED}


class AmountMismatch(Exception):
    """The gateway captured another amount than the invoice asks for; nothing is booked on a guess."""


async def settle(
    app: App, snapshot: PaymentIntentSnapshot, *, cause: str, actor: Actor, holder: Holder | None = None
) -> bool:
    """Apply the intent's state to payment, attempt, invoice, subscription and ledger, in one transaction.

    Returns whether the question that was open is answered: False when an attempt is still without an outcome and the
    intent shows none newer than it. Raises LeaseLost when `holder` has been replaced, AmountMismatch, and
    GatewayUnavailable when what the browser left at the gateway cannot be read; nothing has changed then.
    """
    card = await _card_to_keep(app, snapshot)
    charges = await _charges_to_adopt(app, snapshot, holder)
    return await app.database.transact(_settle, app, snapshot, card, charges, cause, actor, holder)


async def _settle(
    session: AsyncSession,
    app: App,
    snapshot: PaymentIntentSnapshot,
    card: PaymentMethodSnapshot | None,
    charges: Sequence[ChargeSnapshot],
    cause: str,
    actor: Actor,
    holder: Holder | None,
) -> bool:
    intent = await intent_of(session, app.gateway.platform, snapshot.ref)
    if intent is None:
        log.warning("intent_not_ours", metadata=sorted(snapshot.metadata))
        return True
    located = await payment_by_id(session, intent.payment_id)
    customer = located and await locked_customer(session, located.customer_id)
    if located is None or customer is None:
        raise LookupError(f"intent {intent.id} has no payment")
    # Read again under the locks, also against whoever takes the lease: what was read before may be stale.
    await session.refresh(located, with_for_update=True)
    await session.refresh(intent)
    present = await in_time_within(app, session, customer.test_clock_id)
    step = _Settling(present, session, Why(cause, actor, present.now()), customer, located, intent, snapshot)
    return await step.run(card, charges, holder)


async def _card_to_keep(app: App, snapshot: PaymentIntentSnapshot) -> PaymentMethodSnapshot | None:
    """The card that the gateway kept for later, fetched before the transaction when we do not know it yet."""
    ref = snapshot.payment_method_ref
    if snapshot.status is not IntentStatus.SUCCEEDED or snapshot.setup_future_usage is None or ref is None:
        return None
    async with app.database.read() as session:
        if await payment_method_of(session, app.gateway.platform, ref) is not None:
            return None
    try:
        return await app.gateway.retrieve_payment_method(ref)
    except GatewayRefused:
        log.warning("kept_card_not_read")  # It is gone again; the payment stands without it.
        return None


async def _charges_to_adopt(
    app: App, snapshot: PaymentIntentSnapshot, holder: Holder | None
) -> Sequence[ChargeSnapshot]:
    """The intent's charges, read before the transaction when the newest is none of ours: the browser made it."""
    newest = snapshot.latest_charge_ref
    if newest is None or (holder is not None and holder.attempt_id is not None):
        return ()
    async with app.database.read() as session:
        intent = await intent_of(session, app.gateway.platform, snapshot.ref)
        payment = intent and await payment_by_id(session, intent.payment_id)
        if payment is None or payment.status in PAYMENT.final:
            return ()
        if any(attempt.charge_ref == newest for attempt in await attempts_at(session, payment.id)):
            return ()
    try:
        return await app.gateway.find_charges(snapshot.ref)
    except GatewayRefused:
        log.warning("charges_not_read")
        return ()


@dataclass
class _Settling:
    app: App
    session: AsyncSession
    why: Why
    customer: Customer
    payment: Payment
    intent: CollectionIntent
    snapshot: PaymentIntentSnapshot

    async def run(
        self, card: PaymentMethodSnapshot | None, charges: Sequence[ChargeSnapshot], holder: Holder | None
    ) -> bool:
        payment, snapshot = self.payment, self.snapshot
        if holder is not None:
            check_fence(payment, holder.fence)
        superseded = await newest_intent(self.session, payment.id) is not self.intent
        if payment.status in PAYMENT.final:
            if not superseded:
                self._note_contradiction()
            if holder is not None:
                release(payment, due_at=None)
            return True
        verdict, was = read_intent(snapshot.status, snapshot.last_problem), payment.status
        self._follow_intent()
        if superseded and snapshot.status is not IntentStatus.SUCCEEDED:
            return True  # Late news of an intent that has a successor say nothing about the tries at that one.
        attempts = list(await attempts_at(self.session, payment.id))
        attempt, stale = self._attempt_in_question(attempts, holder)
        if stale:
            return False
        method = await self._paying_method(card)
        if attempt is not None:
            if snapshot.status is IntentStatus.CANCELED and attempt.outcome in UNANSWERED:
                await try_anew(self.session, payment, self.why)
            self._answer_attempt(attempt, attempts, verdict, method)
        await self._adopt(charges, attempts)
        await self._move_payment(verdict, method)
        # News of what is known already do not put off the next question.
        is_news = payment.status in PAYMENT.final or (payment.leased_until is None and payment.status is not was)
        if holder is not None or is_news:
            release(payment, due_at=next_question(self.app, payment))
        return True

    def _note_contradiction(self) -> None:
        """A final payment and a gateway that says otherwise: never repaired on a guess, always said aloud.

        An intent that had not ended when it was read is only old news.
        """
        says = _ENDED_AS.get(self.snapshot.status)
        if says is not None and says is not self.payment.status:
            log.error("payment_contradicts_gateway", payment=self.payment.id, status=self.payment.status)

    def _follow_intent(self) -> None:
        intent, snapshot = self.intent, self.snapshot
        url = snapshot.next_step.redirect_url if snapshot.next_step else None
        seen = (snapshot.status, snapshot.payment_method_ref, url)
        if (intent.status, intent.payment_method_ref, intent.next_action_url) != seen:
            intent.status, intent.payment_method_ref, intent.next_action_url = seen
            intent.updated_at = self.why.now

    def _attempt_in_question(
        self, attempts: list[ChargeAttempt], holder: Holder | None
    ) -> tuple[ChargeAttempt | None, bool]:
        """The attempt that this state ends, and whether the state is older than an attempt still unanswered."""
        if holder is not None and holder.attempt_id is not None:
            return next(a for a in attempts if a.id == holder.attempt_id), False
        charge = self.snapshot.latest_charge_ref
        known = next((a for a in attempts if charge is not None and a.charge_ref == charge), None)
        open_attempt = next((a for a in reversed(attempts) if a.outcome not in ATTEMPT.final), None)
        if open_attempt is None:
            return known, False
        says_nothing_new = known is not None or charge is None
        if open_attempt.outcome in UNANSWERED and says_nothing_new and self.snapshot.status in ASKS_FOR_CARD:
            return None, True
        return open_attempt, False

    async def _paying_method(self, card: PaymentMethodSnapshot | None) -> PaymentMethod | None:
        """Our row of the card that the intent speaks of, saved now when the gateway kept it."""
        if card is not None and card.customer_ref is not None and self.customer.archived_at is None:
            return await keep_card(self.session, self.app, self.customer, card, self.why.now)
        ref = self.snapshot.payment_method_ref or self.snapshot.last_problem_method_ref
        return await payment_method_of(self.session, self.app.gateway.platform, ref) if ref else None

    async def _adopt(self, charges: Sequence[ChargeSnapshot], attempts: list[ChargeAttempt]) -> None:
        """Record the charges made in the customer's browser, each once under the gateway's own reference."""
        known = {attempt.charge_ref for attempt in attempts}
        for charge in charges:
            if charge.ref in known:
                continue
            ref = charge.payment_method_ref
            method = await payment_method_of(self.session, self.app.gateway.platform, ref) if ref else None
            attempt = ChargeAttempt(
                id=new_id("charge_attempt"),
                payment_id=self.payment.id,
                intent_id=self.intent.id,
                sequence=len(attempts) + 1,
                trigger="purchase",
                idempotency_key=f"browser:{charge.ref}",
                outcome=AttemptOutcome.REQUIRES_ACTION,
                payment_method_id=method.id if method else None,
                charge_ref=charge.ref,
                started_at=in_its_time(self.app, charge.created_at),
            )
            attempts.append(attempt)
            self.session.add(attempt)
            remember(self.session, ATTEMPT.name, attempt.id, None, attempt.outcome, self.why)
            set_problem(attempt, charge.problem)
            move_attempt(
                self.session, attempt, AttemptEvent.DECLINE if charge.problem else AttemptEvent.SUCCEED, self.why
            )

    def _answer_attempt(
        self,
        attempt: ChargeAttempt,
        attempts: Sequence[ChargeAttempt],
        verdict: Verdict,
        method: PaymentMethod | None,
    ) -> None:
        if attempt.outcome in ATTEMPT.final or verdict.attempt is None:
            return
        charge = self.snapshot.latest_charge_ref
        # A challenge makes no charge: the intent still names the one of the try before.
        if charge is not None and all(other.charge_ref != charge for other in attempts):
            attempt.charge_ref = charge
        if method is not None:
            attempt.payment_method_id = method.id
        if verdict.payment is PaymentEvent.DECLINE and self.snapshot.last_problem:
            set_problem(attempt, self.snapshot.last_problem)
        move_attempt(self.session, attempt, verdict.attempt, self.why)

    async def _move_payment(self, verdict: Verdict, method: PaymentMethod | None) -> None:
        payment = self.payment
        if verdict.payment is PaymentEvent.SUCCEED:
            await self._succeed(method)
            return
        if verdict.payment is PaymentEvent.DECLINE and self.snapshot.last_problem:
            set_problem(payment, self.snapshot.last_problem)
            await not_collected(self.session, payment, self.why)
        if verdict.payment is PaymentEvent.ASK_CUSTOMER:
            # What it pays for is in place: who walks away from the bank's question does not keep it.
            await not_collected(self.session, payment, self.why, is_retried=False)
        if PAYMENT.allows(payment.status, verdict.payment):
            move_payment(self.session, payment, verdict.payment, self.why)

    async def _succeed(self, method: PaymentMethod | None) -> None:
        payment, session, why = self.payment, self.session, self.why
        if self.snapshot.captured != payment.amount:
            raise AmountMismatch(f"payment {payment.id}: {self.snapshot.captured} instead of {payment.amount}")
        invoice = await session.get(Invoice, payment.invoice_id)
        subscription = await session.get(Subscription, payment.subscription_id)
        if invoice is None or subscription is None:
            raise LookupError(f"payment {payment.id} has no invoice or subscription")
        set_problem(payment, None)
        payment.collect_at = payment.give_up_at = None
        payment.amount_paid_minor = payment.amount_minor
        payment.payment_method_id = method.id if method else None
        move_payment(session, payment, PaymentEvent.SUCCEED, why)
        if invoice.status is not InvoiceStatus.OPEN:
            raise LookupError(f"invoice {invoice.id} is {invoice.status} though its payment succeeded")
        invoice.amount_paid_minor = payment.amount_minor
        invoice.paid_at = why.now
        move_invoice(session, invoice, InvoiceEvent.PAY, why)
        await refill(session, subscription, invoice, why)
        book(
            session,
            PostingKind.PAYMENT_CAPTURED,
            payment.amount,
            subject_id=payment.id,
            customer_id=payment.customer_id,
            at=why.now,
        )
        if subscription.status is SubscriptionStatus.INCOMPLETE:
            activate(session, subscription, why)
        await after_success(session, subscription, why)
        if method is not None and method.archived_at is None and self.customer.default_payment_method_id is None:
            await make_default(session, self.customer, method, why.now)


def activate(session: AsyncSession, subscription: Subscription, why: Why) -> None:
    """Access begins; from now on the row is due at its period's end."""
    subscription.activated_at = why.now
    move_subscription(session, subscription, SubscriptionEvent.ACTIVATE, why)
    subscription.due_at = subscription.next_due()


def set_problem(row: Payment | ChargeAttempt, problem: CardProblem | None) -> None:
    """Write, or with None clear, the reason of a decline."""
    row.error_code = problem.code if problem else None
    row.error_decline_code = problem.decline_code if problem else None
    row.error_advice_code = problem.advice_code if problem else None
    row.error_message = problem.message if problem else None
