"""Changes within a period that has been billed: what unused time gives back, and what the rest of it costs.

Time counts by the microsecond. What an item cost for the period, after discount and with its tax, is given back for the
part that remains; what takes its place is charged for the same part. Every change of a period follows from the lines
that its present items were billed with, so a chain of changes adds up as its steps do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from fractions import Fraction
from zoneinfo import ZoneInfo

from billing.calendar import Period, Span
from billing.explaining import Explanation, ExplanationInput
from billing.lines import Line, LineKind
from billing.money import Money
from billing.recurring import RecurringItem, days, microseconds, recurring_lines, share


class ProrationBehavior(StrEnum):
    """What a change within a period does about money.

    PRORATE_NOW: unused time is credited, the rest charged, on an invoice at once. PRORATE_NEXT_INVOICE: the same lines
    wait for the next invoice. NONE: no money. FULL_PRICE_RESET: a new period at its full price from now on, the rest of
    the old one is lost. USAGE_AWARE: as PRORATE_NOW, but what has been used is not given back.
    """

    PRORATE_NOW = "prorate_now"
    PRORATE_NEXT_INVOICE = "prorate_next_invoice"
    NONE = "none"
    FULL_PRICE_RESET = "full_price_reset"
    USAGE_AWARE = "usage_aware"


GIVES_BACK = frozenset(
    (ProrationBehavior.PRORATE_NOW, ProrationBehavior.PRORATE_NEXT_INVOICE, ProrationBehavior.USAGE_AWARE)
)
INVOICED_NOW = frozenset(
    (ProrationBehavior.PRORATE_NOW, ProrationBehavior.USAGE_AWARE, ProrationBehavior.FULL_PRICE_RESET)
)


@dataclass(frozen=True, slots=True)
class Billed:
    """The line that an item was billed with for the present period.

    `is_paid`: its invoice is settled. `returned`: what of its cost has been given back since, by refunds or disputes.
    `used`: the price of what has been used of it.
    """

    line: Line
    is_paid: bool
    returned: Money
    used: Money


@dataclass(frozen=True, slots=True)
class Present:
    """The period under way: when it began and ends, how long a full one is, and what was asked for it.

    `waiting` are its lines that wait for the next invoice, each under its own key; `items` are the ids of what it
    consists of now.
    """

    start: datetime
    end: datetime
    full: timedelta
    billed: Sequence[Billed] = ()
    waiting: Mapping[str, Line] = field(default_factory=dict[str, Line])
    items: frozenset[str] = frozenset()

    def rest(self, now: datetime) -> Span:
        """What of it is left, and the full period that this is a part of.

        Never more than there was: a clock that was set back may stand before its start.
        """
        full = Period(self.end - self.full, self.end)
        return Span(Period(max(now, self.start, full.start), self.end), full)


@dataclass(frozen=True, slots=True)
class Turn:
    """What one change asks for and gives back. `waiting` is what still waits, by key; what is not in it has gone."""

    credits: Sequence[Line]
    charges: Sequence[Line]
    waiting: Mapping[str, Line]

    @property
    def lines(self) -> Sequence[Line]:
        return [*self.credits, *self.charges]


def turn_within(
    present: Present,
    *,
    ended: frozenset[str],
    begun: Sequence[RecurringItem],
    behavior: ProrationBehavior,
    now: datetime,
    zone: ZoneInfo,
) -> Turn:
    """Items (their ids) end and others begin, and the period goes on. Nothing happens to those that stay."""
    if behavior not in GIVES_BACK:
        return Turn((), (), present.waiting)
    gone = [billed for billed in present.billed if billed.line.item_id in ended]
    return Turn(
        credits=_credits(gone, present.end, now),
        charges=recurring_lines(begun, present.rest(now), zone),
        waiting=_cut_off(present, ended, now, zone),
    )


def turn_over(
    present: Present,
    *,
    span: Span,
    items: Sequence[RecurringItem],
    behavior: ProrationBehavior,
    now: datetime,
    zone: ZoneInfo,
) -> Turn:
    """A new period, `span`, begins now, with these items: all that was paid for the old one's rest is given back."""
    charges = recurring_lines(items, span, zone)
    if behavior not in GIVES_BACK:
        return Turn((), charges, present.waiting)
    return Turn(
        credits=_credits(present.billed, present.end, now),
        charges=charges,
        waiting=_cut_off(present, present.items, now, zone),
    )


def _credits(billed: Sequence[Billed], end: datetime, now: datetime) -> Sequence[Line]:
    made = [_credit(each, end, now) for each in billed if each.is_paid]
    return [line for line in made if not line.amount.is_zero]


def _credit(billed: Billed, end: datetime, now: datetime) -> Line:
    """What the line's unused time gives back: never more than is left of what was paid for it."""
    line, cost = billed.line, billed.line.cost
    remaining, whole = _remaining(line, end, now)
    unused = unused_credit(line, end, now)
    nothing = Money.zero(cost.currency)
    kept = cost - billed.returned - billed.used
    back = max(min(unused - billed.returned, kept), nothing)
    text = f"{share(remaining, whole)} of {_told_cost(line)} for {line.description} is unused"
    return Line(
        kind=LineKind.CREDIT,
        description=f"Unused: {line.description}",
        quantity=line.quantity,
        amount=-back,
        discount=nothing,
        tax=nothing,
        period=Period(now, end),
        explanation=Explanation(
            text=f"{text}{_told_limits(billed)}.",
            formula=_formula(billed),
            inputs=_inputs(billed, remaining, whole),
        ),
        plan_id=line.plan_id,
        product_id=line.product_id,
        item_id=line.item_id,
        is_proration=True,
    )


def unused_credit(line: Line, end: datetime, now: datetime) -> Money:
    """What of a line's cost (after discount, with its tax) is for the time from `now` to `end`, its period's end.

    A pause moves the end and not the line: what remains counts from the end.
    """
    return line.cost.times(Fraction(*_remaining(line, end, now)))


def _remaining(line: Line, end: datetime, now: datetime) -> tuple[int, int]:
    """Microseconds: how many of the line's are left, and how many it has."""
    whole = microseconds(line.period.length)
    return min(max(microseconds(end - now), 0), whole), whole


def _told_cost(line: Line) -> str:
    discount = "" if line.discount.is_zero else f" − {line.discount} discount"
    tax = "" if line.tax.is_zero else f" + {line.tax} tax"
    return f"{line.amount}{discount}{tax}"


def _told_limits(billed: Billed) -> str:
    returned = "" if billed.returned.is_zero else f"; {billed.returned} was given back already"
    used = "" if billed.used.is_zero else f"; {billed.used} of it has been used"
    return returned + used


def _formula(billed: Billed) -> str:
    """Only with the terms that play a part."""
    line = billed.line
    discount = "" if line.discount.is_zero else " − discount"
    tax = "" if line.tax.is_zero else " + tax"
    returned = "" if billed.returned.is_zero else " − returned"
    cost = f"amount{discount}{tax}"
    unused = f"round(({cost}) × remainingMicroseconds ÷ periodMicroseconds){returned}"
    if not billed.used.is_zero:
        unused = f"min({unused}, {cost}{returned} − used)"
    return f"−max({unused}, 0)" if returned or not billed.used.is_zero else f"−{unused}"


def _inputs(billed: Billed, remaining: int, whole: int) -> Sequence[ExplanationInput]:
    line = billed.line
    amounts = {"discount": line.discount, "tax": line.tax, "returned": billed.returned, "used": billed.used}
    return (
        ExplanationInput("amount", str(line.amount), line.item_id),
        *(ExplanationInput(name, str(amount)) for name, amount in amounts.items() if not amount.is_zero),
        ExplanationInput("remainingMicroseconds", str(remaining)),
        ExplanationInput("periodMicroseconds", str(whole)),
    )


def _cut_off(present: Present, ended: frozenset[str], now: datetime, zone: ZoneInfo) -> Mapping[str, Line]:
    """What still waits: the charge of an item that ends is cut to the time in which there was one."""
    kept: dict[str, Line] = {}
    for key, line in present.waiting.items():
        is_present = line.kind is LineKind.RECURRING and line.period.start >= present.start
        is_cut = is_present and line.item_id in ended
        left = _cut(line, present.end, now, zone) if is_cut else line
        if left is not None:
            kept[key] = left
    return kept


def _cut(line: Line, end: datetime, now: datetime, zone: ZoneInfo) -> Line | None:
    """The line until `now`; None if that is no time at all."""
    whole = microseconds(line.period.length)
    used = whole - min(microseconds(end - now), whole)
    if used == 0:
        return None
    period = Period(line.period.start, now)
    name = line.description.partition(" (")[0]
    return replace(
        line,
        description=f"{name} ({days(period, zone)})",
        amount=line.amount.times(Fraction(used, whole)),
        period=period,
        explanation=Explanation(
            text=f"{share(used, whole)} of {line.amount} for {line.description}, until the change.",
            formula="round(amount × usedMicroseconds ÷ periodMicroseconds)",
            inputs=(
                ExplanationInput("amount", str(line.amount), line.item_id),
                ExplanationInput("usedMicroseconds", str(used)),
                ExplanationInput("periodMicroseconds", str(whole)),
            ),
        ),
    )


def price_of_used(cost: Money, used: int, granted: int) -> Money:
    """What of a cost has been used up when `used` of the `granted` units that came with it are gone."""
    if granted <= 0:
        return Money.zero(cost.currency)
    return cost.times(Fraction(min(used, granted), granted))
