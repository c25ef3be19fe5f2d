"""Webhooks are hints: verified, stored once, acknowledged, then worked on by reading the object itself."""

from datetime import datetime, timedelta

import structlog
from sqlmodel.ext.asyncio.session import AsyncSession

from billing.errors import ErrorCode, UserProblem
from gateways.port import CustomerSnapshot, GatewayNotFound, GatewayUnavailable
from models.audit_log import authored
from models.base import new_id
from models.customers import (
    Customer,
    customer_of_account,
    gateway_account,
    live_payment_method,
    live_payment_methods,
    locked_customer,
)
from models.inbox import GatewayEvent, GatewayEventStatus
from models.leases import claim_all_due, release
from services.abreast import ABREAST, abreast
from services.app import WEBHOOK, App
from services.inbox.intake import Intake
from services.payments.settling import settle
from services.problems import not_found
from services.refunds.returning import follow_returns
from services.selling.dashboard_coupons import follow_coupon, follow_promotion_code
from services.timelines import present_of
from services.wallet.cards import MOST_READINGS, follow_setup_intent, forget_card, keep_by_ref
from services.wallet.keeping import drop_card, make_default

log = structlog.get_logger(__name__)

_BACK_OFF_FIRST = timedelta(seconds=5)
_BACK_OFF_LONGEST = timedelta(hours=1)
_MAX_TRIES = 20


async def receive(app: App, intake: Intake, body: bytes, signature: str | None) -> str | None:
    """Store a delivery under the gateway's event id: its row's id, or None when it was known already.

    Raises WebhookRefused for what is forged, altered, too old or from the future.
    """
    now = app.machine_now()
    hint = app.gateway.verify_webhook(body, signature, now=now)
    handled = hint.object_kind in _HANDLERS
    event = GatewayEvent(
        id=new_id("gateway_event"),
        gateway_ref=hint.ref,
        type=hint.type[:100],
        object_kind=hint.object_kind,
        object_ref=hint.object_ref,
        payload=dict(hint.payload),
        status=GatewayEventStatus.RECEIVED if handled else GatewayEventStatus.IGNORED_STALE,
        received_at=now,
        processed_at=None if handled else now,
        due_at=now if handled else None,
    )
    return event.id if await intake.store(event) else None


async def replay(app: App, event_id: str) -> GatewayEvent:
    """Make an event due again; it reads the object as it is now. One that is due or being worked on stays as it is.

    Raises UserProblem NOT_FOUND, and INVALID_STATE for a type that nothing is done about.
    """
    now = app.machine_now()
    async with app.database.write() as session:
        event = await session.get(GatewayEvent, event_id, with_for_update=True)
        if event is None:
            raise not_found("event", "id")
        if event.object_kind not in _HANDLERS:
            raise UserProblem(ErrorCode.INVALID_STATE, f"Nothing is done about a {event.type}.", ["id"])
        is_held = event.leased_until is not None and event.leased_until > now
        if not is_held and (event.due_at is None or event.due_at > now):
            event.status, event.error, event.processed_at = GatewayEventStatus.RECEIVED, None, None
            event.tries = 0
            release(event, due_at=now)
        return event


async def drain_inbox(app: App) -> int:
    """One pass over the events that are due; how many were worked on."""
    now = app.machine_now()
    claimed = await app.database.transact(claim_all_due, GatewayEvent, now=now, machine_now=now, limit=ABREAST)
    with authored(None):  # The gateway told, whoever had it listened to.
        await abreast(app, claimed, _work)
    return len(claimed)


async def _work(app: App, event_id: str, fence: int) -> None:
    event = await app.database.consult(_event, event_id)
    problem: Exception | None = None
    try:
        if event.object_kind is not None and event.object_ref is not None:
            await _HANDLERS[event.object_kind](app, event.object_ref, event.type)
    except GatewayNotFound as gone:
        log.info("event_object_gone", type=event.type, reason=str(gone))
    except Exception as error:  # One event's trouble must not stop the inbox; it is kept and tried again.
        problem = error
        if not isinstance(error, GatewayUnavailable):
            log.exception("gateway_event_failed", gateway_event=event_id, type=event.type)
    await app.database.transact(_close, event_id, fence, problem, app.machine_now())


async def _event(session: AsyncSession, event_id: str) -> GatewayEvent:
    return await session.get_one(GatewayEvent, event_id)


async def _close(session: AsyncSession, event_id: str, fence: int, problem: Exception | None, now: datetime) -> None:
    event = await _event(session, event_id)
    if event.fence != fence:
        return
    if problem is None:
        event.status, event.error, event.processed_at = GatewayEventStatus.PROCESSED, None, now
        release(event, due_at=None)
        return
    event.status, event.error = GatewayEventStatus.FAILED, f"{type(problem).__name__}: {problem}"
    wait = min(_BACK_OFF_FIRST * 2 ** min(event.tries, 16), _BACK_OFF_LONGEST)
    release(event, due_at=now + wait if event.tries < _MAX_TRIES else None)


async def _payment_intent(app: App, reference: str, event_type: str) -> None:
    snapshot = await app.gateway.retrieve_payment_intent(reference)
    await settle(app, snapshot, cause=event_type, actor=WEBHOOK)


async def _setup_intent(app: App, reference: str, event_type: str) -> None:
    await follow_setup_intent(app, await app.gateway.retrieve_setup_intent(reference))


async def _payment_method(app: App, reference: str, event_type: str) -> None:
    try:
        seen = await app.gateway.retrieve_payment_method(reference)
    except GatewayNotFound:
        await forget_card(app, reference)
        return
    async with app.database.read() as session:
        owner = (
            await customer_of_account(session, app.gateway.platform, seen.customer_ref) if seen.customer_ref else None
        )
    if owner is None:
        await forget_card(app, reference)
    else:
        await keep_by_ref(app, owner.id, reference)


async def _customer(app: App, reference: str, event_type: str) -> None:
    await follow_customer(app, reference)


async def follow_customer(app: App, reference: str) -> None:
    """A default chosen on the gateway's dashboard is followed; a customer deleted there keeps no cards here.

    Where somebody has chosen another default while the gateway was asked, it is asked again.
    """
    for _ in range(MOST_READINGS):
        async with app.database.read() as session:
            known = await customer_of_account(session, app.gateway.platform, reference)
        if known is None:
            return
        try:
            seen = await app.gateway.retrieve_customer(reference)
        except GatewayNotFound:
            seen = CustomerSnapshot(reference, is_deleted=True, default_payment_method_ref=None)
        if seen.default_payment_method_ref is not None:
            # Its own event may come later than this one.
            await keep_by_ref(app, known.id, seen.default_payment_method_ref)
        async with app.database.write() as session:
            if await _follow_customer(app, session, known, seen):
                return


async def _follow_customer(app: App, session: AsyncSession, known: Customer, seen: CustomerSnapshot) -> bool:
    """Whether what was seen still counts, or nothing does any more."""
    customer = await locked_customer(session, known.id)
    account = await gateway_account(session, known.id, app.gateway.platform)
    if customer is None or account is None or account.gateway_ref != seen.ref:
        return True  # The customer is another one at the gateway since.
    now = await present_of(app, session, customer)
    if seen.is_deleted:
        for row in await live_payment_methods(session, customer.id):
            await drop_card(session, customer, row, now)
        # One who was anonymized was deleted there by ourselves; the account still tells whose the payments are.
        if customer.archived_at is None:
            await session.delete(account)
    elif seen.default_payment_method_ref is not None:
        row = await live_payment_method(session, customer.id, id_or_ref=seen.default_payment_method_ref)
        if row is not None and customer.default_payment_method_id != row.id:
            if customer.default_payment_method_id != known.default_payment_method_id:
                return False
            await make_default(session, customer, row, now)
    return True


async def _refund(app: App, reference: str, event_type: str) -> None:
    await _return_of((await app.gateway.retrieve_refund(reference)).intent_ref, app, event_type)


async def _dispute(app: App, reference: str, event_type: str) -> None:
    await _return_of((await app.gateway.retrieve_dispute(reference)).intent_ref, app, event_type)


async def _charge(app: App, reference: str, event_type: str) -> None:
    charge = await app.gateway.retrieve_charge(reference)
    await _return_of(charge and charge.intent_ref, app, event_type)


async def _coupon(app: App, reference: str, event_type: str) -> None:
    await follow_coupon(app, reference)


async def _promotion_code(app: App, reference: str, event_type: str) -> None:
    await follow_promotion_code(app, reference)


async def _return_of(intent_ref: str | None, app: App, event_type: str) -> None:
    """Money went back of this intent; money that came without one is not ours."""
    if intent_ref is not None:
        await follow_returns(app, intent_ref, cause=event_type, actor=WEBHOOK)


_HANDLERS = {
    "payment_intent": _payment_intent,
    "setup_intent": _setup_intent,
    "payment_method": _payment_method,
    "customer": _customer,
    "refund": _refund,
    "dispute": _dispute,
    "charge": _charge,
    "coupon": _coupon,
    "promotion_code": _promotion_code,
}
