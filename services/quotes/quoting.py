"""Quotes of acts: the act's own reading and deciding, told instead of carried out; and acts held to their quotes.

Nothing is written here. Each quoting function is told the present by its app, so that an act can ask again for the
quote of a few minutes ago.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from sqlmodel.ext.asyncio.session import AsyncSession

from billing.calendar import Period
from billing.errors import ErrorCode, UserProblem
from billing.invoicing import InvoiceDraft
from billing.money import Money
from billing.quotes import Asked, Quote, instant_of, is_token_of, token_of
from models.customers import Customer
from models.invoices import Invoice, lines_of
from services.app import App

FORESEEN = 12
"""How many charges to come a quote tells of."""

Quoting = Callable[[App, AsyncSession], Awaitable[Quote]]
"""(app at the quote's present, session) → the quote, nothing written. Raises UserProblem as the act would."""

Hold = Callable[[AsyncSession], Awaitable[None]]
"""(session) → that an act is still what was quoted, under its locks. Raises QuoteStale."""

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


async def quoted(app: App, session: AsyncSession, quoting: Quoting) -> Quoted:
    """The quote of the present instant. It is read once: all of a quote rests on it, while the clock goes on."""
    quote = await quoting(app.at(app.now(), app.timeline), session)
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
    raise QuoteStale(await quoted(app, session, quoting))


def asked(act: str, customer: Customer, wish: Mapping[str, Any], version: int | None = None) -> Asked:
    """`wish` is the act's input; what no amount follows from does not count, nor does what was left out."""
    counts = {name: _plain(value) for name, value in wish.items() if name not in _MONEYLESS and value is not None}
    # A user's first act makes the customer: the user is whom the quote is for.
    return Asked(act, customer.user_id or customer.id, counts, version)


def _plain(value: Any) -> Any:
    """As JSON has it; amounts, dates and the like as their text."""
    return orjson.loads(orjson.dumps(value, default=str))


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
