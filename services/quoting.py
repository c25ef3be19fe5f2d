"""Quotes of acts: the act's own reading and deciding, told instead of carried out; and acts held to their quotes.

Nothing is written here. Each quoting function is told the present by its app, so that an act can ask again for the
quote of a few minutes ago.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import orjson
from sqlmodel.ext.asyncio.session import AsyncSession

from billing.calendar import Period
from billing.errors import ErrorCode, UserProblem
from billing.forecasting import forecast
from billing.invoicing import InvoiceDraft
from billing.lifecycle import SubscriptionStatus
from billing.money import Money
from billing.quotes import Asked, Quote, instant_of, is_token_of, quote, token_of
from billing.subscribing import Course
from models.customers import Customer
from models.invoices import Invoice, lines_of, open_invoices_of
from models.subscriptions import Subscription
from services.app import Actor, App
from services.changes import Why
from services.drafting import agreement_of
from services.forecasting import outlook_with
from services.ordering import SubscribeWish, ordered
from services.placing import Proposal, propose

FORESEEN = 12
"""How many charges to come a quote tells of."""

Quoting = Callable[[App, AsyncSession], Awaitable[Quote]]
"""(app at the quote's present, session) → the quote, nothing written. Raises UserProblem as the act would."""

# What no amount follows from, so that it may be decided after the quote.
_MONEYLESS = frozenset(
    (
        "payment_method_id",
        "setup_future_usage",
        "return_url",
        "error_url",
        "name",
        "metadata",
        "customer_id",
        "idempotency_key",
        "expected_version",
        "quote_token",
        "reason",
        "comment",
    )
)


@dataclass(frozen=True, slots=True)
class Quoted:
    """A quote and the token that holds the act to it."""

    quote: Quote
    token: str


class QuoteStale(UserProblem):
    """What was quoted is no longer what the act would do; `fresh` is."""

    def __init__(self, fresh: Quoted) -> None:
        super().__init__(
            ErrorCode.QUOTE_STALE,
            "What this quote rests on has changed, or it is too old. Nothing was done: show the fresh quote, and "
            "repeat with its token.",
            ["quoteToken"],
        )
        self.fresh = fresh


def sealed(app: App, quote: Quote) -> Quoted:
    return Quoted(quote, token_of(quote, app.quote_key))


def at_quote(app: App, token: str | None) -> App:
    """The app at the instant that the token was given at, for the act to decide by; at its own if that is too old."""
    instant = instant_of(token, app.now()) if token is not None else None
    return app.at(instant, app.timeline) if instant is not None else app


async def hold_to_quote(app: App, session: AsyncSession, token: str | None, quoting: Quoting) -> None:
    """Under the act's locks and before it writes: raises QuoteStale unless it would do what was quoted.

    `app` is at the present. Without a token nobody was promised anything.
    """
    if token is None:
        return
    if instant_of(token, app.now()) is not None:
        quote = await quoting(at_quote(app, token), session)
        if is_token_of(token, quote, app.quote_key):
            return
    raise QuoteStale(sealed(app, await quoting(app, session)))


def asked(act: str, customer: Customer, wish: Mapping[str, Any], version: int | None = None) -> Asked:
    """`wish` is the act's input; what no amount follows from does not count, nor does what was left out."""
    counts = {name: _plain(value) for name, value in wish.items() if name not in _MONEYLESS and value is not None}
    # A user's first act makes the customer: the user is whom the quote is for.
    return Asked(act, customer.user_id or customer.id, counts, version)


def _plain(value: Any) -> Any:
    """As JSON has it; amounts, dates and the like as their text."""
    return orjson.loads(orjson.dumps(value, default=str))


# ── subscribe ──


async def quote_subscribe(
    actor: Actor, customer: Customer, wish: SubscribeWish, app: App, session: AsyncSession
) -> Quote:
    """Raises UserProblem for what cannot be subscribed to."""
    why = Why("previewSubscribe", actor, app.now())
    wanted = await ordered(session, customer, wish, why)
    if wanted.existing is not None and wanted.course is Course.REFUSE:
        raise already_subscribed()
    if wanted.existing is not None and wanted.course is Course.CONTINUE:
        return await _quote_first_payment(session, customer, wanted.existing, wish, why)
    proposal = await propose(app, session, customer, wanted.order, why)
    if wanted.existing is not None:
        proposal = _with_balance(proposal, await _balance_without(session, proposal.agreement.balance, wanted.existing))
    row, agreement, draft = proposal.subscription, proposal.agreement, proposal.draft
    is_billed_now = row.status is SubscriptionStatus.INCOMPLETE
    after = outlook_with(row, agreement.after_period(draft) if is_billed_now else agreement)
    return quote(
        asked("subscribe", customer, asdict(wish)),
        why.now,
        agreement.balance,
        draft if is_billed_now else None,
        foreseen=forecast(after, FORESEEN),
    )


async def _quote_first_payment(
    session: AsyncSession, customer: Customer, row: Subscription, wish: SubscribeWish, why: Why
) -> Quote:
    """The same wish again: what was invoiced then is what is paid now."""
    (invoice,) = await open_invoices_of(session, row.id)
    agreement = await agreement_of(session, customer, row)
    return quote(
        asked("subscribe", customer, asdict(wish), row.version),
        why.now,
        agreement.balance,
        await issued_draft(session, invoice),
        foreseen=forecast(outlook_with(row, agreement), FORESEEN),
    )


async def _balance_without(session: AsyncSession, balance: Money, old: Subscription) -> Money:
    """What is left once an unpaid first subscription has been given up, with what its invoice had taken over."""
    applied = [invoice.credit_applied_minor for invoice in await open_invoices_of(session, old.id)]
    return balance + Money(sum(applied), balance.currency) if old.currency == balance.currency else balance


def _with_balance(proposal: Proposal, balance: Money) -> Proposal:
    agreement, draft = replace(proposal.agreement, balance=balance), proposal.draft
    draft = agreement.draft_period(proposal.span, reason=draft.reason, occasion=draft.occasion)
    return replace(proposal, agreement=agreement, draft=draft)


async def issued_draft(session: AsyncSession, invoice: Invoice) -> InvoiceDraft:
    """An invoice that was issued, as the engine's value; what is due is what has not been paid yet."""

    def money(minor: int) -> Money:
        return Money(minor, invoice.currency)

    return InvoiceDraft(
        reason=invoice.reason,
        occasion=invoice.occasion,
        period=Period(invoice.period_start, invoice.period_end),
        lines=[row.line for row in await lines_of(session, [invoice.id])],
        subtotal=money(invoice.subtotal_minor),
        discount_total=money(invoice.discount_total_minor),
        tax_total=money(invoice.tax_total_minor),
        total=money(invoice.total_minor),
        credit_applied=money(invoice.credit_applied_minor),
        amount_due=invoice.amount_due,
    )


def already_subscribed() -> UserProblem:
    return UserProblem(
        ErrorCode.ALREADY_SUBSCRIBED,
        "There is a subscription to this product already. Change or cancel that one.",
    )
