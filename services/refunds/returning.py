"""Money that goes back, through the same door as the money that came.

Refunds and disputes change payments and books here only, by the state of each at the gateway, whoever tells of it:
webhook, refresh or reconcile. Each is recorded once under the gateway's own reference, and booked in the transaction
that records it, under the customer's lock. What cannot be true is said aloud and kept beside the row, never booked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlmodel.ext.asyncio.session import AsyncSession

from billing.charging import IntentStatus
from billing.ledger import PostingKind
from billing.lifecycle import PAYMENT, REFUND, PaymentStatus, RefundEvent, RefundStatus
from billing.money import Money
from billing.returning import REFUND_NEWS, RefundOrigin
from gateways.port import DisputeSnapshot, RefundSnapshot
from models.base import is_id, new_id
from models.customers import Customer, locked_customer
from models.ledger import book
from models.payments import CollectionIntent, Payment, intent_of, payment_by_id
from models.returns import Dispute, Refund, disputes_of, refunds_of
from services.app import Actor, App
from services.changes import Why, move_refund, remember
from services.payments.settling import settle
from services.refunds.crediting import issue_credit_note, void_credit_note
from services.timelines import in_its_time, in_time_within

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Returns:
    """What the gateway told of the money that went back from one intent, asked at `asked_at` (machine time)."""

    refunds: Sequence[RefundSnapshot]
    disputes: Sequence[DisputeSnapshot]
    asked_at: datetime


async def refunds_and_disputes_of(app: App, intent_ref: str) -> Returns:
    """Ask the gateway; two calls. Raises GatewayUnavailable, GatewayRefused."""
    asked_at = app.machine_now()
    refunds = await app.gateway.find_refunds(intent_ref)
    return Returns(refunds, await app.gateway.find_disputes(intent_ref), asked_at)


async def follow_returns(app: App, intent_ref: str, *, cause: str, actor: Actor) -> None:
    """Apply all that the gateway knows of money that went back from an intent; of one that is not ours, nothing.

    An intent whose end we have not heard of is settled first. Raises what `settle` and the gateway raise.
    """
    async with app.database.read() as session:
        intent = await intent_of(session, app.gateway.platform, intent_ref)
        payment = intent and await payment_by_id(session, intent.payment_id)
    if payment is None:
        return
    if payment.status not in PAYMENT.final:
        await settle(app, await app.gateway.retrieve_payment_intent(intent_ref), cause=cause, actor=actor)
    await settle_returns(app, intent_ref, await refunds_and_disputes_of(app, intent_ref), cause=cause, actor=actor)


async def settle_returns(app: App, intent_ref: str, told: Returns, *, cause: str, actor: Actor) -> bool:
    """Apply what the gateway told of an intent's refunds and disputes, in one transaction: whether anything changed."""
    if not told.refunds and not told.disputes:
        return False
    async with app.database.write() as session:
        intent = await intent_of(session, app.gateway.platform, intent_ref)
        payment = intent and await payment_by_id(session, intent.payment_id)
        customer = payment and await locked_customer(session, payment.customer_id)
        if intent is None or payment is None or customer is None:
            return False
        # Read again under the lock: what was read before may be stale.
        await session.refresh(payment)
        await session.refresh(intent)
        present = await in_time_within(app, session, payment.test_clock_id)
        step = _Returning(present, session, Why(cause, actor, present.now()), customer, intent, payment)
        await step.run(told)
        return step.has_changed


@dataclass
class _Returning:
    app: App
    session: AsyncSession
    why: Why
    customer: Customer
    intent: CollectionIntent
    payment: Payment
    has_changed: bool = False

    async def run(self, told: Returns) -> None:
        known = await refunds_of(self.session, [self.payment.id])
        refunds = {row.gateway_ref or row.id: row for row in known}
        disputes = {row.gateway_ref: row for row in await disputes_of(self.session, [self.payment.id])}
        # What has come back first: it makes room for what went out after it.
        for seen in sorted(told.refunds, key=lambda refund: refund.status is RefundStatus.SUCCEEDED):
            row = refunds.get(seen.ref) or self._answered(refunds, seen) or await self._adopt_refund(seen)
            refunds[seen.ref] = row
            await self._follow_refund(row, seen, tuple(refunds.values()))
        for objection in told.disputes:
            row = disputes.get(objection.ref) or self._adopt_dispute(objection, told.asked_at)
            disputes[objection.ref] = row
            self._follow_dispute(row, objection, told.asked_at)
        self._count(tuple(refunds.values()), tuple(disputes.values()))

    def _answered(self, refunds: dict[str, Refund], seen: RefundSnapshot) -> Refund | None:
        """Our own that waits for the gateway's answer: this is it."""
        row = refunds.get(seen.refund_id) if seen.refund_id else None
        if row is None or row.status is not RefundStatus.PENDING:
            return None
        del refunds[row.id]
        row.gateway_ref = seen.ref
        row.touch(self.why.now)
        self.has_changed = True
        return row

    async def _adopt_refund(self, seen: RefundSnapshot) -> Refund:
        """One without a row: made at the gateway's dashboard, or by us before a backup was restored."""
        lost = seen.refund_id if seen.refund_id and is_id("refund", seen.refund_id) else None
        is_ours = lost is not None and await self.session.get(Refund, lost) is None
        row = Refund(
            id=lost if lost is not None and is_ours else new_id("refund"),
            payment_id=self.payment.id,
            platform=self.app.gateway.platform,
            gateway_ref=seen.ref,
            currency=seen.amount.currency,
            amount_minor=seen.amount.minor,
            reason=seen.reason,
            status=RefundStatus.PENDING,
            origin=RefundOrigin.API if is_ours else RefundOrigin.GATEWAY,
            created_at=in_its_time(self.app, seen.created_at),
            updated_at=self.why.now,
        )
        self.session.add(row)
        remember(self.session, REFUND.name, row.id, None, row.status, self.why, customer_id=self.customer.id)
        self.has_changed = True
        return row

    async def _follow_refund(self, row: Refund, seen: RefundSnapshot, refunds: Sequence[Refund]) -> None:
        """A refund only ever goes forward: a state that is behind ours is old news."""
        event, before = REFUND_NEWS[seen.status], row.status
        if event is None or before is seen.status or not REFUND.allows(before, event):
            return
        contradiction = self._contradiction_of(row, seen, refunds) if event is RefundEvent.SUCCEED else None
        self._note(row, contradiction)
        if contradiction is not None:
            return
        row.failure_reason = seen.failure_reason
        move_refund(self.session, row, event, self.why, customer_id=self.customer.id)
        self.has_changed = True
        if row.status is RefundStatus.SUCCEEDED:
            self._book(PostingKind.REFUND_SUCCEEDED, row.amount, row.id)
            await issue_credit_note(self.session, self.customer, self.payment, row, self.why)
        elif before is RefundStatus.SUCCEEDED:
            self._book(PostingKind.REFUND_FAILED, row.amount, row.id)
            await void_credit_note(self.session, row, self.why)

    def _contradiction_of(self, row: Refund, seen: RefundSnapshot, refunds: Sequence[Refund]) -> str | None:
        if seen.amount != row.amount:
            return f"the gateway gave back {seen.amount}, not {row.amount}"
        if (never := self._never_captured(row.currency)) is not None:
            return never
        refunded = sum(other.amount_minor for other in refunds if other.status is RefundStatus.SUCCEEDED)
        if refunded + row.amount_minor > self.payment.amount_paid_minor:
            paid, before = (Money(minor, row.currency) for minor in (self.payment.amount_paid_minor, refunded))
            return f"{row.amount} given back on top of {before}, of {paid} captured"
        return None

    def _adopt_dispute(self, seen: DisputeSnapshot, asked_at: datetime) -> Dispute:
        row = Dispute(
            id=new_id("dispute"),
            payment_id=self.payment.id,
            platform=self.app.gateway.platform,
            gateway_ref=seen.ref,
            currency=seen.amount.currency,
            amount_minor=seen.amount.minor,
            status=seen.status,
            reason=seen.reason,
            asked_at=asked_at,
            created_at=in_its_time(self.app, seen.created_at),
            updated_at=self.why.now,
        )
        self.session.add(row)
        self.has_changed = True
        return row

    def _follow_dispute(self, row: Dispute, seen: DisputeSnapshot, asked_at: datetime) -> None:
        if asked_at >= row.asked_at and (row.status, row.reason) != (seen.status, seen.reason):
            row.status, row.reason, row.asked_at = seen.status, seen.reason, asked_at
            row.touch(self.why.now)
            self.has_changed = True
        # Money that moved does not unmove: an answer that shows less than is booked is old.
        taken, given = seen.withdrawn.minor > row.withdrawn_minor, seen.reinstated.minor > row.reinstated_minor
        if not taken and not given:
            return
        contradiction = self._contradiction_of_moves(row, seen, taken=taken, given=given)
        self._note(row, contradiction)
        if contradiction is not None:
            return
        if taken:
            self._book(PostingKind.DISPUTE_WITHDRAWN, seen.withdrawn, row.id)
        if given:
            self._book(PostingKind.DISPUTE_REINSTATED, seen.reinstated, row.id)
        row.withdrawn_minor = max(row.withdrawn_minor, seen.withdrawn.minor)
        row.reinstated_minor = max(row.reinstated_minor, seen.reinstated.minor)
        row.touch(self.why.now)
        self.has_changed = True

    def _contradiction_of_moves(self, row: Dispute, seen: DisputeSnapshot, *, taken: bool, given: bool) -> str | None:
        """A bank takes once and gives back once, at most what it took."""
        if (never := self._never_captured(row.currency)) is not None:
            return never
        if (taken and row.withdrawn_minor) or (given and row.reinstated_minor) or seen.reinstated > seen.withdrawn:
            booked = Money(row.withdrawn_minor, row.currency), Money(row.reinstated_minor, row.currency)
            return f"taken {seen.withdrawn}, given back {seen.reinstated}; booked {booked[0]} and {booked[1]}"
        return None

    def _never_captured(self, currency: str) -> str | None:
        """Why no money of this payment can go back, if so."""
        if currency != self.payment.currency:
            return f"in {currency}, though the payment is in {self.payment.currency}"
        if self.payment.status is not PaymentStatus.SUCCEEDED or self.intent.status is not IntentStatus.SUCCEEDED:
            return f"of a payment that is {self.payment.status}, by an intent that is {self.intent.status}"
        return None

    def _note(self, row: Refund | Dispute, contradiction: str | None) -> None:
        """Say it aloud once; it stays with the row until it is true no longer."""
        if row.contradiction == contradiction:
            return
        row.contradiction = contradiction
        row.touch(self.why.now)
        self.has_changed = True
        if contradiction is not None:
            log.error("return_contradicts_books", row=row.id, payment=self.payment.id, reason=contradiction)

    def _book(self, kind: PostingKind, amount: Money, subject_id: str) -> None:
        book(
            self.session,
            kind,
            amount,
            subject_id=subject_id,
            customer_id=self.payment.customer_id,
            at=self.why.now,
        )

    def _count(self, refunds: Sequence[Refund], disputes: Sequence[Dispute]) -> None:
        """The payment's two sums follow from its refunds and disputes."""
        payment = self.payment
        sums = (
            sum(row.amount_minor for row in refunds if row.status is RefundStatus.SUCCEEDED),
            sum(row.withdrawn_minor - row.reinstated_minor for row in disputes),
        )
        if (payment.amount_refunded_minor, payment.amount_disputed_minor) != sums:
            payment.amount_refunded_minor, payment.amount_disputed_minor = sums
            payment.touch(self.why.now)
