"""Giving money back: the row first, with its amount reserved, then the gateway.

An answer that never came is looked for in the gateway's list before anything is asked again: keys may be forgotten and
a backup may have been restored, the list is not. A request that may still be under way is repeated under its own key
only; another key is used once the gateway has answered the last one with a fault.
"""

from datetime import datetime, timedelta

import structlog
from sqlmodel.ext.asyncio.session import AsyncSession

from billing.errors import ErrorCode, UserProblem
from billing.lifecycle import REFUND, SUBSCRIPTION, RefundEvent, RefundStatus
from billing.money import Money
from billing.returning import RefundOrigin, RefundReason, refundable
from gateways.port import GatewayRefused, GatewayUnavailable
from models.customers import locked_customer
from models.leases import LEASE, check_fence, release
from models.payments import Payment, payment_by_id
from models.returns import Refund, paid_intent, refunds_of
from models.subscriptions import Subscription
from services.app import Actor, ActorKind, App
from services.changes import Why, move_refund, remember
from services.refunds.returning import Returns, refunds_and_disputes_of, settle_returns

log = structlog.get_logger(__name__)

COUNTS = frozenset((RefundStatus.PENDING, RefundStatus.SUCCEEDED))
"""Refunds whose money is away, or is about to be."""

_UNANSWERED_FIRST = timedelta(seconds=5)
_UNANSWERED_LONGEST = timedelta(minutes=1)
_ON_ITS_WAY_FIRST = timedelta(minutes=1)
_ON_ITS_WAY_LONGEST = timedelta(hours=6)


async def refundable_of(session: AsyncSession, payment: Payment) -> Money:
    """What of the payment may still be given back; exact under the customer's lock."""
    given_back = sum(row.amount_minor for row in await refunds_of(session, [payment.id]) if row.status in COUNTS)
    return refundable(
        Money(payment.amount_paid_minor, payment.currency),
        disputed=Money(payment.amount_disputed_minor, payment.currency),
        given_back=Money(given_back, payment.currency),
    )


def not_refundable(left: Money) -> UserProblem:
    return UserProblem(ErrorCode.NOT_REFUNDABLE, f"Of this payment {left} can be given back.", ["amount"])


async def refuse_beyond_cap(
    app: App, session: AsyncSession, payment: Payment, amount: Money, actor: Actor, *, field: str
) -> None:
    """SUPPORT gives back so much of a payment in all, whoever of it does, in however many parts and by whatever act.

    Raises NOT_PERMITTED, blaming that field of the input.
    """
    if actor.kind is not ActorKind.SUPPORT:
        return
    given = sum(
        row.amount_minor
        for row in await refunds_of(session, [payment.id])
        if row.origin is RefundOrigin.API
        and row.status in COUNTS
        and (row.requested_by or "").startswith(f"{ActorKind.SUPPORT}:")
    )
    if given + amount.minor > app.support_refund_cap:
        left = Money(max(app.support_refund_cap - given, 0), payment.currency)
        raise UserProblem(
            ErrorCode.NOT_PERMITTED, f"Support may give back {left} of this payment. Ask an administrator.", [field]
        )


async def reserve(
    app: App,
    session: AsyncSession,
    payment: Payment,
    amount: Money,
    why: Why,
    *,
    refund_id: str,
    reason: RefundReason,
    line_ids: list[str] | None,
    ends_subscription_id: str | None,
) -> Refund:
    """Write the refund that is to be made, leased to the caller (fence 1), under the customer's lock.

    Raises UserProblem NOT_REFUNDABLE when so much is not left of the payment.
    """
    left = await refundable_of(session, payment)
    if not 0 < amount.minor <= left.minor:
        raise not_refundable(left)
    row = Refund(
        id=refund_id,
        payment_id=payment.id,
        platform=payment.platform,
        currency=amount.currency,
        amount_minor=amount.minor,
        reason=reason,
        origin=RefundOrigin.API,
        requested_by=str(why.actor),
        line_ids=line_ids,
        ends_subscription_id=ends_subscription_id,
        fence=1,
        leased_until=app.machine_now() + LEASE,
        created_at=why.now,
        updated_at=why.now,
    )
    row.due_at = next_look(app, row)
    session.add(row)
    await session.flush()
    remember(session, REFUND.name, row.id, None, row.status, why, customer_id=payment.customer_id)
    return row


def next_look(app: App, row: Refund) -> datetime | None:
    """When the worker looks for the answer, or for the refund's arrival, in machine time; None when it has ended."""
    if row.status is not RefundStatus.PENDING:
        return None
    first, longest = (
        (_UNANSWERED_FIRST, _UNANSWERED_LONGEST)
        if row.gateway_ref is None
        else (_ON_ITS_WAY_FIRST, _ON_ITS_WAY_LONGEST)
    )
    return app.machine_now() + min(first * 2 ** min(row.tries, 10), longest)


async def carry_out(app: App, refund_id: str, fence: int, why: Why, *, is_new: bool = False) -> Refund:
    """Make the refund at the gateway, or find that it has been made, under the held lease, which is given back.

    `is_new`: the gateway's list was read right before the row was written. The refund as it is then: still PENDING
    without a reference when the gateway's answer is missing. Raises LeaseLost.
    """
    row, intent_ref = await _held(app, refund_id, fence)
    try:
        if not is_new:
            row = await _look(app, row, intent_ref, why)
        if row.status is RefundStatus.PENDING and row.gateway_ref is None:
            await _ask(app, row, intent_ref, fence, why)
    except GatewayUnavailable as problem:
        log.info("refund_unanswered", refund=refund_id, reason=str(problem))
        if problem.is_fault:
            await _note_spoilt_key(app, refund_id, fence)
    return await _let_go(app, refund_id, fence)


async def _look(app: App, row: Refund, intent_ref: str, why: Why) -> Refund:
    """Apply what the gateway lists of the payment's refunds, this one by our id in its metadata."""
    told = await _listed(app, intent_ref)
    await settle_returns(app, intent_ref, told, cause=why.cause, actor=why.actor)
    return await refund_as_it_is(app, row.id)


async def _listed(app: App, intent_ref: str) -> Returns:
    """The list alone brings no fault under a key: whatever it fails with, it is asked again later."""
    try:
        return await refunds_and_disputes_of(app, intent_ref)
    except (GatewayRefused, GatewayUnavailable) as problem:
        raise GatewayUnavailable(str(problem)) from None


async def _ask(app: App, row: Refund, intent_ref: str, fence: int, why: Why) -> None:
    asked_at = app.machine_now()
    try:
        seen = await app.gateway.create_refund(
            intent_ref,
            amount=row.amount,
            reason=row.reason,
            refund_id=row.id,
            idempotency_key=f"{row.id}:{row.spoilt_keys}",
        )
    except GatewayRefused as refusal:
        # Another holder's request may have been faster: then this one asks for more than is left.
        if (await _look(app, row, intent_ref, why)).gateway_ref is None:
            await _fail(app, row.id, fence, refusal, why)
        return
    await settle_returns(app, intent_ref, Returns((seen,), (), asked_at), cause=why.cause, actor=why.actor)


async def refund_as_it_is(app: App, refund_id: str) -> Refund:
    async with app.database.read() as session:
        return await session.get_one(Refund, refund_id)


async def _held(app: App, refund_id: str, fence: int) -> tuple[Refund, str]:
    async with app.database.read() as session:
        row = await session.get_one(Refund, refund_id)
        intent = await paid_intent(session, row.payment_id)
    check_fence(row, fence)
    if intent is None or intent.gateway_ref is None:
        raise LookupError(f"refund {refund_id}: nothing was ever paid")
    return row, intent.gateway_ref


async def _fail(app: App, refund_id: str, fence: int, refusal: GatewayRefused, why: Why) -> None:
    """The gateway will not make it; what was reserved is free again."""
    async with app.database.write() as session:
        row, payment = await _locked(session, refund_id)
        check_fence(row, fence)
        if row.status is RefundStatus.PENDING and row.gateway_ref is None:
            row.failure_reason = (refusal.code or str(refusal))[:100]
            move_refund(session, row, RefundEvent.FAIL, why, customer_id=payment.customer_id)


async def _note_spoilt_key(app: App, refund_id: str, fence: int) -> None:
    async with app.database.write() as session:
        row, _ = await _locked(session, refund_id)
        if row.fence == fence:
            row.spoilt_keys += 1


async def _let_go(app: App, refund_id: str, fence: int) -> Refund:
    async with app.database.write() as session:
        row, _ = await _locked(session, refund_id)
        if row.fence == fence:
            release(row, due_at=next_look(app, row) or await _when_to_end(app, session, row))
        return row


async def _when_to_end(app: App, session: AsyncSession, row: Refund) -> datetime | None:
    """When the worker looks after a refund that has arrived, for the subscription that was to end with it lives on."""
    if row.ends_subscription_id is None or row.status not in COUNTS:
        return None
    subscription = await session.get_one(Subscription, row.ends_subscription_id)
    return app.machine_now() + _UNANSWERED_FIRST if subscription.status not in SUBSCRIPTION.final else None


async def _locked(session: AsyncSession, refund_id: str) -> tuple[Refund, Payment]:
    """The refund as it is under its customer's lock."""
    seen = await session.get_one(Refund, refund_id)
    payment = await payment_by_id(session, seen.payment_id)
    if payment is None:
        raise LookupError(f"refund {refund_id} has no payment")
    await locked_customer(session, payment.customer_id)
    await session.refresh(seen, with_for_update=True)
    await session.refresh(payment)
    return seen, payment
