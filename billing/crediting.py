"""Credit notes: how an amount that is given back falls on the lines of its invoice, with the tax in each part.

The parts sum to the amount, and a line gives back no more than it cost. Over all credit notes of an invoice the tax
that is taken back of a line sums to the line's tax once all of its cost is.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from billing.money import Money, total

CARRIED = "What the invoice asked for beyond its lines"
"""An invoice may collect what was too little to be charged before: that is no line's."""


@dataclass(frozen=True, slots=True)
class CreditableLine:
    """A line as it was billed: `cost` is after discount with its `tax`, `credited` what has been taken back of it."""

    id: str
    description: str
    cost: Money
    tax: Money
    credited: Money

    @property
    def left(self) -> Money:
        return max(self.cost - self.credited, Money.zero(self.cost.currency))

    def part(self, amount: Money) -> "CreditLine":
        """So much more of it taken back."""
        return CreditLine(
            self.id,
            self.description,
            amount,
            self._tax_within(self.credited + amount) - self._tax_within(self.credited),
        )

    def _tax_within(self, credited: Money) -> Money:
        return self.tax.times(Fraction(credited.minor, self.cost.minor))


@dataclass(frozen=True, slots=True)
class CreditLine:
    """What of one line is taken back; `tax` is part of `amount`. Without a line it is what was carried (CARRIED)."""

    line_id: str | None
    description: str
    amount: Money
    tax: Money


def credit(
    amount: Money, lines: Sequence[CreditableLine], chosen: Collection[str] | None = None
) -> Sequence[CreditLine]:
    """The amount over the lines, in proportion to what is left of each, by largest remainder.

    With `chosen` over those first, and over the others only for what is more than they cost.
    """
    first = [line for line in lines if chosen is None or line.id in chosen]
    made: list[CreditLine] = []
    rest = amount
    for group in (first, [line for line in lines if line not in first]):
        taken, parts = _over(rest, group)
        made += parts
        rest -= taken
    if not rest.is_zero:
        made.append(CreditLine(None, CARRIED, rest, Money.zero(rest.currency)))
    return made


def with_taken(lines: Sequence[CreditableLine], parts: Sequence[CreditLine]) -> Sequence[CreditableLine]:
    """The lines once these parts are taken back of them too."""
    more = {part.line_id: part.amount for part in parts}
    return [replace(line, credited=line.credited + more[line.id]) if line.id in more else line for line in lines]


def left_of(lines: Sequence[CreditableLine], currency: str) -> Money:
    """What of the lines' cost has not been taken back yet."""
    return total([line.left for line in lines], currency)


def _over(amount: Money, lines: Sequence[CreditableLine]) -> tuple[Money, Sequence[CreditLine]]:
    """As much of the amount as these lines can give back, and their parts."""
    open_lines = [line for line in lines if not line.left.is_zero]
    taken = min(amount, left_of(open_lines, amount.currency))
    if taken.is_zero:
        return taken, ()
    shares = taken.split([line.left.minor for line in open_lines])
    return taken, [line.part(share) for line, share in zip(open_lines, shares, strict=True) if not share.is_zero]
