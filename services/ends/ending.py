"""Ends: an unpaid first subscription is given up, a subscription is canceled now, at its period's end or at a date.

The open intent is canceled at the gateway first; if it turns out to have been paid, that outcome wins.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.errors import UserProblem
from billing.lifecycle import (
    PAYMENT,
    SUBSCRIPTION,
    SubscriptionEvent,
    SubscriptionStatus,
)
from billing.schedule import Happening, what_is_due
from models.invoices import open_invoices_of
from models.leases import release
from models.payments import payment_of_invoice
from models.subscriptions import Subscription
from services.app import ActorKind, App
from services.changes import Why
from services.ends.closing import close
from services.ends.settling_up import NOTHING_LEFT, Settlement, settle_up
from services.owned import locked_subscription
from services.payments.stopping import collecting_stopped, spare_collection, under_way, void_collection
from services.quotes.quoting import Hold


@dataclass(frozen=True, slots=True)
class Ended:
    """A subscription that has ended: the first of its payments that were voided, and what was left to settle."""

    voided: str | None
    rest: Settlement


@dataclass(frozen=True, slots=True)
class Ending:
    """What is noted of an end, and whether what is unused of the period that was paid for is given back.

    `only_if_over`: only if its time is up when the rows are locked. `hold`: only if it is still what was quoted.
    `keep`: what is kept of it in the same transaction.
    """

    reason: str | None = None
    comment: str | None = None
    expected_version: int | None = None
    gives_back: bool = False
    only_if_over: bool = False
    hold: Hold | None = None
    keep: Callable[[AsyncSession, Ended], Awaitable[None]] | None = None

    def says_more(self, row: Subscription) -> bool:
        """Whether it has a reason or words that are not noted yet."""
        noted = row.cancellation_reason, row.cancellation_comment
        return (self.reason or noted[0], self.comment or noted[1]) != noted

    def note(self, row: Subscription, why: Why) -> None:
        row.cancellation_reason = self.reason or row.cancellation_reason
        row.cancellation_comment = self.comment or row.cancellation_comment
        if why.actor.kind is not ActorKind.WORKER:
            row.cancellation_requested_by = why.actor.kind.value
            row.canceled_at = row.canceled_at or why.now


async def end_incomplete(app: App, subscription_id: str, why: Why) -> bool:
    """Give an unpaid first subscription up, unless its payment turns out to have succeeded; whether it has ended.

    Raises UserProblem GATEWAY_UNAVAILABLE, PAYMENT_IN_PROGRESS.
    """
    async with app.database.read() as session:
        seen = await session.get(Subscription, subscription_id)
    if seen is None or seen.status is not SubscriptionStatus.INCOMPLETE:
        return False
    return await stop_and_end(app, seen, SubscriptionEvent.EXPIRE, Ending(), why) is not None


async def end_when_over(app: App, subscription_id: str, fence: int, why: Why) -> bool:
    """End what is unpaid too long, or over: whether it has ended. A later pass tries again what could not end now."""
    async with app.database.read() as session:
        row = await session.get(Subscription, subscription_id)
    if row is None:
        return False
    try:
        has_ended = await _end_what_is_over(app, row, why)
    except UserProblem:
        return False  # The lease runs out and the row, still due, is tried again.
    if not has_ended:
        await give_back(app, row, fence)
    return has_ended


async def _end_what_is_over(app: App, row: Subscription, why: Why) -> bool:
    if row.status is SubscriptionStatus.INCOMPLETE:
        return await end_incomplete(app, row.id, why)
    if _is_over(row, why) and row.status not in SUBSCRIPTION.final:
        return await stop_and_end(app, row, SubscriptionEvent.CANCEL, Ending(only_if_over=True), why) is not None
    return False


async def give_back(app: App, seen: Subscription, fence: int) -> None:
    """It goes on, and nobody need wait for the lease to run out."""
    async with app.database.write() as session:
        row, _ = await locked_subscription(session, seen, None)
        if row.fence == fence:
            release(row, due_at=row.next_due())


def _is_over(row: Subscription, why: Why) -> bool:
    return what_is_due(row.schedule, why.now) is Happening.END


async def end_now(app: App, subscription_id: str, why: Why, *, reason: str | None) -> None:
    """End a subscription for another cause than its cancellation; one that has ended stays as it is.

    Raises UserProblem GATEWAY_UNAVAILABLE, PAYMENT_IN_PROGRESS.
    """
    async with app.database.read() as session:
        seen = await session.get_one(Subscription, subscription_id)
    if seen.status not in SUBSCRIPTION.final:
        await stop_and_end(app, seen, end_of(seen), Ending(reason=reason), why)


def end_of(row: Subscription) -> SubscriptionEvent:
    """An unpaid first one was never there."""
    unpaid = row.status is SubscriptionStatus.INCOMPLETE
    return SubscriptionEvent.EXPIRE if unpaid else SubscriptionEvent.CANCEL


async def stop_and_end(
    app: App, seen: Subscription, event: SubscriptionEvent, ending: Ending, why: Why
) -> Ended | None:
    """Stop collecting, end it and settle what is left; None when it did not end: its payment won, or it was over.

    The refunds are written and not made yet. Raises UserProblem GATEWAY_UNAVAILABLE, PAYMENT_IN_PROGRESS.
    """
    async with app.database.read() as session:
        invoices = await open_invoices_of(session, seen.id)
        charged = [invoice for invoice in invoices if await payment_of_invoice(session, invoice.id) is not None]
    if charged:
        # What settles while it is stopped is another version, and the payment that has to win.
        ending = replace(ending, expected_version=None)
    async with collecting_stopped(app, charged, why) as fences:
        return await _end(app, seen, event, ending, fences, why)


async def _end(
    app: App,
    seen: Subscription,
    event: SubscriptionEvent,
    ending: Ending,
    fences: Mapping[str, int],
    why: Why,
) -> Ended | None:
    """Void what is unpaid and end the subscription; an unpaid first one whose payment won meanwhile stays alive."""
    async with app.database.write() as session:
        row, customer = await locked_subscription(session, seen, ending.expected_version)
        if ending.only_if_over and not _is_over(row, why):
            raise under_way()  # It goes on since it was looked at.
        if ending.hold is not None and row.status not in SUBSCRIPTION.final:
            await ending.hold(session)
        if row.status in SUBSCRIPTION.final:
            # Another request ended it, and what that has left to be paid is not ours to void.
            for payment_id, fence in fences.items():
                await spare_collection(app, session, payment_id, fence)
            return None
        if seen.status is SubscriptionStatus.SCHEDULED and row.status is not seen.status:
            raise under_way()  # It has begun since it was looked at: letting it run out is another thing now.
        await _refuse_what_goes_on(session, row, fences)
        for payment_id, fence in fences.items():
            await void_collection(session, payment_id, fence, why)
        if event is SubscriptionEvent.EXPIRE and row.status is not SubscriptionStatus.INCOMPLETE:
            return None
        ending.note(row, why)
        rest = NOTHING_LEFT
        if event is SubscriptionEvent.CANCEL:
            rest = await settle_up(app, session, customer, row, why, gives_back=ending.gives_back)
        await close(session, row, event, why)
        ended = Ended(next(iter(fences), None), rest)
        if ending.keep is not None:
            await ending.keep(session, ended)
        return ended


async def _refuse_what_goes_on(session: AsyncSession, row: Subscription, fences: Mapping[str, int]) -> None:
    """Raises PAYMENT_IN_PROGRESS for an invoice that was issued since collecting was stopped: it would be charged."""
    for invoice in await open_invoices_of(session, row.id):
        payment = await payment_of_invoice(session, invoice.id)
        if payment is not None and payment.status not in PAYMENT.final and payment.id not in fences:
            raise under_way()
