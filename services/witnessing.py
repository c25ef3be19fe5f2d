"""Telling what a step left behind to whoever keeps a record of the run that it belongs to.

The steps know nothing of runs: what happened is seen by comparing the subscription's rows before and after.
"""

from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import datetime

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.lifecycle import AttemptOutcome, SubscriptionStatus
from billing.money import Money
from billing.running import OUTCOME_OF_ATTEMPT, Deed, RunOutcome
from models.invoices import Invoice
from models.payments import ChargeAttempt, Payment, payment_by_id
from models.runs import attempts_since, invoices_since
from models.subscriptions import Subscription
from services.app import App


async def witnessed(app: App, subscription_id: str, outcome: RunOutcome, step: Awaitable[bool]) -> bool:
    """Carry the step out and, if the app has a witness, tell it what came of it; whether something was done.

    `outcome` is what the step is called when it has done something.
    """
    if app.witness is None:
        return await step
    since = app.now()
    before = await app.database.consult(_seen, subscription_id, since)
    done = await step
    after = await app.database.consult(_seen, subscription_id, since)
    written = [found for key, found in after.invoices.items() if key not in before.invoices]
    tried = _tries(before, after, since)
    if done and not written:
        await app.witness(
            Deed(subscription_id, await app.database.consult(_as_it_stands, subscription_id, outcome), since)
        )
    for invoice, _ in written:
        asked = Money(invoice.total_minor - invoice.credit_applied_minor, invoice.currency)
        await app.witness(Deed(subscription_id, outcome, since, invoice.id, None, asked))
    for deed in tried:
        await app.witness(deed)
    tried_for = {deed.payment_id for deed in tried}
    for _, payment in written:
        if payment is not None and payment.id not in tried_for:
            await app.witness(_about(payment, RunOutcome.SKIPPED, since))
    return done


# What a trial without a card has come to in the place of its first period.
_INSTEAD = {SubscriptionStatus.CANCELED: RunOutcome.ENDED, SubscriptionStatus.PAUSED: RunOutcome.PAUSED}


async def _as_it_stands(session: AsyncSession, subscription_id: str, outcome: RunOutcome) -> RunOutcome:
    """The outcome of a step that has written no invoice: what renewed nothing is told by what has become of it."""
    if outcome is not RunOutcome.RENEWED:
        return outcome
    return _INSTEAD.get((await session.get_one(Subscription, subscription_id)).status, outcome)


async def witnessed_try(app: App, payment_id: str, step: Awaitable[bool]) -> bool:
    """The same for a try to collect a payment that is due."""
    if app.witness is None:
        return await step
    since = app.now()
    payment = await app.database.consult(payment_by_id, payment_id)
    if payment is None:
        return await step
    before = await app.database.consult(_seen, payment.subscription_id, since)
    done = await step
    tried = _tries(before, await app.database.consult(_seen, payment.subscription_id, since), since)
    for deed in tried or [_about(payment, RunOutcome.SKIPPED, since)]:
        await app.witness(deed)
    return done


@dataclass(frozen=True, slots=True)
class _Seen:
    """What there is of the subscription since an instant; the payments are those of the invoices and attempts."""

    invoices: dict[str, tuple[Invoice, Payment | None]]
    attempts: dict[tuple[str, AttemptOutcome], tuple[ChargeAttempt, Payment]]


async def _seen(session: AsyncSession, subscription_id: str, since: datetime) -> _Seen:
    invoices = await invoices_since(session, (subscription_id, since))
    attempts = await attempts_since(session, (subscription_id, since))
    return _Seen(
        {invoice.id: (invoice, payment) for invoice, payment in invoices},
        {(attempt.id, attempt.outcome): (attempt, payment) for attempt, payment in attempts},
    )


def _tries(before: _Seen, after: _Seen, at: datetime) -> list[Deed]:
    """What was tried or answered in between."""
    new = [found for key, found in after.attempts.items() if key not in before.attempts]
    return [_about(payment, OUTCOME_OF_ATTEMPT[attempt.outcome], at) for attempt, payment in new]


def _about(payment: Payment, outcome: RunOutcome, at: datetime) -> Deed:
    return Deed(payment.subscription_id, outcome, at, payment.invoice_id, payment.id, payment.amount)
