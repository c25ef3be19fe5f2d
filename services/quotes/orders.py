"""Quotes of what is subscribed to, before it is."""

from collections.abc import Sequence
from dataclasses import asdict, replace

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.errors import ErrorCode, UserProblem
from billing.forecasting import Foreseen, forecast
from billing.invoicing import InvoiceDraft
from billing.lifecycle import SubscriptionStatus
from billing.money import Money
from billing.quotes import Quote, quote
from billing.subscribing import Course
from models.customers import Customer
from models.invoices import open_invoices_of
from models.subscriptions import CollectionMethod, Subscription
from services.app import Actor, App
from services.changes import Why
from services.invoices.drafting import agreement_of
from services.payments.arrears import effective_method
from services.quotes.forecasting import outlook_with
from services.quotes.quoting import FORESEEN, asked, issued_draft
from services.subscriptions.entitling import changes_of_access, held_by
from services.subscriptions.ordering import SubscribeWish, ordered
from services.subscriptions.placing import Proposal, propose


async def quote_subscribe(
    actor: Actor, customer: Customer, wish: SubscribeWish, app: App, session: AsyncSession
) -> Quote:
    """Raises UserProblem for what cannot be subscribed to."""
    why = Why("previewSubscribe", actor, app.now())
    wanted = await ordered(session, customer, wish, why)
    if wanted.existing is not None and wanted.course is Course.REFUSE:
        raise already_subscribed()
    if wanted.existing is not None and wanted.course is Course.CONTINUE:
        return await _quote_first_payment(app, session, customer, wanted.existing, wish, why)
    proposal = await propose(app, session, customer, wanted.order, why)
    if wanted.existing is not None:
        proposal = _with_balance(proposal, await _balance_without(session, proposal.agreement.balance, wanted.existing))
    held = [(item.plan_id, item.quantity) for item in proposal.items]
    row, agreement, draft = proposal.subscription, proposal.agreement, proposal.draft
    is_billed_now = row.status is SubscriptionStatus.INCOMPLETE
    after = outlook_with(row, agreement.after_period(draft) if is_billed_now else agreement)
    foreseen = forecast(after, FORESEEN)
    return quote(
        asked("subscribe", customer, asdict(wish)),
        why.now,
        agreement.balance,
        draft if is_billed_now else None,
        foreseen=foreseen,
        entitlement_changes=await changes_of_access(app, session, customer.id, None, held, row.started_at),
        warnings=await _warnings(session, customer, row, wish, draft, foreseen) if is_billed_now else (),
    )


async def _quote_first_payment(
    app: App, session: AsyncSession, customer: Customer, row: Subscription, wish: SubscribeWish, why: Why
) -> Quote:
    """The same wish again: what was invoiced then is what is paid now."""
    (invoice,) = await open_invoices_of(session, row.id)
    agreement, draft = await agreement_of(session, customer, row), await issued_draft(session, invoice)
    foreseen = forecast(outlook_with(row, agreement), FORESEEN)
    return quote(
        asked("subscribe", customer, asdict(wish), row.version),
        why.now,
        agreement.balance,
        draft,
        foreseen=foreseen,
        warnings=await _warnings(session, customer, row, wish, draft, foreseen),
        entitlement_changes=await changes_of_access(
            app, session, customer.id, row, await held_by(session, row), row.started_at
        ),
    )


async def _warnings(
    session: AsyncSession,
    customer: Customer,
    row: Subscription,
    wish: SubscribeWish,
    draft: InvoiceDraft,
    foreseen: Sequence[Foreseen],
) -> Sequence[str]:
    """A card that the browser gives for this payment alone leaves nothing to renew with."""
    is_charged = row.collection_method is CollectionMethod.CHARGE_AUTOMATICALLY and not draft.amount_due.is_zero
    is_kept = wish.payment_method_id is not None or wish.setup_future_usage is not None
    renews = any(not each.draft.amount_due.is_zero for each in foreseen)
    if not is_charged or is_kept or not renews or await effective_method(session, row, customer) is not None:
        return ()
    return ["The card is used for this payment alone and not kept: nothing is there to pay the next one with."]


async def _balance_without(session: AsyncSession, balance: Money, old: Subscription) -> Money:
    """What is left once an unpaid first subscription has been given up, with what its invoice had taken over."""
    applied = [invoice.credit_applied_minor for invoice in await open_invoices_of(session, old.id)]
    return balance + Money(sum(applied), balance.currency) if old.currency == balance.currency else balance


def _with_balance(proposal: Proposal, balance: Money) -> Proposal:
    agreement, draft = replace(proposal.agreement, balance=balance), proposal.draft
    draft = agreement.draft_period(proposal.span, reason=draft.reason, occasion=draft.occasion)
    return replace(proposal, agreement=agreement, draft=draft)


def already_subscribed() -> UserProblem:
    return UserProblem(
        ErrorCode.ALREADY_SUBSCRIBED,
        "There is a subscription to this product already. Change or cancel that one, or let it go on.",
    )
