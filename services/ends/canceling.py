"""Cancellations: now, at the period's end or at a date; with or without what is unused given back."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.errors import ErrorCode, UserProblem
from billing.events import CANCEL_SCHEDULED
from billing.lifecycle import SUBSCRIPTION, RefundStatus
from billing.quotes import Quote
from gateways.port import GatewayRefused, GatewayUnavailable
from models.customers import Customer
from models.invoices import Invoice
from models.leases import LeaseLost
from models.payments import payment_by_id
from models.returns import Refund, paid_intent
from models.subscriptions import Subscription
from services.app import Actor, ActorKind, App
from services.changes import Why, announce
from services.ends.ending import Ended, Ending, end_of, stop_and_end
from services.ends.settling_up import last_bill, unused_parts
from services.idempotency import Memory, answer_with, once
from services.owned import already_ended, locked_subscription, own_subscription
from services.problems import gateway_unavailable, outcome_unknown, refuse_stale
from services.quotes.quoting import Hold, at_quote, hold_to_quote
from services.quotes.rests import EndAsked, ends_at_once, quote_end
from services.refunds.refunding import carry_out, refuse_beyond_cap
from services.refunds.returning import follow_returns
from services.shielding import within_budget
from services.timelines import in_time_of

_MUTATION = "cancelSubscription"


@dataclass(frozen=True, slots=True)
class CancelWish:
    """`at_period_end`, or `at` an instant to come, else now. `refunds_unused` goes with now only."""

    subscription_id: str
    at_period_end: bool = False
    at: datetime | None = None
    refunds_unused: bool = False
    reason: str | None = None
    comment: str | None = None
    expected_version: int | None = None
    quote_token: str | None = None
    idempotency_key: str | None = None

    @property
    def runs_out(self) -> bool:
        return self.at_period_end or self.at is not None


@dataclass(frozen=True, slots=True)
class CancelOutcome:
    """The subscription after the step; the invoice that it voided, else its last one; what goes back to a card."""

    subscription: Subscription
    invoice: Invoice | None = None
    refund: Refund | None = None

    @property
    def problems(self) -> Sequence[UserProblem]:
        """The end stands; of a refund the gateway's answer may be missing."""
        row = self.refund
        is_unanswered = row is not None and row.status is RefundStatus.PENDING and row.gateway_ref is None
        return [outcome_unknown()] if is_unanswered else []


async def cancel_subscription(app: App, actor: Actor, wish: CancelWish) -> CancelOutcome:
    """End a subscription now, or let it run out until its period's end or the instant `at`. An unpaid first one ends
    at once either way, one to come unless its end lies after its start. Periods up to `at` are billed in full.

    Repeating a cancellation to come changes nothing, another one replaces it. Raises UserProblem NOT_FOUND, INVALID,
    NOT_PERMITTED, INVALID_STATE, VERSION_CONFLICT, QUOTE_STALE, GATEWAY_UNAVAILABLE, PAYMENT_IN_PROGRESS,
    IDEMPOTENCY_CONFLICT.
    """
    seen = await own_subscription(app, actor, wish.subscription_id)
    app = await in_time_of(app, seen.test_clock_id)
    why = Why(_MUTATION, actor, at_quote(app, wish.quote_token).now())
    _refuse_contradictions(wish)

    async def run() -> CancelOutcome:
        _refuse_past(wish, why.now)
        if wish.runs_out and not ends_at_once(seen.status, at_period_end=wish.at_period_end):
            return await _let_run_out(app, seen, wish, why)
        return await within_budget(app, _cancel_now(app, seen, wish, why))

    return await once(app, actor, seen.customer_id, _MUTATION, wish.idempotency_key, asdict(wish), _OUTCOMES, run)


async def quote_cancellation(actor: Actor, wish: CancelWish, app: App, session: AsyncSession) -> Quote:
    """What the cancellation does to money. Raises UserProblem as it would."""
    _refuse_contradictions(wish)
    _refuse_past(wish, app.now())
    await _refuse_beyond_cap(app, session, wish, actor, app.now())
    end = EndAsked(wish.subscription_id, asdict(wish), wish.at_period_end, wish.at, wish.refunds_unused)
    return await quote_end(end, app, session)


def _refuse_contradictions(wish: CancelWish) -> None:
    if wish.refunds_unused and wish.runs_out:
        message = "What is unused is given back by ending now: with its period nothing is left unused."
        raise UserProblem(ErrorCode.INVALID, message, ["refundUnused"])


def _refuse_past(wish: CancelWish, now: datetime) -> None:
    if wish.at is not None and wish.at <= now:
        raise UserProblem(ErrorCode.INVALID, "The date is past. Give one to come, or cancel now.", ["date"])


async def _refuse_beyond_cap(app: App, session: AsyncSession, wish: CancelWish, actor: Actor, now: datetime) -> None:
    """An end is no way around what SUPPORT may give back. Raises NOT_PERMITTED."""
    if not wish.refunds_unused or actor.kind is not ActorKind.SUPPORT:
        return
    row = await session.get_one(Subscription, wish.subscription_id)
    customer = await session.get_one(Customer, row.customer_id)
    bill = await last_bill(session, customer, row, now, gives_back=True)
    for part in bill.unused:
        if part.payment is not None and not part.to_card.is_zero:
            await refuse_beyond_cap(app, session, part.payment, part.to_card, actor, field="refundUnused")


def _holding(app: App, wish: CancelWish, why: Why) -> Hold:
    async def hold(session: AsyncSession) -> None:
        await _refuse_beyond_cap(app, session, wish, why.actor, why.now)
        await hold_to_quote(app, session, wish.quote_token, partial(quote_cancellation, why.actor, wish))

    return hold


async def _let_run_out(app: App, seen: Subscription, wish: CancelWish, why: Why) -> CancelOutcome:
    async with app.database.write() as session:
        row, _ = await locked_subscription(session, seen, wish.expected_version)
        if row.status in SUBSCRIPTION.final:
            raise already_ended(row)
        ending, is_news = (
            _ending(app, wish, why),
            (row.cancel_at_period_end, row.cancel_at) != (wish.at is None, wish.at),
        )
        if is_news:
            await _holding(app, wish, why)(session)
            row.cancel_at_period_end, row.cancel_at = wish.at is None, wish.at
            row.due_at = row.next_due()
            payload = {"at": wish.at or row.period_end}
            announce(session, CANCEL_SCHEDULED, row.id, why, customer_id=row.customer_id, payload=payload)
        # What ends by its plan was canceled by nobody yet, and why is often asked when the end is settled.
        if is_news or row.canceled_at is None or ending.says_more(row):
            ending.note(row, why)
            row.touch(why.now)
        outcome = CancelOutcome(row)
        await answer_with(session, why.actor, row.customer_id, _MUTATION, wish.idempotency_key, _kept(outcome))
        return outcome


async def _cancel_now(app: App, seen: Subscription, wish: CancelWish, why: Why) -> CancelOutcome:
    if seen.status in SUBSCRIPTION.final:
        raise already_ended(seen)
    refuse_stale(seen.version, wish.expected_version)
    if wish.refunds_unused:
        await _learn_returns(app, seen, why)
    async with app.database.read() as session:
        await _holding(app, wish, why)(session)  # Before anything is stopped, and again when all is locked.
    ending = replace(_ending(app, wish, why), keep=partial(_keep, seen, wish, why))
    ended = await stop_and_end(app, seen, end_of(seen), ending, why)
    if ended is None:
        raise UserProblem(
            ErrorCode.INVALID_STATE,
            "The subscription changed at this very moment: its payment went through, or it ended. Read it again.",
            ["subscriptionId"],
        )
    for refund in ended.rest.refunds:
        try:
            await carry_out(app, refund.id, refund.fence, why, is_new=True)
        except LeaseLost:
            continue  # Whoever took over goes on.
    async with app.database.read() as session:
        return await _outcome_of(session, seen.id, ended)


async def _keep(seen: Subscription, wish: CancelWish, why: Why, session: AsyncSession, ended: Ended) -> None:
    """Whoever repeats the request is told of this end, and not that there is nothing left to end."""
    answer = _kept(await _outcome_of(session, seen.id, ended))
    await answer_with(session, why.actor, seen.customer_id, _MUTATION, wish.idempotency_key, answer)


def _ending(app: App, wish: CancelWish, why: Why) -> Ending:
    return Ending(
        wish.reason,
        wish.comment,
        wish.expected_version,
        gives_back=wish.refunds_unused,
        hold=_holding(app, wish, why),
    )


async def _learn_returns(app: App, seen: Subscription, why: Why) -> None:
    """What others have given back of the present period's payments: only then what is left of them is known."""
    async with app.database.read() as session:
        parts = await unused_parts(session, seen, why.now)
        intents = [await paid_intent(session, part.payment.id) for part in parts if part.payment is not None]
    try:
        for intent in intents:
            if intent is not None and intent.gateway_ref is not None:
                await follow_returns(app, intent.gateway_ref, cause=why.cause, actor=why.actor)
    except (GatewayUnavailable, GatewayRefused):
        raise gateway_unavailable() from None


async def _outcome_of(session: AsyncSession, subscription_id: str, ended: Ended) -> CancelOutcome:
    payment = await payment_by_id(session, ended.voided) if ended.voided else None
    last = ended.rest.invoice.id if ended.rest.invoice is not None else None
    # Several cards may have paid: the one with the most is told first.
    most = max(ended.rest.refunds, key=lambda refund: refund.amount_minor, default=None)
    return await _told(
        session,
        subscription_id,
        payment.invoice_id if payment is not None else last,
        most.id if most is not None else None,
    )


async def _told(
    session: AsyncSession, subscription_id: str, invoice_id: str | None, refund_id: str | None
) -> CancelOutcome:
    row = await session.get_one(Subscription, subscription_id)
    invoice = await session.get(Invoice, invoice_id) if invoice_id else None
    refund = await session.get(Refund, refund_id) if refund_id else None
    return CancelOutcome(row, invoice, refund)


def _kept(outcome: CancelOutcome) -> Mapping[str, Any]:
    return {
        "subscription": outcome.subscription.id,
        "invoice": outcome.invoice.id if outcome.invoice is not None else None,
        "refund": outcome.refund.id if outcome.refund is not None else None,
    }


async def _told_again(app: App, answer: Mapping[str, Any]) -> CancelOutcome:
    async with app.database.read() as session:
        return await _told(session, answer["subscription"], answer["invoice"], answer["refund"])


_OUTCOMES = Memory(_kept, _told_again)
