"""Quotes: what an act would do to money, told before, and a token that holds the act to it.

The token carries the quote's instant and a seal over everything that was told, what was wished and by whom, and what
it rested on. Whoever acts computes the quote again at that instant: the same seal is the same money.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from billing.entitlements import Entitled
from billing.forecasting import Foreseen
from billing.invoicing import InvoiceDraft
from billing.lines import Line
from billing.money import Money

QUOTE_LIFETIME = timedelta(minutes=10)
"""How long an act can be held to its quote, by the customer's own present."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class ScheduledCharge:
    """An amount to be collected at an instant to come."""

    at: datetime
    amount: Money
    description: str


@dataclass(frozen=True, slots=True)
class EntitlementChange:
    """What of a feature is gained or lost, and when.

    `before` and `after` are limits. None is nothing at all, or without limit where its flag says so.
    """

    feature_id: str
    at: datetime
    before: int | None
    after: int | None
    unlimited_before: bool = False
    unlimited_after: bool = False


def entitlement_changes(
    before: Sequence[Entitled], after: Sequence[Entitled], at: datetime
) -> Sequence[EntitlementChange]:
    """What differs between the two, each feature once."""
    was, will = {each.feature_id: each for each in before}, {each.feature_id: each for each in after}
    found: list[EntitlementChange] = []
    for feature_id in dict.fromkeys([*was, *will]):
        old, new = _limit(was.get(feature_id)), _limit(will.get(feature_id))
        if old != new:
            found.append(EntitlementChange(feature_id, at, old[0], new[0], old[1], new[1]))
    return found


def _limit(entitled: Entitled | None) -> tuple[int | None, bool]:
    """The limit, None for nothing at all, and whether there is none because it is without limit."""
    if entitled is None or not entitled.is_enabled:
        return None, False
    return entitled.limit, entitled.is_unlimited


@dataclass(frozen=True, slots=True)
class Asked:
    """What a quote is for. `wish` holds those values of the input that money follows from, as JSON has them.

    `customer` is whose money it is; `version` the subscription's, None where there is none yet.
    """

    act: str
    customer: str
    wish: Mapping[str, Any]
    version: int | None = None


@dataclass(frozen=True, slots=True)
class Quote:
    """What an act at the instant `at` does; all amounts share one currency.

    `balance` is what the customer had left before it. `due_now` is collected at once, `refund_now` given back at once.
    """

    asked: Asked
    at: datetime
    balance: Money
    lines: Sequence[Line]
    subtotal: Money
    discount_total: Money
    tax_total: Money
    credit_applied: Money
    total: Money
    due_now: Money
    refund_now: Money
    schedule: Sequence[ScheduledCharge] = ()
    entitlement_changes: Sequence[EntitlementChange] = ()
    warnings: Sequence[str] = field(default_factory=tuple)

    @property
    def due_next(self) -> Money | None:
        """What is collected next after this; None when nothing will be."""
        return self.schedule[0].amount if self.schedule else None

    @property
    def due_next_at(self) -> datetime | None:
        return self.schedule[0].at if self.schedule else None

    @property
    def expires_at(self) -> datetime:
        return self.at + QUOTE_LIFETIME


def quote(
    asked: Asked,
    at: datetime,
    balance: Money,
    draft: InvoiceDraft | None,
    *,
    refund: Money | None = None,
    foreseen: Sequence[Foreseen] = (),
    entitlement_changes: Sequence[EntitlementChange] = (),
    warnings: Sequence[str] = (),
) -> Quote:
    """The quote of an act that issues this draft now (None: no invoice) and after which these invoices follow."""
    nothing = Money.zero(balance.currency)
    return Quote(
        asked=asked,
        at=at,
        balance=balance,
        lines=tuple(draft.lines) if draft else (),
        subtotal=draft.subtotal if draft else nothing,
        discount_total=draft.discount_total if draft else nothing,
        tax_total=draft.tax_total if draft else nothing,
        credit_applied=draft.credit_applied if draft else nothing,
        total=draft.total if draft else nothing,
        due_now=draft.amount_due if draft else nothing,
        refund_now=refund or nothing,
        schedule=[ScheduledCharge(each.at, each.draft.amount_due, charge_text(each.draft)) for each in foreseen],
        entitlement_changes=entitlement_changes,
        warnings=warnings,
    )


def charge_text(draft: InvoiceDraft) -> str:
    """What an invoice is for, in a few words: its first line's, and how many more there are."""
    if not draft.lines:
        return "Nothing"
    more = sum(line.is_sold for line in draft.lines) - 1
    return draft.lines[0].description + (f" and {more} more" if more > 0 else "")


def token_of(quote: Quote, key: bytes) -> str:
    """The quote's instant and its seal. Safe to be shown: it tells nothing and cannot be made without the key."""
    return f"{(quote.at - _EPOCH) // _MICROSECOND:x}.{_seal(quote, key)}"


def instant_of(token: str, now: datetime) -> datetime | None:
    """The instant that a token names; None when it is no token, too old at `now`, or from a time to come."""
    micros, _, _ = token.partition(".")
    try:
        at = _EPOCH + int(micros, 16) * _MICROSECOND
    except (ValueError, OverflowError):
        return None
    return at if at <= now <= at + QUOTE_LIFETIME else None


def is_token_of(token: str, quote: Quote, key: bytes) -> bool:
    """Whether the token was given for exactly this."""
    return hmac.compare_digest(token.encode(errors="replace"), token_of(quote, key).encode())


def _seal(quote: Quote, key: bytes) -> str:
    told = json.dumps(_plain(quote), sort_keys=True, separators=(",", ":"))
    return hmac.new(key, told.encode(), hashlib.sha256).hexdigest()


def _plain(quote: Quote) -> Any:
    """Everything that was told about money, without the ids of rows that do not exist yet."""
    asked = quote.asked
    return [
        [asked.act, asked.customer, asked.version, dict(asked.wish)],
        [quote.at.isoformat(), str(quote.balance), str(quote.refund_now), str(quote.due_now)],
        [_plain_line(line) for line in quote.lines],
        [str(each) for each in _totals(quote)],
        [[each.at.isoformat(), str(each.amount), each.description] for each in quote.schedule],
        [
            [c.feature_id, c.at.isoformat(), c.before, c.after, c.unlimited_before, c.unlimited_after]
            for c in quote.entitlement_changes
        ],
    ]


def _totals(quote: Quote) -> Sequence[Money]:
    return quote.subtotal, quote.discount_total, quote.tax_total, quote.total, quote.credit_applied


def _plain_line(line: Line) -> Any:
    period = [line.period.start.isoformat(), line.period.end.isoformat()]
    amounts = [str(line.quantity), str(line.amount), str(line.discount), str(line.tax), str(line.tax_percent)]
    inputs = [[each.name, each.value] for each in line.explanation.inputs]
    return [line.kind.value, line.description, line.plan_id, *amounts, period, line.explanation.formula, inputs]
