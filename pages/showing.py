"""What a checkout page says: texts out of a quote, ready for the template."""

from collections.abc import Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from babel import Locale

from billing.lines import Line
from billing.money import Money
from billing.quotes import Quote
from languages import known_locale
from models.customers import Customer
from models.subscriptions import CollectionMethod
from resolvers.writing import formatted, named_balance, written_day
from services.checkout import Checkout, CheckoutState, Stage

_ENGLISH = Locale.parse("en")


@dataclass(frozen=True, slots=True)
class Summary:
    """What is bought. `due` is what is paid at once, `later` what is said of charges to come."""

    rows: Sequence[tuple[str, str]]
    due: str
    is_free_now: bool
    later: Sequence[str]


class Writer:
    """Amounts and days as this customer reads them."""

    def __init__(self, customer: Customer | None, timezone: str) -> None:
        """`customer` None: somebody new; `timezone` is where new customers live."""
        self._locale = (known_locale(customer.locale) if customer is not None else None) or _ENGLISH
        self._zone = ZoneInfo(customer.timezone if customer is not None else timezone)

    def _money(self, amount: Money) -> str:
        return formatted(amount.major, amount.currency, self._locale)

    def summary(self, quote: Quote) -> Summary:
        rows = [(_text(line), self._money(line.amount)) for line in quote.lines]
        if quote.credit_applied.minor:
            name = named_balance(quote.total.minor, quote.credit_applied.minor)
            rows.append((name, self._money(-quote.credit_applied)))
        return Summary(rows, self._money(quote.due_now), not quote.due_now.minor, self._later(quote))

    def _later(self, quote: Quote) -> Sequence[str]:
        to_come = [charge for charge in quote.schedule if charge.amount.minor]
        if not to_come:
            return ["Nothing else will be charged."]
        first, *others = to_come
        day = written_day(first.at, self._zone, self._locale)
        # What is bought stands above already, unless nothing is billed yet.
        what = "" if quote.lines else f": {first.description}"
        told = [f"{'Then' if quote.lines else 'First'} {self._money(first.amount)} on {day}{what}"]
        return [*told, "It renews until you cancel."] if others else told


def _text(line: Line) -> str:
    return line.description if line.quantity == 1 else f"{line.quantity.normalize():f} × {line.description}"


def wants_card(checkout: Checkout, state: CheckoutState) -> bool:
    """Whether a card is typed on the page: to pay now, or to be kept for a first charge to come."""
    if state.stage is Stage.SAVING:
        return True
    quote = state.quoted.quote if state.quoted is not None else None
    is_charged = checkout.wish.collection_method in (None, CollectionMethod.CHARGE_AUTOMATICALLY)
    return (
        quote is not None
        and is_charged
        and any(amount.minor for amount in (quote.due_now, *(charge.amount for charge in quote.schedule)))
    )
