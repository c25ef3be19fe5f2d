"""Comparing what went back: refunds and disputes of the intents of which there is anything new at the gateway.

What is new only says where to look; what differs is decided by the gateway's lists of the intent's own.
"""

from collections.abc import Sequence
from functools import partial

from billing.lifecycle import PAYMENT
from billing.reconciling import DriftKind
from gateways.port import GatewayPage
from models.payments import Payment, intent_of, payment_by_id
from models.returns import disputes_of, refunds_of
from services.books.drift import Pass
from services.refunds.returning import Returns, refunds_and_disputes_of, settle_returns


async def compare_returns(run: Pass) -> None:
    """After the payments: money that goes back is looked for where money has come. Raises what the gateway raises."""
    refs: dict[str, None] = {}
    for list_refs in (_news, _refunds, _disputes):
        async for page in run.pages(partial(list_refs, run)):
            refs.update((ref, None) for ref in page.items if ref is not None)
    for ref in refs:
        await run.keep_on()
        await _compare(run, ref)


async def _news(run: Pass, after: str | None) -> GatewayPage[str | None]:
    """Also of what went back before, and has come home or was decided since."""
    return await run.app.gateway.list_return_news(created_since=run.since, after=after)


async def _refunds(run: Pass, after: str | None) -> GatewayPage[str | None]:
    """The gateway keeps news for a month, and what they were about for ever."""
    page = await run.app.gateway.list_refunds(created_since=run.since, after=after)
    return GatewayPage([refund.intent_ref for refund in page.items], page.next_after)


async def _disputes(run: Pass, after: str | None) -> GatewayPage[str | None]:
    page = await run.app.gateway.list_disputes(created_since=run.since, after=after)
    return GatewayPage([dispute.intent_ref for dispute in page.items], page.next_after)


async def _compare(run: Pass, ref: str) -> None:
    payment, before = await _here(run, ref)
    if payment is None:
        return
    run.checked += 1
    returns = await refunds_and_disputes_of(run.app, ref)
    there = _there(returns)
    if before == there:
        return
    if run.repair:
        if payment.status not in PAYMENT.final:
            # The payments' pass left it to whoever held it; what went back is judged by a payment that has ended.
            await run.settle(await run.app.gateway.retrieve_payment_intent(ref))
        await settle_returns(run.app, ref, returns, cause=run.why.cause, actor=run.why.actor)
    _, after = await _here(run, ref)
    run.note(
        DriftKind.RETURNS_DIFFER,
        ref,
        payment_id=payment.id,
        local=_words(before),
        gateway=_words(there),
        repaired=run.repair and after == there,
    )


async def _here(run: Pass, ref: str) -> tuple[Payment | None, Sequence[str]]:
    """Our payment and what our rows say went back of it, in words; None of an intent that is not ours.

    A refund of ours that the gateway has not answered yet, or did not take, is none that could be missing there.
    """
    async with run.app.database.read() as session:
        intent = await intent_of(session, run.app.gateway.platform, ref)
        payment = intent and await payment_by_id(session, intent.payment_id)
        if payment is None:
            return None, ()
        refunds = await refunds_of(session, [payment.id])
        disputes = await disputes_of(session, [payment.id])
    return payment, sorted(
        [f"refund of {row.amount} {row.status}" for row in refunds if row.gateway_ref is not None]
        + [f"dispute {row.status}: {row.withdrawn} taken, {row.reinstated} given back" for row in disputes]
    )


def _there(told: Returns) -> Sequence[str]:
    return sorted(
        [f"refund of {seen.amount} {seen.status}" for seen in told.refunds]
        + [f"dispute {seen.status}: {seen.withdrawn} taken, {seen.reinstated} given back" for seen in told.disputes]
    )


def _words(parts: Sequence[str]) -> str:
    return "; ".join(parts) or "nothing went back"
