"""Comparing payments with the gateway's intents, in both directions.

The gateway's list names the intents that something may be wrong with. What is wrong is decided by reading our row
first and the intent itself after that: then a row that says more than the gateway cannot be merely newer.
"""

from datetime import timedelta

from billing.charging import IntentStatus
from billing.lifecycle import PAYMENT, PaymentStatus
from billing.reconciling import DriftKind, Here, There, difference, difference_of_unknown
from gateways.port import GatewayNotFound, GatewayPage, PaymentIntentSnapshot
from models.books import Collection, collections_of, refs_to_look_up
from models.invoices import Invoice
from models.payments import UNANSWERED, CollectionIntent, Payment, newest_intent, payment_of_invoice
from services.books.drift import Pass
from services.payments.collecting import adopt_intent
from services.payments.holding import hold, let_go
from services.payments.settling import Holder

_BATCH = 100
_LOOK_BACK = timedelta(days=1)


async def compare_payments(run: Pass) -> None:
    """Intents at the gateway against our rows, then our rows against intents. Raises what the gateway raises."""
    seen: set[str] = set()

    async def ask(after: str | None) -> GatewayPage[PaymentIntentSnapshot]:
        return await run.app.gateway.list_payment_intents(created_since=run.since, after=after)

    async for page in run.pages(ask):
        seen.update(listed.ref for listed in page.items)
        await _compare_listed(run, page)
    await _compare_rows(run, seen)


async def _compare_listed(run: Pass, page: GatewayPage[PaymentIntentSnapshot]) -> None:
    async with run.app.database.read() as session:
        known = await collections_of(session, run.app.gateway.platform, [listed.ref for listed in page.items])
    for listed in page.items:
        run.checked += 1
        here = known.get(listed.ref)
        if here is None:
            await _examine_unknown(run, listed)
        elif difference(_here(here, listed), _there(listed)) is not None:
            await _examine(run, listed.ref)


async def _compare_rows(run: Pass, seen: set[str]) -> None:
    """What the list did not show: open payments of older intents, and intents that the gateway may not know at all."""
    after = ""
    while True:
        await run.keep_on()
        async with run.app.database.read() as session:
            rows = await refs_to_look_up(session, run.app.gateway.platform, since=run.since, after=after, limit=_BATCH)
        for _, ref in rows:
            if ref not in seen:
                run.checked += 1
                await _examine(run, ref)
        if len(rows) < _BATCH:
            return
        after = rows[-1][0]


async def _examine(run: Pass, ref: str) -> None:
    before = await _collection(run, ref)
    if before is None or _is_held(run, before.payment):
        return  # Whoever holds it settles it.
    try:
        snapshot = await run.app.gateway.retrieve_payment_intent(ref)
    except GatewayNotFound:
        _note_missing(run, before, ref)
        return
    kind = difference(_here(before, snapshot), _there(snapshot))
    if kind is None:
        return
    if kind is DriftKind.STATE_DIFFERS and run.repair:
        await run.settle(snapshot)
    after = await _collection(run, ref)
    agrees = after is not None and difference(_here(after, snapshot), _there(snapshot)) is None
    if agrees and not run.repair:
        return  # It was settled this very moment.
    run.note(
        kind,
        ref,
        payment_id=before.payment.id,
        local=_ours(before.payment),
        gateway=_theirs(snapshot),
        repaired=agrees,
    )


def _note_missing(run: Pass, here: Collection, ref: str) -> None:
    """The gateway does not know an intent of ours."""
    is_paid = here.payment.status is PaymentStatus.SUCCEEDED and here.intent.status is IntentStatus.SUCCEEDED
    if not is_paid and here.payment.status in PAYMENT.final:
        return
    kind = DriftKind.PAID_HERE_ONLY if is_paid else DriftKind.INTENT_LOST_THERE
    run.note(kind, ref, payment_id=here.payment.id, local=_ours(here.payment), gateway=None, repaired=False)


async def _examine_unknown(run: Pass, listed: PaymentIntentSnapshot) -> None:
    """An intent with an invoice id of ours and without a row."""
    async with run.app.database.read() as session:
        known = await collections_of(session, run.app.gateway.platform, [listed.ref])
        invoice = await session.get(Invoice, listed.invoice_id)
        payment = await payment_of_invoice(session, invoice.id) if invoice else None
        newest = await newest_intent(session, payment.id) if payment else None
    if known or (payment is not None and _is_held(run, payment)):
        return  # It was being made when the list was read.
    is_adoptable = payment is not None and await _is_adoptable(run, listed, payment, newest)
    kind = difference_of_unknown(
        listed.status,
        payment.status if payment else None,
        is_adoptable=is_adoptable,
        is_invoice_known=invoice is not None,
    )
    if kind is None:
        return
    adopts = kind is DriftKind.INTENT_LOST_HERE and run.repair
    run.note(
        kind,
        listed.ref,
        payment_id=payment.id if payment else None,
        local=_ours(payment) if payment else None,
        gateway=f"{_theirs(listed)} for invoice {listed.invoice_id}",
        repaired=adopts and payment is not None and await _adopt(run, payment, listed),
    )


async def _is_adoptable(
    run: Pass, listed: PaymentIntentSnapshot, payment: Payment, newest: CollectionIntent | None
) -> bool:
    """Whether the invoice has no intent that counts, and the gateway exactly one: with two it would be a guess."""
    if payment.status in PAYMENT.final or newest is None or listed.customer_ref is None:
        return False
    if newest.gateway_ref is not None:
        try:
            snapshot = await run.app.gateway.retrieve_payment_intent(newest.gateway_ref)
        except GatewayNotFound:
            return False
        if snapshot.status is not IntentStatus.CANCELED:
            return False
        if run.repair:
            await run.settle(snapshot)
    found = await run.app.gateway.find_payment_intents(
        customer_ref=listed.customer_ref,
        invoice_id=payment.invoice_id,
        created_since=min(run.since, listed.created_at, payment.created_at) - _LOOK_BACK,
    )
    return [each.ref for each in found if each.status is not IntentStatus.CANCELED] == [listed.ref]


async def _adopt(run: Pass, payment: Payment, listed: PaymentIntentSnapshot) -> bool:
    """Write the lost intent down and settle by its state; whether both agree then."""
    fence = await hold(run.app, payment.id)
    if fence is None:
        return False
    is_answered = False
    try:
        if await adopt_intent(run.app, payment.id, fence, listed):
            snapshot = await run.app.gateway.retrieve_payment_intent(listed.ref)
            is_answered = await run.settle(snapshot, Holder(fence))
    finally:
        if not is_answered:
            await let_go(run.app, payment.id, fence)
    return is_answered


async def _collection(run: Pass, ref: str) -> Collection | None:
    async with run.app.database.read() as session:
        return (await collections_of(session, run.app.gateway.platform, [ref])).get(ref)


def _is_held(run: Pass, payment: Payment) -> bool:
    return payment.leased_until is not None and payment.leased_until > run.app.machine_now()


def _here(row: Collection, snapshot: PaymentIntentSnapshot) -> Here:
    charges = {attempt.charge_ref for attempt in row.attempts}
    return Here(
        payment=row.payment.status,
        intent=row.intent.status,
        amount=row.payment.amount,
        is_newest=row.intent.n == row.newest_n,
        awaits_answer=any(attempt.outcome in UNANSWERED for attempt in row.attempts),
        knows_charge=snapshot.latest_charge_ref is None or snapshot.latest_charge_ref in charges,
    )


def _there(snapshot: PaymentIntentSnapshot) -> There:
    return There(snapshot.status, snapshot.amount, snapshot.captured, snapshot.last_problem)


def _ours(payment: Payment) -> str:
    return f"{payment.status}, {payment.amount}"


def _theirs(snapshot: PaymentIntentSnapshot) -> str:
    paid = snapshot.status is IntentStatus.SUCCEEDED
    return f"{snapshot.status}, {snapshot.captured if paid else snapshot.amount}"
