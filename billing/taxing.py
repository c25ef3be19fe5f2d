"""Tax: exclusive, a percentage of each discounted line, told on one line per rate."""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

from billing.calendar import Period
from billing.explaining import Explanation, ExplanationInput
from billing.lines import Line, LineKind
from billing.money import Money, total


def apply_tax(lines: Sequence[Line], period: Period) -> tuple[Sequence[Line], Sequence[Line]]:
    """The lines with their tax, and one line per rate that came to something."""
    taxed = [line.with_tax(_tax(line)) for line in lines]
    rates = sorted({line.tax_percent for line in taxed if line.tax_percent is not None and not line.tax.is_zero})
    return taxed, [_told(rate, [line for line in taxed if line.tax_percent == rate], period) for rate in rates]


def _tax(line: Line) -> Money:
    if line.tax_percent is None or not line.is_sold:
        return Money.zero(line.amount.currency)
    return line.discounted.times(Fraction(line.tax_percent) / 100)


def _told(rate: Decimal, lines: Sequence[Line], period: Period) -> Line:
    percent = f"{rate.normalize():f}"
    sold = [line for line in lines if line.is_sold and not line.tax.is_zero]
    names = [f"line{number}" for number in range(1, len(sold) + 1)]
    currency = sold[0].amount.currency
    nothing = Money.zero(currency)
    return Line(
        kind=LineKind.TAX,
        description=f"Tax ({percent} %)",
        quantity=Decimal(1),
        amount=total([line.tax for line in sold], currency),
        discount=nothing,
        tax=nothing,
        period=period,
        explanation=Explanation(
            text=f"{percent} % of {', '.join(str(line.discounted) for line in sold)}, each rounded.",
            formula=" + ".join(f"round({name} × taxPercent ÷ 100)" for name in names),
            inputs=(
                ExplanationInput("taxPercent", percent),
                *(ExplanationInput(name, str(line.discounted)) for name, line in zip(names, sold, strict=True)),
            ),
        ),
    )
