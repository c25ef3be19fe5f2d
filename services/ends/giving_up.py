"""The end of dunning: nothing has helped until the last day, and the organization's final action is carried out.

What is asked for no more is stopped at the gateway first; if it turns out to have been paid, that outcome wins.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta

import structlog
from sqlmodel.ext.asyncio.session import AsyncSession

from billing.dunning import Fate, FinalAction, fates
from billing.errors import UserProblem
from billing.events import COLLECTION_ENDED
from billing.invoicing import InvoiceReason
from billing.lifecycle import PAYMENT, SUBSCRIPTION, SubscriptionEvent, SubscriptionStatus
from billing.running import RunOutcome
from models.customers import Customer, locked_customer
from models.invoices import Invoice, open_invoices_of
from models.organization import dunning_policy
from models.payments import Payment, payment_by_id, payment_of_invoice, payments_to_give_up
from models.subscriptions import Subscription
from services.app import WORKER, App
from services.changes import Why, announce, move_subscription
from services.ends.closing import close
from services.ends.settling_up import settle_up
from services.invoices.issuing import void_invoice, write_off_invoice
from services.owned import locked_subscription
from services.payments.stopping import collecting_stopped, end_collection, under_way
from services.policies import grace_in_force
from services.witnessing import witnessed

log = structlog.get_logger(__name__)

PAYMENT_FAILED = "payment_failed"
_CYCLE = InvoiceReason.SUBSCRIPTION_CYCLE
_BATCH = 100
_AGAIN = timedelta(minutes=1)


async def give_up_due_payments(app: App) -> int:
    """One pass over the payments of this timeline whose dunning is over; how many were given up."""
    async with app.database.read() as session:
        due = await payments_to_give_up(session, app.due(), timeline=app.timeline, limit=_BATCH)
        seen = [await payment_by_id(session, payment_id) for payment_id in due]
    given_up = 0
    for payment in seen:
        if payment is not None:
            step = _give_up_or_later(app, payment)
            given_up += await witnessed(app, payment.subscription_id, RunOutcome.GIVEN_UP, step)
    return given_up


async def _give_up_or_later(app: App, payment: Payment) -> bool:
    why = Why("dunning_over", WORKER, app.now())
    try:
        return await _give_up(app, payment, why)
    except UserProblem:
        pass  # A payment is under way, or the gateway is: their answer is waited for.
    except Exception:  # One payment's trouble must not keep the others waiting.
        log.exception("not_given_up", payment=payment.id)
    try:
        await _look_again(app, payment, why)
    except Exception:
        log.exception("not_put_off", payment=payment.id)  # The next pass meets it again.
    return False


async def _give_up(app: App, seen: Payment, why: Why) -> bool:
    async with app.database.read() as session:
        subscription = await session.get_one(Subscription, seen.subscription_id)
        invoices = await open_invoices_of(session, subscription.id)
        decided = await _decided(app, session, subscription, invoices)
    going = [invoice for invoice in invoices if decided[invoice.id] is not Fate.KEEP]
    async with collecting_stopped(app, going, why) as fences, app.database.write() as session:
        row, customer = await locked_subscription(session, subscription, None)
        payment = await session.get_one(Payment, seen.number, populate_existing=True)
        is_over = row.status in SUBSCRIPTION.final
        if not (is_over or row.status is SubscriptionStatus.PAST_DUE) or payment.status in PAYMENT.final:
            # Paid or withdrawn by somebody meanwhile: there is nothing to give up any more.
            if fences:
                raise under_way()
            payment.give_up_at = None
            return False
        invoices = await open_invoices_of(session, row.id)
        is_as_seen = await _decided(app, session, row, invoices) == decided
        if (
            not is_as_seen
            or payment.collect_at is not None
            or payment.give_up_at is None
            or payment.give_up_at > why.now
        ):
            raise under_way()
        for invoice in invoices:
            await _carry_out(session, invoice, decided[invoice.id], fences, why)
        if not is_over:
            action = (await dunning_policy(session)).final_action
            await _end_dunning(app, session, customer, row, action, invoices, decided, why)
        return True


async def _decided(
    app: App, session: AsyncSession, row: Subscription, invoices: Sequence[Invoice]
) -> Mapping[str, Fate]:
    """What becomes of each open invoice, by its id. What an end has left to be paid is lost."""
    if row.status in SUBSCRIPTION.final:
        return {invoice.id: Fate.WRITE_OFF for invoice in invoices}
    action = (await dunning_policy(session)).final_action
    behind_since = row.past_due_since or row.status_updated_at
    access_until = behind_since + await grace_in_force(session, app)
    found = fates(action, [invoice.period_start for invoice in invoices], access_until)
    return {invoice.id: fate for invoice, fate in zip(invoices, found, strict=True)}


async def _carry_out(session: AsyncSession, invoice: Invoice, fate: Fate, fences: Mapping[str, int], why: Why) -> None:
    payment = await payment_of_invoice(session, invoice.id)
    if fate is Fate.KEEP:
        if payment is not None:
            payment.collect_at = payment.give_up_at = None
        return
    if payment is not None and payment.status not in PAYMENT.final:
        if payment.id not in fences:
            raise under_way()  # Begun since the others were stopped.
        await end_collection(session, payment.id, fences[payment.id], why)
    if fate is Fate.WRITE_OFF:
        write_off_invoice(session, invoice, why)
    else:
        await void_invoice(session, invoice, why)


async def _end_dunning(
    app: App,
    session: AsyncSession,
    customer: Customer,
    row: Subscription,
    action: FinalAction,
    invoices: Sequence[Invoice],
    decided: Mapping[str, Fate],
    why: Why,
) -> None:
    if action is FinalAction.CANCEL:
        row.cancellation_reason = PAYMENT_FAILED
        row.canceled_at = row.canceled_at or why.now
        # What was used and is on no invoice yet is asked for as at any other end, and dunned by itself.
        await settle_up(app, session, customer, row, why, gives_back=False)
        await close(session, row, SubscriptionEvent.CANCEL, why)
        return
    row.given_up_at = why.now
    row.touch(why.now)
    _forget_voided_periods(row, invoices, decided)
    announce(session, COLLECTION_ENDED, row.id, why, customer_id=row.customer_id, payload={"action": action.value})
    if action is FinalAction.UNPAID:
        move_subscription(session, row, SubscriptionEvent.GIVE_UP, why)
    row.due_at = row.next_due()


def _forget_voided_periods(row: Subscription, invoices: Sequence[Invoice], decided: Mapping[str, Fate]) -> None:
    """Periods that nobody asks money for are none: the last one that can still be paid is the present one."""
    voided = [each for each in invoices if decided[each.id] is Fate.VOID and each.reason is _CYCLE]
    if voided:
        kept = [each for each in invoices if decided[each.id] is Fate.KEEP and each.reason is _CYCLE]
        row.period_start = (kept or invoices)[-1 if kept else 0].period_start
        row.period_end = voided[0].period_start


async def _look_again(app: App, seen: Payment, why: Why) -> None:
    """A little later, if it is still to be given up then."""
    async with app.database.write() as session:
        await locked_customer(session, seen.customer_id)
        payment = await session.get_one(Payment, seen.number, populate_existing=True)
        if payment.give_up_at is not None and payment.give_up_at <= why.now:
            payment.give_up_at = why.now + _AGAIN
