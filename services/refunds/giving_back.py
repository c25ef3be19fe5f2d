"""Refunds on request: how much, by whom, of which lines, and the subscription that ends with one.

Also the worker's part: looking for answers that never came, and for refunds that are on their way.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import structlog
from sqlmodel.ext.asyncio.session import AsyncSession

from billing.crediting import left_of
from billing.errors import ErrorCode, UserProblem
from billing.lifecycle import RefundStatus
from billing.money import Money
from billing.quotes import Quote
from billing.returning import RefundReason
from gateways.port import GatewayRefused, GatewayUnavailable
from models.base import ID_PREFIXES
from models.customers import locked_customer
from models.leases import LeaseLost, claim, claim_all_due
from models.payments import Payment, payment_by_id
from models.returns import Refund, paid_intent
from models.subscriptions import Subscription
from services.abreast import ABREAST, abreast
from services.app import Actor, ActorKind, App
from services.changes import Why
from services.ends.ending import end_now
from services.idempotency import Memory, once, scope_of
from services.owned import own_payment
from services.problems import gateway_unavailable, key_reused, not_found, outcome_unknown
from services.quotes.payments import quote_refund
from services.quotes.quoting import hold_to_quote
from services.refunds.crediting import lines_to_refund
from services.refunds.refunding import (
    COUNTS,
    carry_out,
    not_refundable,
    refund_as_it_is,
    refundable_of,
    refuse_beyond_cap,
    reserve,
)
from services.refunds.returning import follow_returns
from services.shielding import within_budget
from services.timelines import in_time_of

log = structlog.get_logger(__name__)

_MUTATION = "refundPayment"
_REFUNDS = uuid5(NAMESPACE_URL, "perennial:refund")


@dataclass(frozen=True, slots=True)
class RefundWish:
    """What to give back of a payment: `amount`, else all that is left of the lines, else all that is left."""

    payment_id: str
    reason: RefundReason
    idempotency_key: str
    amount: Money | None = None
    line_ids: Sequence[str] | None = None
    ends_subscription: bool = False
    quote_token: str | None = None


@dataclass(frozen=True, slots=True)
class RefundOutcome:
    """The refund and what it is of as they are now, and what stood in the way."""

    refund: Refund
    payment: Payment
    subscription: Subscription
    problems: Sequence[UserProblem]


async def refund_payment(app: App, actor: Actor, wish: RefundWish) -> RefundOutcome:
    """Give money back to the card that paid. The same key never gives back twice, whatever was lost in between.

    Raises UserProblem NOT_FOUND, NOT_PERMITTED, NOT_REFUNDABLE, INVALID, CURRENCY_MISMATCH, QUOTE_STALE,
    GATEWAY_UNAVAILABLE, IDEMPOTENCY_CONFLICT. A refund without the gateway's answer is told with
    PAYMENT_OUTCOME_UNKNOWN beside it.
    """
    payment = await own_payment(app, actor, wish.payment_id)
    app = await in_time_of(app, payment.test_clock_id)
    # Made of the key, so that whoever repeats the request finds the refund: here, or at the gateway after a restore.
    scope = scope_of(actor, payment.customer_id, _MUTATION, wish.idempotency_key)
    refund_id = f"{ID_PREFIXES['refund']}_{uuid5(_REFUNDS, scope).hex}"

    async def run() -> RefundOutcome:
        return await within_budget(app, _refund(app, actor, payment, wish, refund_id))

    try:
        return await once(
            app, actor, payment.customer_id, _MUTATION, wish.idempotency_key, _digestible(wish), _OUTCOMES, run
        )
    except UserProblem as problem:
        if problem.code is not ErrorCode.PAYMENT_OUTCOME_UNKNOWN or not await _exists(app, refund_id):
            raise
        return await _outcome(app, refund_id)


async def _refund(app: App, actor: Actor, payment: Payment, wish: RefundWish, refund_id: str) -> RefundOutcome:
    why = Why(_MUTATION, actor, app.now())
    await _learn(app, payment, why)
    fence, is_new = await _begin(app, payment, wish, refund_id, why)
    problems: list[UserProblem] = []
    if fence is not None:
        try:
            row = await carry_out(app, refund_id, fence, why, is_new=is_new)
            await _end_with(app, row, why)
        except LeaseLost:
            pass  # Whoever took over goes on.
        except UserProblem as problem:
            problems.append(problem)
    return await _outcome(app, refund_id, problems)


async def _learn(app: App, payment: Payment, why: Why) -> None:
    """What others have given back of it, first: only then what is left of it is known."""
    async with app.database.read() as session:
        intent = await paid_intent(session, payment.id)
    if intent is None or intent.gateway_ref is None:
        raise not_refundable(Money.zero(payment.currency))
    try:
        await follow_returns(app, intent.gateway_ref, cause=why.cause, actor=why.actor)
    except (GatewayUnavailable, GatewayRefused):
        raise gateway_unavailable() from None


async def _begin(app: App, payment: Payment, wish: RefundWish, refund_id: str, why: Why) -> tuple[int | None, bool]:
    """The fence under which to carry the refund out, None when there is nothing to do; and whether it is new."""
    async with app.database.write() as session:
        await locked_customer(session, payment.customer_id)
        payment = await session.merge(payment)
        await session.refresh(payment)
        known = await session.get(Refund, refund_id)
        if known is not None:
            if known.payment_id != payment.id or wish.amount not in (None, known.amount):
                raise key_reused()  # Keys are forgotten after a while; what one has given back is not.
            is_open = known.status is RefundStatus.PENDING and known.gateway_ref is None
            waits = is_open or known.ends_subscription_id is not None
            fence = await claim(session, Refund, refund_id, machine_now=app.machine_now()) if waits else None
            return fence, False
        amount = await amount_to_refund(session, payment, wish)
        await refuse_beyond_cap(app, session, payment, amount, why.actor, field="amount")
        await hold_to_quote(app, session, wish.quote_token, partial(quote_refunding, why.actor, wish))
        row = await reserve(
            app,
            session,
            payment,
            amount,
            why,
            refund_id=refund_id,
            reason=wish.reason,
            line_ids=list(wish.line_ids) if wish.line_ids is not None else None,
            ends_subscription_id=payment.subscription_id if wish.ends_subscription else None,
        )
        return row.fence, True


async def quote_refunding(actor: Actor, wish: RefundWish, app: App, session: AsyncSession) -> Quote:
    """What the refund gives back, as far as our books know what is left. Raises UserProblem as it would."""
    payment = await payment_by_id(session, wish.payment_id)
    if payment is None:
        raise not_found("payment", "paymentId")
    amount = await amount_to_refund(session, payment, wish)
    await refuse_beyond_cap(app, session, payment, amount, actor, field="amount")
    return await quote_refund(payment, amount, _digestible(wish), wish.ends_subscription, app, session)


async def amount_to_refund(session: AsyncSession, payment: Payment, wish: RefundWish) -> Money:
    """How much the wish comes to; reads only, for the act and its preview.

    Raises UserProblem NOT_REFUNDABLE, NOT_FOUND, INVALID, CURRENCY_MISMATCH.
    """
    left = await refundable_of(session, payment)
    if wish.line_ids is not None:
        lines = {line.id: line for line in await lines_to_refund(session, payment)}
        if not wish.line_ids or not lines.keys() >= set(wish.line_ids):
            raise not_found("line that cost something on this payment's invoice", "lineIds")
        of_lines = left_of([lines[id] for id in dict.fromkeys(wish.line_ids)], payment.currency)
        left = min(left, of_lines) if wish.amount is not None else left
    else:
        of_lines = left
    amount = wish.amount if wish.amount is not None else of_lines
    if amount.currency != payment.currency:
        raise UserProblem(
            ErrorCode.CURRENCY_MISMATCH, f"The payment was made in {payment.currency}.", ["amount", "currencyCode"]
        )
    if wish.amount is not None and amount.minor <= 0:
        raise UserProblem(ErrorCode.INVALID, "Give an amount above zero.", ["amount"])
    if not 0 < amount.minor <= left.minor:
        raise not_refundable(left)
    return amount


async def _end_with(app: App, row: Refund, why: Why) -> None:
    """A refund that the gateway has taken on ends the subscription that shall end with it."""
    if row.ends_subscription_id is None or row.gateway_ref is None or row.status not in COUNTS:
        return
    reason = "fraud" if row.reason is RefundReason.FRAUDULENT else None
    await end_now(app, row.ends_subscription_id, Why(_MUTATION, why.actor, why.now), reason=reason)


async def work_on_due_refunds(app: App) -> int:
    """One pass over the refunds whose answer is missing, or that are on their way; how many were looked after."""
    now = app.machine_now()
    claimed = await app.database.transact(claim_all_due, Refund, now=now, machine_now=now, limit=ABREAST)
    await abreast(app, claimed, _work)
    return len(claimed)


async def _work(app: App, refund_id: str, fence: int) -> None:
    """One refund's trouble must not keep the others waiting: its lease runs out."""
    async with app.database.read() as session:
        row = await session.get_one(Refund, refund_id)
        payment = await payment_by_id(session, row.payment_id)
    try:
        present = await in_time_of(app, payment.test_clock_id if payment is not None else None)
        why = Why("sweep", _asker(row), present.now())
        await _end_with(present, await carry_out(present, refund_id, fence, why), why)
    except (LeaseLost, UserProblem):
        return
    except Exception:
        log.exception("refund_not_carried_out", refund=refund_id)


def _asker(row: Refund) -> Actor:
    """Who asked for the refund: what follows from it is still that one's doing."""
    kind, _, who = (row.requested_by or ActorKind.WORKER).partition(":")
    if kind == ActorKind.SERVICE:
        return Actor(ActorKind.SERVICE, api_key_id=who)
    return Actor(ActorKind(kind), who or None)


async def _exists(app: App, refund_id: str) -> bool:
    async with app.database.read() as session:
        return await session.get(Refund, refund_id) is not None


async def _outcome(app: App, refund_id: str, problems: Sequence[UserProblem] = ()) -> RefundOutcome:
    row = await refund_as_it_is(app, refund_id)
    async with app.database.read() as session:
        payment = await payment_by_id(session, row.payment_id)
        assert payment is not None  # held by a foreign key
        subscription = await session.get_one(Subscription, payment.subscription_id)
    return RefundOutcome(row, payment, subscription, [*problems, *_told_by(row)])


def _told_by(row: Refund) -> Sequence[UserProblem]:
    """What stands in the way by the row itself."""
    if row.status is RefundStatus.PENDING and row.gateway_ref is None:
        return [outcome_unknown()]
    if row.status is RefundStatus.FAILED:
        message = f"The refund failed: {row.failure_reason}. Nothing was given back."
        return [UserProblem(ErrorCode.NOT_REFUNDABLE, message, ["paymentId"])]
    return []


def _digestible(wish: RefundWish) -> Mapping[str, Any]:
    return {**asdict(wish), "line_ids": sorted(set(wish.line_ids)) if wish.line_ids is not None else None}


def _kept(outcome: RefundOutcome) -> Mapping[str, Any]:
    return {"refund": outcome.refund.id}


async def _told_again(app: App, answer: Mapping[str, Any]) -> RefundOutcome:
    return await _outcome(app, answer["refund"])


_OUTCOMES = Memory(_kept, _told_again)
