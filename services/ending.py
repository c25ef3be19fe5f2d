"""Ends: an unpaid first subscription is given up, a subscription is canceled now, at its period's end or at a date.

The open intent is canceled at the gateway first; if it turns out to have been paid, that outcome wins.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import structlog

from billing.errors import ErrorCode, UserProblem, VersionConflict
from billing.lifecycle import (
    SUBSCRIPTION,
    SubscriptionEvent,
    SubscriptionStatus,
)
from billing.schedule import Happening, what_is_due
from models.invoices import Invoice, open_invoices_of
from models.payments import payment_by_id
from models.subscriptions import Subscription
from services.app import WORKER, Actor, ActorKind, App
from services.changes import Why
from services.closing import close
from services.owned import already_ended, locked_subscription, own_subscription
from services.shielding import within_budget
from services.stopping import collecting_stopped, under_way, void_collection

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class CancelOutcome:
    """The subscription after the step, and the invoice that it ended with if that was voided."""

    subscription: Subscription
    invoice: Invoice | None


async def cancel_subscription(
    app: App,
    actor: Actor,
    *,
    subscription_id: str,
    at_period_end: bool,
    at: datetime | None = None,
    reason: str | None,
    comment: str | None,
    expected_version: int | None,
) -> CancelOutcome:
    """End a subscription now, or let it run out until its period's end or the instant `at`. An unpaid first one ends
    at once either way. Periods up to `at` are billed in full.

    Repeating a cancellation to come changes nothing, another one replaces it. Raises UserProblem NOT_FOUND, INVALID,
    INVALID_STATE, VERSION_CONFLICT, GATEWAY_UNAVAILABLE.
    """
    seen = await own_subscription(app, actor, subscription_id)
    wish = _Cancellation(reason, comment, expected_version)
    why = Why("cancelSubscription", actor, app.now())
    if at is not None and at <= why.now:
        raise UserProblem(ErrorCode.INVALID, "The date is past. Give one to come, or cancel now.", ["date"])
    if (at_period_end or at is not None) and seen.status is not SubscriptionStatus.INCOMPLETE:
        return CancelOutcome(await _let_run_out(app, seen, wish, at, why), None)
    return await within_budget(app, _cancel_now(app, seen, wish, why))


async def end_incomplete(app: App, subscription_id: str, why: Why) -> None:
    """Give an unpaid first subscription up, unless its payment turns out to have succeeded.

    Raises UserProblem GATEWAY_UNAVAILABLE, PAYMENT_IN_PROGRESS.
    """
    async with app.database.read() as session:
        seen = await session.get(Subscription, subscription_id)
    if seen is None or seen.status is not SubscriptionStatus.INCOMPLETE:
        return
    await _stop_and_end(app, seen, SubscriptionEvent.EXPIRE, _Cancellation(None, None, None), why)


async def end_when_over(app: App, subscription_id: str, fence: int, why: Why) -> bool:
    """End what is unpaid too long, or over: whether it has ended. A later pass tries again what could not end now."""
    async with app.database.read() as session:
        row = await session.get(Subscription, subscription_id)
    if row is None:
        return False
    try:
        if row.status is SubscriptionStatus.INCOMPLETE:
            await end_incomplete(app, row.id, why)
            return True
        if _is_over(row, why) and row.status not in SUBSCRIPTION.final:
            ended, _ = await _stop_and_end(app, row, SubscriptionEvent.CANCEL, _Cancellation(None, None, None), why)
            return ended
    except UserProblem:
        return False  # The lease runs out and the row, still due, is tried again.
    return False


def _is_over(row: Subscription, why: Why) -> bool:
    return what_is_due(row.schedule, why.now) is Happening.END


@dataclass(frozen=True, slots=True)
class _Cancellation:
    reason: str | None
    comment: str | None
    expected_version: int | None

    def note(self, row: Subscription, actor: Actor, why: Why) -> None:
        row.cancellation_reason = self.reason or row.cancellation_reason
        row.cancellation_comment = self.comment or row.cancellation_comment
        if actor.kind is not ActorKind.WORKER:
            row.cancellation_requested_by = actor.kind.value
            row.canceled_at = row.canceled_at or why.now


async def _let_run_out(
    app: App, seen: Subscription, wish: _Cancellation, at: datetime | None, why: Why
) -> Subscription:
    async with app.database.write() as session:
        row, _ = await locked_subscription(session, seen, wish.expected_version)
        if row.status in SUBSCRIPTION.final:
            raise already_ended(row)
        if (row.cancel_at_period_end, row.cancel_at) != (at is None, at):
            row.cancel_at_period_end, row.cancel_at = at is None, at
            row.due_at = row.next_due()
            wish.note(row, why.actor, why)
            row.touch(why.now)
        return row


async def _cancel_now(app: App, seen: Subscription, wish: _Cancellation, why: Why) -> CancelOutcome:
    if seen.status in SUBSCRIPTION.final:
        raise already_ended(seen)
    if wish.expected_version is not None and wish.expected_version != seen.version:
        raise VersionConflict(seen.version)
    # The version was compared before the gateway was called; what settled since is the payment that has to win.
    wish = _Cancellation(wish.reason, wish.comment, None)
    unpaid = seen.status is SubscriptionStatus.INCOMPLETE
    event = SubscriptionEvent.EXPIRE if unpaid else SubscriptionEvent.CANCEL
    ended, voided = await _stop_and_end(app, seen, event, wish, why)
    if not ended:
        raise UserProblem(
            ErrorCode.INVALID_STATE,
            "The subscription changed at this very moment: its payment went through, or it ended. Read it again.",
            ["subscriptionId"],
        )
    async with app.database.read() as session:
        row = await session.get_one(Subscription, seen.id)
        payment = await payment_by_id(session, voided) if voided else None
        invoice = await session.get(Invoice, payment.invoice_id) if payment else None
    return CancelOutcome(row, invoice)


async def _stop_and_end(
    app: App, seen: Subscription, event: SubscriptionEvent, wish: _Cancellation, why: Why
) -> tuple[bool, str | None]:
    """Whether it ended, and the first of the payments that were voided.

    Raises UserProblem GATEWAY_UNAVAILABLE, PAYMENT_IN_PROGRESS.
    """
    async with app.database.read() as session:
        invoices = await open_invoices_of(session, seen.id)
    async with collecting_stopped(app, invoices, why) as fences:
        return await _end(app, seen, event, wish, fences, why), next(iter(fences), None)


async def _end(
    app: App,
    seen: Subscription,
    event: SubscriptionEvent,
    wish: _Cancellation,
    fences: Mapping[str, int],
    why: Why,
) -> bool:
    """Void what is unpaid and end the subscription; an unpaid first one whose payment won meanwhile stays alive."""
    async with app.database.write() as session:
        row, _ = await locked_subscription(session, seen, wish.expected_version)
        if why.actor == WORKER and event is SubscriptionEvent.CANCEL and not _is_over(row, why):
            raise under_way()  # It goes on since it was looked at.
        for payment_id, fence in fences.items():
            await void_collection(session, payment_id, fence, why)
        if row.status in SUBSCRIPTION.final:
            return False
        if event is SubscriptionEvent.EXPIRE and row.status is not SubscriptionStatus.INCOMPLETE:
            return False
        wish.note(row, why.actor, why)
        await close(session, row, event, why)
        return True
