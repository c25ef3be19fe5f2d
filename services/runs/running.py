"""Runs of the billing on request: a rehearsal that changes nothing, or what is due carried out now.

A run takes the worker's own steps in the worker's order; both may be at work at once, for every row is leased.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.errors import ErrorCode, UserProblem
from billing.rehearsing import Owed, Subject, rehearse
from models.customers import Customer
from models.invoices import open_invoices_of
from models.organization import dunning_policy
from models.payments import payment_of_invoice
from models.runs import BillingRun, subscriptions_with_work
from models.subscriptions import CollectionMethod, Subscription, SubscriptionOrigin
from services.app import Actor, App
from services.idempotency import Memory, once
from services.inbox.webhooks import drain_inbox
from services.payments.arrears import effective_method
from services.payments.resolving import resolve_due_payments
from services.quotes.forecasting import outlook_of
from services.runs.due_work import work_off
from services.runs.run_log import RunLog
from services.shielding import within_budget

FARTHEST = timedelta(days=366)
"""How far a rehearsal may look ahead."""
_BATCH = 100


async def run_billing(
    app: App, actor: Actor, *, as_of: datetime | None, dry_run: bool, idempotency_key: str | None
) -> BillingRun:
    """Carry out what is due by `as_of` (now unless given), or with `dry_run` tell what would be; the run's row.

    A run that takes longer than a request may goes on; its row has no `finished_at` yet. Raises UserProblem INVALID
    for an instant to come, and for a rehearsal of one more than a year ahead, and IDEMPOTENCY_CONFLICT.
    """
    now = app.now()
    wanted = as_of or now
    if not dry_run and wanted > now:
        message = "A run carries out what is due by now. Leave asOf out, or rehearse it with dryRun."
        raise UserProblem(ErrorCode.INVALID, message, ["asOf"])
    if wanted > now + FARTHEST:
        raise UserProblem(ErrorCode.INVALID, f"A rehearsal looks {FARTHEST.days} days ahead at most.", ["asOf"])
    wish = {"as_of": as_of, "dry_run": dry_run}

    async def run() -> BillingRun:
        record = RunLog(app, actor, wanted, is_dry_run=dry_run)
        run_id = await record.open()
        try:
            await within_budget(app, _rehearse(app, record) if dry_run else _carry_out(app, record))
        except UserProblem as problem:
            if problem.code is not ErrorCode.PAYMENT_OUTCOME_UNKNOWN:
                raise
        return await _told(app, {"run": run_id})

    return await once(app, actor, "", "runBilling", idempotency_key, wish, _RUNS, run)


async def _carry_out(app: App, record: RunLog) -> None:
    """Unknown outcomes first, as in the worker's pass: nothing else may be decided about what may have happened."""
    await resolve_due_payments(app)
    await drain_inbox(app)
    await work_off(replace(app, witness=record.note, due_by=record.as_of))
    await record.close()


async def _rehearse(app: App, record: RunLog) -> None:
    after = ""
    while True:
        async with app.database.read() as session:
            rows = await subscriptions_with_work(session, record.as_of, after=after, limit=_BATCH)
            subjects = [await _subject(session, row) for row in rows]
        for subject in subjects:
            for deed in rehearse(subject, record.as_of):
                await record.note(deed)
        if len(rows) < _BATCH:
            break
        after = rows[-1].id
    await record.close()


async def _subject(session: AsyncSession, row: Subscription) -> Subject:
    customer = await session.get_one(Customer, row.customer_id)
    outlook = await outlook_of(session, customer, row)
    return Subject(
        subscription_id=row.id,
        # The forecast takes an unpaid first invoice to be paid; a run gives it up.
        outlook=replace(outlook, schedule=row.schedule),
        owed=await _owed(session, row),
        has_card=await effective_method(session, row, customer) is not None,
        trial_end_action=(await dunning_policy(session)).trial_end_action,
        is_charged=row.collection_method is CollectionMethod.CHARGE_AUTOMATICALLY,
        is_billed=row.origin is not SubscriptionOrigin.MANUAL,
    )


async def _owed(session: AsyncSession, row: Subscription) -> Sequence[Owed]:
    found: list[Owed] = []
    for invoice in await open_invoices_of(session, row.id):
        payment = await payment_of_invoice(session, invoice.id)
        if payment is not None:
            found.append(Owed(payment.amount, invoice.id, payment.id, payment.collect_at, payment.give_up_at))
    return found


def _kept(run: BillingRun) -> Mapping[str, Any]:
    return {"run": run.id}


async def _told(app: App, answer: Mapping[str, Any]) -> BillingRun:
    async with app.database.read() as session:
        return await session.get_one(BillingRun, answer["run"])


_RUNS = Memory(_kept, _told)
