"""No cent is lost: random invoices, changes within their period and refunds, every part summing to its whole.

    python -m tests.soak.cents --rounds 100000 --seed 1

The engine alone, in currencies without decimals, with two, with three, and with cents that are always 00.
"""

import argparse
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from billing.calendar import Grid, Interval, Period
from billing.crediting import CreditableLine, credit
from billing.discounting import Discount
from billing.explaining import recompute
from billing.invoicing import InvoiceDraft, InvoiceReason, compose
from billing.lines import Line, LineKind
from billing.money import Money, step, total
from billing.pricing import PriceTerms
from billing.proration import Billed, Present, ProrationBehavior, turn_within
from billing.recurring import RecurringItem, recurring_lines

CURRENCIES = ("USD", "EUR", "JPY", "KRW", "KWD", "BHD", "ISK", "UGX")
START = datetime(2027, 1, 31, 9, 30, tzinfo=UTC)
ZONE = ZoneInfo("UTC")


def round_of(rng: random.Random) -> None:
    """One invoice, one change within its period, and its refund in parts; an AssertionError says what was lost."""
    currency = rng.choice(CURRENCIES)
    grid = Grid(START, rng.choice([Interval.MONTH, Interval.YEAR]), 1, ZONE)
    items = [item(rng, grid, currency, number) for number in range(rng.randint(1, 4))]
    first = grid.span_from(START)
    draft = invoice(recurring_lines(items, first, ZONE), first.period, currency, offers(rng, currency))
    holds_together(draft)
    gives_back_what_it_took(rng, draft)
    changes(rng, draft, items, first.period, currency)
    splits(rng, currency)


def item(rng: random.Random, grid: Grid, currency: str, number: int) -> RecurringItem:
    return RecurringItem(
        plan_id=f"plan{number}",
        plan_name=f"Plan {number}",
        price=PriceTerms(f"price{number}", currency, amount(rng, currency).major),
        quantity=rng.choice([1, 1, 2, 3, 7, 250]),
        interval=grid.interval,
        interval_count=1,
        item_id=f"item{number}",
        product_id=f"product{number % 2}",
        tax_percent=rng.choice([None, Decimal(19), Decimal("8.25"), Decimal("0.333")]),
    )


def amount(rng: random.Random, currency: str) -> Money:
    unit = step(currency)
    return Money(rng.choice([1, 33, 99, 999, 1234, 99_999, 10_000_000]) * unit, currency)


def offers(rng: random.Random, currency: str) -> Sequence[Discount]:
    possible = [
        Discount("a", "PART", percent_off=Decimal(rng.choice(["15", "33.3", "100"]))),
        Discount("b", "OFF", amount_off=amount(rng, currency)),
        Discount("c", "ONE", percent_off=Decimal("7.5"), product_ids=frozenset(("product1",))),
    ]
    return rng.sample(possible, rng.randint(0, 2))


def invoice(lines: Sequence[Line], period: Period, currency: str, discounts: Sequence[Discount] = ()) -> InvoiceDraft:
    return compose(
        lines,
        reason=InvoiceReason.SUBSCRIPTION_CYCLE,
        occasion="1",
        period=period,
        discounts=discounts,
        currency=currency,
    )


def holds_together(draft: InvoiceDraft) -> None:
    """Lines sum to the total, shares to their discounts and taxes, and each line's formula comes to its amount."""
    currency = draft.total.currency
    sold = [line for line in draft.lines if line.kind not in (LineKind.DISCOUNT, LineKind.TAX)]
    assert total([line.amount for line in draft.lines], currency) == draft.total
    assert draft.subtotal - draft.discount_total + draft.tax_total == draft.total
    assert total([line.discount for line in sold], currency) == draft.discount_total
    assert total([line.tax for line in sold], currency) == draft.tax_total
    assert total([line.cost for line in sold], currency) == draft.total
    assert draft.credit_applied + draft.amount_due == draft.total
    for line in draft.lines:
        inputs = {given.name: given.value for given in line.explanation.inputs}
        assert recompute(line.explanation.formula, inputs, currency) == line.amount
        assert line.amount.minor % step(currency) == 0


def gives_back_what_it_took(rng: random.Random, draft: InvoiceDraft) -> None:
    """The invoice's total refunded in random parts: each part sums to its refund, all of them to each line's cost."""
    currency, sold = draft.total.currency, [line for line in draft.lines if line.is_sold and line.cost.minor > 0]
    gone, taxes = dict.fromkeys(range(len(sold)), 0), dict.fromkeys(range(len(sold)), 0)
    left = draft.total
    while not left.is_zero:
        units = left.minor // step(currency)
        back = left if rng.random() < 0.4 else Money(rng.randint(1, units) * step(currency), currency)
        lines = [
            CreditableLine(str(at), line.description, line.cost, line.tax, Money(gone[at], currency))
            for at, line in enumerate(sold)
        ]
        parts = credit(back, lines)
        assert total([part.amount for part in parts], currency) == back
        for part in parts:
            assert part.line_id is not None
            gone[int(part.line_id)] += part.amount.minor
            taxes[int(part.line_id)] += part.tax.minor
        left -= back
    assert gone == {at: line.cost.minor for at, line in enumerate(sold)}
    assert taxes == {at: line.tax.minor for at, line in enumerate(sold)}


def changes(
    rng: random.Random, draft: InvoiceDraft, items: Sequence[RecurringItem], period: Period, currency: str
) -> None:
    """An item swapped within the period: no more goes back than it cost, and swapped for itself it costs nothing."""
    paid = [line for line in draft.lines if line.is_sold]
    now = period.start + timedelta(microseconds=rng.randrange(period.length // timedelta(microseconds=1)))
    nothing = Money.zero(currency)
    present = Present(
        start=period.start,
        end=period.end,
        full=period.length,
        billed=[Billed(line, is_paid=True, returned=nothing, used=nothing) for line in paid],
    )
    swapped = rng.choice(items)
    turn = turn_within(
        present,
        ended=frozenset((swapped.item_id or "",)),
        begun=[swapped],
        behavior=ProrationBehavior.PRORATE_NOW,
        now=now,
        zone=ZONE,
    )
    update = invoice(turn.lines, Period(now, period.end), currency)
    holds_together(update)
    line = next(line for line in paid if line.item_id == swapped.item_id)
    back = -total([credit.amount for credit in turn.credits], currency)
    assert nothing <= back <= line.cost
    if line.discount.is_zero:
        # Ended and begun again at the same price and instant: four roundings of half a step, one of them taxed.
        assert abs(update.total.minor) <= 2 * step(currency)


def splits(rng: random.Random, currency: str) -> None:
    whole = Money(rng.randint(-(10**9), 10**9) * step(currency), currency)
    weights = [rng.randint(0, 1000) for _ in range(rng.randint(1, 9))]
    if any(weights):
        parts = whole.split(weights)
        assert total(parts, currency) == whole
        assert all(part.minor % step(currency) == 0 for part in parts)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.cents", description=__doc__)
    parser.add_argument("--rounds", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args(arguments)
    print(f"seed {asked.seed}")
    rng = random.Random(asked.seed)
    for number in range(asked.rounds):
        try:
            round_of(rng)
        except AssertionError:
            print(f"round {number}")
            raise
    print(f"{asked.rounds} invoices, changes and refunds: no cent is lost")


if __name__ == "__main__":
    main()
